"""perplexity: y and its kernels, emitted by refold from a proved plan.

    y[b] = exp(-Σ_j log_p[b,j]/|j|)

The proof is perplexity.proof.json, the test test_perplexity.py. Needs torch and triton alone.
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
_exp, _ratio = rt._exp, rt.ratio
TABLES = rt.Tables(
    name="perplexity", inputs={"log_p": ("b", "j",)}, outputs={"y": ("b",)}, dtypes={"log_p": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), streams=1, rereads=False, shared=0,
)


@triton.jit
def _step(
    t, j0, log_p_ptr, b, in_b, log_p_b, log_p_j, size_j, BLOCK_N: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    log_p = tl.load(log_p_ptr + b[:, None] * log_p_b + j[None, :] * log_p_j, mask=in_b[:, None] & in_j[None, :], other=0.0).to(tl.float32)
    c = log_p
    if MASKED:
        c = tl.where(in_j[None, :], c, 0.0)
    t_new = t + tl.sum(c, 1)
    return t_new,


@triton.jit
def _merge(t, t_part):
    # Two states, each corrected to the anchors of both together, then joined.
    t_new = t + t_part
    return t_new,


@triton.jit
def perplexity_rolling(
    log_p_ptr, y_ptr, log_p_b, log_p_j, log_p_lead0, log_p_lead1, scale_2, y_b, y_lead0, y_lead1, size_b, size_j,
    size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, ONE_TILE: tl.constexpr,
    RAGGED: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_b, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    b = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_b = b < size_b
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    log_p_ptr += lead0 * log_p_lead0 + lead1 * log_p_lead1
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    last = 0 if ONE_TILE else (tl.cdiv(size_j, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            (t,) = _step(t, j0, log_p_ptr, b, in_b, log_p_b, log_p_j, size_j, BLOCK_N, INDEX, False)
    (t,) = _step(t, last, log_p_ptr, b, in_b, log_p_b, log_p_j, size_j, BLOCK_N, INDEX, RAGGED)
    alpha = _exp(t * scale_2 * (-1.0))
    tl.store(y_ptr + b * y_b, alpha.to(y_ptr.dtype.element_ty), mask=in_b)


@triton.jit
def perplexity_parts(
    log_p_ptr, part_t_ptr, chunk, log_p_b, log_p_j, log_p_lead0, log_p_lead1, size_b, size_batch, size_j, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr, RAGGED: tl.constexpr,
):
    # One program leaves the state of one part of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_b, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    b = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_b = b < size_b
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    log_p_ptr += lead0 * log_p_lead0 + lead1 * log_p_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        (t,) = _step(t, j0, log_p_ptr, b, in_b, log_p_b, log_p_j, size_j, BLOCK_N, INDEX, False)
    if RAGGED:
        for j0 in range(free_hi, hi, BLOCK_N):
            (t,) = _step(t, j0, log_p_ptr, b, in_b, log_p_b, log_p_j, size_j, BLOCK_N, INDEX, True)
    tl.store(part_t_ptr + ((part * size_batch + batch).to(tl.int64) * size_b + b), t, mask=in_b)


@triton.jit
def perplexity_finish(
    part_t_ptr, y_ptr, parts, scale_2, y_b, y_lead0, y_lead1, size_b, size_batch, size_lead, BLOCK_M: tl.constexpr,
    INDEX: tl.constexpr, OVERLAP: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_b, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    b = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_b = b < size_b
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        t_part = tl.load(part_t_ptr + ((part * size_batch + batch).to(tl.int64) * size_b + b), mask=in_b, other=0.0)
        (t,) = _merge(t, t_part)
    alpha = _exp(t * scale_2 * (-1.0))
    tl.store(y_ptr + b * y_b, alpha.to(y_ptr.dtype.element_ty), mask=in_b)


def perplexity(log_p, *, out=None, schedule="auto",
               splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """log_p [..., b, j] -> y [..., b].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(log_p, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((log_p,), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(log_p, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"log_p": log_p}
    size = rt.sizes(TABLES, inputs)
    device = log_p.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {}
    batch = math.prod(lead)
    block_m, block_n = rt.row_blocks(TABLES, block_m, block_n, size["b"], size["j"], batch, log_p.element_size(), rt.units(device))
    num_warps = num_warps or rt.row_warps(TABLES, block_m, block_n, size["j"], log_p.element_size())
    slots = 2 * rt.units(device)
    programs = batch * triton.cdiv(size["b"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    args = {
        "scale_2": _ratio(1, size["j"]), "size_b": size["b"], "size_j": size["j"], "size_lead": lead[-1] if lead else 1,
        "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "ONE_TILE": size["j"] <= block_n, "RAGGED": size["j"] % block_n > 0 or size["j"] == 0,
        "OPERAND": rt.operand(log_p.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(perplexity_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {"part_t_ptr": ((parts, batch, size["b"]), torch.float32)}
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["b"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (perplexity_parts, (programs, parts), args, options),
        (perplexity_finish, (batch * triton.cdiv(size["b"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(log_p):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"log_p": log_p}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = log_p.dtype, log_p.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    out["y"] = rt.full(torch.exp(-(log_p.sum(-1) / size["j"])), lead + (size["b"],), dtype, device)
    return rt.result(out)
