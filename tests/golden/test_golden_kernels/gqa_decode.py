"""gqa_decode: o and its kernels, emitted by refold from a proved plan.

    s[h,j] = (Σ_d q[h,d]·k[⌊h/⌊|h|/|g|⌋⌋,j,d])/√|d|
    m[h] = max_j s[h,j]
    p[h,j] = exp(s[h,j] - m[h])
    o[h,e] = (Σ_j p[h,j]·v[⌊h/⌊|h|/|g|⌋⌋,j,e])/(Σ_j p[h,j])

The proof is gqa_decode.proof.json, the test test_gqa_decode.py. Needs torch and triton alone.
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
    name="gqa_decode", inputs={"q": ("h", "d",), "k": ("g", "j", "d",), "v": ("g", "j", "e",)},
    outputs={"o": ("h", "e",)}, dtypes={"q": "float", "k": "float", "v": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), dots=True,
    descriptors={"k": (1, 1, 1, "BLOCK_N", "BLOCK_d"), "v": (1, 1, 1, "BLOCK_N", "BLOCK_e")},
)


@triton.jit
def _step(
    m, l, acc, j0, k_desc, k_ptr, v_desc, v_ptr, d, e, group, in_d, in_e, k_d, k_g, k_j, lead0, lead1, q, scale_2, v_e,
    v_g, v_j, size_j, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr, DESC: tl.constexpr,
    INDEX: tl.constexpr, MASKED: tl.constexpr, OPERAND: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    k = k_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), group.to(INDEX).to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_d) if DESC else tl.load(k_ptr + group.to(INDEX) * k_g + j[:, None] * k_j + d[None, :] * k_d, mask=in_j[:, None] & in_d[None, :], other=0.0)
    dot = tl.dot(q.to(OPERAND), tl.trans(k.to(OPERAND)), input_precision="ieee")
    if MASKED:
        dot = tl.where(in_j[None, :], dot, -float("inf"))
    m_new = tl.maximum(m, tl.max(dot, 1) * scale_2)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    p = tl.exp2(dot * scale_2 - m_hat[:, None])
    l_new = l * alpha + tl.sum(p, 1)
    v = v_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), group.to(INDEX).to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_e) if DESC else tl.load(v_ptr + group.to(INDEX) * v_g + j[:, None] * v_j + e[None, :] * v_e, mask=in_j[:, None] & in_e[None, :], other=0.0)
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
def gqa_decode_rolling(
    k_desc, k_ptr, o_ptr, q_ptr, v_desc, v_ptr, k_d, k_g, k_j, k_lead0, k_lead1, o_e, o_h, o_lead0, o_lead1, q_d, q_h,
    q_lead0, q_lead1, scale_2, v_e, v_g, v_j, v_lead0, v_lead1, size_g, size_h, size_j, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr, DESC: tl.constexpr,
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
    q = tl.load(q_ptr + h[:, None] * q_h + d[None, :] * q_d, mask=in_h[:, None] & in_d[None, :], other=0.0)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    lo = 0
    hi = size_j
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, k_desc, k_ptr, v_desc, v_ptr, d, e, group, in_d, in_e, k_d, k_g, k_j, lead0, lead1, q,
            scale_2, v_e, v_g, v_j, size_j, BLOCK_N, BLOCK_d, BLOCK_e, DESC, INDEX, False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, k_desc, k_ptr, v_desc, v_ptr, d, e, group, in_d, in_e, k_d, k_g, k_j, lead0, lead1, q,
            scale_2, v_e, v_g, v_j, size_j, BLOCK_N, BLOCK_d, BLOCK_e, DESC, INDEX, True, OPERAND,
        )
    l_safe = tl.where(l != 0.0, l, 1.0)
    o = tl.where((l != 0.0)[:, None], acc * (1.0 / l_safe)[:, None], float("nan"))
    tl.store(o_ptr + h[:, None] * o_h + e[None, :] * o_e, o.to(o_ptr.dtype.element_ty), mask=in_h[:, None] & in_e[None, :])


@triton.jit
def gqa_decode_parts(
    k_desc, k_ptr, part_acc_ptr, part_l_ptr, part_m_ptr, q_ptr, v_desc, v_ptr, chunk, k_d, k_g, k_j, k_lead0, k_lead1,
    q_d, q_h, q_lead0, q_lead1, scale_2, v_e, v_g, v_j, v_lead0, v_lead1, size_batch, size_g, size_h, size_j, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr, DESC: tl.constexpr,
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
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    d = tl.arange(0, BLOCK_d).to(INDEX)  # [BLOCK_d]
    in_d = d < SIZE_d
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    q = tl.load(q_ptr + h[:, None] * q_h + d[None, :] * q_d, mask=in_h[:, None] & in_d[None, :], other=0.0)
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M, BLOCK_e], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, k_desc, k_ptr, v_desc, v_ptr, d, e, group, in_d, in_e, k_d, k_g, k_j, lead0, lead1, q,
            scale_2, v_e, v_g, v_j, size_j, BLOCK_N, BLOCK_d, BLOCK_e, DESC, INDEX, False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, k_desc, k_ptr, v_desc, v_ptr, d, e, group, in_d, in_e, k_d, k_g, k_j, lead0, lead1, q,
            scale_2, v_e, v_g, v_j, size_j, BLOCK_N, BLOCK_d, BLOCK_e, DESC, INDEX, True, OPERAND,
        )
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_h + h), m, mask=in_h)
    tl.store(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_h + h), l, mask=in_h)
    tl.store(part_acc_ptr + (((part * size_batch + batch).to(tl.int64) * size_h + h)[:, None] * SIZE_e + e[None, :]), acc, mask=in_h[:, None] & in_e[None, :])


@triton.jit
def gqa_decode_finish(
    o_ptr, part_acc_ptr, part_l_ptr, part_m_ptr, o_e, o_h, o_lead0, o_lead1, parts, size_batch, size_g, size_h,
    size_lead, BLOCK_M: tl.constexpr, BLOCK_e: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
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
    o = tl.where((l != 0.0)[:, None], acc * (1.0 / l_safe)[:, None], float("nan"))
    tl.store(o_ptr + h[:, None] * o_h + e[None, :] * o_e, o.to(o_ptr.dtype.element_ty), mask=in_h[:, None] & in_e[None, :])


def gqa_decode(q, k, v, *, out=None, schedule="auto",
               splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q [..., h, d]; k [..., g, j, d]; v [..., g, j, e] -> o [..., h, e].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(q, k, v, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((q, k, v), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(q, k, v, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"q": q, "k": k, "v": v}
    size = rt.sizes(TABLES, inputs)
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
    batch = math.prod(lead)
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
        "scale_2": _ratio(1, math.sqrt(size["d"]) * 0.6931471805599453), "size_g": size["g"], "size_h": size["h"],
        "size_j": size["j"], "SIZE_d": size["d"], "SIZE_e": size["e"], "size_lead": lead[-1] if lead else 1,
        "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "OPERAND": rt.operand(q.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    descriptors = rt.descriptors(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(gqa_decode_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied, descriptors=descriptors)
    work = {
        "part_m_ptr": ((parts, batch, size["h"]), torch.float32),
        "part_l_ptr": ((parts, batch, size["h"]), torch.float32),
        "part_acc_ptr": ((parts, batch, size["h"], size["e"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(group * groups * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (gqa_decode_parts, (programs, parts), args, options),
        (gqa_decode_finish, (batch * triton.cdiv(group, few) * groups, 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied, descriptors=descriptors)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(q, k, v):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"q": q, "k": k, "v": v}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = q.dtype, q.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    d = torch.arange(size["d"], device=device)
    e = torch.arange(size["e"], device=device)
    h = torch.arange(size["h"], device=device)
    j = torch.arange(size["j"], device=device)
    v_2 = rt.take(v, 3, (h // (size["h"] // size["g"]))[..., :, None, None], j[..., None, :, None], e[..., None, None, :])
    k_2 = rt.take(k, 3, (h // (size["h"] // size["g"]))[..., :, None, None], j[..., None, :, None], d[..., None, None, :])
    s = (q[..., :, None, :] * k_2).sum(-1) / math.sqrt(size["d"])
    m = rt.largest(s, -1)
    p = torch.exp(s - m[..., :, None])
    out["o"] = rt.full((v_2 * p[..., :, :, None]).sum(-2) / p.sum(-1)[..., :, None], lead + (size["h"], size["e"],), dtype, device)
    return rt.result(out)
