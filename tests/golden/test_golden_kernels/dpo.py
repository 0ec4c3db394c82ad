"""dpo: loss and its kernels, emitted by refold from a proved plan.

    t2[b] = Σ_t (lost[b,t] - lost_ref[b,t])
    t3[b] = Σ_t (won[b,t] - won_ref[b,t])
    loss[b] = log(exp(-|t2[b] - t3[b]|·beta) + 1) + max(0, -(t3[b] - t2[b])·beta)

The proof is dpo.proof.json, the test test_dpo.py. Needs torch and triton alone.
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
_exp, _larger = rt._exp, rt._larger
TABLES = rt.Tables(
    name="dpo", inputs={"won": ("b", "t",), "won_ref": ("b", "t",), "lost": ("b", "t",), "lost_ref": ("b", "t",)},
    outputs={"loss": ("b",)}, dtypes={"won": "float", "won_ref": "float", "lost": "float", "lost_ref": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), streams=4, rereads=False, shared=0,
    words={"beta": "float"},
)


@triton.jit
def _step(
    t2, t3, j0, lost_ptr, lost_ref_ptr, won_ptr, won_ref_ptr, b, in_b, lost_b, lost_ref_b, lost_ref_t, lost_t, won_b,
    won_ref_b, won_ref_t, won_t, size_t, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    t = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_t = t < size_t if MASKED else tl.full([BLOCK_N], True, tl.int1)
    lost = tl.load(lost_ptr + b[:, None] * lost_b + t[None, :] * lost_t, mask=in_b[:, None] & in_t[None, :], other=0.0).to(tl.float32)
    lost_ref = tl.load(lost_ref_ptr + b[:, None] * lost_ref_b + t[None, :] * lost_ref_t, mask=in_b[:, None] & in_t[None, :], other=0.0).to(tl.float32)
    c = lost - lost_ref
    c_2 = c
    if MASKED:
        c_2 = tl.where(in_t[None, :], c_2, 0.0)
    t2_new = t2 + tl.sum(c_2, 1)
    won = tl.load(won_ptr + b[:, None] * won_b + t[None, :] * won_t, mask=in_b[:, None] & in_t[None, :], other=0.0).to(tl.float32)
    won_ref = tl.load(won_ref_ptr + b[:, None] * won_ref_b + t[None, :] * won_ref_t, mask=in_b[:, None] & in_t[None, :], other=0.0).to(tl.float32)
    c2 = won - won_ref
    c_3 = c2
    if MASKED:
        c_3 = tl.where(in_t[None, :], c_3, 0.0)
    t3_new = t3 + tl.sum(c_3, 1)
    return t2_new, t3_new


@triton.jit
def _merge(t2, t3, t2_part, t3_part):
    # Two states, each corrected to the anchors of both together, then joined.
    t2_new = t2 + t2_part
    t3_new = t3 + t3_part
    return t2_new, t3_new


@triton.jit
def dpo_rolling(
    loss_ptr, lost_ptr, lost_ref_ptr, won_ptr, won_ref_ptr, beta, loss_b, loss_lead0, loss_lead1, lost_b, lost_lead0,
    lost_lead1, lost_ref_b, lost_ref_lead0, lost_ref_lead1, lost_ref_t, lost_t, won_b, won_lead0, won_lead1, won_ref_b,
    won_ref_lead0, won_ref_lead1, won_ref_t, won_t, size_b, size_lead, size_t, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, INDEX: tl.constexpr, ONE_TILE: tl.constexpr, RAGGED: tl.constexpr,
):
    # One program holds its rows and goes over all of axis t.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_b, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    b = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_b = b < size_b
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    won_ptr += lead0 * won_lead0 + lead1 * won_lead1
    won_ref_ptr += lead0 * won_ref_lead0 + lead1 * won_ref_lead1
    lost_ptr += lead0 * lost_lead0 + lead1 * lost_lead1
    lost_ref_ptr += lead0 * lost_ref_lead0 + lead1 * lost_ref_lead1
    loss_ptr += lead0 * loss_lead0 + lead1 * loss_lead1
    t2 = tl.full([BLOCK_M], 0.0, tl.float32)
    t3 = tl.full([BLOCK_M], 0.0, tl.float32)
    last = 0 if ONE_TILE else (tl.cdiv(size_t, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            t2, t3 = _step(
                t2, t3, j0, lost_ptr, lost_ref_ptr, won_ptr, won_ref_ptr, b, in_b, lost_b, lost_ref_b, lost_ref_t,
                lost_t, won_b, won_ref_b, won_ref_t, won_t, size_t, BLOCK_N, INDEX, False,
            )
    t2, t3 = _step(
        t2, t3, last, lost_ptr, lost_ref_ptr, won_ptr, won_ref_ptr, b, in_b, lost_b, lost_ref_b, lost_ref_t,
        lost_t, won_b, won_ref_b, won_ref_t, won_t, size_t, BLOCK_N, INDEX, RAGGED,
    )
    f = tl.abs(t2 - t3)
    alpha = _exp(f * beta * (-1.0))
    f_2 = tl.log(alpha + 1.0)
    loss = _larger(0.0, (t3 - t2) * beta * (-1.0)) + f_2
    tl.store(loss_ptr + b * loss_b, loss.to(loss_ptr.dtype.element_ty), mask=in_b)


@triton.jit
def dpo_parts(
    lost_ptr, lost_ref_ptr, part_t2_ptr, part_t3_ptr, won_ptr, won_ref_ptr, chunk, lost_b, lost_lead0, lost_lead1,
    lost_ref_b, lost_ref_lead0, lost_ref_lead1, lost_ref_t, lost_t, won_b, won_lead0, won_lead1, won_ref_b,
    won_ref_lead0, won_ref_lead1, won_ref_t, won_t, size_b, size_batch, size_lead, size_t, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr, RAGGED: tl.constexpr,
):
    # One program leaves the state of one part of axis t.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_b, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    b = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_b = b < size_b
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    won_ptr += lead0 * won_lead0 + lead1 * won_lead1
    won_ref_ptr += lead0 * won_ref_lead0 + lead1 * won_ref_lead1
    lost_ptr += lead0 * lost_lead0 + lead1 * lost_lead1
    lost_ref_ptr += lead0 * lost_ref_lead0 + lead1 * lost_ref_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    t2 = tl.full([BLOCK_M], 0.0, tl.float32)
    t3 = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_t, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        t2, t3 = _step(
            t2, t3, j0, lost_ptr, lost_ref_ptr, won_ptr, won_ref_ptr, b, in_b, lost_b, lost_ref_b, lost_ref_t,
            lost_t, won_b, won_ref_b, won_ref_t, won_t, size_t, BLOCK_N, INDEX, False,
        )
    if RAGGED:
        for j0 in range(free_hi, hi, BLOCK_N):
            t2, t3 = _step(
                t2, t3, j0, lost_ptr, lost_ref_ptr, won_ptr, won_ref_ptr, b, in_b, lost_b, lost_ref_b, lost_ref_t,
                lost_t, won_b, won_ref_b, won_ref_t, won_t, size_t, BLOCK_N, INDEX, True,
            )
    tl.store(part_t2_ptr + ((part * size_batch + batch).to(tl.int64) * size_b + b), t2, mask=in_b)
    tl.store(part_t3_ptr + ((part * size_batch + batch).to(tl.int64) * size_b + b), t3, mask=in_b)


@triton.jit
def dpo_finish(
    loss_ptr, part_t2_ptr, part_t3_ptr, beta, loss_b, loss_lead0, loss_lead1, parts, size_b, size_batch, size_lead,
    BLOCK_M: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
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
    loss_ptr += lead0 * loss_lead0 + lead1 * loss_lead1
    t2 = tl.full([BLOCK_M], 0.0, tl.float32)
    t3 = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        t2_part = tl.load(part_t2_ptr + ((part * size_batch + batch).to(tl.int64) * size_b + b), mask=in_b, other=0.0)
        t3_part = tl.load(part_t3_ptr + ((part * size_batch + batch).to(tl.int64) * size_b + b), mask=in_b, other=0.0)
        t2, t3 = _merge(t2, t3, t2_part, t3_part)
    f = tl.abs(t2 - t3)
    alpha = _exp(f * beta * (-1.0))
    f_2 = tl.log(alpha + 1.0)
    loss = _larger(0.0, (t3 - t2) * beta * (-1.0)) + f_2
    tl.store(loss_ptr + b * loss_b, loss.to(loss_ptr.dtype.element_ty), mask=in_b)


def dpo(won, won_ref, lost, lost_ref, *, beta, out=None, schedule="auto",
        splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """won [..., b, t]; won_ref [..., b, t]; lost [..., b, t]; lost_ref [..., b, t] -> loss [..., b].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(won, won_ref, lost, lost_ref, beta, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((won, won_ref, lost, lost_ref), out, (beta, schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(won, won_ref, lost, lost_ref, given, beta, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"won": won, "won_ref": won_ref, "lost": lost, "lost_ref": lost_ref}
    size = rt.sizes(TABLES, inputs)
    beta = rt.scalar(TABLES, "beta", beta, integer=False, positive=True)
    device = won.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {}
    batch = math.prod(lead)
    block_m, block_n = rt.row_blocks(TABLES, block_m, block_n, size["b"], size["t"], batch, won.element_size(), rt.units(device))
    num_warps = num_warps or rt.row_warps(TABLES, block_m, block_n, size["t"], won.element_size())
    slots = 2 * rt.units(device)
    programs = batch * triton.cdiv(size["b"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["t"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["t"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["t"] + parts * chunk)
    args = {
        "beta": beta, "size_b": size["b"], "size_t": size["t"], "size_lead": lead[-1] if lead else 1,
        "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "ONE_TILE": size["t"] <= block_n, "RAGGED": size["t"] % block_n > 0 or size["t"] == 0,
        "OPERAND": rt.operand(won.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(dpo_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_t2_ptr": ((parts, batch, size["b"]), torch.float32),
        "part_t3_ptr": ((parts, batch, size["b"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["b"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (dpo_parts, (programs, parts), args, options),
        (dpo_finish, (batch * triton.cdiv(size["b"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(won, won_ref, lost, lost_ref, *, beta):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"won": won, "won_ref": won_ref, "lost": lost, "lost_ref": lost_ref}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = won.dtype, won.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    t3 = (won - won_ref).sum(-1)
    t2 = (lost - lost_ref).sum(-1)
    out["loss"] = rt.full((-(t3 - t2) * beta).clamp(min=0) + torch.log(torch.exp(-torch.abs(t2 - t3) * beta) + 1), lead + (size["b"],), dtype, device)
    return rt.result(out)
