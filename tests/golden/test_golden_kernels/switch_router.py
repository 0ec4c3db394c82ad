"""switch_router: expert and its kernels, emitted by refold from a proved plan.

    m[i] = max_e x[i,e]
    expert[i] = argmax_e x[i,e]
    gate[i] = 1/(Σ_e exp(x[i,e] - m[i]))

The proof is switch_router.proof.json, the test test_switch_router.py. Needs torch and triton alone.
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
_exp, _larger, _largest, _over = rt._exp, rt._larger, rt._largest, rt._over
TABLES = rt.Tables(
    name="switch_router", inputs={"x": ("i", "e",)}, outputs={"expert": ("i",), "gate": ("i",)}, dtypes={"x": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), whole=("expert",), streams=1,
    rereads=False, shared=0,
)


@triton.jit
def _step(
    m, l, at, j0, x_ptr, i, in_i, x_e, x_i, size_e, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    e = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_e = e < size_e if MASKED else tl.full([BLOCK_N], True, tl.int1)
    x = tl.load(x_ptr + i[:, None] * x_i + e[None, :] * x_e, mask=in_i[:, None] & in_e[None, :], other=0.0).to(tl.float32)
    if MASKED:
        x = tl.where(in_e[None, :], x, -float("inf"))
    m_tile = _largest(x, 1)
    m_new = _larger(m, m_tile)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = _exp(m - m_hat)
    p = _exp(x - m_hat[:, None])
    l_new = l * alpha + tl.sum(p, 1)
    at_tile = tl.min(tl.where(((x == m_tile[:, None]) | (x != x)) & in_e[None, :], e[None, :].to(tl.int32), 2147483647), 1)
    at_new = tl.where(_over(m, m_tile), at, tl.where(_over(m_tile, m), at_tile, tl.minimum(at, at_tile)))
    return m_new, l_new, at_new


@triton.jit
def _merge(m, l, at, m_part, l_part, at_part):
    # Two states, each corrected to the anchors of both together, then joined.
    m_new = _larger(m, m_part)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = _exp(m - m_hat)
    alpha_2 = _exp(m_part - m_hat)
    l_new = l * alpha + l_part * alpha_2
    at_new = tl.where(_over(m, m_part), at, tl.where(_over(m_part, m), at_part, tl.minimum(at, at_part)))
    return m_new, l_new, at_new


@triton.jit
def switch_router_rolling(
    expert_ptr, gate_ptr, x_ptr, expert_i, expert_lead0, expert_lead1, gate_i, gate_lead0, gate_lead1, x_e, x_i,
    x_lead0, x_lead1, size_e, size_i, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr,
    ONE_TILE: tl.constexpr, RAGGED: tl.constexpr,
):
    # One program holds its rows and goes over all of axis e.
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
    expert_ptr += lead0 * expert_lead0 + lead1 * expert_lead1
    gate_ptr += lead0 * gate_lead0 + lead1 * gate_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    at = tl.full([BLOCK_M], 2147483647, tl.int32)
    last = 0 if ONE_TILE else (tl.cdiv(size_e, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            m, l, at = _step(m, l, at, j0, x_ptr, i, in_i, x_e, x_i, size_e, BLOCK_N, INDEX, False)
    m, l, at = _step(m, l, at, last, x_ptr, i, in_i, x_e, x_i, size_e, BLOCK_N, INDEX, RAGGED)
    expert = tl.where(at == 2147483647, -1, at)
    m_safe = tl.where(m != -float("inf"), m, 0.0)
    gate = tl.where(m != -float("inf"), 1.0 / l, float("nan"))
    tl.store(expert_ptr + i * expert_i, expert.to(expert_ptr.dtype.element_ty), mask=in_i)
    tl.store(gate_ptr + i * gate_i, gate.to(gate_ptr.dtype.element_ty), mask=in_i)


@triton.jit
def switch_router_parts(
    part_at_ptr, part_l_ptr, part_m_ptr, x_ptr, chunk, x_e, x_i, x_lead0, x_lead1, size_batch, size_e, size_i,
    size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
    RAGGED: tl.constexpr,
):
    # One program leaves the state of one part of axis e.
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
    at = tl.full([BLOCK_M], 2147483647, tl.int32)
    lo = part * chunk
    hi = tl.minimum(size_e, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l, at = _step(m, l, at, j0, x_ptr, i, in_i, x_e, x_i, size_e, BLOCK_N, INDEX, False)
    if RAGGED:
        for j0 in range(free_hi, hi, BLOCK_N):
            m, l, at = _step(m, l, at, j0, x_ptr, i, in_i, x_e, x_i, size_e, BLOCK_N, INDEX, True)
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m, mask=in_i)
    tl.store(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), l, mask=in_i)
    tl.store(part_at_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), at, mask=in_i)


@triton.jit
def switch_router_finish(
    expert_ptr, gate_ptr, part_at_ptr, part_l_ptr, part_m_ptr, expert_i, expert_lead0, expert_lead1, gate_i, gate_lead0,
    gate_lead1, parts, size_batch, size_i, size_lead, BLOCK_M: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
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
    expert_ptr += lead0 * expert_lead0 + lead1 * expert_lead1
    gate_ptr += lead0 * gate_lead0 + lead1 * gate_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    at = tl.full([BLOCK_M], 2147483647, tl.int32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        l_part = tl.load(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        at_part = tl.load(part_at_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=2147483647)
        m, l, at = _merge(m, l, at, m_part, l_part, at_part)
    expert = tl.where(at == 2147483647, -1, at)
    tl.store(expert_ptr + i * expert_i, expert.to(expert_ptr.dtype.element_ty), mask=in_i)
    m_safe = tl.where(m != -float("inf"), m, 0.0)
    gate = tl.where(m != -float("inf"), 1.0 / l, float("nan"))
    tl.store(gate_ptr + i * gate_i, gate.to(gate_ptr.dtype.element_ty), mask=in_i)


def switch_router(x, *, out=None, schedule="auto",
                  splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """x [..., i, e] -> expert [..., i]; gate [..., i].

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
    block_m, block_n = rt.row_blocks(TABLES, block_m, block_n, size["i"], size["e"], batch, x.element_size(), rt.units(device))
    num_warps = num_warps or rt.row_warps(TABLES, block_m, block_n, size["e"], x.element_size())
    slots = 2 * rt.units(device)
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["e"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["e"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["e"] + parts * chunk)
    args = {
        "size_e": size["e"], "size_i": size["i"], "size_lead": lead[-1] if lead else 1, "size_batch": batch,
        "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "ONE_TILE": size["e"] <= block_n, "RAGGED": size["e"] % block_n > 0 or size["e"] == 0,
        "OPERAND": rt.operand(x.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(switch_router_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_m_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_l_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_at_ptr": ((parts, batch, size["i"]), torch.int32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (switch_router_parts, (programs, parts), args, options),
        (switch_router_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
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
    out["expert"] = rt.full(rt.argmax(x, -1), lead + (size["i"],), torch.int64, device)
    m = rt.largest(x, -1)
    out["gate"] = rt.full(rt.where(size["e"] == 0, math.nan, 1.0 / torch.exp(x - m[..., :, None]).sum(-1), dtype, device), lead + (size["i"],), dtype, device)
    return rt.result(out)
