"""log_softmax: y and its kernels, emitted by refold from a proved plan.

    m[i] = max_j x[i,j]
    y[i,j] = x[i,j] - log(Σ_j exp(x[i,j] - m[i])) - m[i]

The proof is log_softmax.proof.json, the test test_log_softmax.py. Needs torch and triton alone.
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
_exp = rt._exp
TABLES = rt.Tables(
    name="log_softmax", inputs={"x": ("i", "j",)}, outputs={"y": ("i", "j",)}, dtypes={"x": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), streams=1, rereads=True, shared=0,
)


@triton.jit
def _step(
    m, l, j0, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N: tl.constexpr, EVICT: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    x = tl.load(x_ptr + i[:, None] * x_i + j[None, :] * x_j, mask=in_i[:, None] & in_j[None, :], other=0.0, eviction_policy=EVICT).to(tl.float32)
    if MASKED:
        x = tl.where(in_j[None, :], x, -float("inf"))
    m_new = tl.maximum(m, tl.max(x, 1))
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = _exp(m - m_hat)
    p = _exp(x - m_hat[:, None])
    l_new = l * alpha + tl.sum(p, 1)
    return m_new, l_new


@triton.jit
def _merge(m, l, m_part, l_part):
    # Two states, each corrected to the anchors of both together, then joined.
    m_new = tl.maximum(m, m_part)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = _exp(m - m_hat)
    alpha_2 = _exp(m_part - m_hat)
    l_new = l * alpha + l_part * alpha_2
    return m_new, l_new


@triton.jit
def _write(
    j0, x_ptr, y_ptr, i, in_i, still_2, x_i, x_j, y_i, y_j, size_j, BLOCK_N: tl.constexpr, EVICT: tl.constexpr,
    INDEX: tl.constexpr, MASKED: tl.constexpr,
):
    # One tile of what varies with axis j.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    x = tl.load(x_ptr + i[:, None] * x_i + j[None, :] * x_j, mask=in_i[:, None] & in_j[None, :], other=0.0, eviction_policy=EVICT).to(tl.float32)
    y = x - still_2[:, None]
    tl.store(y_ptr + i[:, None] * y_i + j[None, :] * y_j, y.to(y_ptr.dtype.element_ty), mask=in_i[:, None] & in_j[None, :], eviction_policy=EVICT)


@triton.jit
def log_softmax_rolling(
    x_ptr, y_ptr, x_i, x_j, x_lead0, x_lead1, y_i, y_j, y_lead0, y_lead1, size_i, size_j, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, ONE_TILE: tl.constexpr, RAGGED: tl.constexpr,
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
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    last = 0 if ONE_TILE else (tl.cdiv(size_j, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            m, l = _step(m, l, j0, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N, "evict_last", INDEX, False)
    m, l = _step(
        m, l, last, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N, "" if ONE_TILE else "evict_first", INDEX, RAGGED,
    )
    f = tl.log(l)
    still_2 = m + f
    _write(
        last, x_ptr, y_ptr, i, in_i, still_2, x_i, x_j, y_i, y_j, size_j, BLOCK_N,
        "" if ONE_TILE else "evict_first", INDEX, RAGGED,
    )
    if not ONE_TILE:
        for back in range(BLOCK_N, last + BLOCK_N, BLOCK_N):
            _write(
                last - back, x_ptr, y_ptr, i, in_i, still_2, x_i, x_j, y_i, y_j, size_j, BLOCK_N, "evict_first", INDEX,
                False,
            )


@triton.jit
def log_softmax_parts(
    part_l_ptr, part_m_ptr, x_ptr, chunk, x_i, x_j, x_lead0, x_lead1, size_batch, size_i, size_j, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr, RAGGED: tl.constexpr,
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
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l = _step(m, l, j0, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N, "evict_last", INDEX, False)
    if RAGGED:
        for j0 in range(free_hi, hi, BLOCK_N):
            m, l = _step(m, l, j0, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N, "evict_last", INDEX, True)
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m, mask=in_i)
    tl.store(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), l, mask=in_i)


@triton.jit
def log_softmax_finish(
    part_l_ptr, part_m_ptr, x_ptr, y_ptr, chunk, parts, x_i, x_j, x_lead0, x_lead1, y_i, y_j, y_lead0, y_lead1,
    size_batch, size_i, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr,
    OVERLAP: tl.constexpr, RAGGED: tl.constexpr,
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
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        l_part = tl.load(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        m, l = _merge(m, l, m_part, l_part)
    f = tl.log(l)
    still_2 = m + f
    start = tl.program_id(1) * chunk
    for j0 in range(start, tl.minimum(start + chunk, size_j), BLOCK_N):
        _write(
            j0, x_ptr, y_ptr, i, in_i, still_2, x_i, x_j, y_i, y_j, size_j, BLOCK_N, "evict_first", INDEX, RAGGED,
        )


def log_softmax(x, *, out=None, schedule="auto",
                splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """x [..., i, j] -> y [..., i, j].

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
        launches = [(log_softmax_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_m_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_l_ptr": ((parts, batch, size["i"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    launches = [
        (log_softmax_parts, (programs, parts), args, options),
        (log_softmax_finish, (programs, max(1, triton.cdiv(size["j"], chunk))), args, options_2),
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
    m = rt.largest(x, -1)
    out["y"] = rt.full(x - m[..., :, None] - torch.log(torch.exp(x - m[..., :, None]).sum(-1))[..., :, None], lead + (size["i"], size["j"],), dtype, device)
    return rt.result(out)
