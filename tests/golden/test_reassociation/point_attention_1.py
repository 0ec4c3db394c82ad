"""point_attention_1: o and its kernels, emitted by refold from a proved plan.

    s[h,i,j] = (Σ_d k[h,j,d]·q[h,i,d])/√|d|
    s2[h,i,j] = (Σ_p k_points[h,j,p]² + Σ_p q_points[h,i,p]² - 2·(Σ_p k_points[h,j,p]·q_points[h,i,p]))·w[h]
    m[h,i] = max_j (b[h,i,j] + s[h,i,j] - s2[h,i,j])
    p2[h,i,j] = exp(b[h,i,j] + s[h,i,j] - m[h,i] - s2[h,i,j])
    o[h,i,e] = (Σ_j p2[h,i,j]·v[h,j,e])/(Σ_j p2[h,i,j])
    o_pairs[h,i,c] = (Σ_j p2[h,i,j]·pairs[i,j,c])/(Σ_j p2[h,i,j])
    o_points[h,i,x] = (Σ_j p2[h,i,j]·points[h,j,x])/(Σ_j p2[h,i,j])

The proof is point_attention_1.proof.json, the test test_point_attention_1.py. Needs torch and triton alone.
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


rt = load_beside("refold_runtime.py", "of that file")
_ratio = rt.ratio
TABLES = rt.Tables(
    name="point_attention_1",
    inputs={"q": ("h", "i", "d",), "k": ("h", "j", "d",), "b": ("h", "i", "j",), "q_points": ("h", "i", "p",), "k_points": ("h", "j", "p",), "w": ("h",), "v": ("h", "j", "e",), "pairs": ("i", "j", "c",), "points": ("h", "j", "x",)},
    outputs={"o": ("h", "i", "e",), "o_pairs": ("h", "i", "c",), "o_points": ("h", "i", "x",)},
    dtypes={"q": "float", "k": "float", "b": "float", "q_points": "float", "k_points": "float", "w": "float", "v": "float", "pairs": "float", "points": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), dots=True,
    descriptors={"b": (1, 1, 1, "BLOCK_M", "BLOCK_N"), "k": (1, 1, 1, "BLOCK_N", "BLOCK_d"), "points": (1, 1, 1, "BLOCK_N", "BLOCK_x"), "q": (1, 1, 1, "BLOCK_M", "BLOCK_d"), "q_points": (1, 1, 1, "BLOCK_M", "BLOCK_p"), "v": (1, 1, 1, "BLOCK_N", "BLOCK_e")},
)


@triton.jit
def _step(
    m, l, acc, acc2, acc3, j0, b_desc, b_ptr, k_desc, k_points_ptr, k_ptr, pairs_ptr, points_desc, points_ptr, q_desc,
    q_points_ptr, q_ptr, v_desc, v_ptr, b_h, b_i, b_j, c, e, h, i, i0, in_c, in_e, in_i, in_x, k_d, k_h, k_j,
    k_points_h, k_points_j, k_points_p, lead0, lead1, pairs_c, pairs_i, pairs_j, points_h, points_j, points_x, q_d, q_h,
    q_i, q_points_h, q_points_i, q_points_p, r_2, scale_2, still_2, v_e, v_h, v_j, x, size_j, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr, BLOCK_p: tl.constexpr, BLOCK_x: tl.constexpr,
    DESC: tl.constexpr, INDEX: tl.constexpr, MASKED: tl.constexpr, OPERAND: tl.constexpr, SIZE_d: tl.constexpr,
    SIZE_p: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    b = (b_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), h.to(tl.int32), i0, j0]).reshape(BLOCK_M, BLOCK_N) if DESC else tl.load(b_ptr + h * b_h + i[:, None] * b_i + j[None, :] * b_j, mask=in_i[:, None] & in_j[None, :], other=0.0)).to(tl.float32)
    dot = tl.full([BLOCK_M, BLOCK_N], 0.0, tl.float32)
    for d0 in range(0, SIZE_d, BLOCK_d):
        d = (d0 + tl.arange(0, BLOCK_d)).to(INDEX)
        in_d = d < SIZE_d
        q = q_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), h.to(tl.int32), i0, d0]).reshape(BLOCK_M, BLOCK_d) if DESC else tl.load(q_ptr + h * q_h + i[:, None] * q_i + d[None, :] * q_d, mask=in_i[:, None] & in_d[None, :], other=0.0)
        k = k_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), h.to(tl.int32), j0, d0]).reshape(BLOCK_N, BLOCK_d) if DESC else tl.load(k_ptr + h * k_h + j[:, None] * k_j + d[None, :] * k_d, mask=in_j[:, None] & in_d[None, :], other=0.0)
        dot = tl.dot(q.to(OPERAND), tl.trans(k.to(OPERAND)), dot, input_precision="ieee")
    r = tl.full([BLOCK_N], 0.0, tl.float32)
    for p0 in range(0, SIZE_p, BLOCK_p):
        p = (p0 + tl.arange(0, BLOCK_p)).to(INDEX)
        in_p = p < SIZE_p
        k_points = tl.load(k_points_ptr + h * k_points_h + j[:, None] * k_points_j + p[None, :] * k_points_p, mask=in_j[:, None] & in_p[None, :], other=0.0).to(tl.float32)
        r = r + tl.sum(tl.where(in_p[None, :], k_points * k_points, 0.0), 1)
    dot_2 = tl.full([BLOCK_M, BLOCK_N], 0.0, tl.float32)
    for p0_3 in range(0, SIZE_p, BLOCK_p):
        p = (p0_3 + tl.arange(0, BLOCK_p)).to(INDEX)
        in_p = p < SIZE_p
        q_points_2 = tl.load(q_points_ptr + h * q_points_h + i[:, None] * q_points_i + p[None, :] * q_points_p, mask=in_i[:, None] & in_p[None, :], other=0.0)
        k_points_2 = tl.load(k_points_ptr + h * k_points_h + j[:, None] * k_points_j + p[None, :] * k_points_p, mask=in_j[:, None] & in_p[None, :], other=0.0)
        dot_2 = tl.dot(q_points_2.to(OPERAND), tl.trans(k_points_2.to(OPERAND)), dot_2, input_precision="ieee")
    s = b * 1.4426950408889634 + dot * scale_2 - (r[None, :] + r_2[:, None] - dot_2 * 2.0) * still_2
    if MASKED:
        s = tl.where(in_j[None, :], s, -float("inf"))
    m_new = tl.maximum(m, tl.max(s, 1))
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    p_2 = tl.exp2(s - m_hat[:, None])
    l_new = l * alpha + tl.sum(p_2, 1)
    v = v_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), h.to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_e) if DESC else tl.load(v_ptr + h * v_h + j[:, None] * v_j + e[None, :] * v_e, mask=in_j[:, None] & in_e[None, :], other=0.0)
    acc_new = tl.dot(p_2.to(OPERAND), v.to(OPERAND), acc * alpha[:, None], input_precision="ieee")
    pairs = tl.load(pairs_ptr + i[:, None, None] * pairs_i + j[None, :, None] * pairs_j + c[None, None, :] * pairs_c, mask=in_i[:, None, None] & in_j[None, :, None] & in_c[None, None, :], other=0.0).to(tl.float32)
    acc2_new = acc2 * alpha[:, None] + tl.sum(pairs * p_2[:, :, None], 1)
    points = points_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), h.to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_x) if DESC else tl.load(points_ptr + h * points_h + j[:, None] * points_j + x[None, :] * points_x, mask=in_j[:, None] & in_x[None, :], other=0.0)
    acc3_new = tl.dot(p_2.to(OPERAND), points.to(OPERAND), acc3 * alpha[:, None], input_precision="ieee")
    return m_new, l_new, acc_new, acc2_new, acc3_new


@triton.jit
def _merge(m, l, acc, acc2, acc3, m_part, l_part, acc_part, acc2_part, acc3_part):
    # Two states, each corrected to the anchors of both together, then joined.
    m_new = tl.maximum(m, m_part)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    alpha_2 = tl.exp2(m_part - m_hat)
    l_new = l * alpha + l_part * alpha_2
    acc_new = acc * alpha[:, None] + acc_part * alpha_2[:, None]
    acc2_new = acc2 * alpha[:, None] + acc2_part * alpha_2[:, None]
    acc3_new = acc3 * alpha[:, None] + acc3_part * alpha_2[:, None]
    return m_new, l_new, acc_new, acc2_new, acc3_new


@triton.jit
def point_attention_1_rolling(
    b_desc, b_ptr, k_desc, k_points_ptr, k_ptr, o_pairs_ptr, o_points_ptr, o_ptr, pairs_ptr, points_desc, points_ptr,
    q_desc, q_points_desc, q_points_ptr, q_ptr, v_desc, v_ptr, w_ptr, b_h, b_i, b_j, b_lead0, b_lead1, k_d, k_h, k_j,
    k_lead0, k_lead1, k_points_h, k_points_j, k_points_lead0, k_points_lead1, k_points_p, o_e, o_h, o_i, o_lead0,
    o_lead1, o_pairs_c, o_pairs_h, o_pairs_i, o_pairs_lead0, o_pairs_lead1, o_points_h, o_points_i, o_points_lead0,
    o_points_lead1, o_points_x, pairs_c, pairs_i, pairs_j, pairs_lead0, pairs_lead1, points_h, points_j, points_lead0,
    points_lead1, points_x, q_d, q_h, q_i, q_lead0, q_lead1, q_points_h, q_points_i, q_points_lead0, q_points_lead1,
    q_points_p, scale_2, v_e, v_h, v_j, v_lead0, v_lead1, w_h, w_lead0, w_lead1, size_h, size_i, size_j, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_c: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr,
    BLOCK_p: tl.constexpr, BLOCK_x: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr, OPERAND: tl.constexpr,
    SIZE_c: tl.constexpr, SIZE_d: tl.constexpr, SIZE_e: tl.constexpr, SIZE_p: tl.constexpr, SIZE_x: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    h = (lead % size_h).to(INDEX)
    lead = lead // size_h
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    c = tl.arange(0, BLOCK_c).to(INDEX)  # [BLOCK_c]
    in_c = c < SIZE_c
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    x = tl.arange(0, BLOCK_x).to(INDEX)  # [BLOCK_x]
    in_x = x < SIZE_x
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    b_ptr += lead0 * b_lead0 + lead1 * b_lead1
    q_points_ptr += lead0 * q_points_lead0 + lead1 * q_points_lead1
    k_points_ptr += lead0 * k_points_lead0 + lead1 * k_points_lead1
    w_ptr += lead0 * w_lead0 + lead1 * w_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    pairs_ptr += lead0 * pairs_lead0 + lead1 * pairs_lead1
    points_ptr += lead0 * points_lead0 + lead1 * points_lead1
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    o_pairs_ptr += lead0 * o_pairs_lead0 + lead1 * o_pairs_lead1
    o_points_ptr += lead0 * o_points_lead0 + lead1 * o_points_lead1
    r_2 = tl.full([BLOCK_M], 0.0, tl.float32)
    for p0_2 in range(0, SIZE_p, BLOCK_p):
        p = (p0_2 + tl.arange(0, BLOCK_p)).to(INDEX)
        in_p = p < SIZE_p
        q_points = (q_points_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), h.to(tl.int32), i0, p0_2]).reshape(BLOCK_M, BLOCK_p) if DESC else tl.load(q_points_ptr + h * q_points_h + i[:, None] * q_points_i + p[None, :] * q_points_p, mask=in_i[:, None] & in_p[None, :], other=0.0)).to(tl.float32)
        r_2 = r_2 + tl.sum(tl.where(in_p[None, :], q_points * q_points, 0.0), 1)
    w = tl.load(w_ptr + h * w_h).to(tl.float32)
    still_2 = w * 1.4426950408889634
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    acc2 = tl.full([BLOCK_M, BLOCK_c], 0.0, tl.float32)
    acc3 = tl.full([BLOCK_M, BLOCK_x], 0.0, tl.float32)
    lo = 0
    hi = size_j
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l, acc, acc2, acc3 = _step(
            m, l, acc, acc2, acc3, j0, b_desc, b_ptr, k_desc, k_points_ptr, k_ptr, pairs_ptr, points_desc,
            points_ptr, q_desc, q_points_ptr, q_ptr, v_desc, v_ptr, b_h, b_i, b_j, c, e, h, i, i0, in_c, in_e, in_i,
            in_x, k_d, k_h, k_j, k_points_h, k_points_j, k_points_p, lead0, lead1, pairs_c, pairs_i, pairs_j,
            points_h, points_j, points_x, q_d, q_h, q_i, q_points_h, q_points_i, q_points_p, r_2, scale_2, still_2,
            v_e, v_h, v_j, x, size_j, BLOCK_M, BLOCK_N, BLOCK_d, BLOCK_e, BLOCK_p, BLOCK_x, DESC, INDEX, False,
            OPERAND, SIZE_d, SIZE_p,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, l, acc, acc2, acc3 = _step(
            m, l, acc, acc2, acc3, j0, b_desc, b_ptr, k_desc, k_points_ptr, k_ptr, pairs_ptr, points_desc,
            points_ptr, q_desc, q_points_ptr, q_ptr, v_desc, v_ptr, b_h, b_i, b_j, c, e, h, i, i0, in_c, in_e, in_i,
            in_x, k_d, k_h, k_j, k_points_h, k_points_j, k_points_p, lead0, lead1, pairs_c, pairs_i, pairs_j,
            points_h, points_j, points_x, q_d, q_h, q_i, q_points_h, q_points_i, q_points_p, r_2, scale_2, still_2,
            v_e, v_h, v_j, x, size_j, BLOCK_M, BLOCK_N, BLOCK_d, BLOCK_e, BLOCK_p, BLOCK_x, DESC, INDEX, True,
            OPERAND, SIZE_d, SIZE_p,
        )
    l_safe = tl.where(l != 0.0, l, 1.0)
    o = tl.where((l != 0.0)[:, None], acc * (1.0 / l_safe)[:, None], float("nan"))
    l_safe_2 = tl.where(l != 0.0, l, 1.0)
    o_pairs = tl.where((l != 0.0)[:, None], acc2 * (1.0 / l_safe_2)[:, None], float("nan"))
    l_safe_3 = tl.where(l != 0.0, l, 1.0)
    o_points = tl.where((l != 0.0)[:, None], acc3 * (1.0 / l_safe_3)[:, None], float("nan"))
    tl.store(o_ptr + h * o_h + i[:, None] * o_i + e[None, :] * o_e, o.to(o_ptr.dtype.element_ty), mask=in_i[:, None] & in_e[None, :])
    tl.store(o_pairs_ptr + h * o_pairs_h + i[:, None] * o_pairs_i + c[None, :] * o_pairs_c, o_pairs.to(o_pairs_ptr.dtype.element_ty), mask=in_i[:, None] & in_c[None, :])
    tl.store(o_points_ptr + h * o_points_h + i[:, None] * o_points_i + x[None, :] * o_points_x, o_points.to(o_points_ptr.dtype.element_ty), mask=in_i[:, None] & in_x[None, :])


@triton.jit
def point_attention_1_parts(
    b_desc, b_ptr, k_desc, k_points_ptr, k_ptr, pairs_ptr, part_acc2_ptr, part_acc3_ptr, part_acc_ptr, part_l_ptr,
    part_m_ptr, points_desc, points_ptr, q_desc, q_points_desc, q_points_ptr, q_ptr, v_desc, v_ptr, w_ptr, b_h, b_i,
    b_j, b_lead0, b_lead1, chunk, k_d, k_h, k_j, k_lead0, k_lead1, k_points_h, k_points_j, k_points_lead0,
    k_points_lead1, k_points_p, pairs_c, pairs_i, pairs_j, pairs_lead0, pairs_lead1, points_h, points_j, points_lead0,
    points_lead1, points_x, q_d, q_h, q_i, q_lead0, q_lead1, q_points_h, q_points_i, q_points_lead0, q_points_lead1,
    q_points_p, scale_2, v_e, v_h, v_j, v_lead0, v_lead1, w_h, w_lead0, w_lead1, size_batch, size_h, size_i, size_j,
    size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_c: tl.constexpr, BLOCK_d: tl.constexpr,
    BLOCK_e: tl.constexpr, BLOCK_p: tl.constexpr, BLOCK_x: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr,
    OPERAND: tl.constexpr, OVERLAP: tl.constexpr, SIZE_c: tl.constexpr, SIZE_d: tl.constexpr, SIZE_e: tl.constexpr,
    SIZE_p: tl.constexpr, SIZE_x: tl.constexpr,
):
    # One program leaves the state of one part of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    h = (lead % size_h).to(INDEX)
    lead = lead // size_h
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    c = tl.arange(0, BLOCK_c).to(INDEX)  # [BLOCK_c]
    in_c = c < SIZE_c
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    x = tl.arange(0, BLOCK_x).to(INDEX)  # [BLOCK_x]
    in_x = x < SIZE_x
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    b_ptr += lead0 * b_lead0 + lead1 * b_lead1
    q_points_ptr += lead0 * q_points_lead0 + lead1 * q_points_lead1
    k_points_ptr += lead0 * k_points_lead0 + lead1 * k_points_lead1
    w_ptr += lead0 * w_lead0 + lead1 * w_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    pairs_ptr += lead0 * pairs_lead0 + lead1 * pairs_lead1
    points_ptr += lead0 * points_lead0 + lead1 * points_lead1
    r_2 = tl.full([BLOCK_M], 0.0, tl.float32)
    for p0_2 in range(0, SIZE_p, BLOCK_p):
        p = (p0_2 + tl.arange(0, BLOCK_p)).to(INDEX)
        in_p = p < SIZE_p
        q_points = (q_points_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), h.to(tl.int32), i0, p0_2]).reshape(BLOCK_M, BLOCK_p) if DESC else tl.load(q_points_ptr + h * q_points_h + i[:, None] * q_points_i + p[None, :] * q_points_p, mask=in_i[:, None] & in_p[None, :], other=0.0)).to(tl.float32)
        r_2 = r_2 + tl.sum(tl.where(in_p[None, :], q_points * q_points, 0.0), 1)
    w = tl.load(w_ptr + h * w_h).to(tl.float32)
    still_2 = w * 1.4426950408889634
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    acc2 = tl.full([BLOCK_M, BLOCK_c], 0.0, tl.float32)
    acc3 = tl.full([BLOCK_M, BLOCK_x], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l, acc, acc2, acc3 = _step(
            m, l, acc, acc2, acc3, j0, b_desc, b_ptr, k_desc, k_points_ptr, k_ptr, pairs_ptr, points_desc,
            points_ptr, q_desc, q_points_ptr, q_ptr, v_desc, v_ptr, b_h, b_i, b_j, c, e, h, i, i0, in_c, in_e, in_i,
            in_x, k_d, k_h, k_j, k_points_h, k_points_j, k_points_p, lead0, lead1, pairs_c, pairs_i, pairs_j,
            points_h, points_j, points_x, q_d, q_h, q_i, q_points_h, q_points_i, q_points_p, r_2, scale_2, still_2,
            v_e, v_h, v_j, x, size_j, BLOCK_M, BLOCK_N, BLOCK_d, BLOCK_e, BLOCK_p, BLOCK_x, DESC, INDEX, False,
            OPERAND, SIZE_d, SIZE_p,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, l, acc, acc2, acc3 = _step(
            m, l, acc, acc2, acc3, j0, b_desc, b_ptr, k_desc, k_points_ptr, k_ptr, pairs_ptr, points_desc,
            points_ptr, q_desc, q_points_ptr, q_ptr, v_desc, v_ptr, b_h, b_i, b_j, c, e, h, i, i0, in_c, in_e, in_i,
            in_x, k_d, k_h, k_j, k_points_h, k_points_j, k_points_p, lead0, lead1, pairs_c, pairs_i, pairs_j,
            points_h, points_j, points_x, q_d, q_h, q_i, q_points_h, q_points_i, q_points_p, r_2, scale_2, still_2,
            v_e, v_h, v_j, x, size_j, BLOCK_M, BLOCK_N, BLOCK_d, BLOCK_e, BLOCK_p, BLOCK_x, DESC, INDEX, True,
            OPERAND, SIZE_d, SIZE_p,
        )
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m, mask=in_i)
    tl.store(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), l, mask=in_i)
    tl.store(part_acc_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_e + e[None, :]), acc, mask=in_i[:, None] & in_e[None, :])
    tl.store(part_acc2_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_c + c[None, :]), acc2, mask=in_i[:, None] & in_c[None, :])
    tl.store(part_acc3_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_x + x[None, :]), acc3, mask=in_i[:, None] & in_x[None, :])


@triton.jit
def point_attention_1_finish(
    o_pairs_ptr, o_points_ptr, o_ptr, part_acc2_ptr, part_acc3_ptr, part_acc_ptr, part_l_ptr, part_m_ptr, o_e, o_h, o_i,
    o_lead0, o_lead1, o_pairs_c, o_pairs_h, o_pairs_i, o_pairs_lead0, o_pairs_lead1, o_points_h, o_points_i,
    o_points_lead0, o_points_lead1, o_points_x, parts, size_batch, size_h, size_i, size_lead, BLOCK_M: tl.constexpr,
    BLOCK_c: tl.constexpr, BLOCK_e: tl.constexpr, BLOCK_x: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
    SIZE_c: tl.constexpr, SIZE_e: tl.constexpr, SIZE_x: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    h = (lead % size_h).to(INDEX)
    lead = lead // size_h
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    c = tl.arange(0, BLOCK_c).to(INDEX)  # [BLOCK_c]
    in_c = c < SIZE_c
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    x = tl.arange(0, BLOCK_x).to(INDEX)  # [BLOCK_x]
    in_x = x < SIZE_x
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    o_pairs_ptr += lead0 * o_pairs_lead0 + lead1 * o_pairs_lead1
    o_points_ptr += lead0 * o_points_lead0 + lead1 * o_points_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    acc2 = tl.full([BLOCK_M, BLOCK_c], 0.0, tl.float32)
    acc3 = tl.full([BLOCK_M, BLOCK_x], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        l_part = tl.load(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        acc_part = tl.load(part_acc_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_e + e[None, :]), mask=in_i[:, None] & in_e[None, :], other=0.0)
        acc2_part = tl.load(part_acc2_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_c + c[None, :]), mask=in_i[:, None] & in_c[None, :], other=0.0)
        acc3_part = tl.load(part_acc3_ptr + (((part * size_batch + batch).to(tl.int64) * size_i + i)[:, None] * SIZE_x + x[None, :]), mask=in_i[:, None] & in_x[None, :], other=0.0)
        m, l, acc, acc2, acc3 = _merge(m, l, acc, acc2, acc3, m_part, l_part, acc_part, acc2_part, acc3_part)
    l_safe = tl.where(l != 0.0, l, 1.0)
    o = tl.where((l != 0.0)[:, None], acc * (1.0 / l_safe)[:, None], float("nan"))
    tl.store(o_ptr + h * o_h + i[:, None] * o_i + e[None, :] * o_e, o.to(o_ptr.dtype.element_ty), mask=in_i[:, None] & in_e[None, :])
    l_safe_2 = tl.where(l != 0.0, l, 1.0)
    o_pairs = tl.where((l != 0.0)[:, None], acc2 * (1.0 / l_safe_2)[:, None], float("nan"))
    tl.store(o_pairs_ptr + h * o_pairs_h + i[:, None] * o_pairs_i + c[None, :] * o_pairs_c, o_pairs.to(o_pairs_ptr.dtype.element_ty), mask=in_i[:, None] & in_c[None, :])
    l_safe_3 = tl.where(l != 0.0, l, 1.0)
    o_points = tl.where((l != 0.0)[:, None], acc3 * (1.0 / l_safe_3)[:, None], float("nan"))
    tl.store(o_points_ptr + h * o_points_h + i[:, None] * o_points_i + x[None, :] * o_points_x, o_points.to(o_points_ptr.dtype.element_ty), mask=in_i[:, None] & in_x[None, :])


def point_attention_1(q, k, b, q_points, k_points, w, v, pairs, points, *, out=None, schedule="auto",
                      splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q [..., h, i, d]; k [..., h, j, d]; b [..., h, i, j]; q_points [..., h, i, p]; k_points [..., h, j, p]; w [..., h]; v [..., h, j, e]; pairs [..., i, j, c]; points [..., h, j, x] -> o [..., h, i, e]; o_pairs [..., h, i, c]; o_points [..., h, i, x].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return dict(zip(TABLES.outputs, _OPERATOR(q, k, b, q_points, k_points, w, v, pairs, points, schedule, splits, block_m, block_n, num_warps, num_stages)))
    return _call(
        (q, k, b, q_points, k_points, w, v, pairs, points), out,
        (schedule, splits, block_m, block_n, num_warps, num_stages),
    )


def _prepare(
    q, k, b, q_points, k_points, w, v, pairs, points, given, schedule, splits, block_m, block_n, num_warps, num_stages,
):
    """Checks what is given and lays out the call."""
    inputs = {"q": q, "k": k, "b": b, "q_points": q_points, "k_points": k_points, "w": w, "v": v, "pairs": pairs, "points": points}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "d", "p", "c", "e", "x")
    device = q.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_d": rt.piece(size["d"], 16), "BLOCK_p": rt.piece(size["p"], 16), "BLOCK_c": rt.pad(size["c"], 16), "BLOCK_e": rt.pad(size["e"], 16), "BLOCK_x": rt.pad(size["x"], 16)}
    batch = math.prod(lead) * size["h"]
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, size["i"], size["j"], batch, pads, q.element_size(), device,
    )
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    args = {
        "scale_2": _ratio(1, math.sqrt(size["d"]) * 0.6931471805599453), "size_h": size["h"], "size_i": size["i"],
        "size_j": size["j"], "SIZE_d": size["d"], "SIZE_p": size["p"], "SIZE_c": size["c"], "SIZE_e": size["e"],
        "SIZE_x": size["x"], "size_lead": lead[-1] if lead else 1, "size_batch": batch, "parts": parts, "chunk": chunk,
        "BLOCK_M": block_m, "BLOCK_N": block_n, **pads, "OPERAND": rt.operand(q.dtype), "STAGES": num_stages or 3,
        "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    descriptors = rt.descriptors(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(point_attention_1_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied, descriptors=descriptors)
    work = {
        "part_m_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_l_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_acc_ptr": ((parts, batch, size["i"], size["e"]), torch.float32),
        "part_acc2_ptr": ((parts, batch, size["i"], size["c"]), torch.float32),
        "part_acc3_ptr": ((parts, batch, size["i"], size["x"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (point_attention_1_parts, (programs, parts), args, options),
        (point_attention_1_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied, descriptors=descriptors)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(q, k, b, q_points, k_points, w, v, pairs, points):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"q": q, "k": k, "b": b, "q_points": q_points, "k_points": k_points, "w": w, "v": v, "pairs": pairs, "points": points}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = q.dtype, q.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    s = torch.einsum("...ace,...abe->...abc", k, q) / math.sqrt(size["d"])
    s2 = ((k_points ** 2).sum(-1)[..., :, None, :] + (q_points ** 2).sum(-1)[..., :, :, None] - torch.einsum("...acg,...abg->...abc", k_points, q_points) * 2) * w[..., :, None, None]
    m = rt.largest(s + b - s2, -1)
    p2 = torch.exp(s + b - m[..., :, :, None] - s2)
    out["o"] = rt.full(torch.einsum("...acf,...abc->...abf", v, p2) / p2.sum(-1)[..., :, :, None], lead + (size["h"], size["i"], size["e"],), dtype, device)
    out["o_pairs"] = rt.full(torch.einsum("...bcd,...abc->...abd", pairs, p2) / p2.sum(-1)[..., :, :, None], lead + (size["h"], size["i"], size["c"],), dtype, device)
    out["o_points"] = rt.full(torch.einsum("...ach,...abc->...abh", points, p2) / p2.sum(-1)[..., :, :, None], lead + (size["h"], size["i"], size["x"],), dtype, device)
    return rt.result(out)
