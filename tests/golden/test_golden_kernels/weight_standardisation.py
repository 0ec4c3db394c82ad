"""weight_standardisation: y and its kernels, emitted by refold from a proved plan.

    mean[o] = (Σ_c w[o,c])/|c|
    c2[o,c] = w[o,c] - mean[o]
    y[o,c] = c2[o,c]/(eps + √(Σ_c c2[o,c]²)/√|c|)

The proof is weight_standardisation.proof.json, the test test_weight_standardisation.py. Needs torch and triton alone.
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
    name="weight_standardisation", inputs={"w": ("o", "c",)}, outputs={"y": ("o", "c",)}, dtypes={"w": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), streams=1, rereads=True, shared=0,
    words={"eps": "float"},
)


@triton.jit
def _step(
    n, mean, M2, j0, w_ptr, in_o, o, w_c, w_o, size_c, BLOCK_N: tl.constexpr, EVICT: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    c = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_c = c < size_c if MASKED else tl.full([BLOCK_N], True, tl.int1)
    n_new = n + tl.sum(tl.where(in_c, 1.0, 0.0), 0)
    n_hat = tl.where(n_new != 0.0, n_new, 1.0)
    w = tl.load(w_ptr + o[:, None] * w_o + c[None, :] * w_c, mask=in_o[:, None] & in_c[None, :], other=0.0, eviction_policy=EVICT).to(tl.float32)
    c_2 = w - mean[:, None]
    if MASKED:
        c_2 = tl.where(in_c[None, :], c_2, 0.0)
    mean_new = mean + tl.sum(c_2, 1) / n_hat
    c_3 = mean - mean_new
    c_4 = w - mean_new[:, None]
    c_5 = c_4 * c_4
    if MASKED:
        c_5 = tl.where(in_c[None, :], c_5, 0.0)
    M2_new = c_3 * c_3 * n + M2 + tl.sum(c_5, 1)
    return n_new, mean_new, M2_new


@triton.jit
def _merge(n, mean, M2, n_part, mean_part, M2_part):
    # Two states, each corrected to the anchors of both together, then joined.
    n_new = n + n_part
    n_hat = tl.where(n_new != 0.0, n_new, 1.0)
    mean_new = mean + (mean_part - mean) * (n_part / n_hat)
    c_2 = mean - mean_new
    c_3 = mean_part - mean_new
    M2_new = c_2 * c_2 * n + M2 + (M2_part + n_part * (c_3 * c_3))
    return n_new, mean_new, M2_new


@triton.jit
def _write(
    j0, w_ptr, y_ptr, in_o, mean, o, ok_2, still_2, w_c, w_o, y_c, y_o, size_c, BLOCK_N: tl.constexpr,
    EVICT: tl.constexpr, INDEX: tl.constexpr, MASKED: tl.constexpr,
):
    # One tile of what varies with axis c.
    c = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_c = c < size_c if MASKED else tl.full([BLOCK_N], True, tl.int1)
    w = tl.load(w_ptr + o[:, None] * w_o + c[None, :] * w_c, mask=in_o[:, None] & in_c[None, :], other=0.0, eviction_policy=EVICT).to(tl.float32)
    y = tl.where(ok_2, (w - mean[:, None]) * (1.0 / still_2)[:, None], float("nan"))
    tl.store(y_ptr + o[:, None] * y_o + c[None, :] * y_c, y.to(y_ptr.dtype.element_ty), mask=in_o[:, None] & in_c[None, :], eviction_policy=EVICT)


@triton.jit
def weight_standardisation_rolling(
    w_ptr, y_ptr, eps, w_c, w_lead0, w_lead1, w_o, y_c, y_lead0, y_lead1, y_o, size_c, size_lead, size_o,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, ONE_TILE: tl.constexpr, RAGGED: tl.constexpr,
):
    # One program holds its rows and goes over all of axis c.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_o, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    o = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_o = o < size_o
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    w_ptr += lead0 * w_lead0 + lead1 * w_lead1
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    n = tl.full([], 0.0, tl.float32)
    mean = tl.full([BLOCK_M], 0.0, tl.float32)
    M2 = tl.full([BLOCK_M], 0.0, tl.float32)
    last = 0 if ONE_TILE else (tl.cdiv(size_c, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            n, mean, M2 = _step(n, mean, M2, j0, w_ptr, in_o, o, w_c, w_o, size_c, BLOCK_N, "evict_last", INDEX, False)
    n, mean, M2 = _step(
        n, mean, M2, last, w_ptr, in_o, o, w_c, w_o, size_c, BLOCK_N, "" if ONE_TILE else "evict_first", INDEX,
        RAGGED,
    )
    n_safe = tl.where(n != 0.0, n, 1.0)
    ok_2 = n != 0.0
    still_2 = tl.sqrt(M2 * (1.0 / n_safe)) + eps
    _write(
        last, w_ptr, y_ptr, in_o, mean, o, ok_2, still_2, w_c, w_o, y_c, y_o, size_c, BLOCK_N,
        "" if ONE_TILE else "evict_first", INDEX, RAGGED,
    )
    if not ONE_TILE:
        for back in range(BLOCK_N, last + BLOCK_N, BLOCK_N):
            _write(
                last - back, w_ptr, y_ptr, in_o, mean, o, ok_2, still_2, w_c, w_o, y_c, y_o, size_c, BLOCK_N,
                "evict_first", INDEX, False,
            )


@triton.jit
def weight_standardisation_parts(
    part_M2_ptr, part_mean_ptr, part_n_ptr, w_ptr, chunk, w_c, w_lead0, w_lead1, w_o, size_batch, size_c, size_lead,
    size_o, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
    RAGGED: tl.constexpr,
):
    # One program leaves the state of one part of axis c.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_o, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    o = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_o = o < size_o
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    w_ptr += lead0 * w_lead0 + lead1 * w_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    n = tl.full([], 0.0, tl.float32)
    mean = tl.full([BLOCK_M], 0.0, tl.float32)
    M2 = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_c, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        n, mean, M2 = _step(n, mean, M2, j0, w_ptr, in_o, o, w_c, w_o, size_c, BLOCK_N, "evict_last", INDEX, False)
    if RAGGED:
        for j0 in range(free_hi, hi, BLOCK_N):
            n, mean, M2 = _step(n, mean, M2, j0, w_ptr, in_o, o, w_c, w_o, size_c, BLOCK_N, "evict_last", INDEX, True)
    tl.store(part_n_ptr + (part * size_batch + batch).to(tl.int64), n)
    tl.store(part_mean_ptr + ((part * size_batch + batch).to(tl.int64) * size_o + o), mean, mask=in_o)
    tl.store(part_M2_ptr + ((part * size_batch + batch).to(tl.int64) * size_o + o), M2, mask=in_o)


@triton.jit
def weight_standardisation_finish(
    part_M2_ptr, part_mean_ptr, part_n_ptr, w_ptr, y_ptr, chunk, eps, parts, w_c, w_lead0, w_lead1, w_o, y_c, y_lead0,
    y_lead1, y_o, size_batch, size_c, size_lead, size_o, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    INDEX: tl.constexpr, OVERLAP: tl.constexpr, RAGGED: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_o, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    o = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_o = o < size_o
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    w_ptr += lead0 * w_lead0 + lead1 * w_lead1
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    n = tl.full([], 0.0, tl.float32)
    mean = tl.full([BLOCK_M], 0.0, tl.float32)
    M2 = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        n_part = tl.load(part_n_ptr + (part * size_batch + batch).to(tl.int64))
        mean_part = tl.load(part_mean_ptr + ((part * size_batch + batch).to(tl.int64) * size_o + o), mask=in_o, other=0.0)
        M2_part = tl.load(part_M2_ptr + ((part * size_batch + batch).to(tl.int64) * size_o + o), mask=in_o, other=0.0)
        n, mean, M2 = _merge(n, mean, M2, n_part, mean_part, M2_part)
    n_safe = tl.where(n != 0.0, n, 1.0)
    ok_2 = n != 0.0
    still_2 = tl.sqrt(M2 * (1.0 / n_safe)) + eps
    start = tl.program_id(1) * chunk
    for j0 in range(start, tl.minimum(start + chunk, size_c), BLOCK_N):
        _write(
            j0, w_ptr, y_ptr, in_o, mean, o, ok_2, still_2, w_c, w_o, y_c, y_o, size_c, BLOCK_N, "evict_first",
            INDEX, RAGGED,
        )


def weight_standardisation(w, *, eps, out=None, schedule="auto",
                           splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """w [..., o, c] -> y [..., o, c].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(w, eps, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((w,), out, (eps, schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(w, given, eps, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"w": w}
    size = rt.sizes(TABLES, inputs)
    eps = rt.scalar(TABLES, "eps", eps, integer=False, positive=True)
    device = w.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {}
    batch = math.prod(lead)
    block_m, block_n = rt.row_blocks(TABLES, block_m, block_n, size["o"], size["c"], batch, w.element_size(), rt.units(device))
    num_warps = num_warps or rt.row_warps(TABLES, block_m, block_n, size["c"], w.element_size())
    slots = 2 * rt.units(device)
    programs = batch * triton.cdiv(size["o"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["c"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["c"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["c"] + parts * chunk)
    args = {
        "eps": eps, "size_c": size["c"], "size_o": size["o"], "size_lead": lead[-1] if lead else 1, "size_batch": batch,
        "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "ONE_TILE": size["c"] <= block_n, "RAGGED": size["c"] % block_n > 0 or size["c"] == 0,
        "OPERAND": rt.operand(w.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(weight_standardisation_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_n_ptr": ((parts, batch), torch.float32), "part_mean_ptr": ((parts, batch, size["o"]), torch.float32),
        "part_M2_ptr": ((parts, batch, size["o"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    launches = [
        (weight_standardisation_parts, (programs, parts), args, options),
        (weight_standardisation_finish, (programs, max(1, triton.cdiv(size["c"], chunk))), args, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(w, *, eps):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"w": w}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = w.dtype, w.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    mean = w.sum(-1) / size["c"]
    c2 = w - mean[..., :, None]
    out["y"] = rt.full(c2 / (torch.sqrt((c2 ** 2).sum(-1) / size["c"]) + eps)[..., :, None], lead + (size["o"], size["c"],), dtype, device)
    return rt.result(out)
