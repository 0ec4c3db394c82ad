"""absmax_quant: q and its kernels, emitted by refold from a proved plan.

    m[i] = max(1/100000, max_j |x[i,j]|)
    q[i,j] = min(127, max(-128, round(127·x[i,j]/m[i])))
    scale[i] = m[i]/127

The proof is absmax_quant.proof.json, the test test_absmax_quant.py. Needs torch and triton alone.
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
_larger, _largest, _round, _smaller = rt._larger, rt._largest, rt._round, rt._smaller
TABLES = rt.Tables(
    name="absmax_quant", inputs={"x": ("i", "j",)}, outputs={"q": ("i", "j",), "scale": ("i",)}, dtypes={"x": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), called={"scale": "scale_1"},
    streams=1, rereads=True, shared=0,
)


@triton.jit
def _step(
    m, j0, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N: tl.constexpr, EVICT: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    x = tl.load(x_ptr + i[:, None] * x_i + j[None, :] * x_j, mask=in_i[:, None] & in_j[None, :], other=0.0, eviction_policy=EVICT).to(tl.float32)
    f = tl.abs(x)
    c = f
    if MASKED:
        c = tl.where(in_j[None, :], c, -float("inf"))
    m_new = _larger(m, _largest(c, 1))
    return m_new,


@triton.jit
def _merge(m, m_part):
    # Two states, each corrected to the anchors of both together, then joined.
    m_new = _larger(m, m_part)
    return m_new,


@triton.jit
def _write(
    j0, q_ptr, x_ptr, i, in_i, q_i, q_j, still_2, x_i, x_j, size_j, BLOCK_N: tl.constexpr, EVICT: tl.constexpr,
    INDEX: tl.constexpr, MASKED: tl.constexpr,
):
    # One tile of what varies with axis j.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    x = tl.load(x_ptr + i[:, None] * x_i + j[None, :] * x_j, mask=in_i[:, None] & in_j[None, :], other=0.0, eviction_policy=EVICT).to(tl.float32)
    f = _round(x * still_2[:, None])
    q = _smaller(127.0, _larger(-128.0, f))
    tl.store(q_ptr + i[:, None] * q_i + j[None, :] * q_j, q.to(q_ptr.dtype.element_ty), mask=in_i[:, None] & in_j[None, :], eviction_policy=EVICT)


@triton.jit
def absmax_quant_rolling(
    q_ptr, scale_1_ptr, x_ptr, q_i, q_j, q_lead0, q_lead1, scale_1_i, scale_1_lead0, scale_1_lead1, x_i, x_j, x_lead0,
    x_lead1, size_i, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr,
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
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    x_ptr += lead0 * x_lead0 + lead1 * x_lead1
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    scale_1_ptr += lead0 * scale_1_lead0 + lead1 * scale_1_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    last = 0 if ONE_TILE else (tl.cdiv(size_j, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            (m,) = _step(m, j0, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N, "evict_last", INDEX, False)
    (m,) = _step(
        m, last, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N, "" if ONE_TILE else "evict_first", INDEX, RAGGED,
    )
    still_2 = 127.0 / _larger(1e-05, m)
    scale_1 = _larger(1e-05, m) * 0.007874015748031496
    _write(
        last, q_ptr, x_ptr, i, in_i, q_i, q_j, still_2, x_i, x_j, size_j, BLOCK_N,
        "" if ONE_TILE else "evict_first", INDEX, RAGGED,
    )
    if not ONE_TILE:
        for back in range(BLOCK_N, last + BLOCK_N, BLOCK_N):
            _write(
                last - back, q_ptr, x_ptr, i, in_i, q_i, q_j, still_2, x_i, x_j, size_j, BLOCK_N, "evict_first", INDEX,
                False,
            )
    tl.store(scale_1_ptr + i * scale_1_i, scale_1.to(scale_1_ptr.dtype.element_ty), mask=in_i)


@triton.jit
def absmax_quant_parts(
    part_m_ptr, x_ptr, chunk, x_i, x_j, x_lead0, x_lead1, size_batch, size_i, size_j, size_lead, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr, RAGGED: tl.constexpr,
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
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        (m,) = _step(m, j0, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N, "evict_last", INDEX, False)
    if RAGGED:
        for j0 in range(free_hi, hi, BLOCK_N):
            (m,) = _step(m, j0, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N, "evict_last", INDEX, True)
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m, mask=in_i)


@triton.jit
def absmax_quant_finish(
    part_m_ptr, q_ptr, scale_1_ptr, x_ptr, chunk, parts, q_i, q_j, q_lead0, q_lead1, scale_1_i, scale_1_lead0,
    scale_1_lead1, x_i, x_j, x_lead0, x_lead1, size_batch, size_i, size_j, size_lead, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr, RAGGED: tl.constexpr,
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
    x_ptr += lead0 * x_lead0 + lead1 * x_lead1
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    scale_1_ptr += lead0 * scale_1_lead0 + lead1 * scale_1_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        (m,) = _merge(m, m_part)
    still_2 = 127.0 / _larger(1e-05, m)
    scale_1 = _larger(1e-05, m) * 0.007874015748031496
    if tl.program_id(1) == 0:
        tl.store(scale_1_ptr + i * scale_1_i, scale_1.to(scale_1_ptr.dtype.element_ty), mask=in_i)
    start = tl.program_id(1) * chunk
    for j0 in range(start, tl.minimum(start + chunk, size_j), BLOCK_N):
        _write(
            j0, q_ptr, x_ptr, i, in_i, q_i, q_j, still_2, x_i, x_j, size_j, BLOCK_N, "evict_first", INDEX, RAGGED,
        )


def absmax_quant(x, *, out=None, schedule="auto",
                 splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """x [..., i, j] -> q [..., i, j]; scale [..., i].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return dict(zip(TABLES.outputs, _OPERATOR(x, schedule, splits, block_m, block_n, num_warps, num_stages)))
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
        launches = [(absmax_quant_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {"part_m_ptr": ((parts, batch, size["i"]), torch.float32)}
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    launches = [
        (absmax_quant_parts, (programs, parts), args, options),
        (absmax_quant_finish, (programs, max(1, triton.cdiv(size["j"], chunk))), args, options_2),
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
    m = rt.largest(torch.abs(x), -1).clamp(min=1e-05)
    out["q"] = rt.full(torch.round(x * 127 / m[..., :, None]).clamp(min=-128).clamp(max=127), lead + (size["i"], size["j"],), dtype, device)
    out["scale"] = rt.full(m * 0.007874015748031496, lead + (size["i"],), dtype, device)
    return rt.result(out)
