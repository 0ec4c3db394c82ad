"""hellinger: h and its kernels, emitted by refold from a proved plan.

    m[i] = max_c x[i,c]
    m2[i] = max_c y[i,c]
    l[i] = Σ_c exp(x[i,c] - m[i])
    l2[i] = Σ_c exp(y[i,c] - m2[i])
    h[i] = 1 - Σ_c √(1/(l[i]·l2[i]))·exp(x[i,c]/2 - m[i]/2)·exp(y[i,c]/2 - m2[i]/2)

The proof is hellinger.proof.json, the test test_hellinger.py. Needs torch and triton alone.
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
    name="hellinger", inputs={"x": ("i", "c",), "y": ("i", "c",)}, outputs={"h": ("i",)},
    dtypes={"x": "float", "y": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), streams=2, rereads=False, shared=0,
)


@triton.jit
def _step(
    m, l, m2, l2, l3, j0, x_ptr, y_ptr, i, in_i, x_c, x_i, y_c, y_i, size_c, BLOCK_N: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    c = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_c = c < size_c if MASKED else tl.full([BLOCK_N], True, tl.int1)
    x = tl.load(x_ptr + i[:, None] * x_i + c[None, :] * x_c, mask=in_i[:, None] & in_c[None, :], other=0.0).to(tl.float32)
    if MASKED:
        x = tl.where(in_c[None, :], x, -float("inf"))
    m_new = tl.maximum(m, tl.max(x, 1))
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = _exp(m - m_hat)
    p = _exp(x - m_hat[:, None])
    l_new = l * alpha + tl.sum(p, 1)
    y = tl.load(y_ptr + i[:, None] * y_i + c[None, :] * y_c, mask=in_i[:, None] & in_c[None, :], other=0.0).to(tl.float32)
    if MASKED:
        y = tl.where(in_c[None, :], y, -float("inf"))
    m2_new = tl.maximum(m2, tl.max(y, 1))
    m2_hat = tl.where(m2_new != -float("inf"), m2_new, 0.0)
    alpha_2 = _exp(m2 - m2_hat)
    p_2 = _exp(y - m2_hat[:, None])
    l2_new = l2 * alpha_2 + tl.sum(p_2, 1)
    m2_safe = tl.where(m2_new != -float("inf"), m2_new, 0.0)
    m_safe = tl.where(m_new != -float("inf"), m_new, 0.0)
    r_hat = tl.where((m2_new != -float("inf")) & (m_new != -float("inf")), m_safe * 0.5 + m2_safe * 0.5, 0.0)
    c2 = x * 0.5 + y * 0.5
    alpha_3 = _exp(m * 0.5 + m2 * 0.5 - r_hat)
    p_3 = _exp(c2 - r_hat[:, None])
    c_2 = p_3
    if MASKED:
        c_2 = tl.where(in_c[None, :], c_2, 0.0)
    l3_new = l3 * alpha_3 + tl.sum(c_2, 1)
    return m_new, l_new, m2_new, l2_new, l3_new


@triton.jit
def _merge(m, l, m2, l2, l3, m_part, l_part, m2_part, l2_part, l3_part):
    # Two states, each corrected to the anchors of both together, then joined.
    m_new = tl.maximum(m, m_part)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = _exp(m - m_hat)
    alpha_2 = _exp(m_part - m_hat)
    l_new = l * alpha + l_part * alpha_2
    m2_new = tl.maximum(m2, m2_part)
    m2_hat = tl.where(m2_new != -float("inf"), m2_new, 0.0)
    alpha_3 = _exp(m2 - m2_hat)
    alpha_4 = _exp(m2_part - m2_hat)
    l2_new = l2 * alpha_3 + l2_part * alpha_4
    m2_safe = tl.where(m2_new != -float("inf"), m2_new, 0.0)
    m_safe = tl.where(m_new != -float("inf"), m_new, 0.0)
    r_hat = tl.where((m2_new != -float("inf")) & (m_new != -float("inf")), m_safe * 0.5 + m2_safe * 0.5, 0.0)
    alpha_5 = _exp(m * 0.5 + m2 * 0.5 - r_hat)
    alpha_6 = _exp(m2_part * 0.5 + m_part * 0.5 - r_hat)
    l3_new = l3 * alpha_5 + l3_part * alpha_6
    return m_new, l_new, m2_new, l2_new, l3_new


@triton.jit
def hellinger_rolling(
    h_ptr, x_ptr, y_ptr, h_i, h_lead0, h_lead1, x_c, x_i, x_lead0, x_lead1, y_c, y_i, y_lead0, y_lead1, size_c, size_i,
    size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, ONE_TILE: tl.constexpr,
    RAGGED: tl.constexpr,
):
    # One program holds its rows and goes over all of axis c.
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
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    h_ptr += lead0 * h_lead0 + lead1 * h_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    m2 = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l2 = tl.full([BLOCK_M], 0.0, tl.float32)
    l3 = tl.full([BLOCK_M], 0.0, tl.float32)
    last = 0 if ONE_TILE else (tl.cdiv(size_c, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            m, l, m2, l2, l3 = _step(
                m, l, m2, l2, l3, j0, x_ptr, y_ptr, i, in_i, x_c, x_i, y_c, y_i, size_c, BLOCK_N, INDEX, False,
            )
    m, l, m2, l2, l3 = _step(
        m, l, m2, l2, l3, last, x_ptr, y_ptr, i, in_i, x_c, x_i, y_c, y_i, size_c, BLOCK_N, INDEX, RAGGED,
    )
    l_safe = tl.where(l != 0.0, l, 1.0)
    l2_safe = tl.where(l2 != 0.0, l2, 1.0)
    h = tl.where((l != 0.0) & (l2 != 0.0), 1.0 - tl.sqrt(1.0 / (l_safe * l2_safe)) * l3, 1.0)
    tl.store(h_ptr + i * h_i, h.to(h_ptr.dtype.element_ty), mask=in_i)


@triton.jit
def hellinger_parts(
    part_l2_ptr, part_l3_ptr, part_l_ptr, part_m2_ptr, part_m_ptr, x_ptr, y_ptr, chunk, x_c, x_i, x_lead0, x_lead1, y_c,
    y_i, y_lead0, y_lead1, size_batch, size_c, size_i, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    INDEX: tl.constexpr, OVERLAP: tl.constexpr, RAGGED: tl.constexpr,
):
    # One program leaves the state of one part of axis c.
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
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    m2 = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l2 = tl.full([BLOCK_M], 0.0, tl.float32)
    l3 = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_c, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, l, m2, l2, l3 = _step(
            m, l, m2, l2, l3, j0, x_ptr, y_ptr, i, in_i, x_c, x_i, y_c, y_i, size_c, BLOCK_N, INDEX, False,
        )
    if RAGGED:
        for j0 in range(free_hi, hi, BLOCK_N):
            m, l, m2, l2, l3 = _step(
                m, l, m2, l2, l3, j0, x_ptr, y_ptr, i, in_i, x_c, x_i, y_c, y_i, size_c, BLOCK_N, INDEX, True,
            )
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m, mask=in_i)
    tl.store(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), l, mask=in_i)
    tl.store(part_m2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m2, mask=in_i)
    tl.store(part_l2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), l2, mask=in_i)
    tl.store(part_l3_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), l3, mask=in_i)


@triton.jit
def hellinger_finish(
    h_ptr, part_l2_ptr, part_l3_ptr, part_l_ptr, part_m2_ptr, part_m_ptr, h_i, h_lead0, h_lead1, parts, size_batch,
    size_i, size_lead, BLOCK_M: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
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
    h_ptr += lead0 * h_lead0 + lead1 * h_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l = tl.full([BLOCK_M], 0.0, tl.float32)
    m2 = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l2 = tl.full([BLOCK_M], 0.0, tl.float32)
    l3 = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        l_part = tl.load(part_l_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        m2_part = tl.load(part_m2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        l2_part = tl.load(part_l2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        l3_part = tl.load(part_l3_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        m, l, m2, l2, l3 = _merge(m, l, m2, l2, l3, m_part, l_part, m2_part, l2_part, l3_part)
    l_safe = tl.where(l != 0.0, l, 1.0)
    l2_safe = tl.where(l2 != 0.0, l2, 1.0)
    h = tl.where((l != 0.0) & (l2 != 0.0), 1.0 - tl.sqrt(1.0 / (l_safe * l2_safe)) * l3, 1.0)
    tl.store(h_ptr + i * h_i, h.to(h_ptr.dtype.element_ty), mask=in_i)


def hellinger(x, y, *, out=None, schedule="auto",
              splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """x [..., i, c]; y [..., i, c] -> h [..., i].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(x, y, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((x, y), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(x, y, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"x": x, "y": y}
    size = rt.sizes(TABLES, inputs)
    device = x.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {}
    batch = math.prod(lead)
    block_m, block_n = rt.row_blocks(TABLES, block_m, block_n, size["i"], size["c"], batch, x.element_size(), rt.units(device))
    num_warps = num_warps or rt.row_warps(TABLES, block_m, block_n, size["c"], x.element_size())
    slots = 2 * rt.units(device)
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["c"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["c"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["c"] + parts * chunk)
    args = {
        "size_c": size["c"], "size_i": size["i"], "size_lead": lead[-1] if lead else 1, "size_batch": batch,
        "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "ONE_TILE": size["c"] <= block_n, "RAGGED": size["c"] % block_n > 0 or size["c"] == 0,
        "OPERAND": rt.operand(x.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(hellinger_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_m_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_l_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_m2_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_l2_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_l3_ptr": ((parts, batch, size["i"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (hellinger_parts, (programs, parts), args, options),
        (hellinger_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(x, y):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"x": x, "y": y}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = x.dtype, x.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    m = rt.largest(x, -1)
    l = torch.exp(x - m[..., :, None]).sum(-1)
    m2 = rt.largest(y, -1)
    l2 = torch.exp(y - m2[..., :, None]).sum(-1)
    out["h"] = rt.full(1 - (torch.sqrt(1.0 / l / l2)[..., :, None] * torch.exp(x * 0.5 - (m * 0.5)[..., :, None]) * torch.exp(y * 0.5 - (m2 * 0.5)[..., :, None])).sum(-1), lead + (size["i"],), dtype, device)
    return rt.result(out)
