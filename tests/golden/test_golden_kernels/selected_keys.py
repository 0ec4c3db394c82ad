"""selected_keys: o and its kernels, emitted by refold from a proved plan.

    s[i,t] = (Σ_d k[at[i,t],d]·q[i,d])/√|d|
    m[i] = max_t s[i,t]
    p[i,t] = exp(s[i,t] - m[i])
    o[i,e] = (Σ_t p[i,t]·v[at[i,t],e])/(Σ_t p[i,t])

The proof is selected_keys.proof.json, the test test_selected_keys.py. Needs torch and triton alone.
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
    name="selected_keys", inputs={"q": ("i", "d",), "k": ("n", "d",), "v": ("n", "e",), "at": ("i", "t",)},
    outputs={"o": ("i", "e",)}, dtypes={"q": "float", "k": "float", "v": "float", "at": "int32"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62),
)


@triton.jit
def _step(
    m, l, acc, j0, at_ptr, k_ptr, v_ptr, at_i, at_t, d, e, i, in_d, in_e, k_d, k_n, q, scale_2, v_e, v_n, size_n,
    size_t, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    t = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_t = t < size_t if MASKED else tl.full([BLOCK_N], True, tl.int1)
    at = tl.load(at_ptr + i * at_i + t * at_t, mask=in_t, other=0)
    inside = (at >= 0) & (at < size_n)
    k = tl.where((in_t & (inside == 0))[:, None], float("nan"), tl.load(k_ptr + at.to(INDEX)[:, None] * k_n + d[None, :] * k_d, mask=inside[:, None] & in_d[None, :], other=0.0)).to(tl.float32)
    r = tl.sum(k * q[None, :], 1)
    if MASKED:
        r = tl.where(in_t, r, -float("inf"))
    m_new = tl.maximum(m, tl.max(r, 0) * scale_2)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    p = tl.exp2(r * scale_2 - m_hat)
    l_new = l * alpha + tl.sum(p, 0)
    inside_2 = (at >= 0) & (at < size_n)
    v = tl.load(v_ptr + at.to(INDEX)[:, None] * v_n + e[None, :] * v_e, mask=inside_2[:, None] & in_e[None, :], other=0.0).to(tl.float32)
    acc_new = acc * alpha + tl.sum(v * p[:, None], 0)
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
def selected_keys_rolling(
    at_ptr, k_ptr, o_ptr, q_ptr, v_ptr, at_i, at_lead0, at_lead1, at_t, k_d, k_lead0, k_lead1, k_n, o_e, o_i, o_lead0,
    o_lead1, q_d, q_i, q_lead0, q_lead1, scale_2, v_e, v_lead0, v_lead1, v_n, size_i, size_lead, size_n, size_t,
    BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr, INDEX: tl.constexpr, ONE_TILE: tl.constexpr,
    RAGGED: tl.constexpr, SIZE_d: tl.constexpr, SIZE_e: tl.constexpr,
):
    # One program holds its rows and goes over all of axis t.
    pid = tl.program_id(0)
    batch = pid
    lead = batch
    i = (lead % size_i).to(INDEX)
    lead = lead // size_i
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    d = tl.arange(0, BLOCK_d).to(INDEX)  # [BLOCK_d]
    in_d = d < SIZE_d
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    at_ptr += lead0 * at_lead0 + lead1 * at_lead1
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    q = tl.load(q_ptr + i * q_i + d * q_d, mask=in_d, other=0.0).to(tl.float32)
    m = tl.full([], -float("inf"), tl.float32)
    l = tl.full([], 0.0, tl.float32)
    acc = tl.full([BLOCK_e], 0.0, tl.float32)
    last = 0 if ONE_TILE else (tl.cdiv(size_t, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            m, l, acc = _step(
                m, l, acc, j0, at_ptr, k_ptr, v_ptr, at_i, at_t, d, e, i, in_d, in_e, k_d, k_n, q, scale_2, v_e, v_n,
                size_n, size_t, BLOCK_N, INDEX, False,
            )
    m, l, acc = _step(
        m, l, acc, last, at_ptr, k_ptr, v_ptr, at_i, at_t, d, e, i, in_d, in_e, k_d, k_n, q, scale_2, v_e, v_n,
        size_n, size_t, BLOCK_N, INDEX, RAGGED,
    )
    l_safe = tl.where(l != 0.0, l, 1.0)
    o = tl.where(l != 0.0, acc * (1.0 / l_safe), float("nan"))
    tl.store(o_ptr + i * o_i + e * o_e, o.to(o_ptr.dtype.element_ty), mask=in_e)


@triton.jit
def selected_keys_parts(
    at_ptr, k_ptr, part_acc_ptr, part_l_ptr, part_m_ptr, q_ptr, v_ptr, at_i, at_lead0, at_lead1, at_t, chunk, k_d,
    k_lead0, k_lead1, k_n, q_d, q_i, q_lead0, q_lead1, scale_2, v_e, v_lead0, v_lead1, v_n, size_batch, size_i,
    size_lead, size_n, size_t, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr, INDEX: tl.constexpr,
    OVERLAP: tl.constexpr, RAGGED: tl.constexpr, SIZE_d: tl.constexpr, SIZE_e: tl.constexpr, STAGES: tl.constexpr,
):
    # One program leaves the state of one part of axis t.
    pid = tl.program_id(0)
    batch = pid
    lead = batch
    i = (lead % size_i).to(INDEX)
    lead = lead // size_i
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    d = tl.arange(0, BLOCK_d).to(INDEX)  # [BLOCK_d]
    in_d = d < SIZE_d
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    at_ptr += lead0 * at_lead0 + lead1 * at_lead1
    q = tl.load(q_ptr + i * q_i + d * q_d, mask=in_d, other=0.0).to(tl.float32)
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([], -float("inf"), tl.float32)
    l = tl.full([], 0.0, tl.float32)
    acc = tl.full([BLOCK_e], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_t, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in tl.range(lo, free_hi, BLOCK_N, num_stages=STAGES):
        m, l, acc = _step(
            m, l, acc, j0, at_ptr, k_ptr, v_ptr, at_i, at_t, d, e, i, in_d, in_e, k_d, k_n, q, scale_2, v_e, v_n,
            size_n, size_t, BLOCK_N, INDEX, False,
        )
    if RAGGED:
        for j0 in tl.range(free_hi, hi, BLOCK_N, num_stages=STAGES):
            m, l, acc = _step(
                m, l, acc, j0, at_ptr, k_ptr, v_ptr, at_i, at_t, d, e, i, in_d, in_e, k_d, k_n, q, scale_2, v_e, v_n,
                size_n, size_t, BLOCK_N, INDEX, True,
            )
    tl.store(part_m_ptr + (part * size_batch + batch).to(tl.int64), m)
    tl.store(part_l_ptr + (part * size_batch + batch).to(tl.int64), l)
    tl.store(part_acc_ptr + ((part * size_batch + batch).to(tl.int64) * SIZE_e + e), acc, mask=in_e)


@triton.jit
def selected_keys_finish(
    o_ptr, part_acc_ptr, part_l_ptr, part_m_ptr, o_e, o_i, o_lead0, o_lead1, parts, size_batch, size_i, size_lead,
    BLOCK_e: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr, SIZE_e: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    batch = pid
    lead = batch
    i = (lead % size_i).to(INDEX)
    lead = lead // size_i
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    m = tl.full([], -float("inf"), tl.float32)
    l = tl.full([], 0.0, tl.float32)
    acc = tl.full([BLOCK_e], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + (part * size_batch + batch).to(tl.int64))
        l_part = tl.load(part_l_ptr + (part * size_batch + batch).to(tl.int64))
        acc_part = tl.load(part_acc_ptr + ((part * size_batch + batch).to(tl.int64) * SIZE_e + e), mask=in_e, other=0.0)
        m, l, acc = _merge(m, l, acc, m_part, l_part, acc_part)
    l_safe = tl.where(l != 0.0, l, 1.0)
    o = tl.where(l != 0.0, acc * (1.0 / l_safe), float("nan"))
    tl.store(o_ptr + i * o_i + e * o_e, o.to(o_ptr.dtype.element_ty), mask=in_e)


def selected_keys(q, k, v, at, *, out=None, schedule="auto",
                  splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q [..., i, d]; k [..., n, d]; v [..., n, e]; at [..., i, t] -> o [..., i, e].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(q, k, v, at, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((q, k, v, at), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(q, k, v, at, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"q": q, "k": k, "v": v, "at": at}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "d", "e")
    device = q.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_d": rt.pad(size["d"], 1), "BLOCK_e": rt.pad(size["e"], 1)}
    batch = math.prod(lead) * size["i"]
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, 1, size["t"], batch, pads, q.element_size(), device,
    )
    programs = batch
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["t"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["t"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["t"] + parts * chunk)
    args = {
        "scale_2": _ratio(1, math.sqrt(size["d"]) * 0.6931471805599453), "size_i": size["i"], "size_n": size["n"],
        "size_t": size["t"], "SIZE_d": size["d"], "SIZE_e": size["e"], "size_lead": lead[-1] if lead else 1,
        "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "ONE_TILE": size["t"] <= block_n, "RAGGED": size["t"] % block_n > 0 or size["t"] == 0,
        "OPERAND": rt.operand(q.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(selected_keys_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_m_ptr": ((parts, batch), torch.float32), "part_l_ptr": ((parts, batch), torch.float32),
        "part_acc_ptr": ((parts, batch, size["e"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (selected_keys_parts, (programs, parts), args, options),
        (selected_keys_finish, (batch, 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(q, k, v, at):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"q": q, "k": k, "v": v, "at": at}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = q.dtype, q.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    d = torch.arange(size["d"], device=device)
    e = torch.arange(size["e"], device=device)
    v_2 = rt.take(v, 3, at[..., :, None, :], e[..., None, :, None])
    k_2 = rt.take(k, 3, at[..., :, None, :], d[..., None, :, None])
    s = (k_2 * q[..., :, :, None]).sum(-2) / math.sqrt(size["d"])
    m = rt.largest(s, -1)
    p = torch.exp(s - m[..., :, None])
    out["o"] = rt.full((v_2 * p[..., :, None, :]).sum(-1) / p.sum(-1)[..., :, None], lead + (size["i"], size["e"],), dtype, device)
    return rt.result(out)
