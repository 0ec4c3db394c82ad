"""kurtosis: k and its kernels, emitted by refold from a proved plan.

    mean[i] = (Σ_j x[i,j])/|j|
    c[i,j] = x[i,j] - mean[i]
    k[i] = (Σ_j c[i,j]⁴)·|j|/(Σ_j c[i,j]²)² - 3

The proof is kurtosis.proof.json, the test test_kurtosis.py. Needs torch and triton alone.
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
TABLES = rt.Tables(
    name="kurtosis", inputs={"x": ("i", "j",)}, outputs={"k": ("i",)}, dtypes={"x": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), streams=1, rereads=False, shared=0,
)


@triton.jit
def _step(
    n, mean, M2, M3, M4, j0, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    n_new = n + tl.sum(tl.where(in_j, 1.0, 0.0), 0)
    n_hat = tl.where(n_new != 0.0, n_new, 1.0)
    x = tl.load(x_ptr + i[:, None] * x_i + j[None, :] * x_j, mask=in_i[:, None] & in_j[None, :], other=0.0).to(tl.float32)
    c = x - mean[:, None]
    if MASKED:
        c = tl.where(in_j[None, :], c, 0.0)
    mean_new = mean + tl.sum(c, 1) / n_hat
    c_2 = mean - mean_new
    c_3 = x - mean_new[:, None]
    c_4 = c_3 * c_3
    if MASKED:
        c_4 = tl.where(in_j[None, :], c_4, 0.0)
    M2_new = c_2 * c_2 * n + M2 + tl.sum(c_4, 1)
    c_5 = c_3 * c_3 * c_3
    if MASKED:
        c_5 = tl.where(in_j[None, :], c_5, 0.0)
    M3_new = c_2 * c_2 * c_2 * n + (mean * 3.0 - mean_new * 3.0) * M2 + M3 + tl.sum(c_5, 1)
    c_6 = c_3 * c_3 * c_3 * c_3
    if MASKED:
        c_6 = tl.where(in_j[None, :], c_6, 0.0)
    M4_new = c_2 * c_2 * c_2 * c_2 * n + (mean * 4.0 - mean_new * 4.0) * M3 + c_2 * c_2 * M2 * 6.0 + M4 + tl.sum(c_6, 1)
    return n_new, mean_new, M2_new, M3_new, M4_new


@triton.jit
def _merge(n, mean, M2, M3, M4, n_part, mean_part, M2_part, M3_part, M4_part):
    # Two states, each corrected to the anchors of both together, then joined.
    n_new = n + n_part
    n_hat = tl.where(n_new != 0.0, n_new, 1.0)
    mean_new = mean + (mean_part - mean) * (n_part / n_hat)
    c = mean - mean_new
    c_2 = mean_part - mean_new
    M2_new = c * c * n + M2 + (M2_part + n_part * (c_2 * c_2))
    M3_new = c * c * c * n + (mean * 3.0 - mean_new * 3.0) * M2 + M3 + (M3_part + M2_part * (mean_part * 3.0 - mean_new * 3.0) + n_part * (c_2 * c_2 * c_2))
    M4_new = c * c * c * c * n + (mean * 4.0 - mean_new * 4.0) * M3 + c * c * M2 * 6.0 + M4 + (M4_part + M3_part * (mean_part * 4.0 - mean_new * 4.0) + n_part * (c_2 * c_2 * c_2 * c_2) + M2_part * (c_2 * c_2) * 6.0)
    return n_new, mean_new, M2_new, M3_new, M4_new


@triton.jit
def kurtosis_rolling(
    k_ptr, x_ptr, k_i, k_lead0, k_lead1, x_i, x_j, x_lead0, x_lead1, size_i, size_j, size_lead, BLOCK_M: tl.constexpr,
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
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    n = tl.full([], 0.0, tl.float32)
    mean = tl.full([BLOCK_M], 0.0, tl.float32)
    M2 = tl.full([BLOCK_M], 0.0, tl.float32)
    M3 = tl.full([BLOCK_M], 0.0, tl.float32)
    M4 = tl.full([BLOCK_M], 0.0, tl.float32)
    last = 0 if ONE_TILE else (tl.cdiv(size_j, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            n, mean, M2, M3, M4 = _step(
                n, mean, M2, M3, M4, j0, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N, INDEX, False,
            )
    n, mean, M2, M3, M4 = _step(
        n, mean, M2, M3, M4, last, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N, INDEX, RAGGED,
    )
    M2_safe = tl.where(M2 != 0.0, M2, 1.0)
    k = tl.where(M2 != 0.0, M4 * n / (M2_safe * M2_safe) - 3.0, float("nan"))
    tl.store(k_ptr + i * k_i, k.to(k_ptr.dtype.element_ty), mask=in_i)


@triton.jit
def kurtosis_parts(
    part_M2_ptr, part_M3_ptr, part_M4_ptr, part_mean_ptr, part_n_ptr, x_ptr, chunk, x_i, x_j, x_lead0, x_lead1,
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
    n = tl.full([], 0.0, tl.float32)
    mean = tl.full([BLOCK_M], 0.0, tl.float32)
    M2 = tl.full([BLOCK_M], 0.0, tl.float32)
    M3 = tl.full([BLOCK_M], 0.0, tl.float32)
    M4 = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        n, mean, M2, M3, M4 = _step(
            n, mean, M2, M3, M4, j0, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N, INDEX, False,
        )
    if RAGGED:
        for j0 in range(free_hi, hi, BLOCK_N):
            n, mean, M2, M3, M4 = _step(n, mean, M2, M3, M4, j0, x_ptr, i, in_i, x_i, x_j, size_j, BLOCK_N, INDEX, True)
    tl.store(part_n_ptr + (part * size_batch + batch).to(tl.int64), n)
    tl.store(part_mean_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mean, mask=in_i)
    tl.store(part_M2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), M2, mask=in_i)
    tl.store(part_M3_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), M3, mask=in_i)
    tl.store(part_M4_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), M4, mask=in_i)


@triton.jit
def kurtosis_finish(
    k_ptr, part_M2_ptr, part_M3_ptr, part_M4_ptr, part_mean_ptr, part_n_ptr, k_i, k_lead0, k_lead1, parts, size_batch,
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
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    n = tl.full([], 0.0, tl.float32)
    mean = tl.full([BLOCK_M], 0.0, tl.float32)
    M2 = tl.full([BLOCK_M], 0.0, tl.float32)
    M3 = tl.full([BLOCK_M], 0.0, tl.float32)
    M4 = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        n_part = tl.load(part_n_ptr + (part * size_batch + batch).to(tl.int64))
        mean_part = tl.load(part_mean_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        M2_part = tl.load(part_M2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        M3_part = tl.load(part_M3_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        M4_part = tl.load(part_M4_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        n, mean, M2, M3, M4 = _merge(n, mean, M2, M3, M4, n_part, mean_part, M2_part, M3_part, M4_part)
    M2_safe = tl.where(M2 != 0.0, M2, 1.0)
    k = tl.where(M2 != 0.0, M4 * n / (M2_safe * M2_safe) - 3.0, float("nan"))
    tl.store(k_ptr + i * k_i, k.to(k_ptr.dtype.element_ty), mask=in_i)


def kurtosis(x, *, out=None, schedule="auto",
             splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """x [..., i, j] -> k [..., i].

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
        launches = [(kurtosis_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_n_ptr": ((parts, batch), torch.float32), "part_mean_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_M2_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_M3_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_M4_ptr": ((parts, batch, size["i"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (kurtosis_parts, (programs, parts), args, options),
        (kurtosis_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
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
    mean = x.sum(-1) / size["j"]
    c = x - mean[..., :, None]
    out["k"] = rt.full((c ** 4).sum(-1) * size["j"] / (c ** 2).sum(-1) ** 2 - 3, lead + (size["i"],), dtype, device)
    return rt.result(out)
