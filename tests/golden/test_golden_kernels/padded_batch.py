"""padded_batch: o and its kernels, emitted by refold from a proved plan.

    s[b,h,i,j] = (Σ_d k[b,h,j,d]·q[b,h,i,d])/√|d| where j ≤ i and j < length[b], else -∞
    m[b,h,i] = max_j s[b,h,i,j]
    p[b,h,i,j] = exp(s[b,h,i,j] - m[b,h,i])
    o[b,h,i,e] = (Σ_j p[b,h,i,j]·v[b,h,j,e])/(Σ_j p[b,h,i,j])
    with 0 where a reduction ranges over nothing

The proof is padded_batch.proof.json, the test test_padded_batch.py. Needs torch and triton alone.
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
_position, _ratio = rt._position, rt.ratio
TABLES = rt.Tables(
    name="padded_batch",
    inputs={"q": ("b", "h", "i", "d",), "k": ("b", "h", "j", "d",), "v": ("b", "h", "j", "e",), "length": ("b",)},
    outputs={"o": ("b", "h", "i", "e",)}, dtypes={"q": "float", "k": "float", "v": "float", "length": "int32"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), dots=True, masks=True,
    descriptors={"k": (1, 1, 1, 1, "BLOCK_N", "BLOCK_d"), "q": (1, 1, 1, 1, "BLOCK_M", "BLOCK_d"), "v": (1, 1, 1, 1, "BLOCK_N", "BLOCK_e")},
)


@triton.jit
def _step(
    m, l, acc, j0, k_desc, k_ptr, v_desc, v_ptr, b, d, e, h, i, in_d, in_e, k_b, k_d, k_h, k_j, lead0, lead1, length, q,
    scale_2, v_b, v_e, v_h, v_j, size_j, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr,
    DESC: tl.constexpr, INDEX: tl.constexpr, MASKED: tl.constexpr, OPERAND: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    k = k_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), b.to(tl.int32), h.to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_d) if DESC else tl.load(k_ptr + b * k_b + h * k_h + j[:, None] * k_j + d[None, :] * k_d, mask=in_j[:, None] & in_d[None, :], other=0.0)
    dot = tl.dot(q.to(OPERAND), tl.trans(k.to(OPERAND)), input_precision="ieee")
    if MASKED:
        dot = tl.where(in_j[None, :] & (j[None, :] <= i[:, None]) & (j < length)[None, :], dot, -float("inf"))
    m_new = tl.maximum(m, tl.max(dot, 1) * scale_2)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    p = tl.exp2(dot * scale_2 - m_hat[:, None])
    l_new = l * alpha + tl.sum(p, 1)
    v = v_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), b.to(tl.int32), h.to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_e) if DESC else tl.load(v_ptr + b * v_b + h * v_h + j[:, None] * v_j + e[None, :] * v_e, mask=in_j[:, None] & in_e[None, :], other=0.0)
    acc_new = tl.dot(p.to(OPERAND), v.to(OPERAND), acc * alpha[:, None], input_precision="ieee")
    return m_new, l_new, acc_new


@triton.jit
def _merge(m, l, acc, m_part, l_part, acc_part):
    # Two states, each corrected to the anchors of both together, then joined.
    m_new = tl.maximum(m, m_part)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    alpha_2 = tl.exp2(m_part - m_hat)
    l_new = l * alpha + l_part * alpha_2
    acc_new = acc * alpha[:, None] + acc_part * alpha_2[:, None]
    return m_new, l_new, acc_new


@triton.jit
def padded_batch_rolling(
    k_desc, k_ptr, length_ptr, o_ptr, q_desc, q_ptr, v_desc, v_ptr, k_b, k_d, k_h, k_j, k_lead0, k_lead1, length_b,
    length_lead0, length_lead1, o_b, o_e, o_h, o_i, o_lead0, o_lead1, q_b, q_d, q_h, q_i, q_lead0, q_lead1, scale_2,
    side, v_b, v_e, v_h, v_j, v_lead0, v_lead1, size_b, size_batch, size_h, size_i, size_j, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr, DESC: tl.constexpr,
    INDEX: tl.constexpr, OPERAND: tl.constexpr, SIZE_d: tl.constexpr, SIZE_e: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    before = pid // (tiles * side) * side
    beside = tl.minimum(size_batch - before, side)
    place = pid % (tiles * side)
    i0 = (tiles - 1 - place // beside) * BLOCK_M
    batch = before + place % beside
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    first_row = i0
    last_row = tl.minimum(i0 + BLOCK_M, size_i) - 1
    lead = batch
    h = (lead % size_h).to(INDEX)
    lead = lead // size_h
    b = (lead % size_b).to(INDEX)
    lead = lead // size_b
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    d = tl.arange(0, BLOCK_d).to(INDEX)  # [BLOCK_d]
    in_d = d < SIZE_d
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    length_ptr += lead0 * length_lead0 + lead1 * length_lead1
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    length = tl.load(length_ptr + b * length_b)
    q = q_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), b.to(tl.int32), h.to(tl.int32), i0, 0]).reshape(BLOCK_M, BLOCK_d) if DESC else tl.load(q_ptr + b * q_b + h * q_h + i[:, None] * q_i + d[None, :] * q_d, mask=in_i[:, None] & in_d[None, :], other=0.0)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    lo = 0
    hi = size_j
    free_hi = hi
    hi = tl.minimum(hi, last_row + 1)
    hi = tl.minimum(hi, _position(length))
    free_hi = tl.minimum(free_hi, first_row + 1)
    free_hi = tl.minimum(free_hi, _position(length))
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, k_desc, k_ptr, v_desc, v_ptr, b, d, e, h, i, in_d, in_e, k_b, k_d, k_h, k_j, lead0,
            lead1, length, q, scale_2, v_b, v_e, v_h, v_j, size_j, BLOCK_N, BLOCK_d, BLOCK_e, DESC, INDEX, False,
            OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, k_desc, k_ptr, v_desc, v_ptr, b, d, e, h, i, in_d, in_e, k_b, k_d, k_h, k_j, lead0,
            lead1, length, q, scale_2, v_b, v_e, v_h, v_j, size_j, BLOCK_N, BLOCK_d, BLOCK_e, DESC, INDEX, True,
            OPERAND,
        )
    l_safe = tl.where(l != 0.0, l, 1.0)
    o = tl.where((l != 0.0)[:, None], acc * (1.0 / l_safe)[:, None], 0.0)
    tl.store(o_ptr + b * o_b + h * o_h + i[:, None] * o_i + e[None, :] * o_e, o.to(o_ptr.dtype.element_ty), mask=in_i[:, None] & in_e[None, :])


@triton.jit
def padded_batch_parts(
    k_desc, k_ptr, length_ptr, part_acc_ptr, part_l_ptr, part_m_ptr, q_desc, q_ptr, v_desc, v_ptr, chunk, k_b, k_d, k_h,
    k_j, k_lead0, k_lead1, length_b, length_lead0, length_lead1, q_b, q_d, q_h, q_i, q_lead0, q_lead1, scale_2, side,
    v_b, v_e, v_h, v_j, v_lead0, v_lead1, size_b, size_batch, size_h, size_i, size_j, size_lead, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr,
    OPERAND: tl.constexpr, OVERLAP: tl.constexpr, SIZE_d: tl.constexpr, SIZE_e: tl.constexpr,
):
    # One program leaves the state of one part of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    before = pid // (tiles * side) * side
    beside = tl.minimum(size_batch - before, side)
    place = pid % (tiles * side)
    i0 = (tiles - 1 - place // beside) * BLOCK_M
    batch = before + place % beside
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    first_row = i0
    last_row = tl.minimum(i0 + BLOCK_M, size_i) - 1
    lead = batch
    h = (lead % size_h).to(INDEX)
    lead = lead // size_h
    b = (lead % size_b).to(INDEX)
    lead = lead // size_b
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    d = tl.arange(0, BLOCK_d).to(INDEX)  # [BLOCK_d]
    in_d = d < SIZE_d
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    length_ptr += lead0 * length_lead0 + lead1 * length_lead1
    length = tl.load(length_ptr + b * length_b)
    q = q_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), b.to(tl.int32), h.to(tl.int32), i0, 0]).reshape(BLOCK_M, BLOCK_d) if DESC else tl.load(q_ptr + b * q_b + h * q_h + i[:, None] * q_i + d[None, :] * q_d, mask=in_i[:, None] & in_d[None, :], other=0.0)
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.minimum(hi, last_row + 1)
    hi = tl.minimum(hi, _position(length))
    free_hi = tl.minimum(free_hi, first_row + 1)
    free_hi = tl.minimum(free_hi, _position(length))
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, k_desc, k_ptr, v_desc, v_ptr, b, d, e, h, i, in_d, in_e, k_b, k_d, k_h, k_j, lead0,
            lead1, length, q, scale_2, v_b, v_e, v_h, v_j, size_j, BLOCK_N, BLOCK_d, BLOCK_e, DESC, INDEX, False,
            OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, k_desc, k_ptr, v_desc, v_ptr, b, d, e, h, i, in_d, in_e, k_b, k_d, k_h, k_j, lead0,
            lead1, length, q, scale_2, v_b, v_e, v_h, v_j, size_j, BLOCK_N, BLOCK_d, BLOCK_e, DESC, INDEX, True,
            OPERAND,
        )
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m, mask=in_i)
    tl.store(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), l, mask=in_i)
    tl.store(part_acc_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_e + e[None, :]), acc, mask=in_i[:, None] & in_e[None, :])


@triton.jit
def padded_batch_finish(
    o_ptr, part_acc_ptr, part_l_ptr, part_m_ptr, o_b, o_e, o_h, o_i, o_lead0, o_lead1, parts, side, size_b, size_batch,
    size_h, size_i, size_lead, BLOCK_M: tl.constexpr, BLOCK_e: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
    SIZE_e: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    before = pid // (tiles * side) * side
    beside = tl.minimum(size_batch - before, side)
    place = pid % (tiles * side)
    i0 = (tiles - 1 - place // beside) * BLOCK_M
    batch = before + place % beside
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    h = (lead % size_h).to(INDEX)
    lead = lead // size_h
    b = (lead % size_b).to(INDEX)
    lead = lead // size_b
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        l_part = tl.load(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        acc_part = tl.load(part_acc_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_e + e[None, :]), mask=in_i[:, None] & in_e[None, :], other=0.0)
        m, l, acc = _merge(m, l, acc, m_part, l_part, acc_part)
    l_safe = tl.where(l != 0.0, l, 1.0)
    o = tl.where((l != 0.0)[:, None], acc * (1.0 / l_safe)[:, None], 0.0)
    tl.store(o_ptr + b * o_b + h * o_h + i[:, None] * o_i + e[None, :] * o_e, o.to(o_ptr.dtype.element_ty), mask=in_i[:, None] & in_e[None, :])


def padded_batch(q, k, v, length, *, out=None, schedule="auto",
                 splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q [..., b, h, i, d]; k [..., b, h, j, d]; v [..., b, h, j, e]; length [..., b] -> o [..., b, h, i, e].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(q, k, v, length, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((q, k, v, length), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(q, k, v, length, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"q": q, "k": k, "v": v, "length": length}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "d", "e")
    device = q.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_d": rt.pad(size["d"], 16), "BLOCK_e": rt.pad(size["e"], 16)}
    batch = math.prod(lead) * size["b"] * size["h"]
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, size["i"], size["j"], batch, pads, q.element_size(), device,
    )
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    args = {
        "scale_2": _ratio(1, math.sqrt(size["d"]) * 0.6931471805599453), "size_b": size["b"], "size_h": size["h"],
        "size_i": size["i"], "size_j": size["j"], "SIZE_d": size["d"], "SIZE_e": size["e"],
        "size_lead": lead[-1] if lead else 1, "size_batch": batch, "parts": parts, "chunk": chunk,
        "side": rt.side(k.nbytes + v.nbytes, batch, device), "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "OPERAND": rt.operand(q.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    descriptors = rt.descriptors(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(padded_batch_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied, descriptors=descriptors)
    work = {
        "part_m_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_l_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_acc_ptr": ((parts, batch, size["i"], size["e"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (padded_batch_parts, (programs, parts), args, options),
        (padded_batch_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied, descriptors=descriptors)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(q, k, v, length):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"q": q, "k": k, "v": v, "length": length}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = q.dtype, q.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    i = torch.arange(size["i"], device=device)
    j = torch.arange(size["j"], device=device)
    s = rt.where(((j[..., None, :] <= i[..., :, None])[..., None, :, :] & (j[..., None, :] < length[..., :, None])[..., :, None, :])[..., :, None, :, :], torch.einsum("...abde,...abce->...abcd", k, q) / math.sqrt(size["d"]), -math.inf, dtype, device)
    m = rt.largest(s, -1)
    p = torch.exp(s - m[..., :, :, :, None])
    hidden = (j[..., None, :] > i[..., :, None])[..., None, :, :] | (j[..., None, :] >= length[..., :, None])[..., :, None, :]
    p_kept = rt.kept(p, hidden[..., :, None, :, :], 0)
    out["o"] = rt.full(rt.where(hidden.all(-1)[..., :, None, :, None], 0, torch.einsum("...abdf,...abcd->...abcf", v, p_kept) / p_kept.sum(-1)[..., :, :, :, None], dtype, device), lead + (size["b"], size["h"], size["i"], size["e"],), dtype, device)
    return rt.result(out)
