"""latent_attention_3: o and its kernels, emitted by refold from a proved plan.

    o[h,i,e] = (Σ_r pass1_3[h,i,r]·w_v[h,e,r])·pass1_2[h,i]

The proof is latent_attention_3.proof.json, the test test_latent_attention_3.py. Needs torch and triton alone.
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
    name="latent_attention_3", inputs={"w_v": ("h", "e", "r",), "pass1_3": ("h", "i", "r",), "pass1_2": ("h", "i",)},
    outputs={"o": ("h", "i", "e",)}, dtypes={"w_v": "float", "pass1_3": "float32", "pass1_2": "float32"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), dots=True,
    descriptors={"pass1_3": (1, 1, 1, "BLOCK_M", "BLOCK_N")},
)


@triton.jit
def _step(
    t, j0, pass1_3_desc, pass1_3_ptr, w_v_ptr, e, h, i, i0, in_e, in_i, lead0, lead1, pass1_3_h, pass1_3_i, pass1_3_r,
    w_v_e, w_v_h, w_v_r, size_r, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr, OPERAND: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    r = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_r = r < size_r if MASKED else tl.full([BLOCK_N], True, tl.int1)
    pass1_3 = pass1_3_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), h.to(tl.int32), i0, j0]).reshape(BLOCK_M, BLOCK_N) if DESC else tl.load(pass1_3_ptr + h * pass1_3_h + i[:, None] * pass1_3_i + r[None, :] * pass1_3_r, mask=in_i[:, None] & in_r[None, :], other=0.0)
    w_v = tl.load(w_v_ptr + h * w_v_h + e[None, :] * w_v_e + r[:, None] * w_v_r, mask=in_e[None, :] & in_r[:, None], other=0.0)
    t_new = tl.dot(pass1_3.to(OPERAND), w_v.to(OPERAND), t, input_precision="ieee")
    return t_new,


@triton.jit
def _merge(t, t_part):
    # Two states, each corrected to the anchors of both together, then joined.
    t_new = t + t_part
    return t_new,


@triton.jit
def latent_attention_3_rolling(
    o_ptr, pass1_2_ptr, pass1_3_desc, pass1_3_ptr, w_v_ptr, o_e, o_h, o_i, o_lead0, o_lead1, pass1_2_h, pass1_2_i,
    pass1_2_lead0, pass1_2_lead1, pass1_3_h, pass1_3_i, pass1_3_lead0, pass1_3_lead1, pass1_3_r, w_v_e, w_v_h,
    w_v_lead0, w_v_lead1, w_v_r, size_h, size_i, size_lead, size_r, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_e: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr, OPERAND: tl.constexpr, SIZE_e: tl.constexpr,
):
    # One program holds its rows and goes over all of axis r.
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
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    w_v_ptr += lead0 * w_v_lead0 + lead1 * w_v_lead1
    pass1_3_ptr += lead0 * pass1_3_lead0 + lead1 * pass1_3_lead1
    pass1_2_ptr += lead0 * pass1_2_lead0 + lead1 * pass1_2_lead1
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    pass1_2 = tl.load(pass1_2_ptr + h * pass1_2_h + i * pass1_2_i, mask=in_i, other=0.0).to(tl.float32)
    t = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    lo = 0
    hi = size_r
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        (t,) = _step(
            t, j0, pass1_3_desc, pass1_3_ptr, w_v_ptr, e, h, i, i0, in_e, in_i, lead0, lead1, pass1_3_h, pass1_3_i,
            pass1_3_r, w_v_e, w_v_h, w_v_r, size_r, BLOCK_M, BLOCK_N, DESC, INDEX, False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        (t,) = _step(
            t, j0, pass1_3_desc, pass1_3_ptr, w_v_ptr, e, h, i, i0, in_e, in_i, lead0, lead1, pass1_3_h, pass1_3_i,
            pass1_3_r, w_v_e, w_v_h, w_v_r, size_r, BLOCK_M, BLOCK_N, DESC, INDEX, True, OPERAND,
        )
    o = t * pass1_2[:, None]
    tl.store(o_ptr + h * o_h + i[:, None] * o_i + e[None, :] * o_e, o.to(o_ptr.dtype.element_ty), mask=in_i[:, None] & in_e[None, :])


@triton.jit
def latent_attention_3_parts(
    part_t_ptr, pass1_3_desc, pass1_3_ptr, w_v_ptr, chunk, pass1_3_h, pass1_3_i, pass1_3_lead0, pass1_3_lead1,
    pass1_3_r, w_v_e, w_v_h, w_v_lead0, w_v_lead1, w_v_r, size_batch, size_h, size_i, size_lead, size_r,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_e: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr,
    OPERAND: tl.constexpr, OVERLAP: tl.constexpr, SIZE_e: tl.constexpr,
):
    # One program leaves the state of one part of axis r.
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
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    w_v_ptr += lead0 * w_v_lead0 + lead1 * w_v_lead1
    pass1_3_ptr += lead0 * pass1_3_lead0 + lead1 * pass1_3_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    t = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_r, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        (t,) = _step(
            t, j0, pass1_3_desc, pass1_3_ptr, w_v_ptr, e, h, i, i0, in_e, in_i, lead0, lead1, pass1_3_h, pass1_3_i,
            pass1_3_r, w_v_e, w_v_h, w_v_r, size_r, BLOCK_M, BLOCK_N, DESC, INDEX, False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        (t,) = _step(
            t, j0, pass1_3_desc, pass1_3_ptr, w_v_ptr, e, h, i, i0, in_e, in_i, lead0, lead1, pass1_3_h, pass1_3_i,
            pass1_3_r, w_v_e, w_v_h, w_v_r, size_r, BLOCK_M, BLOCK_N, DESC, INDEX, True, OPERAND,
        )
    tl.store(part_t_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_e + e[None, :]), t, mask=in_i[:, None] & in_e[None, :])


@triton.jit
def latent_attention_3_finish(
    o_ptr, part_t_ptr, pass1_2_ptr, o_e, o_h, o_i, o_lead0, o_lead1, parts, pass1_2_h, pass1_2_i, pass1_2_lead0,
    pass1_2_lead1, size_batch, size_h, size_i, size_lead, BLOCK_M: tl.constexpr, BLOCK_e: tl.constexpr,
    INDEX: tl.constexpr, OVERLAP: tl.constexpr, SIZE_e: tl.constexpr,
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
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    pass1_2_ptr += lead0 * pass1_2_lead0 + lead1 * pass1_2_lead1
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    pass1_2 = tl.load(pass1_2_ptr + h * pass1_2_h + i * pass1_2_i, mask=in_i, other=0.0).to(tl.float32)
    t = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        t_part = tl.load(part_t_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_e + e[None, :]), mask=in_i[:, None] & in_e[None, :], other=0.0)
        (t,) = _merge(t, t_part)
    o = t * pass1_2[:, None]
    tl.store(o_ptr + h * o_h + i[:, None] * o_i + e[None, :] * o_e, o.to(o_ptr.dtype.element_ty), mask=in_i[:, None] & in_e[None, :])


def latent_attention_3(w_v, pass1_3, pass1_2, *, out=None, schedule="auto",
                       splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """w_v [..., h, e, r]; pass1_3 [..., h, i, r]; pass1_2 [..., h, i] -> o [..., h, i, e].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(w_v, pass1_3, pass1_2, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((w_v, pass1_3, pass1_2), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(w_v, pass1_3, pass1_2, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"w_v": w_v, "pass1_3": pass1_3, "pass1_2": pass1_2}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "e")
    device = w_v.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_e": rt.pad(size["e"], 16)}
    batch = math.prod(lead) * size["h"]
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, size["i"], size["r"], batch, pads, w_v.element_size(), device,
    )
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["r"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["r"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["r"] + parts * chunk)
    args = {
        "size_h": size["h"], "size_i": size["i"], "size_r": size["r"], "SIZE_e": size["e"],
        "size_lead": lead[-1] if lead else 1, "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m,
        "BLOCK_N": block_n, **pads, "OPERAND": rt.operand(w_v.dtype), "STAGES": num_stages or 3,
        "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    descriptors = rt.descriptors(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(latent_attention_3_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied, descriptors=descriptors)
    work = {"part_t_ptr": ((parts, batch, size["i"], size["e"]), torch.float32)}
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (latent_attention_3_parts, (programs, parts), args, options),
        (latent_attention_3_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied, descriptors=descriptors)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(w_v, pass1_3, pass1_2):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"w_v": w_v, "pass1_3": pass1_3, "pass1_2": pass1_2}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = w_v.dtype, w_v.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    out["o"] = rt.full(torch.einsum("...abd,...acd->...abc", pass1_3, w_v) * pass1_2[..., :, :, None], lead + (size["h"], size["i"], size["e"],), dtype, device)
    return rt.result(out)
