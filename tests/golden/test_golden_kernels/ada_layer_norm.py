"""ada_layer_norm: y and its kernels, emitted by refold from a proved plan.

    mean[b,i] = (Σ_j x[b,i,j])/|j|
    c[b,i,j] = x[b,i,j] - mean[b,i]
    y[b,i,j] = shift[b,j] + (scale[b,j] + 1)·c[b,i,j]/√(eps + (Σ_j c[b,i,j]²)/|j|)

The proof is ada_layer_norm.proof.json, the test test_ada_layer_norm.py. Needs torch and triton alone.
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
    name="ada_layer_norm", inputs={"x": ("b", "i", "j",), "scale_1": ("b", "j",), "shift": ("b", "j",)},
    outputs={"y": ("b", "i", "j",)}, dtypes={"x": "float", "scale_1": "float", "shift": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), streams=3, rereads=True, shared=0,
    words={"eps": "float"}, users={"scale_1": "scale"},
)


@triton.jit
def _step(
    n, mean, M2, j0, x_ptr, b, i, in_i, x_b, x_i, x_j, size_j, BLOCK_N: tl.constexpr, EVICT: tl.constexpr,
    INDEX: tl.constexpr, MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    n_new = n + tl.sum(tl.where(in_j, 1.0, 0.0), 0)
    n_hat = tl.where(n_new != 0.0, n_new, 1.0)
    x = tl.load(x_ptr + b * x_b + i[:, None] * x_i + j[None, :] * x_j, mask=in_i[:, None] & in_j[None, :], other=0.0, eviction_policy=EVICT).to(tl.float32)
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
    return n_new, mean_new, M2_new


@triton.jit
def _merge(n, mean, M2, n_part, mean_part, M2_part):
    # Two states, each corrected to the anchors of both together, then joined.
    n_new = n + n_part
    n_hat = tl.where(n_new != 0.0, n_new, 1.0)
    mean_new = mean + (mean_part - mean) * (n_part / n_hat)
    c = mean - mean_new
    c_2 = mean_part - mean_new
    M2_new = c * c * n + M2 + (M2_part + n_part * (c_2 * c_2))
    return n_new, mean_new, M2_new


@triton.jit
def _write(
    j0, scale_1_ptr, shift_ptr, x_ptr, y_ptr, b, i, in_i, mean, ok_2, scale_1_b, scale_1_j, shift_b, shift_j, still_2,
    x_b, x_i, x_j, y_b, y_i, y_j, size_j, BLOCK_N: tl.constexpr, EVICT: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr,
):
    # One tile of what varies with axis j.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    scale_1 = tl.load(scale_1_ptr + b * scale_1_b + j * scale_1_j, mask=in_j, other=0.0, eviction_policy=EVICT).to(tl.float32)
    x = tl.load(x_ptr + b * x_b + i[:, None] * x_i + j[None, :] * x_j, mask=in_i[:, None] & in_j[None, :], other=0.0, eviction_policy=EVICT).to(tl.float32)
    shift = tl.load(shift_ptr + b * shift_b + j * shift_j, mask=in_j, other=0.0, eviction_policy=EVICT).to(tl.float32)
    y = tl.where(ok_2, (scale_1 + 1.0)[None, :] * (x - mean[:, None]) * (1.0 / still_2)[:, None] + shift[None, :], float("nan"))
    tl.store(y_ptr + b * y_b + i[:, None] * y_i + j[None, :] * y_j, y.to(y_ptr.dtype.element_ty), mask=in_i[:, None] & in_j[None, :], eviction_policy=EVICT)


@triton.jit
def ada_layer_norm_rolling(
    scale_1_ptr, shift_ptr, x_ptr, y_ptr, eps, scale_1_b, scale_1_j, scale_1_lead0, scale_1_lead1, shift_b, shift_j,
    shift_lead0, shift_lead1, x_b, x_i, x_j, x_lead0, x_lead1, y_b, y_i, y_j, y_lead0, y_lead1, size_b, size_i, size_j,
    size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, ONE_TILE: tl.constexpr,
    RAGGED: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    b = (lead % size_b).to(INDEX)
    lead = lead // size_b
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    x_ptr += lead0 * x_lead0 + lead1 * x_lead1
    scale_1_ptr += lead0 * scale_1_lead0 + lead1 * scale_1_lead1
    shift_ptr += lead0 * shift_lead0 + lead1 * shift_lead1
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    n = tl.full([], 0.0, tl.float32)
    mean = tl.full([BLOCK_M], 0.0, tl.float32)
    M2 = tl.full([BLOCK_M], 0.0, tl.float32)
    last = 0 if ONE_TILE else (tl.cdiv(size_j, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            n, mean, M2 = _step(
                n, mean, M2, j0, x_ptr, b, i, in_i, x_b, x_i, x_j, size_j, BLOCK_N, "evict_last", INDEX, False,
            )
    n, mean, M2 = _step(
        n, mean, M2, last, x_ptr, b, i, in_i, x_b, x_i, x_j, size_j, BLOCK_N, "" if ONE_TILE else "evict_first",
        INDEX, RAGGED,
    )
    n_safe = tl.where(n != 0.0, n, 1.0)
    ok_2 = n != 0.0
    still_2 = tl.sqrt(M2 * (1.0 / n_safe) + eps)
    _write(
        last, scale_1_ptr, shift_ptr, x_ptr, y_ptr, b, i, in_i, mean, ok_2, scale_1_b, scale_1_j, shift_b,
        shift_j, still_2, x_b, x_i, x_j, y_b, y_i, y_j, size_j, BLOCK_N, "" if ONE_TILE else "evict_first",
        INDEX, RAGGED,
    )
    if not ONE_TILE:
        for back in range(BLOCK_N, last + BLOCK_N, BLOCK_N):
            _write(
                last - back, scale_1_ptr, shift_ptr, x_ptr, y_ptr, b, i, in_i, mean, ok_2, scale_1_b, scale_1_j,
                shift_b, shift_j, still_2, x_b, x_i, x_j, y_b, y_i, y_j, size_j, BLOCK_N, "evict_first", INDEX, False,
            )


@triton.jit
def ada_layer_norm_parts(
    part_M2_ptr, part_mean_ptr, part_n_ptr, x_ptr, chunk, x_b, x_i, x_j, x_lead0, x_lead1, size_b, size_batch, size_i,
    size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
    RAGGED: tl.constexpr,
):
    # One program leaves the state of one part of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    b = (lead % size_b).to(INDEX)
    lead = lead // size_b
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    x_ptr += lead0 * x_lead0 + lead1 * x_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    n = tl.full([], 0.0, tl.float32)
    mean = tl.full([BLOCK_M], 0.0, tl.float32)
    M2 = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        n, mean, M2 = _step(
            n, mean, M2, j0, x_ptr, b, i, in_i, x_b, x_i, x_j, size_j, BLOCK_N, "evict_last", INDEX, False,
        )
    if RAGGED:
        for j0 in range(free_hi, hi, BLOCK_N):
            n, mean, M2 = _step(
                n, mean, M2, j0, x_ptr, b, i, in_i, x_b, x_i, x_j, size_j, BLOCK_N, "evict_last", INDEX, True,
            )
    tl.store(part_n_ptr + (part * size_batch + batch).to(tl.int64), n)
    tl.store(part_mean_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mean, mask=in_i)
    tl.store(part_M2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), M2, mask=in_i)


@triton.jit
def ada_layer_norm_finish(
    part_M2_ptr, part_mean_ptr, part_n_ptr, scale_1_ptr, shift_ptr, x_ptr, y_ptr, chunk, eps, parts, scale_1_b,
    scale_1_j, scale_1_lead0, scale_1_lead1, shift_b, shift_j, shift_lead0, shift_lead1, x_b, x_i, x_j, x_lead0,
    x_lead1, y_b, y_i, y_j, y_lead0, y_lead1, size_b, size_batch, size_i, size_j, size_lead, BLOCK_M: tl.constexpr,
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
    b = (lead % size_b).to(INDEX)
    lead = lead // size_b
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    x_ptr += lead0 * x_lead0 + lead1 * x_lead1
    scale_1_ptr += lead0 * scale_1_lead0 + lead1 * scale_1_lead1
    shift_ptr += lead0 * shift_lead0 + lead1 * shift_lead1
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    n = tl.full([], 0.0, tl.float32)
    mean = tl.full([BLOCK_M], 0.0, tl.float32)
    M2 = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        n_part = tl.load(part_n_ptr + (part * size_batch + batch).to(tl.int64))
        mean_part = tl.load(part_mean_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        M2_part = tl.load(part_M2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        n, mean, M2 = _merge(n, mean, M2, n_part, mean_part, M2_part)
    n_safe = tl.where(n != 0.0, n, 1.0)
    ok_2 = n != 0.0
    still_2 = tl.sqrt(M2 * (1.0 / n_safe) + eps)
    start = tl.program_id(1) * chunk
    for j0 in range(start, tl.minimum(start + chunk, size_j), BLOCK_N):
        _write(
            j0, scale_1_ptr, shift_ptr, x_ptr, y_ptr, b, i, in_i, mean, ok_2, scale_1_b, scale_1_j, shift_b,
            shift_j, still_2, x_b, x_i, x_j, y_b, y_i, y_j, size_j, BLOCK_N, "evict_first", INDEX, RAGGED,
        )


def ada_layer_norm(x, scale, shift, *, eps, out=None, schedule="auto",
                   splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """x [..., b, i, j]; scale [..., b, j]; shift [..., b, j] -> y [..., b, i, j].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(x, scale, shift, eps, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((x, scale, shift), out, (eps, schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(x, scale_1, shift, given, eps, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"x": x, "scale_1": scale_1, "shift": shift}
    size = rt.sizes(TABLES, inputs)
    eps = rt.scalar(TABLES, "eps", eps, integer=False, positive=True)
    device = x.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {}
    batch = math.prod(lead) * size["b"]
    block_m, block_n = rt.row_blocks(TABLES, block_m, block_n, size["i"], size["j"], batch, x.element_size(), rt.units(device))
    num_warps = num_warps or rt.row_warps(TABLES, block_m, block_n, size["j"], x.element_size())
    slots = 2 * rt.units(device)
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    args = {
        "eps": eps, "size_b": size["b"], "size_i": size["i"], "size_j": size["j"], "size_lead": lead[-1] if lead else 1,
        "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "ONE_TILE": size["j"] <= block_n, "RAGGED": size["j"] % block_n > 0 or size["j"] == 0,
        "OPERAND": rt.operand(x.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(ada_layer_norm_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_n_ptr": ((parts, batch), torch.float32), "part_mean_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_M2_ptr": ((parts, batch, size["i"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    launches = [
        (ada_layer_norm_parts, (programs, parts), args, options),
        (ada_layer_norm_finish, (programs, max(1, triton.cdiv(size["j"], chunk))), args, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(x, scale, shift, *, eps):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    scale_1 = scale
    inputs = {"x": x, "scale_1": scale_1, "shift": shift}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = x.dtype, x.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    mean = x.sum(-1) / size["j"]
    c = x - mean[..., :, :, None]
    out["y"] = rt.full((scale_1 + 1)[..., :, None, :] * c / torch.sqrt((c ** 2).sum(-1) / size["j"] + eps)[..., :, :, None] + shift[..., :, None, :], lead + (size["b"], size["i"], size["j"],), dtype, device)
    return rt.result(out)
