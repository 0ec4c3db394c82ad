"""hash_dropout_attention: o and its kernels, emitted by refold from a proved plan.

    s[i,j] = (Σ_d k[j,d]·q[i,d])/√|d|
    m[i] = max_j s[i,j]
    p[i,j] = exp(s[i,j] - m[i])
    o[i,e] = (Σ_j v[j,e]·(p[i,j] where Mod(40503·i + 30103·j, 65536) < keep_below, else 0))/((1 - rate)·(Σ_j p[i,j]))

The proof is hash_dropout_attention.proof.json, the test test_hash_dropout_attention.py. Needs torch and triton alone.
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
_ratio = rt.ratio
TABLES = rt.Tables(
    name="hash_dropout_attention", inputs={"q": ("i", "d",), "k": ("j", "d",), "v": ("j", "e",)},
    outputs={"o": ("i", "e",)}, dtypes={"q": "float", "k": "float", "v": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), dots=True,
    descriptors={"k": (1, 1, "BLOCK_N", "BLOCK_d"), "q": (1, 1, "BLOCK_M", "BLOCK_d"), "v": (1, 1, "BLOCK_N", "BLOCK_e")},
    words={"keep_below": "int", "rate": "float"},
)


@triton.jit
def _step(
    m, l, m2, acc, j0, k_desc, k_ptr, v_desc, v_ptr, d, e, i, in_d, in_e, k_d, k_j, keep_below, lead0, lead1, q,
    scale_2, v_e, v_j, size_j, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr, DESC: tl.constexpr,
    INDEX: tl.constexpr, MASKED: tl.constexpr, OPERAND: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    k = k_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_d) if DESC else tl.load(k_ptr + j[:, None] * k_j + d[None, :] * k_d, mask=in_j[:, None] & in_d[None, :], other=0.0)
    dot = tl.dot(q.to(OPERAND), tl.trans(k.to(OPERAND)), input_precision="ieee")
    if MASKED:
        dot = tl.where(in_j[None, :], dot, -float("inf"))
    m_new = tl.maximum(m, tl.max(dot, 1) * scale_2)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    p = tl.exp2(dot * scale_2 - m_hat[:, None])
    l_new = l * alpha + tl.sum(p, 1)
    s2 = tl.where((30103 * j)[None, :] + (40503 * i)[:, None] - ((30103 * j)[None, :] + (40503 * i)[:, None]) // 65536 * 65536 < keep_below, dot * scale_2, -float("inf"))
    if MASKED:
        s2 = tl.where(in_j[None, :], s2, -float("inf"))
    m2_new = tl.maximum(m2, tl.max(s2, 1))
    m2_hat = tl.where(m2_new != -float("inf"), m2_new, 0.0)
    alpha_2 = tl.exp2(m2 - m2_hat)
    p_2 = tl.exp2(s2 - m2_hat[:, None])
    v = v_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_e) if DESC else tl.load(v_ptr + j[:, None] * v_j + e[None, :] * v_e, mask=in_j[:, None] & in_e[None, :], other=0.0)
    acc_new = tl.dot(p_2.to(OPERAND), v.to(OPERAND), acc * alpha_2[:, None], input_precision="ieee")
    return m_new, l_new, m2_new, acc_new


@triton.jit
def _merge(m, l, m2, acc, m_part, l_part, m2_part, acc_part):
    # Two states, each corrected to the anchors of both together, then joined.
    m_new = tl.maximum(m, m_part)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    alpha_2 = tl.exp2(m_part - m_hat)
    l_new = l * alpha + l_part * alpha_2
    m2_new = tl.maximum(m2, m2_part)
    m2_hat = tl.where(m2_new != -float("inf"), m2_new, 0.0)
    alpha_3 = tl.exp2(m2 - m2_hat)
    alpha_4 = tl.exp2(m2_part - m2_hat)
    acc_new = acc * alpha_3[:, None] + acc_part * alpha_4[:, None]
    return m_new, l_new, m2_new, acc_new


@triton.jit
def hash_dropout_attention_rolling(
    k_desc, k_ptr, o_ptr, q_desc, q_ptr, v_desc, v_ptr, k_d, k_j, k_lead0, k_lead1, keep_below, o_e, o_i, o_lead0,
    o_lead1, q_d, q_i, q_lead0, q_lead1, scale_2, scale_3, v_e, v_j, v_lead0, v_lead1, size_i, size_j, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr, DESC: tl.constexpr,
    INDEX: tl.constexpr, OPERAND: tl.constexpr, SIZE_d: tl.constexpr, SIZE_e: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    keep_below = tl.cast(keep_below, INDEX)
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    d = tl.arange(0, BLOCK_d).to(INDEX)  # [BLOCK_d]
    in_d = d < SIZE_d
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    q = q_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), i0, 0]).reshape(BLOCK_M, BLOCK_d) if DESC else tl.load(q_ptr + i[:, None] * q_i + d[None, :] * q_d, mask=in_i[:, None] & in_d[None, :], other=0.0)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    m2 = tl.full([BLOCK_M], -float("inf"), tl.float32)
    acc = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    lo = 0
    hi = size_j
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l, m2, acc = _step(
            m, l, m2, acc, j0, k_desc, k_ptr, v_desc, v_ptr, d, e, i, in_d, in_e, k_d, k_j, keep_below, lead0,
            lead1, q, scale_2, v_e, v_j, size_j, BLOCK_N, BLOCK_d, BLOCK_e, DESC, INDEX, False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, l, m2, acc = _step(
            m, l, m2, acc, j0, k_desc, k_ptr, v_desc, v_ptr, d, e, i, in_d, in_e, k_d, k_j, keep_below, lead0,
            lead1, q, scale_2, v_e, v_j, size_j, BLOCK_N, BLOCK_d, BLOCK_e, DESC, INDEX, True, OPERAND,
        )
    l_safe = tl.where(l != 0.0, l, 1.0)
    alpha_5 = tl.exp2(m2 - m)
    o = tl.where((l != 0.0)[:, None], acc * alpha_5[:, None] * scale_3 * (1.0 / l_safe)[:, None], float("nan"))
    tl.store(o_ptr + i[:, None] * o_i + e[None, :] * o_e, o.to(o_ptr.dtype.element_ty), mask=in_i[:, None] & in_e[None, :])


@triton.jit
def hash_dropout_attention_parts(
    k_desc, k_ptr, part_acc_ptr, part_l_ptr, part_m2_ptr, part_m_ptr, q_desc, q_ptr, v_desc, v_ptr, chunk, k_d, k_j,
    k_lead0, k_lead1, keep_below, q_d, q_i, q_lead0, q_lead1, scale_2, v_e, v_j, v_lead0, v_lead1, size_batch, size_i,
    size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr,
    DESC: tl.constexpr, INDEX: tl.constexpr, OPERAND: tl.constexpr, OVERLAP: tl.constexpr, SIZE_d: tl.constexpr,
    SIZE_e: tl.constexpr,
):
    # One program leaves the state of one part of axis j.
    keep_below = tl.cast(keep_below, INDEX)
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    d = tl.arange(0, BLOCK_d).to(INDEX)  # [BLOCK_d]
    in_d = d < SIZE_d
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    q = q_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), i0, 0]).reshape(BLOCK_M, BLOCK_d) if DESC else tl.load(q_ptr + i[:, None] * q_i + d[None, :] * q_d, mask=in_i[:, None] & in_d[None, :], other=0.0)
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    m2 = tl.full([BLOCK_M], -float("inf"), tl.float32)
    acc = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l, m2, acc = _step(
            m, l, m2, acc, j0, k_desc, k_ptr, v_desc, v_ptr, d, e, i, in_d, in_e, k_d, k_j, keep_below, lead0,
            lead1, q, scale_2, v_e, v_j, size_j, BLOCK_N, BLOCK_d, BLOCK_e, DESC, INDEX, False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, l, m2, acc = _step(
            m, l, m2, acc, j0, k_desc, k_ptr, v_desc, v_ptr, d, e, i, in_d, in_e, k_d, k_j, keep_below, lead0,
            lead1, q, scale_2, v_e, v_j, size_j, BLOCK_N, BLOCK_d, BLOCK_e, DESC, INDEX, True, OPERAND,
        )
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m, mask=in_i)
    tl.store(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), l, mask=in_i)
    tl.store(part_m2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m2, mask=in_i)
    tl.store(part_acc_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_e + e[None, :]), acc, mask=in_i[:, None] & in_e[None, :])


@triton.jit
def hash_dropout_attention_finish(
    o_ptr, part_acc_ptr, part_l_ptr, part_m2_ptr, part_m_ptr, o_e, o_i, o_lead0, o_lead1, parts, scale_3, size_batch,
    size_i, size_lead, BLOCK_M: tl.constexpr, BLOCK_e: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
    SIZE_e: tl.constexpr,
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
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    m2 = tl.full([BLOCK_M], -float("inf"), tl.float32)
    acc = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        l_part = tl.load(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        m2_part = tl.load(part_m2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        acc_part = tl.load(part_acc_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_e + e[None, :]), mask=in_i[:, None] & in_e[None, :], other=0.0)
        m, l, m2, acc = _merge(m, l, m2, acc, m_part, l_part, m2_part, acc_part)
    l_safe = tl.where(l != 0.0, l, 1.0)
    alpha_5 = tl.exp2(m2 - m)
    o = tl.where((l != 0.0)[:, None], acc * alpha_5[:, None] * scale_3 * (1.0 / l_safe)[:, None], float("nan"))
    tl.store(o_ptr + i[:, None] * o_i + e[None, :] * o_e, o.to(o_ptr.dtype.element_ty), mask=in_i[:, None] & in_e[None, :])


def hash_dropout_attention(q, k, v, *, keep_below, rate, out=None, schedule="auto",
                           splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q [..., i, d]; k [..., j, d]; v [..., j, e] -> o [..., i, e].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(q, k, v, keep_below, rate, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((q, k, v), out, (keep_below, rate, schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(q, k, v, given, keep_below, rate, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"q": q, "k": k, "v": v}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "d", "e")
    keep_below = rt.scalar(TABLES, "keep_below", keep_below, integer=True, positive=False)
    rate = rt.scalar(TABLES, "rate", rate, integer=False, positive=False)
    keep_below = rt.limited(keep_below, 65536)
    device = q.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_d": rt.pad(size["d"], 16), "BLOCK_e": rt.pad(size["e"], 16)}
    batch = math.prod(lead)
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, size["i"], size["j"], batch, pads, q.element_size(), device,
    )
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    args = {
        "scale_2": _ratio(1, math.sqrt(size["d"]) * 0.6931471805599453), "scale_3": _ratio(1, 1 - rate),
        "keep_below": keep_below, "rate": rate, "size_i": size["i"], "size_j": size["j"], "SIZE_d": size["d"],
        "SIZE_e": size["e"], "size_lead": lead[-1] if lead else 1, "size_batch": batch, "parts": parts, "chunk": chunk,
        "BLOCK_M": block_m, "BLOCK_N": block_n, **pads, "OPERAND": rt.operand(q.dtype), "STAGES": num_stages or 3,
        "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views, max(0, 30103 * size["j"] + 40503 * size["i"] + 148071514112, abs(keep_below)))
    descriptors = rt.descriptors(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(hash_dropout_attention_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied, descriptors=descriptors)
    work = {
        "part_m_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_l_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_m2_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_acc_ptr": ((parts, batch, size["i"], size["e"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (hash_dropout_attention_parts, (programs, parts), args, options),
        (hash_dropout_attention_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied, descriptors=descriptors)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(q, k, v, *, keep_below, rate):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"q": q, "k": k, "v": v}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = q.dtype, q.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    i = torch.arange(size["i"], device=device)
    j = torch.arange(size["j"], device=device)
    s = torch.einsum("...bc,...ac->...ab", k, q) / math.sqrt(size["d"])
    m = rt.largest(s, -1)
    p = torch.exp(s - m[..., :, None])
    out["o"] = rt.full(torch.einsum("...bd,...ab->...ad", v, rt.where(((j * 30103)[..., None, :] + (i * 40503)[..., :, None]) % 65536 < keep_below, p, 0, dtype, device)) / (1 - rate) / p.sum(-1)[..., :, None], lead + (size["i"], size["e"],), dtype, device)
    return rt.result(out)
