"""masked_mean: y and its kernels, emitted by refold from a proved plan.

    y[b,e] = (Σ_j (x[b,j,e] where mask[b,j] ≠ 0, else 0))/(count_j (1 where mask[b,j] ≠ 0, else 0))

The proof is masked_mean.proof.json, the test test_masked_mean.py. Needs torch and triton alone.
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
    name="masked_mean", inputs={"x": ("b", "j", "e",), "mask": ("b", "j",)}, outputs={"y": ("b", "e",)},
    dtypes={"x": "float", "mask": "int32"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), masks=True, streams=2,
    rereads=False, shared=0,
)


@triton.jit
def _step(
    n, t, j0, mask_ptr, x_ptr, b, e, in_e, mask_b, mask_j, x_b, x_e, x_j, size_j, BLOCK_N: tl.constexpr,
    INDEX: tl.constexpr, MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    mask = tl.load(mask_ptr + b * mask_b + j * mask_j, mask=in_j, other=0)
    s = tl.where(mask != 0, 1.0, 0.0)
    c = s
    if MASKED:
        c = tl.where(in_j, c, 0.0)
    n_new = n + tl.sum(c, 0)
    x = tl.load(x_ptr + b * x_b + j[None, :] * x_j + e[:, None] * x_e, mask=in_j[None, :] & in_e[:, None], other=0.0).to(tl.float32)
    s2 = tl.where((mask != 0)[None, :], x, 0.0)
    c_2 = s2
    if MASKED:
        c_2 = tl.where(in_j[None, :], c_2, 0.0)
    t_new = t + tl.sum(c_2, 1)
    return n_new, t_new


@triton.jit
def _merge(n, t, n_part, t_part):
    # Two states, each corrected to the anchors of both together, then joined.
    n_new = n + n_part
    t_new = t + t_part
    return n_new, t_new


@triton.jit
def _live(j0, mask_ptr, b, mask_b, mask_j, size_j, BLOCK_N: tl.constexpr, INDEX: tl.constexpr):
    # Whether any row has a position in the tile that adds something.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j
    mask = tl.load(mask_ptr + b * mask_b + j * mask_j, mask=in_j, other=0)
    return tl.max((in_j & (mask != 0)).to(tl.int32)) > 0


@triton.jit
def masked_mean_rolling(
    mask_ptr, x_ptr, y_ptr, mask_b, mask_j, mask_lead0, mask_lead1, x_b, x_e, x_j, x_lead0, x_lead1, y_b, y_e, y_lead0,
    y_lead1, size_b, size_e, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_e, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    e = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_e = e < size_e
    lead = batch
    b = (lead % size_b).to(INDEX)
    lead = lead // size_b
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    x_ptr += lead0 * x_lead0 + lead1 * x_lead1
    mask_ptr += lead0 * mask_lead0 + lead1 * mask_lead1
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    n = tl.full([], 0.0, tl.float32)
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = 0
    hi = size_j
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        live = _live(j0, mask_ptr, b, mask_b, mask_j, size_j, BLOCK_N, INDEX)
        if live:
            n, t = _step(
                n, t, j0, mask_ptr, x_ptr, b, e, in_e, mask_b, mask_j, x_b, x_e, x_j, size_j, BLOCK_N, INDEX, False,
            )
    for j0 in range(free_hi, hi, BLOCK_N):
        live = _live(j0, mask_ptr, b, mask_b, mask_j, size_j, BLOCK_N, INDEX)
        if live:
            n, t = _step(
                n, t, j0, mask_ptr, x_ptr, b, e, in_e, mask_b, mask_j, x_b, x_e, x_j, size_j, BLOCK_N, INDEX, True,
            )
    n_safe = tl.where(n != 0.0, n, 1.0)
    y = tl.where(n != 0.0, t * (1.0 / n_safe), float("nan"))
    tl.store(y_ptr + b * y_b + e * y_e, y.to(y_ptr.dtype.element_ty), mask=in_e)


@triton.jit
def masked_mean_parts(
    mask_ptr, part_n_ptr, part_t_ptr, x_ptr, chunk, mask_b, mask_j, mask_lead0, mask_lead1, x_b, x_e, x_j, x_lead0,
    x_lead1, size_b, size_batch, size_e, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    INDEX: tl.constexpr, OVERLAP: tl.constexpr,
):
    # One program leaves the state of one part of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_e, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    e = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_e = e < size_e
    lead = batch
    b = (lead % size_b).to(INDEX)
    lead = lead // size_b
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    x_ptr += lead0 * x_lead0 + lead1 * x_lead1
    mask_ptr += lead0 * mask_lead0 + lead1 * mask_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    n = tl.full([], 0.0, tl.float32)
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        live = _live(j0, mask_ptr, b, mask_b, mask_j, size_j, BLOCK_N, INDEX)
        if live:
            n, t = _step(
                n, t, j0, mask_ptr, x_ptr, b, e, in_e, mask_b, mask_j, x_b, x_e, x_j, size_j, BLOCK_N, INDEX, False,
            )
    for j0 in range(free_hi, hi, BLOCK_N):
        live = _live(j0, mask_ptr, b, mask_b, mask_j, size_j, BLOCK_N, INDEX)
        if live:
            n, t = _step(
                n, t, j0, mask_ptr, x_ptr, b, e, in_e, mask_b, mask_j, x_b, x_e, x_j, size_j, BLOCK_N, INDEX, True,
            )
    tl.store(part_n_ptr + (part * size_batch + batch).to(tl.int64), n)
    tl.store(part_t_ptr + ((part * size_batch + batch).to(tl.int64) * size_e + e), t, mask=in_e)


@triton.jit
def masked_mean_finish(
    part_n_ptr, part_t_ptr, y_ptr, parts, y_b, y_e, y_lead0, y_lead1, size_b, size_batch, size_e, size_lead,
    BLOCK_M: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_e, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    e = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_e = e < size_e
    lead = batch
    b = (lead % size_b).to(INDEX)
    lead = lead // size_b
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    n = tl.full([], 0.0, tl.float32)
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        n_part = tl.load(part_n_ptr + (part * size_batch + batch).to(tl.int64))
        t_part = tl.load(part_t_ptr + ((part * size_batch + batch).to(tl.int64) * size_e + e), mask=in_e, other=0.0)
        n, t = _merge(n, t, n_part, t_part)
    n_safe = tl.where(n != 0.0, n, 1.0)
    y = tl.where(n != 0.0, t * (1.0 / n_safe), float("nan"))
    tl.store(y_ptr + b * y_b + e * y_e, y.to(y_ptr.dtype.element_ty), mask=in_e)


def masked_mean(x, mask, *, out=None, schedule="auto",
                splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """x [..., b, j, e]; mask [..., b, j] -> y [..., b, e].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(x, mask, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((x, mask), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(x, mask, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"x": x, "mask": mask}
    size = rt.sizes(TABLES, inputs)
    device = x.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {}
    batch = math.prod(lead) * size["b"]
    block_m, block_n = rt.row_blocks(
        TABLES, block_m, block_n, size["e"], size["j"], batch, x.element_size(), rt.units(device),
        across=rt.across(TABLES, views, "e", "j"),
    )
    num_warps = num_warps or rt.row_warps(TABLES, block_m, block_n, size["j"], x.element_size())
    slots = rt.row_slots(num_warps, rt.units(device))
    programs = batch * triton.cdiv(size["e"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    args = {
        "size_b": size["b"], "size_e": size["e"], "size_j": size["j"], "size_lead": lead[-1] if lead else 1,
        "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "ONE_TILE": size["j"] <= block_n, "RAGGED": size["j"] % block_n > 0 or size["j"] == 0,
        "OPERAND": rt.operand(x.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(masked_mean_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {"part_n_ptr": ((parts, batch), torch.float32), "part_t_ptr": ((parts, batch, size["e"]), torch.float32)}
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["e"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (masked_mean_parts, (programs, parts), args, options),
        (masked_mean_finish, (batch * triton.cdiv(size["e"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(x, mask):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"x": x, "mask": mask}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = x.dtype, x.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    out["y"] = rt.full(rt.where((mask != 0)[..., :, :, None], x, 0, dtype, device).sum(-2) / rt.where(mask != 0, 1, 0, torch.int64, device).sum(-1).to(dtype)[..., :, None], lead + (size["b"], size["e"],), dtype, device)
    return rt.result(out)
