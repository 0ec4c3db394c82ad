"""aft: o and its kernels, emitted by refold from a proved plan.

    m[i,e] = max_j (k[j,e] + w[i,j])
    p[i,e,j] = exp(k[j,e] + w[i,j] - m[i,e])
    o[i,e] = (Σ_j v[j,e]·p[i,e,j])·sigmoid(q[i,e])/(Σ_j p[i,e,j])

The proof is aft.proof.json, the test test_aft.py. Needs torch and triton alone.
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
_exp, _sigmoid = rt._exp, rt._sigmoid
TABLES = rt.Tables(
    name="aft", inputs={"q": ("i", "e",), "k": ("j", "e",), "v": ("j", "e",), "w": ("i", "j",)},
    outputs={"o": ("i", "e",)}, dtypes={"q": "float", "k": "float", "v": "float", "w": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), costly=True, streams=3,
    rereads=False, shared=0,
)


@triton.jit
def _step(
    m, l, acc, j0, k_ptr, v_ptr, w_ptr, e, i, in_e, k_e, k_j, v_e, v_j, w_i, w_j, size_j, BLOCK_N: tl.constexpr,
    INDEX: tl.constexpr, MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    k = tl.load(k_ptr + j[None, :] * k_j + e[:, None] * k_e, mask=in_j[None, :] & in_e[:, None], other=0.0).to(tl.float32)
    w = tl.load(w_ptr + i * w_i + j * w_j, mask=in_j, other=0.0).to(tl.float32)
    c = k + w[None, :]
    if MASKED:
        c = tl.where(in_j[None, :], c, -float("inf"))
    m_new = tl.maximum(m, tl.max(c, 1))
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = _exp(m - m_hat)
    p = _exp(c - m_hat[:, None])
    l_new = l * alpha + tl.sum(p, 1)
    v = tl.load(v_ptr + j[None, :] * v_j + e[:, None] * v_e, mask=in_j[None, :] & in_e[:, None], other=0.0).to(tl.float32)
    acc_new = acc * alpha + tl.sum(v * p, 1)
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
def aft_rolling(
    k_ptr, o_ptr, q_ptr, v_ptr, w_ptr, k_e, k_j, k_lead0, k_lead1, o_e, o_i, o_lead0, o_lead1, q_e, q_i, q_lead0,
    q_lead1, v_e, v_j, v_lead0, v_lead1, w_i, w_j, w_lead0, w_lead1, size_e, size_i, size_j, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, ONE_TILE: tl.constexpr, RAGGED: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_e, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    e = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_e = e < size_e
    lead = batch
    i = (lead % size_i).to(INDEX)
    lead = lead // size_i
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    w_ptr += lead0 * w_lead0 + lead1 * w_lead1
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    q = tl.load(q_ptr + i * q_i + e * q_e, mask=in_e, other=0.0).to(tl.float32)
    f = _sigmoid(q)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M], 0.0, tl.float32)
    last = 0 if ONE_TILE else (tl.cdiv(size_j, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            m, l, acc = _step(
                m, l, acc, j0, k_ptr, v_ptr, w_ptr, e, i, in_e, k_e, k_j, v_e, v_j, w_i, w_j, size_j, BLOCK_N, INDEX,
                False,
            )
    m, l, acc = _step(
        m, l, acc, last, k_ptr, v_ptr, w_ptr, e, i, in_e, k_e, k_j, v_e, v_j, w_i, w_j, size_j, BLOCK_N, INDEX,
        RAGGED,
    )
    l_safe = tl.where(l != 0.0, l, 1.0)
    o = tl.where(l != 0.0, acc * f / l_safe, float("nan"))
    tl.store(o_ptr + i * o_i + e * o_e, o.to(o_ptr.dtype.element_ty), mask=in_e)


@triton.jit
def aft_parts(
    k_ptr, part_acc_ptr, part_l_ptr, part_m_ptr, v_ptr, w_ptr, chunk, k_e, k_j, k_lead0, k_lead1, v_e, v_j, v_lead0,
    v_lead1, w_i, w_j, w_lead0, w_lead1, size_batch, size_e, size_i, size_j, size_lead, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr, RAGGED: tl.constexpr,
):
    # One program leaves the state of one part of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_e, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    e = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_e = e < size_e
    lead = batch
    i = (lead % size_i).to(INDEX)
    lead = lead // size_i
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    w_ptr += lead0 * w_lead0 + lead1 * w_lead1
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
            m, l, acc, j0, k_ptr, v_ptr, w_ptr, e, i, in_e, k_e, k_j, v_e, v_j, w_i, w_j, size_j, BLOCK_N, INDEX,
            False,
        )
    if RAGGED:
        for j0 in range(free_hi, hi, BLOCK_N):
            m, l, acc = _step(
                m, l, acc, j0, k_ptr, v_ptr, w_ptr, e, i, in_e, k_e, k_j, v_e, v_j, w_i, w_j, size_j, BLOCK_N, INDEX,
                True,
            )
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_e + e), m, mask=in_e)
    tl.store(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_e + e), l, mask=in_e)
    tl.store(part_acc_ptr + ((part * size_batch + batch).to(tl.int64) * size_e + e), acc, mask=in_e)


@triton.jit
def aft_finish(
    o_ptr, part_acc_ptr, part_l_ptr, part_m_ptr, q_ptr, o_e, o_i, o_lead0, o_lead1, parts, q_e, q_i, q_lead0, q_lead1,
    size_batch, size_e, size_i, size_lead, BLOCK_M: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_e, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    e = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_e = e < size_e
    lead = batch
    i = (lead % size_i).to(INDEX)
    lead = lead // size_i
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    q = tl.load(q_ptr + i * q_i + e * q_e, mask=in_e, other=0.0).to(tl.float32)
    f = _sigmoid(q)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_e + e), mask=in_e, other=-float("inf"))
        l_part = tl.load(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_e + e), mask=in_e, other=0.0)
        acc_part = tl.load(part_acc_ptr + ((part * size_batch + batch).to(tl.int64) * size_e + e), mask=in_e, other=0.0)
        m, l, acc = _merge(m, l, acc, m_part, l_part, acc_part)
    l_safe = tl.where(l != 0.0, l, 1.0)
    o = tl.where(l != 0.0, acc * f / l_safe, float("nan"))
    tl.store(o_ptr + i * o_i + e * o_e, o.to(o_ptr.dtype.element_ty), mask=in_e)


def aft(q, k, v, w, *, out=None, schedule="auto",
        splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q [..., i, e]; k [..., j, e]; v [..., j, e]; w [..., i, j] -> o [..., i, e].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(q, k, v, w, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((q, k, v, w), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(q, k, v, w, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"q": q, "k": k, "v": v, "w": w}
    size = rt.sizes(TABLES, inputs)
    device = q.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {}
    batch = math.prod(lead) * size["i"]
    block_m, block_n = rt.row_blocks(
        TABLES, block_m, block_n, size["e"], size["j"], batch, q.element_size(), rt.units(device),
        across=rt.across(TABLES, views, "e", "j"),
    )
    num_warps = num_warps or rt.row_warps(TABLES, block_m, block_n, size["j"], q.element_size())
    slots = rt.row_slots(num_warps, rt.units(device))
    programs = batch * triton.cdiv(size["e"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    args = {
        "size_e": size["e"], "size_i": size["i"], "size_j": size["j"], "size_lead": lead[-1] if lead else 1,
        "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "ONE_TILE": size["j"] <= block_n, "RAGGED": size["j"] % block_n > 0 or size["j"] == 0,
        "OPERAND": rt.operand(q.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(aft_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_m_ptr": ((parts, batch, size["e"]), torch.float32),
        "part_l_ptr": ((parts, batch, size["e"]), torch.float32),
        "part_acc_ptr": ((parts, batch, size["e"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["e"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (aft_parts, (programs, parts), args, options),
        (aft_finish, (batch * triton.cdiv(size["e"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(q, k, v, w):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"q": q, "k": k, "v": v, "w": w}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = q.dtype, q.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    m = rt.largest(k[..., None, :, :] + w[..., :, :, None], -2)
    p = torch.exp(k[..., None, :, :] + w[..., :, :, None] - m[..., :, None, :])
    out["o"] = rt.full((v[..., None, :, :] * p).sum(-2) * torch.sigmoid(q) / p.sum(-2), lead + (size["i"], size["e"],), dtype, device)
    return rt.result(out)
