"""latent_attention_1: pass1 and its kernels, emitted by refold from a proved plan.

    pass1[h,i,r] = Σ_d q[h,i,d]·w_k[h,d,r]

The proof is latent_attention_1.proof.json, the test test_latent_attention_1.py. Needs torch and triton alone.
It has not been run yet.
"""

import hashlib
import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import torch
import triton
import triton.language as tl


def load_beside(file: str, content: str) -> ModuleType:
    """A file beside this one, as a module of its content: other bundles may have another of that name."""
    name, path = f"{Path(file).stem}_{content}", Path(__file__).with_name(file)
    if name not in sys.modules:
        if not path.is_file():
            raise ImportError(f"{path} is missing: copy it from the folder that {Path(__file__).name} comes from")
        if hashlib.sha256(path.read_bytes()).hexdigest()[:16] != content:
            raise ImportError(f"{path} is not the one that {Path(__file__).name} was emitted with: emit it again")
        found = importlib.util.spec_from_file_location(name, path)
        assert found is not None and found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


rt = load_beside("refold_runtime.py", "of that file")
TABLES = rt.Tables(
    name="latent_attention_1", inputs={"q": ("h", "i", "d",), "w_k": ("h", "d", "r",)},
    outputs={"pass1": ("h", "i", "r",)}, dtypes={"q": "float", "w_k": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), exact=("pass1",), dots=True,
    descriptors={"q": (1, 1, 1, "BLOCK_M", "BLOCK_N"), "w_k": (1, 1, 1, "BLOCK_N", "BLOCK_r")},
)


@triton.jit
def _step(
    t, j0, q_desc, q_ptr, w_k_desc, w_k_ptr, h, i, i0, in_i, in_r, lead0, lead1, q_d, q_h, q_i, r, w_k_d, w_k_h, w_k_r,
    size_d, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_r: tl.constexpr, DESC: tl.constexpr,
    INDEX: tl.constexpr, MASKED: tl.constexpr, OPERAND: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    d = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_d = d < size_d if MASKED else tl.full([BLOCK_N], True, tl.int1)
    q = q_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), h.to(tl.int32), i0, j0]).reshape(BLOCK_M, BLOCK_N) if DESC else tl.load(q_ptr + h * q_h + i[:, None] * q_i + d[None, :] * q_d, mask=in_i[:, None] & in_d[None, :], other=0.0)
    w_k = w_k_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), h.to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_r) if DESC else tl.load(w_k_ptr + h * w_k_h + d[:, None] * w_k_d + r[None, :] * w_k_r, mask=in_d[:, None] & in_r[None, :], other=0.0)
    t_new = tl.dot(q.to(OPERAND), w_k.to(OPERAND), t, input_precision="ieee")
    return t_new,


@triton.jit
def _merge(t, t_part):
    # Two states, each corrected to the anchors of both together, then joined.
    t_new = t + t_part
    return t_new,


