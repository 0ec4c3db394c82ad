"""performer_g3: o and its kernels, emitted by refold from a proved plan.

    m[i] = max_j c1[i,j]
    p[i,j] = exp(c1[i,j] - b·c2[i,j]·c3[i,j] - m[i])
    l[i] = Σ_j p[i,j]
    o[i] = Σ_j a·c3[i,j]·p[i,j]/l[i]

The proof is performer_g3.proof.json, the test test_performer_g3.py. Needs torch and triton alone.
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
    name="performer_g3", inputs={"c1": ("i", "j",), "c2": ("i", "j",), "c3": ("i", "j",)}, outputs={"o": ("i",)},
    dtypes={"c1": "float", "c2": "float", "c3": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), streams=3, rereads=False, shared=0,
    words={"a": "float", "b": "float"},
)


@triton.jit
def _step(
    m, l, acc, j0, c1_ptr, c2_ptr, c3_ptr, b, c1_i, c1_j, c2_i, c2_j, c3_i, c3_j, i, in_i, size_j,
    BLOCK_N: tl.constexpr, INDEX: tl.constexpr, MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    c1 = tl.load(c1_ptr + i[:, None] * c1_i + j[None, :] * c1_j, mask=in_i[:, None] & in_j[None, :], other=0.0).to(tl.float32)
    c2 = tl.load(c2_ptr + i[:, None] * c2_i + j[None, :] * c2_j, mask=in_i[:, None] & in_j[None, :], other=0.0).to(tl.float32)
    c3 = tl.load(c3_ptr + i[:, None] * c3_i + j[None, :] * c3_j, mask=in_i[:, None] & in_j[None, :], other=0.0).to(tl.float32)
    c = c1 - c2 * c3 * b
    if MASKED:
        c = tl.where(in_j[None, :], c, -float("inf"))
    m_new = tl.maximum(m, tl.max(c, 1))
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = _exp(m - m_hat)
    p = _exp(c - m_hat[:, None])
    l_new = l * alpha + tl.sum(p, 1)
    acc_new = acc * alpha + tl.sum(c3 * p, 1)
    return m_new, l_new, acc_new


@triton.jit
def _merge(m, l, acc, m_part, l_part, acc_part):
    # Two states, each corrected to the anchors of both together, then joined.
    m_new = tl.maximum(m, m_part)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = _exp(m - m_hat)
    alpha_2 = _exp(m_part - m_hat)
    l_new = l * alpha + l_part * alpha_2
    acc_new = acc * alpha + acc_part * alpha_2
    return m_new, l_new, acc_new


@triton.jit
def performer_g3_rolling(
    c1_ptr, c2_ptr, c3_ptr, o_ptr, a, b, c1_i, c1_j, c1_lead0, c1_lead1, c2_i, c2_j, c2_lead0, c2_lead1, c3_i, c3_j,
    c3_lead0, c3_lead1, o_i, o_lead0, o_lead1, size_i, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    INDEX: tl.constexpr, ONE_TILE: tl.constexpr, RAGGED: tl.constexpr,
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
    c1_ptr += lead0 * c1_lead0 + lead1 * c1_lead1
    c2_ptr += lead0 * c2_lead0 + lead1 * c2_lead1
    c3_ptr += lead0 * c3_lead0 + lead1 * c3_lead1
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M], 0.0, tl.float32)
    last = 0 if ONE_TILE else (tl.cdiv(size_j, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            m, l, acc = _step(
                m, l, acc, j0, c1_ptr, c2_ptr, c3_ptr, b, c1_i, c1_j, c2_i, c2_j, c3_i, c3_j, i, in_i, size_j, BLOCK_N,
                INDEX, False,
            )
    m, l, acc = _step(
        m, l, acc, last, c1_ptr, c2_ptr, c3_ptr, b, c1_i, c1_j, c2_i, c2_j, c3_i, c3_j, i, in_i, size_j,
        BLOCK_N, INDEX, RAGGED,
    )
    l_safe = tl.where(l != 0.0, l, 1.0)
    o = tl.where(l != 0.0, acc * a / l_safe, 0.0)
    tl.store(o_ptr + i * o_i, o.to(o_ptr.dtype.element_ty), mask=in_i)


@triton.jit
def performer_g3_parts(
    c1_ptr, c2_ptr, c3_ptr, part_acc_ptr, part_l_ptr, part_m_ptr, b, c1_i, c1_j, c1_lead0, c1_lead1, c2_i, c2_j,
    c2_lead0, c2_lead1, c3_i, c3_j, c3_lead0, c3_lead1, chunk, size_batch, size_i, size_j, size_lead,
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
    c1_ptr += lead0 * c1_lead0 + lead1 * c1_lead1
    c2_ptr += lead0 * c2_lead0 + lead1 * c2_lead1
    c3_ptr += lead0 * c3_lead0 + lead1 * c3_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, c1_ptr, c2_ptr, c3_ptr, b, c1_i, c1_j, c2_i, c2_j, c3_i, c3_j, i, in_i, size_j, BLOCK_N,
            INDEX, False,
        )
    if RAGGED:
        for j0 in range(free_hi, hi, BLOCK_N):
            m, l, acc = _step(
                m, l, acc, j0, c1_ptr, c2_ptr, c3_ptr, b, c1_i, c1_j, c2_i, c2_j, c3_i, c3_j, i, in_i, size_j, BLOCK_N,
                INDEX, True,
            )
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m, mask=in_i)
    tl.store(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), l, mask=in_i)
    tl.store(part_acc_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), acc, mask=in_i)


@triton.jit
def performer_g3_finish(
    o_ptr, part_acc_ptr, part_l_ptr, part_m_ptr, a, o_i, o_lead0, o_lead1, parts, size_batch, size_i, size_lead,
    BLOCK_M: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
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
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        l_part = tl.load(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        acc_part = tl.load(part_acc_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        m, l, acc = _merge(m, l, acc, m_part, l_part, acc_part)
    l_safe = tl.where(l != 0.0, l, 1.0)
    o = tl.where(l != 0.0, acc * a / l_safe, 0.0)
    tl.store(o_ptr + i * o_i, o.to(o_ptr.dtype.element_ty), mask=in_i)


def performer_g3(c1, c2, c3, *, a, b, out=None, schedule="auto",
                 splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """c1 [..., i, j]; c2 [..., i, j]; c3 [..., i, j] -> o [..., i].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(c1, c2, c3, a, b, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((c1, c2, c3), out, (a, b, schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(c1, c2, c3, given, a, b, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"c1": c1, "c2": c2, "c3": c3}
    size = rt.sizes(TABLES, inputs)
    a = rt.scalar(TABLES, "a", a, integer=False, positive=False)
    b = rt.scalar(TABLES, "b", b, integer=False, positive=False)
    device = c1.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {}
    batch = math.prod(lead)
    block_m, block_n = rt.row_blocks(TABLES, block_m, block_n, size["i"], size["j"], batch, c1.element_size(), rt.units(device))
    num_warps = num_warps or rt.row_warps(TABLES, block_m, block_n, size["j"], c1.element_size())
    slots = 2 * rt.units(device)
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    args = {
        "b": b, "a": a, "size_i": size["i"], "size_j": size["j"], "size_lead": lead[-1] if lead else 1,
        "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "ONE_TILE": size["j"] <= block_n, "RAGGED": size["j"] % block_n > 0 or size["j"] == 0,
        "OPERAND": rt.operand(c1.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(performer_g3_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_m_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_l_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_acc_ptr": ((parts, batch, size["i"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (performer_g3_parts, (programs, parts), args, options),
        (performer_g3_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(c1, c2, c3, *, a, b):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"c1": c1, "c2": c2, "c3": c3}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = c1.dtype, c1.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    m = rt.largest(c1, -1)
    p = torch.exp(c1 - m[..., :, None] - b * c2 * c3)
    l = p.sum(-1)
    out["o"] = rt.full((a * c3 * p / l[..., :, None]).sum(-1), lead + (size["i"],), dtype, device)
    return rt.result(out)
