"""viterbi_step: y and its kernels, emitted by refold from a proved plan.

    s[n,i,j] = a[n,j] + t[j,i]
    y[n,i] = b[n,i] + max_j s[n,i,j]
    come_from[n,i] = argmax_j s[n,i,j]

The proof is viterbi_step.proof.json, the test test_viterbi_step.py. Needs torch and triton alone.
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
    name="viterbi_step", inputs={"a": ("n", "j",), "t": ("j", "i",), "b": ("n", "i",)},
    outputs={"y": ("n", "i",), "come_from": ("n", "i",)}, dtypes={"a": "float", "t": "float", "b": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), whole=("come_from",), streams=2,
    rereads=False, shared=0,
)


@triton.jit
def _step(
    m, at, j0, a_ptr, t_ptr, a_j, a_n, i, in_i, n, t_i, t_j, size_j, BLOCK_N: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    a = tl.load(a_ptr + n * a_n + j * a_j, mask=in_j, other=0.0).to(tl.float32)
    t = tl.load(t_ptr + j[None, :] * t_j + i[:, None] * t_i, mask=in_j[None, :] & in_i[:, None], other=0.0).to(tl.float32)
    c = a[None, :] + t
    if MASKED:
        c = tl.where(in_j[None, :], c, -float("inf"))
    m_tile = _largest(c, 1)
    m_new = _larger(m, m_tile)
    at_tile = tl.min(tl.where(((c == m_tile[:, None]) | (c != c)) & in_j[None, :], j[None, :].to(tl.int32), 2147483647), 1)
    at_new = tl.where(_over(m, m_tile), at, tl.where(_over(m_tile, m), at_tile, tl.minimum(at, at_tile)))
    return m_new, at_new


@triton.jit
def _merge(m, at, m_part, at_part):
    # Two states, each corrected to the anchors of both together, then joined.
    m_new = _larger(m, m_part)
    at_new = tl.where(_over(m, m_part), at, tl.where(_over(m_part, m), at_part, tl.minimum(at, at_part)))
    return m_new, at_new


@triton.jit
def viterbi_step_rolling(
    a_ptr, b_ptr, come_from_ptr, t_ptr, y_ptr, a_j, a_lead0, a_lead1, a_n, b_i, b_lead0, b_lead1, b_n, come_from_i,
    come_from_lead0, come_from_lead1, come_from_n, t_i, t_j, t_lead0, t_lead1, y_i, y_lead0, y_lead1, y_n, size_i,
    size_j, size_lead, size_n, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr,
    ONE_TILE: tl.constexpr, RAGGED: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    n = (lead % size_n).to(INDEX)
    lead = lead // size_n
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    a_ptr += lead0 * a_lead0 + lead1 * a_lead1
    t_ptr += lead0 * t_lead0 + lead1 * t_lead1
    b_ptr += lead0 * b_lead0 + lead1 * b_lead1
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    come_from_ptr += lead0 * come_from_lead0 + lead1 * come_from_lead1
    b = tl.load(b_ptr + n * b_n + i * b_i, mask=in_i, other=0.0).to(tl.float32)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    at = tl.full([BLOCK_M], 2147483647, tl.int32)
    last = 0 if ONE_TILE else (tl.cdiv(size_j, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            m, at = _step(m, at, j0, a_ptr, t_ptr, a_j, a_n, i, in_i, n, t_i, t_j, size_j, BLOCK_N, INDEX, False)
    m, at = _step(m, at, last, a_ptr, t_ptr, a_j, a_n, i, in_i, n, t_i, t_j, size_j, BLOCK_N, INDEX, RAGGED)
    y = m + b
    come_from = tl.where(at == 2147483647, -1, at)
    tl.store(y_ptr + n * y_n + i * y_i, y.to(y_ptr.dtype.element_ty), mask=in_i)
    tl.store(come_from_ptr + n * come_from_n + i * come_from_i, come_from.to(come_from_ptr.dtype.element_ty), mask=in_i)


@triton.jit
def viterbi_step_parts(
    a_ptr, part_at_ptr, part_m_ptr, t_ptr, a_j, a_lead0, a_lead1, a_n, chunk, t_i, t_j, t_lead0, t_lead1, size_batch,
    size_i, size_j, size_lead, size_n, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr,
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
    n = (lead % size_n).to(INDEX)
    lead = lead // size_n
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    a_ptr += lead0 * a_lead0 + lead1 * a_lead1
    t_ptr += lead0 * t_lead0 + lead1 * t_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    at = tl.full([BLOCK_M], 2147483647, tl.int32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, at = _step(m, at, j0, a_ptr, t_ptr, a_j, a_n, i, in_i, n, t_i, t_j, size_j, BLOCK_N, INDEX, False)
    if RAGGED:
        for j0 in range(free_hi, hi, BLOCK_N):
            m, at = _step(m, at, j0, a_ptr, t_ptr, a_j, a_n, i, in_i, n, t_i, t_j, size_j, BLOCK_N, INDEX, True)
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m, mask=in_i)
    tl.store(part_at_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), at, mask=in_i)


@triton.jit
def viterbi_step_finish(
    b_ptr, come_from_ptr, part_at_ptr, part_m_ptr, y_ptr, b_i, b_lead0, b_lead1, b_n, come_from_i, come_from_lead0,
    come_from_lead1, come_from_n, parts, y_i, y_lead0, y_lead1, y_n, size_batch, size_i, size_lead, size_n,
    BLOCK_M: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    n = (lead % size_n).to(INDEX)
    lead = lead // size_n
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    b_ptr += lead0 * b_lead0 + lead1 * b_lead1
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    come_from_ptr += lead0 * come_from_lead0 + lead1 * come_from_lead1
    b = tl.load(b_ptr + n * b_n + i * b_i, mask=in_i, other=0.0).to(tl.float32)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    at = tl.full([BLOCK_M], 2147483647, tl.int32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        at_part = tl.load(part_at_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=2147483647)
        m, at = _merge(m, at, m_part, at_part)
    y = m + b
    tl.store(y_ptr + n * y_n + i * y_i, y.to(y_ptr.dtype.element_ty), mask=in_i)
    come_from = tl.where(at == 2147483647, -1, at)
    tl.store(come_from_ptr + n * come_from_n + i * come_from_i, come_from.to(come_from_ptr.dtype.element_ty), mask=in_i)


def viterbi_step(a, t, b, *, out=None, schedule="auto",
                 splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """a [..., n, j]; t [..., j, i]; b [..., n, i] -> y [..., n, i]; come_from [..., n, i].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return dict(zip(TABLES.outputs, _OPERATOR(a, t, b, schedule, splits, block_m, block_n, num_warps, num_stages)))
    return _call((a, t, b), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(a, t, b, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"a": a, "t": t, "b": b}
    size = rt.sizes(TABLES, inputs)
    device = a.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {}
    batch = math.prod(lead) * size["n"]
    block_m, block_n = rt.row_blocks(
        TABLES, block_m, block_n, size["i"], size["j"], batch, a.element_size(), rt.units(device),
        across=rt.across(TABLES, views, "i", "j"),
    )
    num_warps = num_warps or rt.row_warps(TABLES, block_m, block_n, size["j"], a.element_size())
    slots = rt.row_slots(num_warps, rt.units(device))
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    args = {
        "size_i": size["i"], "size_j": size["j"], "size_n": size["n"], "size_lead": lead[-1] if lead else 1,
        "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "ONE_TILE": size["j"] <= block_n, "RAGGED": size["j"] % block_n > 0 or size["j"] == 0,
        "OPERAND": rt.operand(a.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(viterbi_step_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_m_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_at_ptr": ((parts, batch, size["i"]), torch.int32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (viterbi_step_parts, (programs, parts), args, options),
        (viterbi_step_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(a, t, b):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"a": a, "t": t, "b": b}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = a.dtype, a.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    s = a[..., :, :, None] + t[..., None, :, :]
    out["y"] = rt.full(rt.largest(s, -2) + b, lead + (size["n"], size["i"],), dtype, device)
    out["come_from"] = rt.full(rt.argmax(s, -2), lead + (size["n"], size["i"],), torch.int64, device)
    return rt.result(out)
