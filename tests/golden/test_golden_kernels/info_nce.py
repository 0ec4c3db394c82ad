"""info_nce: loss and its kernels, emitted by refold from a proved plan.

    s[i,j] = (Σ_d k[j,d]·q[i,d])/t
    loss[i] = log(Σ_j exp(s[i,j])) - Σ_j (s[i,j] where j = i, else 0)

The proof is info_nce.proof.json, the test test_info_nce.py. Needs torch and triton alone.
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
    name="info_nce", inputs={"q": ("i", "d",), "k": ("j", "d",)}, outputs={"loss": ("i",)},
    dtypes={"q": "float", "k": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), dots=True, pieces=True, masks=True,
    words={"t": "float"},
)


@triton.jit
def _step(
    m, l, t2, j0, k_ptr, q_ptr, i, in_i, k_d, k_j, q_d, q_i, scale_2, scale_3, size_j, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, INDEX: tl.constexpr, MASKED: tl.constexpr, OPERAND: tl.constexpr,
    SIZE_d: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    dot = tl.full([BLOCK_M, BLOCK_N], 0.0, tl.float32)
    for d0 in range(0, SIZE_d, BLOCK_d):
        d = (d0 + tl.arange(0, BLOCK_d)).to(INDEX)
        in_d = d < SIZE_d
        q = tl.load(q_ptr + i[:, None] * q_i + d[None, :] * q_d, mask=in_i[:, None] & in_d[None, :], other=0.0)
        k = tl.load(k_ptr + j[:, None] * k_j + d[None, :] * k_d, mask=in_j[:, None] & in_d[None, :], other=0.0)
        dot = tl.dot(q.to(OPERAND), tl.trans(k.to(OPERAND)), dot, input_precision="ieee")
    if MASKED:
        dot = tl.where(in_j[None, :], dot, -float("inf"))
    m_new = tl.maximum(m, tl.max(dot, 1) * scale_2)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    p = tl.exp2(dot * scale_2 - m_hat[:, None])
    l_new = l * alpha + tl.sum(p, 1)
    dot_2 = tl.full([BLOCK_M, BLOCK_N], 0.0, tl.float32)
    for d0_2 in range(0, SIZE_d, BLOCK_d):
        d = (d0_2 + tl.arange(0, BLOCK_d)).to(INDEX)
        in_d = d < SIZE_d
        q_2 = tl.load(q_ptr + i[:, None] * q_i + d[None, :] * q_d, mask=in_i[:, None] & in_d[None, :], other=0.0)
        k_2 = tl.load(k_ptr + j[:, None] * k_j + d[None, :] * k_d, mask=in_j[:, None] & in_d[None, :], other=0.0)
        dot_2 = tl.dot(q_2.to(OPERAND), tl.trans(k_2.to(OPERAND)), dot_2, input_precision="ieee")
    s2 = dot_2 * scale_3
    if MASKED:
        s2 = tl.where(j[None, :] == i[:, None], s2, 0.0)
    c = s2
    if MASKED:
        c = tl.where(in_j[None, :], c, 0.0)
    t2_new = t2 + tl.sum(c, 1)
    return m_new, l_new, t2_new


@triton.jit
def _merge(m, l, t2, m_part, l_part, t2_part):
    # Two states, each corrected to the anchors of both together, then joined.
    m_new = tl.maximum(m, m_part)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    alpha_2 = tl.exp2(m_part - m_hat)
    l_new = l * alpha + l_part * alpha_2
    t2_new = t2 + t2_part
    return m_new, l_new, t2_new


@triton.jit
def info_nce_rolling(
    k_ptr, loss_ptr, q_ptr, k_d, k_j, k_lead0, k_lead1, loss_i, loss_lead0, loss_lead1, q_d, q_i, q_lead0, q_lead1,
    scale_2, scale_3, size_i, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr,
    INDEX: tl.constexpr, OPERAND: tl.constexpr, SIZE_d: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    first_row = i0
    last_row = tl.minimum(i0 + BLOCK_M, size_i) - 1
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    loss_ptr += lead0 * loss_lead0 + lead1 * loss_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    t2 = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = 0
    hi = size_j
    free_hi = hi
    free_lo = lo
    free_lo = tl.maximum(free_lo, last_row)
    free_hi = tl.minimum(free_hi, first_row + 1)
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_lo = tl.minimum(tl.cdiv(free_lo, BLOCK_N) * BLOCK_N, hi)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, free_lo), hi)
    for j0 in range(lo, free_lo, BLOCK_N):
        m, l, t2 = _step(
            m, l, t2, j0, k_ptr, q_ptr, i, in_i, k_d, k_j, q_d, q_i, scale_2, scale_3, size_j, BLOCK_M, BLOCK_N,
            BLOCK_d, INDEX, True, OPERAND, SIZE_d,
        )
    for j0 in range(free_lo, free_hi, BLOCK_N):
        m, l, t2 = _step(
            m, l, t2, j0, k_ptr, q_ptr, i, in_i, k_d, k_j, q_d, q_i, scale_2, scale_3, size_j, BLOCK_M, BLOCK_N,
            BLOCK_d, INDEX, False, OPERAND, SIZE_d,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, l, t2 = _step(
            m, l, t2, j0, k_ptr, q_ptr, i, in_i, k_d, k_j, q_d, q_i, scale_2, scale_3, size_j, BLOCK_M, BLOCK_N,
            BLOCK_d, INDEX, True, OPERAND, SIZE_d,
        )
    f = tl.log(l)
    loss = m * 0.6931471805599453 + f - t2
    tl.store(loss_ptr + i * loss_i, loss.to(loss_ptr.dtype.element_ty), mask=in_i)


@triton.jit
def info_nce_parts(
    k_ptr, part_l_ptr, part_m_ptr, part_t2_ptr, q_ptr, chunk, k_d, k_j, k_lead0, k_lead1, q_d, q_i, q_lead0, q_lead1,
    scale_2, scale_3, size_batch, size_i, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_d: tl.constexpr, INDEX: tl.constexpr, OPERAND: tl.constexpr, OVERLAP: tl.constexpr, SIZE_d: tl.constexpr,
):
    # One program leaves the state of one part of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    first_row = i0
    last_row = tl.minimum(i0 + BLOCK_M, size_i) - 1
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    t2 = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    free_lo = lo
    free_lo = tl.maximum(free_lo, last_row)
    free_hi = tl.minimum(free_hi, first_row + 1)
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_lo = tl.minimum(tl.cdiv(free_lo, BLOCK_N) * BLOCK_N, hi)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, free_lo), hi)
    for j0 in range(lo, free_lo, BLOCK_N):
        m, l, t2 = _step(
            m, l, t2, j0, k_ptr, q_ptr, i, in_i, k_d, k_j, q_d, q_i, scale_2, scale_3, size_j, BLOCK_M, BLOCK_N,
            BLOCK_d, INDEX, True, OPERAND, SIZE_d,
        )
    for j0 in range(free_lo, free_hi, BLOCK_N):
        m, l, t2 = _step(
            m, l, t2, j0, k_ptr, q_ptr, i, in_i, k_d, k_j, q_d, q_i, scale_2, scale_3, size_j, BLOCK_M, BLOCK_N,
            BLOCK_d, INDEX, False, OPERAND, SIZE_d,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, l, t2 = _step(
            m, l, t2, j0, k_ptr, q_ptr, i, in_i, k_d, k_j, q_d, q_i, scale_2, scale_3, size_j, BLOCK_M, BLOCK_N,
            BLOCK_d, INDEX, True, OPERAND, SIZE_d,
        )
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m, mask=in_i)
    tl.store(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), l, mask=in_i)
    tl.store(part_t2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), t2, mask=in_i)


@triton.jit
def info_nce_finish(
    loss_ptr, part_l_ptr, part_m_ptr, part_t2_ptr, loss_i, loss_lead0, loss_lead1, parts, size_batch, size_i, size_lead,
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
    loss_ptr += lead0 * loss_lead0 + lead1 * loss_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    t2 = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        l_part = tl.load(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        t2_part = tl.load(part_t2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        m, l, t2 = _merge(m, l, t2, m_part, l_part, t2_part)
    f = tl.log(l)
    loss = m * 0.6931471805599453 + f - t2
    tl.store(loss_ptr + i * loss_i, loss.to(loss_ptr.dtype.element_ty), mask=in_i)


def info_nce(q, k, *, t, out=None, schedule="auto",
             splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q [..., i, d]; k [..., j, d] -> loss [..., i].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(q, k, t, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((q, k), out, (t, schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(q, k, given, t, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"q": q, "k": k}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "d")
    t = rt.scalar(TABLES, "t", t, integer=False, positive=True)
    device = q.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_d": rt.piece(size["d"], 16)}
    batch = math.prod(lead)
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, size["i"], size["j"], batch, pads, q.element_size(), device,
    )
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    # The weights of a sum have no bound, and float16 ends at 65504.
    args = {
        "scale_2": _ratio(1, t * 0.6931471805599453), "scale_3": _ratio(1, t), "t": t, "size_i": size["i"],
        "size_j": size["j"], "SIZE_d": size["d"], "size_lead": lead[-1] if lead else 1, "size_batch": batch,
        "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "OPERAND": tl.float32 if q.dtype == torch.float16 else rt.operand(q.dtype), "STAGES": num_stages or 3,
        "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(info_nce_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_m_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_l_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_t2_ptr": ((parts, batch, size["i"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (info_nce_parts, (programs, parts), args, options),
        (info_nce_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(q, k, *, t):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"q": q, "k": k}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = q.dtype, q.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    i = torch.arange(size["i"], device=device)
    j = torch.arange(size["j"], device=device)
    s = torch.einsum("...bc,...ac->...ab", k, q) / t
    out["loss"] = rt.full(torch.log(torch.exp(s).sum(-1)) - rt.where(j[..., None, :] == i[..., :, None], s, 0, dtype, device).sum(-1), lead + (size["i"],), dtype, device)
    return rt.result(out)
