"""k_max_pooling: y and its kernels, emitted by refold from a proved plan.

    y[i] = (max_j x[i,j])/3 + (max_j (x[i,j] where j ≠ argmax_j x[i,j] and j ≠ argmax_j (x[i,j] where j ≠ argmax_j x[i,j], else -∞), else -∞))/3 + (max_j (x[i,j] where j ≠ argmax_j x[i,j], else -∞))/3

The proof is k_max_pooling.proof.json, the test test_k_max_pooling.py. Needs torch and triton alone.
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
_larger, _largest, _over = rt._larger, rt._largest, rt._over
TABLES = rt.Tables(
    name="k_max_pooling", inputs={"x": ("i", "j",)}, outputs={"y": ("i",)}, dtypes={"x": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), streams=1, rereads=False, shared=0,
)


@triton.jit
def _step(
    m, at, m2, at2, m3, j0, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    x = tl.load(x_ptr + i[:, None] * x_i + j[None, :] * x_j, mask=in_i[:, None] & in_j[None, :], other=0.0).to(tl.float32)
    if MASKED:
        x = tl.where(in_j[None, :], x, -float("inf"))
    m_tile = _largest(x, 1)
    m_new = _larger(m, m_tile)
    at_tile = tl.min(tl.where(((x == m_tile[:, None]) | (x != x)) & in_j[None, :], j[None, :].to(tl.int32), 2147483647), 1)
    at_new = tl.where(_over(m, m_tile), at, tl.where(_over(m_tile, m), at_tile, tl.minimum(at, at_tile)))
    m2_left = tl.where(at != at_new, m, m2)
    c = tl.where(j[None, :] != at_new[:, None], x, -float("inf"))
    if MASKED:
        c = tl.where(in_j[None, :], c, -float("inf"))
    m2_tile = _largest(c, 1)
    m2_new = _larger(m2_left, m2_tile)
    at2_tile = tl.min(tl.where(((c == m2_tile[:, None]) | (c != c)) & in_j[None, :], j[None, :].to(tl.int32), 2147483647), 1)
    at2_left = tl.where(at != at_new, at, at2)
    at2_new = tl.where(_over(m2_left, m2_tile), at2_left, tl.where(_over(m2_tile, m2_left), at2_tile, tl.minimum(at2_left, at2_tile)))
    m3_left = tl.where((at != at2_new) & (at != at_new), m, tl.where((at2 != at2_new) & (at2 != at_new), m2, m3))
    c_2 = tl.where((j[None, :] != at2_new[:, None]) & (j[None, :] != at_new[:, None]), x, -float("inf"))
    if MASKED:
        c_2 = tl.where(in_j[None, :], c_2, -float("inf"))
    m3_new = _larger(m3_left, _largest(c_2, 1))
    return m_new, at_new, m2_new, at2_new, m3_new


@triton.jit
def _merge(m, at, m2, at2, m3, m_part, at_part, m2_part, at2_part, m3_part):
    # Two states, each corrected to the anchors of both together, then joined.
    m_new = _larger(m, m_part)
    at_new = tl.where(_over(m, m_part), at, tl.where(_over(m_part, m), at_part, tl.minimum(at, at_part)))
    m2_left = tl.where(at != at_new, m, m2)
    m2_part_left = tl.where(at_part != at_new, m_part, m2_part)
    m2_new = _larger(m2_left, m2_part_left)
    at2_left = tl.where(at != at_new, at, at2)
    at2_part_left = tl.where(at_part != at_new, at_part, at2_part)
    at2_new = tl.where(_over(m2_left, m2_part_left), at2_left, tl.where(_over(m2_part_left, m2_left), at2_part_left, tl.minimum(at2_left, at2_part_left)))
    m3_left = tl.where((at != at2_new) & (at != at_new), m, tl.where((at2 != at2_new) & (at2 != at_new), m2, m3))
    m3_part_left = tl.where((at_part != at2_new) & (at_part != at_new), m_part, tl.where((at2_part != at2_new) & (at2_part != at_new), m2_part, m3_part))
    m3_new = _larger(m3_left, m3_part_left)
    return m_new, at_new, m2_new, at2_new, m3_new


@triton.jit
def k_max_pooling_rolling(
    x_ptr, y_ptr, x_i, x_j, x_lead0, x_lead1, y_i, y_lead0, y_lead1, size_i, size_j, size_lead, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, INDEX: tl.constexpr, ONE_TILE: tl.constexpr, RAGGED: tl.constexpr,
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
    x_ptr += lead0 * x_lead0 + lead1 * x_lead1
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    at = tl.full([BLOCK_M], 2147483647, tl.int32)
    m2 = tl.full([BLOCK_M], -float("inf"), tl.float32)
    at2 = tl.full([BLOCK_M], 2147483647, tl.int32)
    m3 = tl.full([BLOCK_M], -float("inf"), tl.float32)
    last = 0 if ONE_TILE else (tl.cdiv(size_j, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            m, at, m2, at2, m3 = _step(m, at, m2, at2, m3, j0, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N, INDEX, False)
    m, at, m2, at2, m3 = _step(
        m, at, m2, at2, m3, last, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N, INDEX, RAGGED,
    )
    y = m * 0.3333333333333333 + m2 * 0.3333333333333333 + m3 * 0.3333333333333333
    tl.store(y_ptr + i * y_i, y.to(y_ptr.dtype.element_ty), mask=in_i)


@triton.jit
def k_max_pooling_parts(
    part_at2_ptr, part_at_ptr, part_m2_ptr, part_m3_ptr, part_m_ptr, x_ptr, chunk, x_i, x_j, x_lead0, x_lead1,
    size_batch, size_i, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr,
    OVERLAP: tl.constexpr, RAGGED: tl.constexpr,
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
    x_ptr += lead0 * x_lead0 + lead1 * x_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    at = tl.full([BLOCK_M], 2147483647, tl.int32)
    m2 = tl.full([BLOCK_M], -float("inf"), tl.float32)
    at2 = tl.full([BLOCK_M], 2147483647, tl.int32)
    m3 = tl.full([BLOCK_M], -float("inf"), tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, at, m2, at2, m3 = _step(m, at, m2, at2, m3, j0, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N, INDEX, False)
    if RAGGED:
        for j0 in range(free_hi, hi, BLOCK_N):
            m, at, m2, at2, m3 = _step(m, at, m2, at2, m3, j0, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N, INDEX, True)
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m, mask=in_i)
    tl.store(part_at_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), at, mask=in_i)
    tl.store(part_m2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m2, mask=in_i)
    tl.store(part_at2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), at2, mask=in_i)
    tl.store(part_m3_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m3, mask=in_i)


@triton.jit
def k_max_pooling_finish(
    part_at2_ptr, part_at_ptr, part_m2_ptr, part_m3_ptr, part_m_ptr, y_ptr, parts, y_i, y_lead0, y_lead1, size_batch,
    size_i, size_lead, BLOCK_M: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
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
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    at = tl.full([BLOCK_M], 2147483647, tl.int32)
    m2 = tl.full([BLOCK_M], -float("inf"), tl.float32)
    at2 = tl.full([BLOCK_M], 2147483647, tl.int32)
    m3 = tl.full([BLOCK_M], -float("inf"), tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        at_part = tl.load(part_at_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=2147483647)
        m2_part = tl.load(part_m2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        at2_part = tl.load(part_at2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=2147483647)
        m3_part = tl.load(part_m3_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        m, at, m2, at2, m3 = _merge(m, at, m2, at2, m3, m_part, at_part, m2_part, at2_part, m3_part)
    y = m * 0.3333333333333333 + m2 * 0.3333333333333333 + m3 * 0.3333333333333333
    tl.store(y_ptr + i * y_i, y.to(y_ptr.dtype.element_ty), mask=in_i)


def k_max_pooling(x, *, out=None, schedule="auto",
                  splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """x [..., i, j] -> y [..., i].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(x, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((x,), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(x, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"x": x}
    size = rt.sizes(TABLES, inputs)
    device = x.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {}
    batch = math.prod(lead)
    block_m, block_n = rt.row_blocks(TABLES, block_m, block_n, size["i"], size["j"], batch, x.element_size(), rt.units(device))
    num_warps = num_warps or rt.row_warps(TABLES, block_m, block_n, size["j"], x.element_size())
    slots = 2 * rt.units(device)
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    args = {
        "size_i": size["i"], "size_j": size["j"], "size_lead": lead[-1] if lead else 1, "size_batch": batch,
        "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "ONE_TILE": size["j"] <= block_n, "RAGGED": size["j"] % block_n > 0 or size["j"] == 0,
        "OPERAND": rt.operand(x.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(k_max_pooling_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_m_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_at_ptr": ((parts, batch, size["i"]), torch.int32),
        "part_m2_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_at2_ptr": ((parts, batch, size["i"]), torch.int32),
        "part_m3_ptr": ((parts, batch, size["i"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (k_max_pooling_parts, (programs, parts), args, options),
        (k_max_pooling_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(x):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"x": x}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = x.dtype, x.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    j = torch.arange(size["j"], device=device)
    out["y"] = rt.full(rt.largest(x, -1) * 0.3333333333333333 + rt.largest(rt.where(j[..., None, :] != rt.argmax(x, -1)[..., :, None], x, -math.inf, dtype, device), -1) * 0.3333333333333333 + rt.largest(rt.where((j[..., None, :] != rt.argmax(x, -1)[..., :, None]) & (j[..., None, :] != rt.argmax(rt.where(j[..., None, :] != rt.argmax(x, -1)[..., :, None], x, -math.inf, dtype, device), -1)[..., :, None]), x, -math.inf, dtype, device), -1) * 0.3333333333333333, lead + (size["i"],), dtype, device)
    return rt.result(out)
