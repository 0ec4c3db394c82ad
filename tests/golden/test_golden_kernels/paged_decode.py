"""paged_decode: o and its kernels, emitted by refold from a proved plan.

    s[b,h,j] = (Σ_d q[b,h,d]·k[table[b,⌊j/|t|⌋],⌊h/⌊|h|/|g|⌋⌋,Mod(j, |t|),d])/√|d| where j < length[b], else -∞
    m[b,h] = max_j s[b,h,j]
    p[b,h,j] = exp(s[b,h,j] - m[b,h])
    o[b,h,e] = (Σ_j p[b,h,j]·v[table[b,⌊j/|t|⌋],⌊h/⌊|h|/|g|⌋⌋,Mod(j, |t|),e])/(Σ_j p[b,h,j])
    with 0 where a reduction ranges over nothing

The proof is paged_decode.proof.json, the test test_paged_decode.py. Needs torch and triton alone.
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
    name="paged_decode",
    inputs={"q": ("b", "h", "d",), "k": ("n", "g", "t", "d",), "v": ("n", "g", "t", "e",), "table": ("b", "r",), "length": ("b",)},
    outputs={"o": ("b", "h", "e",)},
    dtypes={"q": "float", "k": "float", "v": "float", "table": "int32", "length": "int32"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), dots=True, masks=True,
    words={"j": "SymInt"},
)


@triton.jit
def _step(
    m, l, acc, j0, k_ptr, table_ptr, v_ptr, b, d, e, group, in_d, in_e, k_d, k_g, k_n, k_t, length, q, scale_2, table_b,
    table_r, v_e, v_g, v_n, v_t, size_j, size_n, size_r, size_t, BLOCK_N: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr, OPERAND: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    at = j // size_t
    inside = (at >= 0) & (at < size_r)
    table = tl.where(in_j & (j < length) & (inside == 0), -1, tl.load(table_ptr + b * table_b + at * table_r, mask=inside, other=0))
    inside_2 = (table >= 0) & (table < size_n)
    at_2 = j - j // size_t * size_t
    k = tl.where((in_j & (j < length) & (inside_2 == 0))[:, None], float("nan"), tl.load(k_ptr + table.to(INDEX)[:, None] * k_n + group.to(INDEX) * k_g + at_2[:, None] * k_t + d[None, :] * k_d, mask=inside_2[:, None] & ((at_2 >= 0) & (at_2 < size_t))[:, None] & in_d[None, :], other=0.0))
    dot = tl.dot(q.to(OPERAND), tl.trans(k.to(OPERAND)), input_precision="ieee")
    if MASKED:
        dot = tl.where((in_j & (j < length))[None, :], dot, -float("inf"))
    m_new = tl.maximum(m, tl.max(dot, 1) * scale_2)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    p = tl.exp2(dot * scale_2 - m_hat[:, None])
    l_new = l * alpha + tl.sum(p, 1)
    inside_3 = (table >= 0) & (table < size_n)
    at_3 = j - j // size_t * size_t
    v = tl.load(v_ptr + table.to(INDEX)[:, None] * v_n + group.to(INDEX) * v_g + at_3[:, None] * v_t + e[None, :] * v_e, mask=inside_3[:, None] & ((at_3 >= 0) & (at_3 < size_t))[:, None] & in_e[None, :], other=0.0)
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
def paged_decode_rolling(
    k_ptr, length_ptr, o_ptr, q_ptr, table_ptr, v_ptr, k_d, k_g, k_lead0, k_lead1, k_n, k_t, length_b, length_lead0,
    length_lead1, o_b, o_e, o_h, o_lead0, o_lead1, q_b, q_d, q_h, q_lead0, q_lead1, scale_2, table_b, table_lead0,
    table_lead1, table_r, v_e, v_g, v_lead0, v_lead1, v_n, v_t, size_b, size_g, size_h, size_j, size_lead, size_n,
    size_r, size_t, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr,
    INDEX: tl.constexpr, OPERAND: tl.constexpr, SIZE_d: tl.constexpr, SIZE_e: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    pid = tl.program_id(0)
    group_size = size_h // size_g
    tiles = tl.cdiv(group_size, BLOCK_M)
    groups = tl.cdiv(size_h, group_size)
    i0 = pid % tiles * BLOCK_M
    group = pid // tiles % groups
    batch = pid // tiles // groups
    in_group = i0 + tl.arange(0, BLOCK_M)
    h = (group * group_size + in_group).to(INDEX)  # [BLOCK_M], rows that share what is read at `group`
    in_h = (in_group < group_size) & (h < size_h)
    lead = batch
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
    table_ptr += lead0 * table_lead0 + lead1 * table_lead1
    length_ptr += lead0 * length_lead0 + lead1 * length_lead1
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    length = tl.load(length_ptr + b * length_b)
    q = tl.load(q_ptr + b * q_b + h[:, None] * q_h + d[None, :] * q_d, mask=in_h[:, None] & in_d[None, :], other=0.0)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    lo = 0
    hi = size_j
    free_hi = hi
    hi = tl.minimum(hi, _position(length))
    free_hi = tl.minimum(free_hi, _position(length))
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, k_ptr, table_ptr, v_ptr, b, d, e, group, in_d, in_e, k_d, k_g, k_n, k_t, length, q,
            scale_2, table_b, table_r, v_e, v_g, v_n, v_t, size_j, size_n, size_r, size_t, BLOCK_N, INDEX, False,
            OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, k_ptr, table_ptr, v_ptr, b, d, e, group, in_d, in_e, k_d, k_g, k_n, k_t, length, q,
            scale_2, table_b, table_r, v_e, v_g, v_n, v_t, size_j, size_n, size_r, size_t, BLOCK_N, INDEX, True,
            OPERAND,
        )
    l_safe = tl.where(l != 0.0, l, 1.0)
    o = tl.where((l != 0.0)[:, None], acc * (1.0 / l_safe)[:, None], 0.0)
    tl.store(o_ptr + b * o_b + h[:, None] * o_h + e[None, :] * o_e, o.to(o_ptr.dtype.element_ty), mask=in_h[:, None] & in_e[None, :])


@triton.jit
def paged_decode_parts(
    k_ptr, length_ptr, part_acc_ptr, part_l_ptr, part_m_ptr, q_ptr, table_ptr, v_ptr, chunk, k_d, k_g, k_lead0, k_lead1,
    k_n, k_t, length_b, length_lead0, length_lead1, q_b, q_d, q_h, q_lead0, q_lead1, scale_2, table_b, table_lead0,
    table_lead1, table_r, v_e, v_g, v_lead0, v_lead1, v_n, v_t, size_b, size_batch, size_g, size_h, size_j, size_lead,
    size_n, size_r, size_t, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr,
    INDEX: tl.constexpr, OPERAND: tl.constexpr, OVERLAP: tl.constexpr, SIZE_d: tl.constexpr, SIZE_e: tl.constexpr,
):
    # One program leaves the state of one part of axis j.
    pid = tl.program_id(0)
    group_size = size_h // size_g
    tiles = tl.cdiv(group_size, BLOCK_M)
    groups = tl.cdiv(size_h, group_size)
    i0 = pid % tiles * BLOCK_M
    group = pid // tiles % groups
    batch = pid // tiles // groups
    in_group = i0 + tl.arange(0, BLOCK_M)
    h = (group * group_size + in_group).to(INDEX)  # [BLOCK_M], rows that share what is read at `group`
    in_h = (in_group < group_size) & (h < size_h)
    lead = batch
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
    table_ptr += lead0 * table_lead0 + lead1 * table_lead1
    length_ptr += lead0 * length_lead0 + lead1 * length_lead1
    length = tl.load(length_ptr + b * length_b)
    q = tl.load(q_ptr + b * q_b + h[:, None] * q_h + d[None, :] * q_d, mask=in_h[:, None] & in_d[None, :], other=0.0)
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.minimum(hi, _position(length))
    free_hi = tl.minimum(free_hi, _position(length))
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, k_ptr, table_ptr, v_ptr, b, d, e, group, in_d, in_e, k_d, k_g, k_n, k_t, length, q,
            scale_2, table_b, table_r, v_e, v_g, v_n, v_t, size_j, size_n, size_r, size_t, BLOCK_N, INDEX, False,
            OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, k_ptr, table_ptr, v_ptr, b, d, e, group, in_d, in_e, k_d, k_g, k_n, k_t, length, q,
            scale_2, table_b, table_r, v_e, v_g, v_n, v_t, size_j, size_n, size_r, size_t, BLOCK_N, INDEX, True,
            OPERAND,
        )
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_h + h), m, mask=in_h)
    tl.store(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_h + h), l, mask=in_h)
    tl.store(part_acc_ptr + (((part * size_batch + batch).to(tl.int64) * size_h + h)[:, None] * SIZE_e + e[None, :]), acc, mask=in_h[:, None] & in_e[None, :])


@triton.jit
def paged_decode_finish(
    o_ptr, part_acc_ptr, part_l_ptr, part_m_ptr, o_b, o_e, o_h, o_lead0, o_lead1, parts, size_b, size_batch, size_g,
    size_h, size_lead, BLOCK_M: tl.constexpr, BLOCK_e: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
    SIZE_e: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    group_size = size_h // size_g
    tiles = tl.cdiv(group_size, BLOCK_M)
    groups = tl.cdiv(size_h, group_size)
    i0 = pid % tiles * BLOCK_M
    group = pid // tiles % groups
    batch = pid // tiles // groups
    in_group = i0 + tl.arange(0, BLOCK_M)
    h = (group * group_size + in_group).to(INDEX)  # [BLOCK_M], rows that share what is read at `group`
    in_h = (in_group < group_size) & (h < size_h)
    lead = batch
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
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_h + h), mask=in_h, other=-float("inf"))
        l_part = tl.load(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_h + h), mask=in_h, other=0.0)
        acc_part = tl.load(part_acc_ptr + (((part * size_batch + batch).to(tl.int64) * size_h + h)[:, None] * SIZE_e + e[None, :]), mask=in_h[:, None] & in_e[None, :], other=0.0)
        m, l, acc = _merge(m, l, acc, m_part, l_part, acc_part)
    l_safe = tl.where(l != 0.0, l, 1.0)
    o = tl.where((l != 0.0)[:, None], acc * (1.0 / l_safe)[:, None], 0.0)
    tl.store(o_ptr + b * o_b + h[:, None] * o_h + e[None, :] * o_e, o.to(o_ptr.dtype.element_ty), mask=in_h[:, None] & in_e[None, :])


def paged_decode(q, k, v, table, length, *, j, out=None, schedule="auto",
                 splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q [..., b, h, d]; k [..., n, g, t, d]; v [..., n, g, t, e]; table [..., b, r]; length [..., b] -> o [..., b, h, e].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(q, k, v, table, length, j, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((q, k, v, table, length), out, (j, schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(q, k, v, table, length, given, j, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"q": q, "k": k, "v": v, "table": table, "length": length}
    size = rt.sizes(TABLES, inputs)
    size["j"] = rt.length(TABLES, "j", j)
    rt.check_positive(TABLES, size, "d", "e")
    rt.check_within(TABLES, "k", "g", size, lambda: [h // (size["h"] // size["g"]) for h in range(size["h"])])
    rt.check_within(TABLES, "v", "g", size, lambda: [h // (size["h"] // size["g"]) for h in range(size["h"])])
    device = q.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    group = size["h"] // size["g"]
    groups = -(-size["h"] // group)
    pads = {"BLOCK_d": rt.pad(size["d"], 16), "BLOCK_e": rt.pad(size["e"], 16)}
    batch = math.prod(lead) * size["b"]
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, group, size["j"], groups * batch, pads, q.element_size(),
        device,
    )
    programs = batch * triton.cdiv(group, block_m) * groups
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(
        TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk, groups * group + 1048576,
    )
    args = {
        "scale_2": _ratio(1, math.sqrt(size["d"]) * 0.6931471805599453), "size_b": size["b"], "size_g": size["g"],
        "size_h": size["h"], "size_j": size["j"], "size_n": size["n"], "size_r": size["r"], "size_t": size["t"],
        "SIZE_d": size["d"], "SIZE_e": size["e"], "size_lead": lead[-1] if lead else 1, "size_batch": batch,
        "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads, "OPERAND": rt.operand(q.dtype),
        "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(paged_decode_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_m_ptr": ((parts, batch, size["h"]), torch.float32),
        "part_l_ptr": ((parts, batch, size["h"]), torch.float32),
        "part_acc_ptr": ((parts, batch, size["h"], size["e"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(group * groups * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (paged_decode_parts, (programs, parts), args, options),
        (paged_decode_finish, (batch * triton.cdiv(group, few) * groups, 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(q, k, v, table, length, *, j):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"q": q, "k": k, "v": v, "table": table, "length": length}
    size = rt.sizes(TABLES, inputs, check=False)
    size["j"] = j
    dtype, device = q.dtype, q.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    b = torch.arange(size["b"], device=device)
    d = torch.arange(size["d"], device=device)
    e = torch.arange(size["e"], device=device)
    h = torch.arange(size["h"], device=device)
    j = torch.arange(size["j"], device=device)
    table_2 = rt.take(table, 2, b[..., :, None], (j // size["t"])[..., None, :])
    v_2 = rt.take(v, 4, table_2[..., :, None, None, :], (h // (size["h"] // size["g"]))[..., None, :, None, None], (j % size["t"])[..., None, None, None, :], e[..., None, None, :, None])
    k_2 = rt.take(k, 4, table_2[..., :, None, None, :], (h // (size["h"] // size["g"]))[..., None, :, None, None], (j % size["t"])[..., None, None, None, :], d[..., None, None, :, None])
    s = rt.where((j[..., None, :] < length[..., :, None])[..., :, None, :], (q[..., :, :, :, None] * k_2).sum(-2) / math.sqrt(size["d"]), -math.inf, dtype, device)
    m = rt.largest(s, -1)
    p = torch.exp(s - m[..., :, :, None])
    hidden = j[..., None, :] >= length[..., :, None]
    kept = rt.kept(v_2 * p[..., :, :, None, :], hidden[..., :, None, None, :], 0)
    p_kept = rt.kept(p, hidden[..., :, None, :], 0)
    out["o"] = rt.full(rt.where(hidden.all(-1)[..., :, None, None], 0, kept.sum(-1) / p_kept.sum(-1)[..., :, :, None], dtype, device), lead + (size["b"], size["h"], size["e"],), dtype, device)
    return rt.result(out)
