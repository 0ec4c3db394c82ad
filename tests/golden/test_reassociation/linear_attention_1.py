"""linear_attention_1: pass1 and its kernels, emitted by refold from a proved plan.

    pass1[d] = Σ_j (max(0, k[j,d]) + 1)
    pass1_2[d,e] = Σ_j (max(0, k[j,d]) + 1)·v[j,e]

The proof is linear_attention_1.proof.json, the test test_linear_attention_1.py. Needs torch and triton alone.
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
_larger = rt._larger
TABLES = rt.Tables(
    name="linear_attention_1", inputs={"k": ("j", "d",), "v": ("j", "e",)},
    outputs={"pass1": ("d",), "pass1_2": ("d", "e",)}, dtypes={"k": "float", "v": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), exact=("pass1", "pass1_2"),
    dots=True, descriptors={"v": (1, 1, "BLOCK_N", "BLOCK_e")},
)


@triton.jit
def _step(
    t, t2, j0, k_ptr, v_desc, v_ptr, d, e, in_d, in_e, k_d, k_j, lead0, lead1, v_e, v_j, size_j, BLOCK_N: tl.constexpr,
    BLOCK_e: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr, MASKED: tl.constexpr, OPERAND: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    k = tl.load(k_ptr + j[None, :] * k_j + d[:, None] * k_d, mask=in_j[None, :] & in_d[:, None], other=0.0).to(tl.float32)
    c = _larger(0.0, k) + 1.0
    c_2 = c
    if MASKED:
        c_2 = tl.where(in_j[None, :], c_2, 0.0)
    t_new = t + tl.sum(c_2, 1)
    if MASKED:
        c = tl.where(in_j[None, :], c, 0.0)
    v = v_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_e) if DESC else tl.load(v_ptr + j[:, None] * v_j + e[None, :] * v_e, mask=in_j[:, None] & in_e[None, :], other=0.0)
    t2_new = tl.dot(c.to(OPERAND), v.to(OPERAND), t2, input_precision="ieee")
    return t_new, t2_new


@triton.jit
def _merge(t, t2, t_part, t2_part):
    # Two states, each corrected to the anchors of both together, then joined.
    t_new = t + t_part
    t2_new = t2 + t2_part
    return t_new, t2_new


@triton.jit
def linear_attention_1_rolling(
    k_ptr, pass1_2_ptr, pass1_ptr, v_desc, v_ptr, k_d, k_j, k_lead0, k_lead1, pass1_2_d, pass1_2_e, pass1_2_lead0,
    pass1_2_lead1, pass1_d, pass1_lead0, pass1_lead1, v_e, v_j, v_lead0, v_lead1, size_d, size_j, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_e: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr,
    OPERAND: tl.constexpr, SIZE_e: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_d, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    d = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_d = d < size_d
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    pass1_ptr += lead0 * pass1_lead0 + lead1 * pass1_lead1
    pass1_2_ptr += lead0 * pass1_2_lead0 + lead1 * pass1_2_lead1
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    t2 = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    lo = 0
    hi = size_j
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        t, t2 = _step(
            t, t2, j0, k_ptr, v_desc, v_ptr, d, e, in_d, in_e, k_d, k_j, lead0, lead1, v_e, v_j, size_j, BLOCK_N,
            BLOCK_e, DESC, INDEX, False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        t, t2 = _step(
            t, t2, j0, k_ptr, v_desc, v_ptr, d, e, in_d, in_e, k_d, k_j, lead0, lead1, v_e, v_j, size_j, BLOCK_N,
            BLOCK_e, DESC, INDEX, True, OPERAND,
        )
    tl.store(pass1_ptr + d * pass1_d, t.to(pass1_ptr.dtype.element_ty), mask=in_d)
    tl.store(pass1_2_ptr + d[:, None] * pass1_2_d + e[None, :] * pass1_2_e, t2.to(pass1_2_ptr.dtype.element_ty), mask=in_d[:, None] & in_e[None, :])


@triton.jit
def linear_attention_1_parts(
    k_ptr, part_t2_ptr, part_t_ptr, v_desc, v_ptr, chunk, k_d, k_j, k_lead0, k_lead1, v_e, v_j, v_lead0, v_lead1,
    size_batch, size_d, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_e: tl.constexpr,
    DESC: tl.constexpr, INDEX: tl.constexpr, OPERAND: tl.constexpr, OVERLAP: tl.constexpr, SIZE_e: tl.constexpr,
):
    # One program leaves the state of one part of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_d, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    d = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_d = d < size_d
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    t2 = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        t, t2 = _step(
            t, t2, j0, k_ptr, v_desc, v_ptr, d, e, in_d, in_e, k_d, k_j, lead0, lead1, v_e, v_j, size_j, BLOCK_N,
            BLOCK_e, DESC, INDEX, False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        t, t2 = _step(
            t, t2, j0, k_ptr, v_desc, v_ptr, d, e, in_d, in_e, k_d, k_j, lead0, lead1, v_e, v_j, size_j, BLOCK_N,
            BLOCK_e, DESC, INDEX, True, OPERAND,
        )
    tl.store(part_t_ptr + ((part * size_batch + batch).to(tl.int64) * size_d + d), t, mask=in_d)
    tl.store(part_t2_ptr + (((part * size_batch + batch).to(tl.int64) * size_d + d)[:, None] * SIZE_e + e[None, :]), t2, mask=in_d[:, None] & in_e[None, :])


@triton.jit
def linear_attention_1_finish(
    part_t2_ptr, part_t_ptr, pass1_2_ptr, pass1_ptr, parts, pass1_2_d, pass1_2_e, pass1_2_lead0, pass1_2_lead1, pass1_d,
    pass1_lead0, pass1_lead1, size_batch, size_d, size_lead, BLOCK_M: tl.constexpr, BLOCK_e: tl.constexpr,
    INDEX: tl.constexpr, OVERLAP: tl.constexpr, SIZE_e: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_d, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    d = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_d = d < size_d
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    pass1_ptr += lead0 * pass1_lead0 + lead1 * pass1_lead1
    pass1_2_ptr += lead0 * pass1_2_lead0 + lead1 * pass1_2_lead1
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    t2 = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        t_part = tl.load(part_t_ptr + ((part * size_batch + batch).to(tl.int64) * size_d + d), mask=in_d, other=0.0)
        t2_part = tl.load(part_t2_ptr + (((part * size_batch + batch).to(tl.int64) * size_d + d)[:, None] * SIZE_e + e[None, :]), mask=in_d[:, None] & in_e[None, :], other=0.0)
        t, t2 = _merge(t, t2, t_part, t2_part)
    tl.store(pass1_ptr + d * pass1_d, t.to(pass1_ptr.dtype.element_ty), mask=in_d)
    tl.store(pass1_2_ptr + d[:, None] * pass1_2_d + e[None, :] * pass1_2_e, t2.to(pass1_2_ptr.dtype.element_ty), mask=in_d[:, None] & in_e[None, :])


def linear_attention_1(k, v, *, out=None, schedule="auto",
                       splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """k [..., j, d]; v [..., j, e] -> pass1 [..., d]; pass1_2 [..., d, e].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return dict(zip(TABLES.outputs, _OPERATOR(k, v, schedule, splits, block_m, block_n, num_warps, num_stages)))
    return _call((k, v), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(k, v, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"k": k, "v": v}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "e")
    device = k.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_e": rt.pad(size["e"], 16)}
    batch = math.prod(lead)
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, size["d"], size["j"], batch, pads, k.element_size(), device,
    )
    programs = batch * triton.cdiv(size["d"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    # The weights of a sum have no bound, and float16 ends at 65504.
    args = {
        "size_d": size["d"], "size_j": size["j"], "SIZE_e": size["e"], "size_lead": lead[-1] if lead else 1,
        "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "OPERAND": tl.float32 if k.dtype == torch.float16 else rt.operand(k.dtype), "STAGES": num_stages or 3,
        "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    descriptors = rt.descriptors(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(linear_attention_1_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied, descriptors=descriptors)
    work = {
        "part_t_ptr": ((parts, batch, size["d"]), torch.float32),
        "part_t2_ptr": ((parts, batch, size["d"], size["e"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["d"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (linear_attention_1_parts, (programs, parts), args, options),
        (linear_attention_1_finish, (batch * triton.cdiv(size["d"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied, descriptors=descriptors)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(k, v):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"k": k, "v": v}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = k.dtype, k.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    out["pass1"] = rt.full((k.clamp(min=0) + 1).sum(-2), lead + (size["d"],), dtype, device)
    out["pass1_2"] = rt.full(torch.einsum("...ab,...ac->...bc", k.clamp(min=0) + 1, v), lead + (size["d"], size["e"],), dtype, device)
    return rt.result(out)