@triton.jit
def latent_attention_1_rolling(
    pass1_ptr, q_desc, q_ptr, w_k_desc, w_k_ptr, pass1_h, pass1_i, pass1_lead0, pass1_lead1, pass1_r, q_d, q_h, q_i,
    q_lead0, q_lead1, w_k_d, w_k_h, w_k_lead0, w_k_lead1, w_k_r, size_d, size_h, size_i, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_r: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr,
    OPERAND: tl.constexpr, SIZE_r: tl.constexpr,
):
    # One program holds its rows and goes over all of axis d.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    h = (lead % size_h).to(INDEX)
    lead = lead // size_h
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    r = tl.arange(0, BLOCK_r).to(INDEX)  # [BLOCK_r]
    in_r = r < SIZE_r
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    w_k_ptr += lead0 * w_k_lead0 + lead1 * w_k_lead1
    pass1_ptr += lead0 * pass1_lead0 + lead1 * pass1_lead1
    t = tl.full([BLOCK_M, BLOCK_r], 0.0, tl.float32)
    lo = 0
    hi = size_d
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        (t,) = _step(
            t, j0, q_desc, q_ptr, w_k_desc, w_k_ptr, h, i, i0, in_i, in_r, lead0, lead1, q_d, q_h, q_i, r, w_k_d,
            w_k_h, w_k_r, size_d, BLOCK_M, BLOCK_N, BLOCK_r, DESC, INDEX, False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        (t,) = _step(
            t, j0, q_desc, q_ptr, w_k_desc, w_k_ptr, h, i, i0, in_i, in_r, lead0, lead1, q_d, q_h, q_i, r, w_k_d,
            w_k_h, w_k_r, size_d, BLOCK_M, BLOCK_N, BLOCK_r, DESC, INDEX, True, OPERAND,
        )
    tl.store(pass1_ptr + h * pass1_h + i[:, None] * pass1_i + r[None, :] * pass1_r, t.to(pass1_ptr.dtype.element_ty), mask=in_i[:, None] & in_r[None, :])


@triton.jit
def latent_attention_1_parts(
    part_t_ptr, q_desc, q_ptr, w_k_desc, w_k_ptr, chunk, q_d, q_h, q_i, q_lead0, q_lead1, w_k_d, w_k_h, w_k_lead0,
    w_k_lead1, w_k_r, size_batch, size_d, size_h, size_i, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_r: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr, OPERAND: tl.constexpr, OVERLAP: tl.constexpr,
    SIZE_r: tl.constexpr,
):
    # One program leaves the state of one part of axis d.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    h = (lead % size_h).to(INDEX)
    lead = lead // size_h
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    r = tl.arange(0, BLOCK_r).to(INDEX)  # [BLOCK_r]
    in_r = r < SIZE_r
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    w_k_ptr += lead0 * w_k_lead0 + lead1 * w_k_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    t = tl.full([BLOCK_M, BLOCK_r], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_d, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        (t,) = _step(
            t, j0, q_desc, q_ptr, w_k_desc, w_k_ptr, h, i, i0, in_i, in_r, lead0, lead1, q_d, q_h, q_i, r, w_k_d,
            w_k_h, w_k_r, size_d, BLOCK_M, BLOCK_N, BLOCK_r, DESC, INDEX, False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        (t,) = _step(
            t, j0, q_desc, q_ptr, w_k_desc, w_k_ptr, h, i, i0, in_i, in_r, lead0, lead1, q_d, q_h, q_i, r, w_k_d,
            w_k_h, w_k_r, size_d, BLOCK_M, BLOCK_N, BLOCK_r, DESC, INDEX, True, OPERAND,
        )
    tl.store(part_t_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_r + r[None, :]), t, mask=in_i[:, None] & in_r[None, :])


@triton.jit
def latent_attention_1_finish(
    part_t_ptr, pass1_ptr, parts, pass1_h, pass1_i, pass1_lead0, pass1_lead1, pass1_r, size_batch, size_h, size_i,
    size_lead, BLOCK_M: tl.constexpr, BLOCK_r: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
    SIZE_r: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    h = (lead % size_h).to(INDEX)
    lead = lead // size_h
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    r = tl.arange(0, BLOCK_r).to(INDEX)  # [BLOCK_r]
    in_r = r < SIZE_r
    pass1_ptr += lead0 * pass1_lead0 + lead1 * pass1_lead1
    t = tl.full([BLOCK_M, BLOCK_r], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        t_part = tl.load(part_t_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_r + r[None, :]), mask=in_i[:, None] & in_r[None, :], other=0.0)
        (t,) = _merge(t, t_part)
    tl.store(pass1_ptr + h * pass1_h + i[:, None] * pass1_i + r[None, :] * pass1_r, t.to(pass1_ptr.dtype.element_ty), mask=in_i[:, None] & in_r[None, :])


def latent_attention_1(q, w_k, *, out=None, schedule="auto",
                       splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q [..., h, i, d]; w_k [..., h, d, r] -> pass1 [..., h, i, r].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(q, w_k, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((q, w_k), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(q, w_k, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"q": q, "w_k": w_k}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "r")
    device = q.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_r": rt.pad(size["r"], 16)}
    batch = math.prod(lead) * size["h"]
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, size["i"], size["d"], batch, pads, q.element_size(), device,
    )
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["d"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["d"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["d"] + parts * chunk)
    args = {
        "size_d": size["d"], "size_h": size["h"], "size_i": size["i"], "SIZE_r": size["r"],
        "size_lead": lead[-1] if lead else 1, "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m,
        "BLOCK_N": block_n, **pads, "OPERAND": rt.operand(q.dtype), "STAGES": num_stages or 3,
        "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    descriptors = rt.descriptors(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(latent_attention_1_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied, descriptors=descriptors)
    work = {"part_t_ptr": ((parts, batch, size["i"], size["r"]), torch.float32)}
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (latent_attention_1_parts, (programs, parts), args, options),
        (latent_attention_1_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied, descriptors=descriptors)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(q, w_k):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"q": q, "w_k": w_k}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = q.dtype, q.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    out["pass1"] = rt.full(torch.einsum("...abc,...acd->...abd", q, w_k), lead + (size["h"], size["i"], size["r"],), dtype, device)
    return rt.result(out)
