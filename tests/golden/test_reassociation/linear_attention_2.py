"""linear_attention_2: o and its kernels, emitted by refold from a proved plan.

    o[i,e] = (Σ_d (max(0, q[i,d]) + 1)·pass1_2[d,e])/(Σ_d (max(0, q[i,d]) + 1)·pass1[d])

The proof is linear_attention_2.proof.json, the test test_linear_attention_2.py. Needs torch and triton alone.
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
    name="linear_attention_2", inputs={"q": ("i", "d",), "pass1": ("d",), "pass1_2": ("d", "e",)},
    outputs={"o": ("i", "e",)}, dtypes={"q": "float", "pass1": "float32", "pass1_2": "float32"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), dots=True,
    descriptors={"pass1_2": (1, 1, "BLOCK_N", "BLOCK_e"), "q": (1, 1, "BLOCK_M", "BLOCK_N")},
)


@triton.jit
def _step(
    t, t2, j0, pass1_2_desc, pass1_2_ptr, pass1_ptr, q_desc, q_ptr, e, i, i0, in_e, in_i, lead0, lead1, pass1_2_d,
    pass1_2_e, pass1_d, q_d, q_i, size_d, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_e: tl.constexpr,
    DESC: tl.constexpr, INDEX: tl.constexpr, MASKED: tl.constexpr, OPERAND: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    d = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_d = d < size_d if MASKED else tl.full([BLOCK_N], True, tl.int1)
    q = (q_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), i0, j0]).reshape(BLOCK_M, BLOCK_N) if DESC else tl.load(q_ptr + i[:, None] * q_i + d[None, :] * q_d, mask=in_i[:, None] & in_d[None, :], other=0.0)).to(tl.float32)
    pass1 = tl.load(pass1_ptr + d * pass1_d, mask=in_d, other=0.0).to(tl.float32)
    c = (_larger(0.0, q) + 1.0) * pass1[None, :]
    c_2 = c
    if MASKED:
        c_2 = tl.where(in_d[None, :], c_2, 0.0)
    t_new = t + tl.sum(c_2, 1)
    a = _larger(0.0, q) + 1.0
    if MASKED:
        a = tl.where(in_d[None, :], a, 0.0)
    pass1_2 = pass1_2_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_e) if DESC else tl.load(pass1_2_ptr + d[:, None] * pass1_2_d + e[None, :] * pass1_2_e, mask=in_d[:, None] & in_e[None, :], other=0.0)
    t2_new = tl.dot(a.to(OPERAND), pass1_2.to(OPERAND), t2, input_precision="ieee")
    return t_new, t2_new


@triton.jit
def _merge(t, t2, t_part, t2_part):
    # Two states, each corrected to the anchors of both together, then joined.
    t_new = t + t_part
    t2_new = t2 + t2_part
    return t_new, t2_new


@triton.jit
def linear_attention_2_rolling(
    o_ptr, pass1_2_desc, pass1_2_ptr, pass1_ptr, q_desc, q_ptr, o_e, o_i, o_lead0, o_lead1, pass1_2_d, pass1_2_e,
    pass1_2_lead0, pass1_2_lead1, pass1_d, pass1_lead0, pass1_lead1, q_d, q_i, q_lead0, q_lead1, size_d, size_i,
    size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_e: tl.constexpr, DESC: tl.constexpr,
    INDEX: tl.constexpr, OPERAND: tl.constexpr, SIZE_e: tl.constexpr,
):
    # One program holds its rows and goes over all of axis d.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    pass1_ptr += lead0 * pass1_lead0 + lead1 * pass1_lead1
    pass1_2_ptr += lead0 * pass1_2_lead0 + lead1 * pass1_2_lead1
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    t2 = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    lo = 0
    hi = size_d
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        t, t2 = _step(
            t, t2, j0, pass1_2_desc, pass1_2_ptr, pass1_ptr, q_desc, q_ptr, e, i, i0, in_e, in_i, lead0, lead1,
            pass1_2_d, pass1_2_e, pass1_d, q_d, q_i, size_d, BLOCK_M, BLOCK_N, BLOCK_e, DESC, INDEX, False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        t, t2 = _step(
            t, t2, j0, pass1_2_desc, pass1_2_ptr, pass1_ptr, q_desc, q_ptr, e, i, i0, in_e, in_i, lead0, lead1,
            pass1_2_d, pass1_2_e, pass1_d, q_d, q_i, size_d, BLOCK_M, BLOCK_N, BLOCK_e, DESC, INDEX, True, OPERAND,
        )
    o = t2 * (1.0 / t)[:, None]
    tl.store(o_ptr + i[:, None] * o_i + e[None, :] * o_e, o.to(o_ptr.dtype.element_ty), mask=in_i[:, None] & in_e[None, :])


@triton.jit
def linear_attention_2_parts(
    part_t2_ptr, part_t_ptr, pass1_2_desc, pass1_2_ptr, pass1_ptr, q_desc, q_ptr, chunk, pass1_2_d, pass1_2_e,
    pass1_2_lead0, pass1_2_lead1, pass1_d, pass1_lead0, pass1_lead1, q_d, q_i, q_lead0, q_lead1, size_batch, size_d,
    size_i, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_e: tl.constexpr, DESC: tl.constexpr,
    INDEX: tl.constexpr, OPERAND: tl.constexpr, OVERLAP: tl.constexpr, SIZE_e: tl.constexpr,
):
    # One program leaves the state of one part of axis d.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    pass1_ptr += lead0 * pass1_lead0 + lead1 * pass1_lead1
    pass1_2_ptr += lead0 * pass1_2_lead0 + lead1 * pass1_2_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    t2 = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_d, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        t, t2 = _step(
            t, t2, j0, pass1_2_desc, pass1_2_ptr, pass1_ptr, q_desc, q_ptr, e, i, i0, in_e, in_i, lead0, lead1,
            pass1_2_d, pass1_2_e, pass1_d, q_d, q_i, size_d, BLOCK_M, BLOCK_N, BLOCK_e, DESC, INDEX, False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        t, t2 = _step(
            t, t2, j0, pass1_2_desc, pass1_2_ptr, pass1_ptr, q_desc, q_ptr, e, i, i0, in_e, in_i, lead0, lead1,
            pass1_2_d, pass1_2_e, pass1_d, q_d, q_i, size_d, BLOCK_M, BLOCK_N, BLOCK_e, DESC, INDEX, True, OPERAND,
        )
    tl.store(part_t_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), t, mask=in_i)
    tl.store(part_t2_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_e + e[None, :]), t2, mask=in_i[:, None] & in_e[None, :])


@triton.jit
def linear_attention_2_finish(
    o_ptr, part_t2_ptr, part_t_ptr, o_e, o_i, o_lead0, o_lead1, parts, size_batch, size_i, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_e: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr, SIZE_e: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    t2 = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        t_part = tl.load(part_t_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        t2_part = tl.load(part_t2_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_e + e[None, :]), mask=in_i[:, None] & in_e[None, :], other=0.0)
        t, t2 = _merge(t, t2, t_part, t2_part)
    o = t2 * (1.0 / t)[:, None]
    tl.store(o_ptr + i[:, None] * o_i + e[None, :] * o_e, o.to(o_ptr.dtype.element_ty), mask=in_i[:, None] & in_e[None, :])


def linear_attention_2(q, pass1, pass1_2, *, out=None, schedule="auto",
                       splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q [..., i, d]; pass1 [..., d]; pass1_2 [..., d, e] -> o [..., i, e].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(q, pass1, pass1_2, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((q, pass1, pass1_2), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(q, pass1, pass1_2, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"q": q, "pass1": pass1, "pass1_2": pass1_2}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "e")
    device = q.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_e": rt.pad(size["e"], 16)}
    batch = math.prod(lead)
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, size["i"], size["d"], batch, pads, q.element_size(), device,
    )
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["d"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["d"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["d"] + parts * chunk)
    # The weights of a sum have no bound, and float16 ends at 65504.
    args = {
        "size_d": size["d"], "size_i": size["i"], "SIZE_e": size["e"], "size_lead": lead[-1] if lead else 1,
        "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "OPERAND": tl.float32 if q.dtype == torch.float16 else rt.operand(q.dtype), "STAGES": num_stages or 3,
        "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    descriptors = rt.descriptors(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(linear_attention_2_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied, descriptors=descriptors)
    work = {
        "part_t_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_t2_ptr": ((parts, batch, size["i"], size["e"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (linear_attention_2_parts, (programs, parts), args, options),
        (linear_attention_2_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied, descriptors=descriptors)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(q, pass1, pass1_2):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"q": q, "pass1": pass1, "pass1_2": pass1_2}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = q.dtype, q.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    out["o"] = rt.full(torch.einsum("...ab,...bc->...ac", q.clamp(min=0) + 1, pass1_2) / ((q.clamp(min=0) + 1) * pass1[..., None, :]).sum(-1)[..., :, None], lead + (size["i"], size["e"],), dtype, device)
    return rt.result(out)
