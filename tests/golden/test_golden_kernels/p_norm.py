"""p_norm: y and its kernels, emitted by refold from a proved plan.

    y[i] = (Σ_j |x[i,j]|**p)**(1/p)

The proof is p_norm.proof.json, the test test_p_norm.py. Needs torch and triton alone.
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
_power, _ratio = rt._power, rt.ratio
TABLES = rt.Tables(
    name="p_norm", inputs={"x": ("i", "j",)}, outputs={"y": ("i",)}, dtypes={"x": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), streams=1, rereads=False, shared=0,
    words={"p": "float"},
)


@triton.jit
def _step(t, j0, x_ptr, i, in_i, p, x_i, x_j, size_j, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, MASKED: tl.constexpr):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    x = tl.load(x_ptr + i[:, None] * x_i + j[None, :] * x_j, mask=in_i[:, None] & in_j[None, :], other=0.0).to(tl.float32)
    f = tl.abs(x)
    c = _power(f, p)
    c_2 = c
    if MASKED:
        c_2 = tl.where(in_j[None, :], c_2, 0.0)
    t_new = t + tl.sum(c_2, 1)
    return t_new,


@triton.jit
def _merge(t, t_part):
    # Two states, each corrected to the anchors of both together, then joined.
    t_new = t + t_part
    return t_new,


@triton.jit
def p_norm_rolling(
    x_ptr, y_ptr, p, scale_2, x_i, x_j, x_lead0, x_lead1, y_i, y_lead0, y_lead1, size_i, size_j, size_lead,
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
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    last = 0 if ONE_TILE else (tl.cdiv(size_j, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            (t,) = _step(t, j0, x_ptr, i, in_i, p, x_i, x_j, size_j, BLOCK_N, INDEX, False)
    (t,) = _step(t, last, x_ptr, i, in_i, p, x_i, x_j, size_j, BLOCK_N, INDEX, RAGGED)
    y = _power(t, scale_2)
    tl.store(y_ptr + i * y_i, y.to(y_ptr.dtype.element_ty), mask=in_i)


@triton.jit
def p_norm_parts(
    part_t_ptr, x_ptr, chunk, p, x_i, x_j, x_lead0, x_lead1, size_batch, size_i, size_j, size_lead,
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
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        (t,) = _step(t, j0, x_ptr, i, in_i, p, x_i, x_j, size_j, BLOCK_N, INDEX, False)
    if RAGGED:
        for j0 in range(free_hi, hi, BLOCK_N):
            (t,) = _step(t, j0, x_ptr, i, in_i, p, x_i, x_j, size_j, BLOCK_N, INDEX, True)
    tl.store(part_t_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), t, mask=in_i)


@triton.jit
def p_norm_finish(
    part_t_ptr, y_ptr, parts, scale_2, y_i, y_lead0, y_lead1, size_batch, size_i, size_lead, BLOCK_M: tl.constexpr,
    INDEX: tl.constexpr, OVERLAP: tl.constexpr,
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
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        t_part = tl.load(part_t_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        (t,) = _merge(t, t_part)
    y = _power(t, scale_2)
    tl.store(y_ptr + i * y_i, y.to(y_ptr.dtype.element_ty), mask=in_i)


def p_norm(x, *, p, out=None, schedule="auto",
           splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """x [..., i, j] -> y [..., i].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(x, p, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((x,), out, (p, schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(x, given, p, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"x": x}
    size = rt.sizes(TABLES, inputs)
    p = rt.scalar(TABLES, "p", p, integer=False, positive=True)
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
        "p": p, "scale_2": _ratio(1, p), "size_i": size["i"], "size_j": size["j"], "size_lead": lead[-1] if lead else 1,
        "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "ONE_TILE": size["j"] <= block_n, "RAGGED": size["j"] % block_n > 0 or size["j"] == 0,
        "OPERAND": rt.operand(x.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(p_norm_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {"part_t_ptr": ((parts, batch, size["i"]), torch.float32)}
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (p_norm_parts, (programs, parts), args, options),
        (p_norm_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(x, *, p):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"x": x}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = x.dtype, x.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    out["y"] = rt.full((torch.abs(x) ** p).sum(-1) ** _ratio(1, p), lead + (size["i"],), dtype, device)
    return rt.result(out)
