"""performer: o and its kernels, emitted by refold from a proved plan.

    t[i,j] = Σ_r fk[j,r]·fq[i,r]
    o[i,e] = (Σ_j t[i,j]·v[j,e])/(Σ_j t[i,j])
    with fq > 0
    with fk > 0

The proof is performer.proof.json, the test test_performer.py. Needs torch and triton alone.
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


rt = load_beside("refold_runtime.py", "of the runtime")
performer_hopper = load_beside("performer_hopper.py", "of that file").performer_hopper
TABLES = rt.Tables(
    name="performer", inputs={"fq": ("i", "r",), "fk": ("j", "r",), "v": ("j", "e",)}, outputs={"o": ("i", "e",)},
    dtypes={"fq": "float", "fk": "float", "v": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), dots=True,
    descriptors={"fk": (1, 1, "BLOCK_N", "BLOCK_r"), "fq": (1, 1, "BLOCK_M", "BLOCK_r"), "v": (1, 1, "BLOCK_N", "BLOCK_e")},
    tiles={"fq": ("BLOCK_M", "BLOCK_r"), "fk": ("BLOCK_N", "BLOCK_r"), "v": ("BLOCK_N", "BLOCK_e")},
)


@triton.jit
def _step(
    t, t2, j0, fk_desc, fk_ptr, v_desc, v_ptr, e, fk_j, fk_r, fq, in_e, in_r, lead0, lead1, r, v_e, v_j, size_j,
    BLOCK_N: tl.constexpr, BLOCK_e: tl.constexpr, BLOCK_r: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr, OPERAND: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    fk = fk_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_r) if DESC else tl.load(fk_ptr + j[:, None] * fk_j + r[None, :] * fk_r, mask=in_j[:, None] & in_r[None, :], other=0.0)
    dot = tl.dot(fq.to(OPERAND), tl.trans(fk.to(OPERAND)), input_precision="ieee")
    c = dot
    if MASKED:
        c = tl.where(in_j[None, :], c, 0.0)
    t_new = t + tl.sum(c, 1)
    if MASKED:
        dot = tl.where(in_j[None, :], dot, 0.0)
    v = v_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_e) if DESC else tl.load(v_ptr + j[:, None] * v_j + e[None, :] * v_e, mask=in_j[:, None] & in_e[None, :], other=0.0)
    t2_new = tl.dot(dot.to(OPERAND), v.to(OPERAND), t2, input_precision="ieee")
    return t_new, t2_new


@triton.jit
def _merge(t, t2, t_part, t2_part):
    # Two states, each corrected to the anchors of both together, then joined.
    t_new = t + t_part
    t2_new = t2 + t2_part
    return t_new, t2_new


@triton.jit
def performer_rolling(
    fk_desc, fk_ptr, fq_desc, fq_ptr, o_ptr, v_desc, v_ptr, fk_j, fk_lead0, fk_lead1, fk_r, fq_i, fq_lead0, fq_lead1,
    fq_r, o_e, o_i, o_lead0, o_lead1, v_e, v_j, v_lead0, v_lead1, size_i, size_j, size_lead, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_e: tl.constexpr, BLOCK_r: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr,
    OPERAND: tl.constexpr, SIZE_e: tl.constexpr, SIZE_r: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    r = tl.arange(0, BLOCK_r).to(INDEX)  # [BLOCK_r]
    in_r = r < SIZE_r
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    fq_ptr += lead0 * fq_lead0 + lead1 * fq_lead1
    fk_ptr += lead0 * fk_lead0 + lead1 * fk_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    fq = fq_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), i0, 0]).reshape(BLOCK_M, BLOCK_r) if DESC else tl.load(fq_ptr + i[:, None] * fq_i + r[None, :] * fq_r, mask=in_i[:, None] & in_r[None, :], other=0.0)
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    t2 = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    lo = 0
    hi = size_j
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        t, t2 = _step(
            t, t2, j0, fk_desc, fk_ptr, v_desc, v_ptr, e, fk_j, fk_r, fq, in_e, in_r, lead0, lead1, r, v_e, v_j,
            size_j, BLOCK_N, BLOCK_e, BLOCK_r, DESC, INDEX, False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        t, t2 = _step(
            t, t2, j0, fk_desc, fk_ptr, v_desc, v_ptr, e, fk_j, fk_r, fq, in_e, in_r, lead0, lead1, r, v_e, v_j,
            size_j, BLOCK_N, BLOCK_e, BLOCK_r, DESC, INDEX, True, OPERAND,
        )
    o = t2 * (1.0 / t)[:, None]
    tl.store(o_ptr + i[:, None] * o_i + e[None, :] * o_e, o.to(o_ptr.dtype.element_ty), mask=in_i[:, None] & in_e[None, :])


@triton.jit
def performer_parts(
    fk_desc, fk_ptr, fq_desc, fq_ptr, part_t2_ptr, part_t_ptr, v_desc, v_ptr, chunk, fk_j, fk_lead0, fk_lead1, fk_r,
    fq_i, fq_lead0, fq_lead1, fq_r, v_e, v_j, v_lead0, v_lead1, size_batch, size_i, size_j, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_e: tl.constexpr, BLOCK_r: tl.constexpr, DESC: tl.constexpr,
    INDEX: tl.constexpr, OPERAND: tl.constexpr, OVERLAP: tl.constexpr, SIZE_e: tl.constexpr, SIZE_r: tl.constexpr,
):
    # One program leaves the state of one part of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    r = tl.arange(0, BLOCK_r).to(INDEX)  # [BLOCK_r]
    in_r = r < SIZE_r
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    fq_ptr += lead0 * fq_lead0 + lead1 * fq_lead1
    fk_ptr += lead0 * fk_lead0 + lead1 * fk_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    fq = fq_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), i0, 0]).reshape(BLOCK_M, BLOCK_r) if DESC else tl.load(fq_ptr + i[:, None] * fq_i + r[None, :] * fq_r, mask=in_i[:, None] & in_r[None, :], other=0.0)
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
            t, t2, j0, fk_desc, fk_ptr, v_desc, v_ptr, e, fk_j, fk_r, fq, in_e, in_r, lead0, lead1, r, v_e, v_j,
            size_j, BLOCK_N, BLOCK_e, BLOCK_r, DESC, INDEX, False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        t, t2 = _step(
            t, t2, j0, fk_desc, fk_ptr, v_desc, v_ptr, e, fk_j, fk_r, fq, in_e, in_r, lead0, lead1, r, v_e, v_j,
            size_j, BLOCK_N, BLOCK_e, BLOCK_r, DESC, INDEX, True, OPERAND,
        )
    tl.store(part_t_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), t, mask=in_i)
    tl.store(part_t2_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_e + e[None, :]), t2, mask=in_i[:, None] & in_e[None, :])


@triton.jit
def performer_finish(
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


def performer(fq, fk, v, *, out=None, schedule="auto",
              splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """fq [..., i, r]; fk [..., j, r]; v [..., j, e] -> o [..., i, e].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(fq, fk, v, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((fq, fk, v), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(fq, fk, v, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"fq": fq, "fk": fk, "v": v}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "r", "e")
    device = fq.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_r": rt.pad(size["r"], 16), "BLOCK_e": rt.pad(size["e"], 16)}
    pinned = any((block_m, block_n, num_warps, num_stages))
    batch = math.prod(lead)
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, size["i"], size["j"], batch, pads, fq.element_size(), device,
    )
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    # The weights of a sum have no bound, and float16 ends at 65504.
    args = {
        "size_i": size["i"], "size_j": size["j"], "SIZE_r": size["r"], "SIZE_e": size["e"],
        "size_lead": lead[-1] if lead else 1, "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m,
        "BLOCK_N": block_n, **pads, "OPERAND": tl.float32 if fq.dtype == torch.float16 else rt.operand(fq.dtype),
        "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    descriptors = rt.descriptors(TABLES, args, views)
    hopper = None if pinned or parts > 1 else rt.hopper(
        TABLES, performer_hopper, args, descriptors, size["i"], size["j"], device, layout, copied,
    )
    if hopper is not None:
        return hopper
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(performer_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied, descriptors=descriptors)
    work = {
        "part_t_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_t2_ptr": ((parts, batch, size["i"], size["e"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (performer_parts, (programs, parts), args, options),
        (performer_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied, descriptors=descriptors)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(fq, fk, v):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"fq": fq, "fk": fk, "v": v}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = fq.dtype, fq.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    t = torch.einsum("...bd,...ad->...ab", fk, fq)
    out["o"] = rt.full(torch.einsum("...ab,...bc->...ac", t, v) / t.sum(-1)[..., :, None], lead + (size["i"], size["e"],), dtype, device)
    return rt.result(out)
