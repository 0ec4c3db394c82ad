"""quantised_cache_decode: o and its kernels, emitted by refold from a proved plan.

    s[j] = (Σ_d (k_scale[j]·k[j,d] + k_zero[j])·q[d])/√|d|
    m = max_j s[j]
    p[j] = exp(s[j] - m)
    o[e] = (Σ_j (v_scale[j]·v[j,e] + v_zero[j])·p[j])/(Σ_j p[j])

The proof is quantised_cache_decode.proof.json, the test test_quantised_cache_decode.py. Needs torch and triton alone.
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
    name="quantised_cache_decode",
    inputs={"q": ("d",), "k": ("j", "d",), "v": ("j", "e",), "k_scale": ("j",), "k_zero": ("j",), "v_scale": ("j",), "v_zero": ("j",)},
    outputs={"o": ("e",)},
    dtypes={"q": "float", "k": "float", "v": "float", "k_scale": "float", "k_zero": "float", "v_scale": "float", "v_zero": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), pieces=True,
)


@triton.jit
def _step(
    m, l, acc, j0, k_ptr, k_scale_ptr, k_zero_ptr, q_ptr, v_ptr, v_scale_ptr, v_zero_ptr, e, in_e, k_d, k_j, k_scale_j,
    k_zero_j, q_d, scale_2, v_e, v_j, v_scale_j, v_zero_j, size_j, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr,
    INDEX: tl.constexpr, MASKED: tl.constexpr, SIZE_d: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    k_scale = tl.load(k_scale_ptr + j * k_scale_j, mask=in_j, other=0.0).to(tl.float32)
    k_zero = tl.load(k_zero_ptr + j * k_zero_j, mask=in_j, other=0.0).to(tl.float32)
    r = tl.full([BLOCK_N], 0.0, tl.float32)
    for d0 in range(0, SIZE_d, BLOCK_d):
        d = (d0 + tl.arange(0, BLOCK_d)).to(INDEX)
        in_d = d < SIZE_d
        k = tl.load(k_ptr + j[:, None] * k_j + d[None, :] * k_d, mask=in_j[:, None] & in_d[None, :], other=0.0).to(tl.float32)
        q = tl.load(q_ptr + d * q_d, mask=in_d, other=0.0).to(tl.float32)
        r = r + tl.sum((k * k_scale[:, None] + k_zero[:, None]) * q[None, :], 1)
    if MASKED:
        r = tl.where(in_j, r, -float("inf"))
    m_new = tl.maximum(m, tl.max(r, 0) * scale_2)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    p = tl.exp2(r * scale_2 - m_hat)
    l_new = l * alpha + tl.sum(p, 0)
    v_scale = tl.load(v_scale_ptr + j * v_scale_j, mask=in_j, other=0.0).to(tl.float32)
    v = tl.load(v_ptr + j[None, :] * v_j + e[:, None] * v_e, mask=in_j[None, :] & in_e[:, None], other=0.0).to(tl.float32)
    v_zero = tl.load(v_zero_ptr + j * v_zero_j, mask=in_j, other=0.0).to(tl.float32)
    c = v_scale[None, :] * v + v_zero[None, :]
    acc_new = acc * alpha + tl.sum(c * p[None, :], 1)
    return m_new, l_new, acc_new


@triton.jit
def _merge(m, l, acc, m_part, l_part, acc_part):
    # Two states, each corrected to the anchors of both together, then joined.
    m_new = tl.maximum(m, m_part)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    alpha_2 = tl.exp2(m_part - m_hat)
    l_new = l * alpha + l_part * alpha_2
    acc_new = acc * alpha + acc_part * alpha_2
    return m_new, l_new, acc_new


@triton.jit
def quantised_cache_decode_rolling(
    k_ptr, k_scale_ptr, k_zero_ptr, o_ptr, q_ptr, v_ptr, v_scale_ptr, v_zero_ptr, k_d, k_j, k_lead0, k_lead1, k_scale_j,
    k_scale_lead0, k_scale_lead1, k_zero_j, k_zero_lead0, k_zero_lead1, o_e, o_lead0, o_lead1, q_d, q_lead0, q_lead1,
    scale_2, v_e, v_j, v_lead0, v_lead1, v_scale_j, v_scale_lead0, v_scale_lead1, v_zero_j, v_zero_lead0, v_zero_lead1,
    size_e, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, INDEX: tl.constexpr,
    ONE_TILE: tl.constexpr, RAGGED: tl.constexpr, SIZE_d: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_e, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    e = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_e = e < size_e
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    k_scale_ptr += lead0 * k_scale_lead0 + lead1 * k_scale_lead1
    k_zero_ptr += lead0 * k_zero_lead0 + lead1 * k_zero_lead1
    v_scale_ptr += lead0 * v_scale_lead0 + lead1 * v_scale_lead1
    v_zero_ptr += lead0 * v_zero_lead0 + lead1 * v_zero_lead1
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    m = tl.full([], -float("inf"), tl.float32)
    l = tl.full([], 0.0, tl.float32)
    acc = tl.full([BLOCK_M], 0.0, tl.float32)
    last = 0 if ONE_TILE else (tl.cdiv(size_j, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            m, l, acc = _step(
                m, l, acc, j0, k_ptr, k_scale_ptr, k_zero_ptr, q_ptr, v_ptr, v_scale_ptr, v_zero_ptr, e, in_e, k_d, k_j,
                k_scale_j, k_zero_j, q_d, scale_2, v_e, v_j, v_scale_j, v_zero_j, size_j, BLOCK_N, BLOCK_d, INDEX,
                False, SIZE_d,
            )
    m, l, acc = _step(
        m, l, acc, last, k_ptr, k_scale_ptr, k_zero_ptr, q_ptr, v_ptr, v_scale_ptr, v_zero_ptr, e, in_e, k_d,
        k_j, k_scale_j, k_zero_j, q_d, scale_2, v_e, v_j, v_scale_j, v_zero_j, size_j, BLOCK_N, BLOCK_d, INDEX,
        RAGGED, SIZE_d,
    )
    l_safe = tl.where(l != 0.0, l, 1.0)
    o = tl.where(l != 0.0, acc * (1.0 / l_safe), float("nan"))
    tl.store(o_ptr + e * o_e, o.to(o_ptr.dtype.element_ty), mask=in_e)


@triton.jit
def quantised_cache_decode_parts(
    k_ptr, k_scale_ptr, k_zero_ptr, part_acc_ptr, part_l_ptr, part_m_ptr, q_ptr, v_ptr, v_scale_ptr, v_zero_ptr, chunk,
    k_d, k_j, k_lead0, k_lead1, k_scale_j, k_scale_lead0, k_scale_lead1, k_zero_j, k_zero_lead0, k_zero_lead1, q_d,
    q_lead0, q_lead1, scale_2, v_e, v_j, v_lead0, v_lead1, v_scale_j, v_scale_lead0, v_scale_lead1, v_zero_j,
    v_zero_lead0, v_zero_lead1, size_batch, size_e, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_d: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr, RAGGED: tl.constexpr, SIZE_d: tl.constexpr,
    STAGES: tl.constexpr,
):
    # One program leaves the state of one part of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_e, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    e = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_e = e < size_e
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    k_scale_ptr += lead0 * k_scale_lead0 + lead1 * k_scale_lead1
    k_zero_ptr += lead0 * k_zero_lead0 + lead1 * k_zero_lead1
    v_scale_ptr += lead0 * v_scale_lead0 + lead1 * v_scale_lead1
    v_zero_ptr += lead0 * v_zero_lead0 + lead1 * v_zero_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([], -float("inf"), tl.float32)
    l = tl.full([], 0.0, tl.float32)
    acc = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in tl.range(lo, free_hi, BLOCK_N, num_stages=STAGES):
        m, l, acc = _step(
            m, l, acc, j0, k_ptr, k_scale_ptr, k_zero_ptr, q_ptr, v_ptr, v_scale_ptr, v_zero_ptr, e, in_e, k_d, k_j,
            k_scale_j, k_zero_j, q_d, scale_2, v_e, v_j, v_scale_j, v_zero_j, size_j, BLOCK_N, BLOCK_d, INDEX,
            False, SIZE_d,
        )
    if RAGGED:
        for j0 in tl.range(free_hi, hi, BLOCK_N, num_stages=STAGES):
            m, l, acc = _step(
                m, l, acc, j0, k_ptr, k_scale_ptr, k_zero_ptr, q_ptr, v_ptr, v_scale_ptr, v_zero_ptr, e, in_e, k_d, k_j,
                k_scale_j, k_zero_j, q_d, scale_2, v_e, v_j, v_scale_j, v_zero_j, size_j, BLOCK_N, BLOCK_d, INDEX, True,
                SIZE_d,
            )
    tl.store(part_m_ptr + (part * size_batch + batch).to(tl.int64), m)
    tl.store(part_l_ptr + (part * size_batch + batch).to(tl.int64), l)
    tl.store(part_acc_ptr + ((part * size_batch + batch).to(tl.int64) * size_e + e), acc, mask=in_e)


@triton.jit
def quantised_cache_decode_finish(
    o_ptr, part_acc_ptr, part_l_ptr, part_m_ptr, o_e, o_lead0, o_lead1, parts, size_batch, size_e, size_lead,
    BLOCK_M: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_e, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    e = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_e = e < size_e
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    m = tl.full([], -float("inf"), tl.float32)
    l = tl.full([], 0.0, tl.float32)
    acc = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + (part * size_batch + batch).to(tl.int64))
        l_part = tl.load(part_l_ptr + (part * size_batch + batch).to(tl.int64))
        acc_part = tl.load(part_acc_ptr + ((part * size_batch + batch).to(tl.int64) * size_e + e), mask=in_e, other=0.0)
        m, l, acc = _merge(m, l, acc, m_part, l_part, acc_part)
    l_safe = tl.where(l != 0.0, l, 1.0)
    o = tl.where(l != 0.0, acc * (1.0 / l_safe), float("nan"))
    tl.store(o_ptr + e * o_e, o.to(o_ptr.dtype.element_ty), mask=in_e)


def quantised_cache_decode(q, k, v, k_scale, k_zero, v_scale, v_zero, *, out=None, schedule="auto",
                           splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q [..., d]; k [..., j, d]; v [..., j, e]; k_scale [..., j]; k_zero [..., j]; v_scale [..., j]; v_zero [..., j] -> o [..., e].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(q, k, v, k_scale, k_zero, v_scale, v_zero, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call(
        (q, k, v, k_scale, k_zero, v_scale, v_zero), out, (schedule, splits, block_m, block_n, num_warps, num_stages),
    )


def _prepare(
    q, k, v, k_scale, k_zero, v_scale, v_zero, given, schedule, splits, block_m, block_n, num_warps, num_stages,
):
    """Checks what is given and lays out the call."""
    inputs = {"q": q, "k": k, "v": v, "k_scale": k_scale, "k_zero": k_zero, "v_scale": v_scale, "v_zero": v_zero}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "d")
    device = q.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_d": rt.piece(size["d"], 1)}
    batch = math.prod(lead)
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, size["e"], size["j"], batch, pads, q.element_size(), device,
    )
    programs = batch * triton.cdiv(size["e"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    args = {
        "scale_2": _ratio(1, math.sqrt(size["d"]) * 0.6931471805599453), "size_e": size["e"], "size_j": size["j"],
        "SIZE_d": size["d"], "size_lead": lead[-1] if lead else 1, "size_batch": batch, "parts": parts, "chunk": chunk,
        "BLOCK_M": block_m, "BLOCK_N": block_n, **pads, "ONE_TILE": size["j"] <= block_n,
        "RAGGED": size["j"] % block_n > 0 or size["j"] == 0, "OPERAND": rt.operand(q.dtype), "STAGES": num_stages or 3,
        "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(quantised_cache_decode_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_m_ptr": ((parts, batch), torch.float32), "part_l_ptr": ((parts, batch), torch.float32),
        "part_acc_ptr": ((parts, batch, size["e"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["e"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (quantised_cache_decode_parts, (programs, parts), args, options),
        (quantised_cache_decode_finish, (batch * triton.cdiv(size["e"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(q, k, v, k_scale, k_zero, v_scale, v_zero):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"q": q, "k": k, "v": v, "k_scale": k_scale, "k_zero": k_zero, "v_scale": v_scale, "v_zero": v_zero}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = q.dtype, q.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    s = ((k_scale[..., :, None] * k + k_zero[..., :, None]) * q[..., None, :]).sum(-1) / math.sqrt(size["d"])
    m = rt.largest(s, -1)
    p = torch.exp(s - m[..., None])
    out["o"] = rt.full(((v_scale[..., :, None] * v + v_zero[..., :, None]) * p[..., :, None]).sum(-2) / p.sum(-1)[..., None], lead + (size["e"],), dtype, device)
    return rt.result(out)
