"""latent_attention_2: pass1_2 and its kernels, emitted by refold from a proved plan.

    s[h,i,j] = (Σ_r c[j,r]·pass1[h,i,r] + Σ_x k_rope[j,x]·q_rope[h,i,x])/√(d_length + |x|)
    m[h,i] = max_j s[h,i,j]
    p[h,i,j] = exp(s[h,i,j] - m[h,i])
    pass1_2[h,i] = 1/(Σ_j p[h,i,j])
    pass1_3[h,i,r] = Σ_j c[j,r]·p[h,i,j]

The proof is latent_attention_2.proof.json, the test test_latent_attention_2.py. Needs torch and triton alone.
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
    name="latent_attention_2",
    inputs={"q_rope": ("h", "i", "x",), "c": ("j", "r",), "k_rope": ("j", "x",), "pass1": ("h", "i", "r",)},
    outputs={"pass1_2": ("h", "i",), "pass1_3": ("h", "i", "r",)},
    dtypes={"q_rope": "float", "c": "float", "k_rope": "float", "pass1": "float32"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), exact=("pass1_2", "pass1_3"),
    dots=True,
    descriptors={"c": (1, 1, "BLOCK_N", "BLOCK_r"), "k_rope": (1, 1, "BLOCK_N", "BLOCK_x"), "pass1": (1, 1, "BLOCK_M", 1, "BLOCK_r"), "q_rope": (1, 1, "BLOCK_M", 1, "BLOCK_x")},
    words={"d_length": "int"},
)


@triton.jit
def _step(
    m, l, acc, j0, c_desc, c_ptr, k_rope_desc, k_rope_ptr, c_j, c_r, in_r, in_x, k_rope_j, k_rope_x, lead0, lead1,
    pass1, q_rope, r, scale_2, x, size_j, BLOCK_N: tl.constexpr, BLOCK_r: tl.constexpr, BLOCK_x: tl.constexpr,
    DESC: tl.constexpr, INDEX: tl.constexpr, MASKED: tl.constexpr, OPERAND: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    c = c_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_r) if DESC else tl.load(c_ptr + j[:, None] * c_j + r[None, :] * c_r, mask=in_j[:, None] & in_r[None, :], other=0.0)
    dot = tl.dot(pass1.to(OPERAND), tl.trans(c.to(OPERAND)), input_precision="ieee")
    k_rope = k_rope_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_x) if DESC else tl.load(k_rope_ptr + j[:, None] * k_rope_j + x[None, :] * k_rope_x, mask=in_j[:, None] & in_x[None, :], other=0.0)
    dot_2 = tl.dot(q_rope.to(OPERAND), tl.trans(k_rope.to(OPERAND)), input_precision="ieee")
    s = dot + dot_2
    if MASKED:
        s = tl.where(in_j[None, :], s, -float("inf"))
    m_new = tl.maximum(m, tl.max(s, 1) * scale_2)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    p = tl.exp2(s * scale_2 - m_hat[:, None])
    l_new = l * alpha + tl.sum(p, 1)
    acc_new = tl.dot(p.to(OPERAND), c.to(OPERAND), acc * alpha[:, None], input_precision="ieee")
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
def latent_attention_2_rolling(
    c_desc, c_ptr, k_rope_desc, k_rope_ptr, pass1_2_ptr, pass1_3_ptr, pass1_desc, pass1_ptr, q_rope_desc, q_rope_ptr,
    c_j, c_lead0, c_lead1, c_r, k_rope_j, k_rope_lead0, k_rope_lead1, k_rope_x, pass1_2_h, pass1_2_i, pass1_2_lead0,
    pass1_2_lead1, pass1_3_h, pass1_3_i, pass1_3_lead0, pass1_3_lead1, pass1_3_r, pass1_h, pass1_i, pass1_lead0,
    pass1_lead1, pass1_r, q_rope_h, q_rope_i, q_rope_lead0, q_rope_lead1, q_rope_x, scale_2, size_h, size_i, size_j,
    size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_r: tl.constexpr, BLOCK_x: tl.constexpr,
    DESC: tl.constexpr, INDEX: tl.constexpr, OPERAND: tl.constexpr, SIZE_r: tl.constexpr, SIZE_x: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_h, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    h = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_h = h < size_h
    lead = batch
    i = (lead % size_i).to(INDEX)
    lead = lead // size_i
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    x = tl.arange(0, BLOCK_x).to(INDEX)  # [BLOCK_x]
    in_x = x < SIZE_x
    r = tl.arange(0, BLOCK_r).to(INDEX)  # [BLOCK_r]
    in_r = r < SIZE_r
    q_rope_ptr += lead0 * q_rope_lead0 + lead1 * q_rope_lead1
    c_ptr += lead0 * c_lead0 + lead1 * c_lead1
    k_rope_ptr += lead0 * k_rope_lead0 + lead1 * k_rope_lead1
    pass1_ptr += lead0 * pass1_lead0 + lead1 * pass1_lead1
    pass1_2_ptr += lead0 * pass1_2_lead0 + lead1 * pass1_2_lead1
    pass1_3_ptr += lead0 * pass1_3_lead0 + lead1 * pass1_3_lead1
    pass1 = pass1_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), i0, i.to(tl.int32), 0]).reshape(BLOCK_M, BLOCK_r) if DESC else tl.load(pass1_ptr + h[:, None] * pass1_h + i * pass1_i + r[None, :] * pass1_r, mask=in_h[:, None] & in_r[None, :], other=0.0)
    q_rope = q_rope_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), i0, i.to(tl.int32), 0]).reshape(BLOCK_M, BLOCK_x) if DESC else tl.load(q_rope_ptr + h[:, None] * q_rope_h + i * q_rope_i + x[None, :] * q_rope_x, mask=in_h[:, None] & in_x[None, :], other=0.0)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M, BLOCK_r], 0.0, tl.float32)
    lo = 0
    hi = size_j
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, c_desc, c_ptr, k_rope_desc, k_rope_ptr, c_j, c_r, in_r, in_x, k_rope_j, k_rope_x, lead0,
            lead1, pass1, q_rope, r, scale_2, x, size_j, BLOCK_N, BLOCK_r, BLOCK_x, DESC, INDEX, False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, c_desc, c_ptr, k_rope_desc, k_rope_ptr, c_j, c_r, in_r, in_x, k_rope_j, k_rope_x, lead0,
            lead1, pass1, q_rope, r, scale_2, x, size_j, BLOCK_N, BLOCK_r, BLOCK_x, DESC, INDEX, True, OPERAND,
        )
    m_safe = tl.where(m != -float("inf"), m, 0.0)
    pass1_2 = tl.where(m != -float("inf"), 1.0 / l, float("nan"))
    tl.store(pass1_2_ptr + h * pass1_2_h + i * pass1_2_i, pass1_2.to(pass1_2_ptr.dtype.element_ty), mask=in_h)
    tl.store(pass1_3_ptr + h[:, None] * pass1_3_h + i * pass1_3_i + r[None, :] * pass1_3_r, acc.to(pass1_3_ptr.dtype.element_ty), mask=in_h[:, None] & in_r[None, :])


@triton.jit
def latent_attention_2_parts(
    c_desc, c_ptr, k_rope_desc, k_rope_ptr, part_acc_ptr, part_l_ptr, part_m_ptr, pass1_desc, pass1_ptr, q_rope_desc,
    q_rope_ptr, c_j, c_lead0, c_lead1, c_r, chunk, k_rope_j, k_rope_lead0, k_rope_lead1, k_rope_x, pass1_h, pass1_i,
    pass1_lead0, pass1_lead1, pass1_r, q_rope_h, q_rope_i, q_rope_lead0, q_rope_lead1, q_rope_x, scale_2, size_batch,
    size_h, size_i, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_r: tl.constexpr,
    BLOCK_x: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr, OPERAND: tl.constexpr, OVERLAP: tl.constexpr,
    SIZE_r: tl.constexpr, SIZE_x: tl.constexpr,
):
    # One program leaves the state of one part of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_h, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    h = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_h = h < size_h
    lead = batch
    i = (lead % size_i).to(INDEX)
    lead = lead // size_i
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    x = tl.arange(0, BLOCK_x).to(INDEX)  # [BLOCK_x]
    in_x = x < SIZE_x
    r = tl.arange(0, BLOCK_r).to(INDEX)  # [BLOCK_r]
    in_r = r < SIZE_r
    q_rope_ptr += lead0 * q_rope_lead0 + lead1 * q_rope_lead1
    c_ptr += lead0 * c_lead0 + lead1 * c_lead1
    k_rope_ptr += lead0 * k_rope_lead0 + lead1 * k_rope_lead1
    pass1_ptr += lead0 * pass1_lead0 + lead1 * pass1_lead1
    pass1 = pass1_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), i0, i.to(tl.int32), 0]).reshape(BLOCK_M, BLOCK_r) if DESC else tl.load(pass1_ptr + h[:, None] * pass1_h + i * pass1_i + r[None, :] * pass1_r, mask=in_h[:, None] & in_r[None, :], other=0.0)
    q_rope = q_rope_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), i0, i.to(tl.int32), 0]).reshape(BLOCK_M, BLOCK_x) if DESC else tl.load(q_rope_ptr + h[:, None] * q_rope_h + i * q_rope_i + x[None, :] * q_rope_x, mask=in_h[:, None] & in_x[None, :], other=0.0)
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M, BLOCK_r], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, c_desc, c_ptr, k_rope_desc, k_rope_ptr, c_j, c_r, in_r, in_x, k_rope_j, k_rope_x, lead0,
            lead1, pass1, q_rope, r, scale_2, x, size_j, BLOCK_N, BLOCK_r, BLOCK_x, DESC, INDEX, False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, l, acc = _step(
            m, l, acc, j0, c_desc, c_ptr, k_rope_desc, k_rope_ptr, c_j, c_r, in_r, in_x, k_rope_j, k_rope_x, lead0,
            lead1, pass1, q_rope, r, scale_2, x, size_j, BLOCK_N, BLOCK_r, BLOCK_x, DESC, INDEX, True, OPERAND,
        )
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_h + h), m, mask=in_h)
    tl.store(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_h + h), l, mask=in_h)
    tl.store(part_acc_ptr + (((part * size_batch + batch).to(tl.int64) * size_h + h)[:, None] * SIZE_r + r[None, :]), acc, mask=in_h[:, None] & in_r[None, :])


@triton.jit
def latent_attention_2_finish(
    part_acc_ptr, part_l_ptr, part_m_ptr, pass1_2_ptr, pass1_3_ptr, parts, pass1_2_h, pass1_2_i, pass1_2_lead0,
    pass1_2_lead1, pass1_3_h, pass1_3_i, pass1_3_lead0, pass1_3_lead1, pass1_3_r, size_batch, size_h, size_i, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_r: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr, SIZE_r: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_h, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    h = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_h = h < size_h
    lead = batch
    i = (lead % size_i).to(INDEX)
    lead = lead // size_i
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    r = tl.arange(0, BLOCK_r).to(INDEX)  # [BLOCK_r]
    in_r = r < SIZE_r
    pass1_2_ptr += lead0 * pass1_2_lead0 + lead1 * pass1_2_lead1
    pass1_3_ptr += lead0 * pass1_3_lead0 + lead1 * pass1_3_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M, BLOCK_r], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_h + h), mask=in_h, other=-float("inf"))
        l_part = tl.load(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_h + h), mask=in_h, other=0.0)
        acc_part = tl.load(part_acc_ptr + (((part * size_batch + batch).to(tl.int64) * size_h + h)[:, None] * SIZE_r + r[None, :]), mask=in_h[:, None] & in_r[None, :], other=0.0)
        m, l, acc = _merge(m, l, acc, m_part, l_part, acc_part)
    m_safe = tl.where(m != -float("inf"), m, 0.0)
    pass1_2 = tl.where(m != -float("inf"), 1.0 / l, float("nan"))
    tl.store(pass1_2_ptr + h * pass1_2_h + i * pass1_2_i, pass1_2.to(pass1_2_ptr.dtype.element_ty), mask=in_h)
    tl.store(pass1_3_ptr + h[:, None] * pass1_3_h + i * pass1_3_i + r[None, :] * pass1_3_r, acc.to(pass1_3_ptr.dtype.element_ty), mask=in_h[:, None] & in_r[None, :])


def latent_attention_2(q_rope, c, k_rope, pass1, *, d_length, out=None, schedule="auto",
                       splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q_rope [..., h, i, x]; c [..., j, r]; k_rope [..., j, x]; pass1 [..., h, i, r] -> pass1_2 [..., h, i]; pass1_3 [..., h, i, r].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return dict(zip(TABLES.outputs, _OPERATOR(q_rope, c, k_rope, pass1, d_length, schedule, splits, block_m, block_n, num_warps, num_stages)))
    return _call((q_rope, c, k_rope, pass1), out, (d_length, schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(q_rope, c, k_rope, pass1, given, d_length, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"q_rope": q_rope, "c": c, "k_rope": k_rope, "pass1": pass1}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "x", "r")
    d_length = rt.scalar(TABLES, "d_length", d_length, integer=True, positive=False)
    device = q_rope.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_x": rt.pad(size["x"], 16), "BLOCK_r": rt.pad(size["r"], 16)}
    batch = math.prod(lead) * size["i"]
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, size["h"], size["j"], batch, pads, q_rope.element_size(),
        device,
    )
    programs = batch * triton.cdiv(size["h"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    args = {
        "scale_2": _ratio(1, math.sqrt(d_length + size["x"]) * 0.6931471805599453), "d_length": d_length,
        "size_h": size["h"], "size_i": size["i"], "size_j": size["j"], "SIZE_x": size["x"], "SIZE_r": size["r"],
        "size_lead": lead[-1] if lead else 1, "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m,
        "BLOCK_N": block_n, **pads, "OPERAND": rt.operand(q_rope.dtype), "STAGES": num_stages or 3,
        "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    descriptors = rt.descriptors(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(latent_attention_2_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied, descriptors=descriptors)
    work = {
        "part_m_ptr": ((parts, batch, size["h"]), torch.float32),
        "part_l_ptr": ((parts, batch, size["h"]), torch.float32),
        "part_acc_ptr": ((parts, batch, size["h"], size["r"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["h"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (latent_attention_2_parts, (programs, parts), args, options),
        (latent_attention_2_finish, (batch * triton.cdiv(size["h"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied, descriptors=descriptors)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(q_rope, c, k_rope, pass1, *, d_length):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"q_rope": q_rope, "c": c, "k_rope": k_rope, "pass1": pass1}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = q_rope.dtype, q_rope.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    s = (torch.einsum("...cd,...abd->...abc", c, pass1) + torch.einsum("...ce,...abe->...abc", k_rope, q_rope)) / math.sqrt(d_length + size["x"])
    m = rt.largest(s, -1)
    p = torch.exp(s - m[..., :, :, None])
    out["pass1_2"] = rt.full(rt.where(size["j"] == 0, math.nan, 1.0 / p.sum(-1), dtype, device), lead + (size["h"], size["i"],), dtype, device)
    out["pass1_3"] = rt.full(torch.einsum("...cd,...abc->...abd", c, p), lead + (size["h"], size["i"], size["r"],), dtype, device)
    return rt.result(out)
