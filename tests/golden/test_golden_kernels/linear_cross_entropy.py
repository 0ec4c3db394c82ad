"""linear_cross_entropy: loss and its kernels, emitted by refold from a proved plan.

    loss[i] = log(Σ_v exp(Σ_d w[v,d]·x[i,d])) - Σ_d w[target[i],d]·x[i,d]

The proof is linear_cross_entropy.proof.json, the test test_linear_cross_entropy.py. Needs torch and triton alone.
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
TABLES = rt.Tables(
    name="linear_cross_entropy", inputs={"x": ("i", "d",), "w": ("v", "d",), "target": ("i",)},
    outputs={"loss": ("i",)}, dtypes={"x": "float", "w": "float", "target": "int64"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), dots=True, pieces=True,
    descriptors={"w": (1, 1, "BLOCK_N", "BLOCK_d"), "x": (1, 1, "BLOCK_M", "BLOCK_d")},
)


@triton.jit
def _step(
    m, l, j0, w_desc, w_ptr, x_desc, x_ptr, i, i0, in_i, lead0, lead1, w_d, w_v, x_d, x_i, size_v,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr, OPERAND: tl.constexpr, SIZE_d: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    v = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_v = v < size_v if MASKED else tl.full([BLOCK_N], True, tl.int1)
    dot = tl.full([BLOCK_M, BLOCK_N], 0.0, tl.float32)
    for d0 in range(0, SIZE_d, BLOCK_d):
        d = (d0 + tl.arange(0, BLOCK_d)).to(INDEX)
        in_d = d < SIZE_d
        x = x_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), i0, d0]).reshape(BLOCK_M, BLOCK_d) if DESC else tl.load(x_ptr + i[:, None] * x_i + d[None, :] * x_d, mask=in_i[:, None] & in_d[None, :], other=0.0)
        w = w_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), j0, d0]).reshape(BLOCK_N, BLOCK_d) if DESC else tl.load(w_ptr + v[:, None] * w_v + d[None, :] * w_d, mask=in_v[:, None] & in_d[None, :], other=0.0)
        dot = tl.dot(x.to(OPERAND), tl.trans(w.to(OPERAND)), dot, input_precision="ieee")
    if MASKED:
        dot = tl.where(in_v[None, :], dot, -float("inf"))
    m_new = tl.maximum(m, tl.max(dot, 1) * 1.4426950408889634)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    p = tl.exp2(dot * 1.4426950408889634 - m_hat[:, None])
    l_new = l * alpha + tl.sum(p, 1)
    return m_new, l_new


@triton.jit
def _merge(m, l, m_part, l_part):
    # Two states, each corrected to the anchors of both together, then joined.
    m_new = tl.maximum(m, m_part)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    alpha_2 = tl.exp2(m_part - m_hat)
    l_new = l * alpha + l_part * alpha_2
    return m_new, l_new


@triton.jit
def linear_cross_entropy_rolling(
    loss_ptr, target_ptr, w_desc, w_ptr, x_desc, x_ptr, loss_i, loss_lead0, loss_lead1, target_i, target_lead0,
    target_lead1, w_d, w_lead0, w_lead1, w_v, x_d, x_i, x_lead0, x_lead1, size_i, size_lead, size_v,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr,
    OPERAND: tl.constexpr, SIZE_d: tl.constexpr,
):
    # One program holds its rows and goes over all of axis v.
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
    w_ptr += lead0 * w_lead0 + lead1 * w_lead1
    target_ptr += lead0 * target_lead0 + lead1 * target_lead1
    loss_ptr += lead0 * loss_lead0 + lead1 * loss_lead1
    target = tl.load(target_ptr + i * target_i, mask=in_i, other=0)
    inside = (target >= 0) & (target < size_v)
    r = tl.full([BLOCK_M], 0.0, tl.float32)
    for d0_2 in range(0, SIZE_d, BLOCK_d):
        d = (d0_2 + tl.arange(0, BLOCK_d)).to(INDEX)
        in_d = d < SIZE_d
        w_2 = tl.where((in_i & (inside == 0))[:, None], float("nan"), tl.load(w_ptr + target.to(INDEX)[:, None] * w_v + d[None, :] * w_d, mask=inside[:, None] & in_d[None, :], other=0.0)).to(tl.float32)
        x_2 = (x_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), i0, d0_2]).reshape(BLOCK_M, BLOCK_d) if DESC else tl.load(x_ptr + i[:, None] * x_i + d[None, :] * x_d, mask=in_i[:, None] & in_d[None, :], other=0.0)).to(tl.float32)
        r = r + tl.sum(w_2 * x_2, 1)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = 0
    hi = size_v
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l = _step(
            m, l, j0, w_desc, w_ptr, x_desc, x_ptr, i, i0, in_i, lead0, lead1, w_d, w_v, x_d, x_i, size_v, BLOCK_M,
            BLOCK_N, BLOCK_d, DESC, INDEX, False, OPERAND, SIZE_d,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, l = _step(
            m, l, j0, w_desc, w_ptr, x_desc, x_ptr, i, i0, in_i, lead0, lead1, w_d, w_v, x_d, x_i, size_v, BLOCK_M,
            BLOCK_N, BLOCK_d, DESC, INDEX, True, OPERAND, SIZE_d,
        )
    f = tl.log(l)
    loss = m * 0.6931471805599453 + f - r
    tl.store(loss_ptr + i * loss_i, loss.to(loss_ptr.dtype.element_ty), mask=in_i)


@triton.jit
def linear_cross_entropy_parts(
    part_l_ptr, part_m_ptr, w_desc, w_ptr, x_desc, x_ptr, chunk, w_d, w_lead0, w_lead1, w_v, x_d, x_i, x_lead0, x_lead1,
    size_batch, size_i, size_lead, size_v, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr,
    DESC: tl.constexpr, INDEX: tl.constexpr, OPERAND: tl.constexpr, OVERLAP: tl.constexpr, SIZE_d: tl.constexpr,
):
    # One program leaves the state of one part of axis v.
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
    w_ptr += lead0 * w_lead0 + lead1 * w_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_v, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l = _step(
            m, l, j0, w_desc, w_ptr, x_desc, x_ptr, i, i0, in_i, lead0, lead1, w_d, w_v, x_d, x_i, size_v, BLOCK_M,
            BLOCK_N, BLOCK_d, DESC, INDEX, False, OPERAND, SIZE_d,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, l = _step(
            m, l, j0, w_desc, w_ptr, x_desc, x_ptr, i, i0, in_i, lead0, lead1, w_d, w_v, x_d, x_i, size_v, BLOCK_M,
            BLOCK_N, BLOCK_d, DESC, INDEX, True, OPERAND, SIZE_d,
        )
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m, mask=in_i)
    tl.store(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), l, mask=in_i)


@triton.jit
def linear_cross_entropy_finish(
    loss_ptr, part_l_ptr, part_m_ptr, target_ptr, w_ptr, x_ptr, loss_i, loss_lead0, loss_lead1, parts, target_i,
    target_lead0, target_lead1, w_d, w_lead0, w_lead1, w_v, x_d, x_i, x_lead0, x_lead1, size_batch, size_i, size_lead,
    size_v, BLOCK_M: tl.constexpr, BLOCK_d: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
    SIZE_d: tl.constexpr,
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
    x_ptr += lead0 * x_lead0 + lead1 * x_lead1
    w_ptr += lead0 * w_lead0 + lead1 * w_lead1
    target_ptr += lead0 * target_lead0 + lead1 * target_lead1
    loss_ptr += lead0 * loss_lead0 + lead1 * loss_lead1
    target = tl.load(target_ptr + i * target_i, mask=in_i, other=0)
    inside = (target >= 0) & (target < size_v)
    r = tl.full([BLOCK_M], 0.0, tl.float32)
    for d0_2 in range(0, SIZE_d, BLOCK_d):
        d = (d0_2 + tl.arange(0, BLOCK_d)).to(INDEX)
        in_d = d < SIZE_d
        w_2 = tl.where((in_i & (inside == 0))[:, None], float("nan"), tl.load(w_ptr + target.to(INDEX)[:, None] * w_v + d[None, :] * w_d, mask=inside[:, None] & in_d[None, :], other=0.0)).to(tl.float32)
        x_2 = tl.load(x_ptr + i[:, None] * x_i + d[None, :] * x_d, mask=in_i[:, None] & in_d[None, :], other=0.0).to(tl.float32)
        r = r + tl.sum(w_2 * x_2, 1)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        l_part = tl.load(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        m, l = _merge(m, l, m_part, l_part)
    f = tl.log(l)
    loss = m * 0.6931471805599453 + f - r
    tl.store(loss_ptr + i * loss_i, loss.to(loss_ptr.dtype.element_ty), mask=in_i)


def linear_cross_entropy(x, w, target, *, out=None, schedule="auto",
                         splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """x [..., i, d]; w [..., v, d]; target [..., i] -> loss [..., i].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(x, w, target, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((x, w, target), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(x, w, target, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"x": x, "w": w, "target": target}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "d")
    device = x.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_d": rt.piece(size["d"], 16)}
    batch = math.prod(lead)
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, size["i"], size["v"], batch, pads, x.element_size(), device,
    )
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["v"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["v"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["v"] + parts * chunk)
    args = {
        "size_i": size["i"], "size_v": size["v"], "SIZE_d": size["d"], "size_lead": lead[-1] if lead else 1,
        "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "OPERAND": rt.operand(x.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    descriptors = rt.descriptors(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(linear_cross_entropy_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied, descriptors=descriptors)
    work = {
        "part_m_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_l_ptr": ((parts, batch, size["i"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (linear_cross_entropy_parts, (programs, parts), args, options),
        (linear_cross_entropy_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied, descriptors=descriptors)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(x, w, target):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"x": x, "w": w, "target": target}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = x.dtype, x.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    d = torch.arange(size["d"], device=device)
    w_2 = rt.take(w, 2, target[..., :, None], d[..., None, :])
    out["loss"] = rt.full(torch.log(torch.exp(torch.einsum("...bc,...ac->...ab", w, x)).sum(-1)) - (w_2 * x).sum(-1), lead + (size["i"],), dtype, device)
    return rt.result(out)
