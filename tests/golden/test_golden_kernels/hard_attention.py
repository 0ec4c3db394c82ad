"""hard_attention: o and its kernels, emitted by refold from a proved plan.

    o[i,e] = v[argmax_j (Σ_d k[j,d]·q[i,d] where j ≤ i, else -∞),e]

The proof is hard_attention.proof.json, the test test_hard_attention.py. Needs torch and triton alone.
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
_larger, _largest, _over = rt._larger, rt._largest, rt._over
TABLES = rt.Tables(
    name="hard_attention", inputs={"q": ("i", "d",), "k": ("j", "d",), "v": ("j", "e",)}, outputs={"o": ("i", "e",)},
    dtypes={"q": "float", "k": "float", "v": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), dots=True, masks=True,
    descriptors={"k": (1, 1, "BLOCK_N", "BLOCK_d"), "q": (1, 1, "BLOCK_M", "BLOCK_d")},
)


@triton.jit
def _step(
    m, at, j0, k_desc, k_ptr, d, i, in_d, k_d, k_j, lead0, lead1, q, size_j, BLOCK_N: tl.constexpr,
    BLOCK_d: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr, MASKED: tl.constexpr, OPERAND: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    k = k_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_d) if DESC else tl.load(k_ptr + j[:, None] * k_j + d[None, :] * k_d, mask=in_j[:, None] & in_d[None, :], other=0.0)
    dot = tl.dot(q.to(OPERAND), tl.trans(k.to(OPERAND)), input_precision="ieee")
    s = dot
    if MASKED:
        s = tl.where(in_j[None, :] & (j[None, :] <= i[:, None]), s, -float("inf"))
    m_tile = _largest(s, 1)
    m_new = _larger(m, m_tile)
    at_tile = tl.min(tl.where(((s == m_tile[:, None]) | (s != s)) & in_j[None, :], j[None, :].to(tl.int32), 2147483647), 1)
    at_new = tl.where(_over(m, m_tile), at, tl.where(_over(m_tile, m), at_tile, tl.minimum(at, at_tile)))
    return m_new, at_new


@triton.jit
def _merge(m, at, m_part, at_part):
    # Two states, each corrected to the anchors of both together, then joined.
    m_new = _larger(m, m_part)
    at_new = tl.where(_over(m, m_part), at, tl.where(_over(m_part, m), at_part, tl.minimum(at, at_part)))
    return m_new, at_new


@triton.jit
def hard_attention_rolling(
    k_desc, k_ptr, o_ptr, q_desc, q_ptr, v_ptr, k_d, k_j, k_lead0, k_lead1, o_e, o_i, o_lead0, o_lead1, q_d, q_i,
    q_lead0, q_lead1, v_e, v_j, v_lead0, v_lead1, size_i, size_j, size_lead, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr,
    OPERAND: tl.constexpr, SIZE_d: tl.constexpr, SIZE_e: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    first_row = i0
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
    at = tl.full([BLOCK_M], 2147483647, tl.int32)
    lo = 0
    hi = size_j
    free_hi = hi
    free_hi = tl.minimum(free_hi, first_row + 1)
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, at = _step(
            m, at, j0, k_desc, k_ptr, d, i, in_d, k_d, k_j, lead0, lead1, q, size_j, BLOCK_N, BLOCK_d, DESC, INDEX,
            False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, at = _step(
            m, at, j0, k_desc, k_ptr, d, i, in_d, k_d, k_j, lead0, lead1, q, size_j, BLOCK_N, BLOCK_d, DESC, INDEX,
            True, OPERAND,
        )
    at_2 = tl.where(at == 2147483647, -1, at)
    inside = (at_2 >= 0) & (at_2 < size_j)
    v = tl.where((in_i & (inside == 0))[:, None], float("nan"), tl.load(v_ptr + at_2.to(INDEX)[:, None] * v_j + e[None, :] * v_e, mask=inside[:, None] & in_e[None, :], other=0.0)).to(tl.float32)
    tl.store(o_ptr + i[:, None] * o_i + e[None, :] * o_e, v.to(o_ptr.dtype.element_ty), mask=in_i[:, None] & in_e[None, :])


@triton.jit
def hard_attention_parts(
    k_desc, k_ptr, part_at_ptr, part_m_ptr, q_desc, q_ptr, chunk, k_d, k_j, k_lead0, k_lead1, q_d, q_i, q_lead0,
    q_lead1, size_batch, size_i, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr,
    DESC: tl.constexpr, INDEX: tl.constexpr, OPERAND: tl.constexpr, OVERLAP: tl.constexpr, SIZE_d: tl.constexpr,
):
    # One program leaves the state of one part of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    first_row = i0
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    d = tl.arange(0, BLOCK_d).to(INDEX)  # [BLOCK_d]
    in_d = d < SIZE_d
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    q = q_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), i0, 0]).reshape(BLOCK_M, BLOCK_d) if DESC else tl.load(q_ptr + i[:, None] * q_i + d[None, :] * q_d, mask=in_i[:, None] & in_d[None, :], other=0.0)
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    at = tl.full([BLOCK_M], 2147483647, tl.int32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    free_hi = tl.minimum(free_hi, first_row + 1)
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        m, at = _step(
            m, at, j0, k_desc, k_ptr, d, i, in_d, k_d, k_j, lead0, lead1, q, size_j, BLOCK_N, BLOCK_d, DESC, INDEX,
            False, OPERAND,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        m, at = _step(
            m, at, j0, k_desc, k_ptr, d, i, in_d, k_d, k_j, lead0, lead1, q, size_j, BLOCK_N, BLOCK_d, DESC, INDEX,
            True, OPERAND,
        )
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m, mask=in_i)
    tl.store(part_at_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), at, mask=in_i)


@triton.jit
def hard_attention_finish(
    o_ptr, part_at_ptr, part_m_ptr, v_ptr, o_e, o_i, o_lead0, o_lead1, parts, v_e, v_j, v_lead0, v_lead1, size_batch,
    size_i, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_e: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
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
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    at = tl.full([BLOCK_M], 2147483647, tl.int32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        at_part = tl.load(part_at_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=2147483647)
        m, at = _merge(m, at, m_part, at_part)
    at_2 = tl.where(at == 2147483647, -1, at)
    inside = (at_2 >= 0) & (at_2 < size_j)
    v = tl.where((in_i & (inside == 0))[:, None], float("nan"), tl.load(v_ptr + at_2.to(INDEX)[:, None] * v_j + e[None, :] * v_e, mask=inside[:, None] & in_e[None, :], other=0.0)).to(tl.float32)
    tl.store(o_ptr + i[:, None] * o_i + e[None, :] * o_e, v.to(o_ptr.dtype.element_ty), mask=in_i[:, None] & in_e[None, :])


def hard_attention(q, k, v, *, out=None, schedule="auto",
                   splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q [..., i, d]; k [..., j, d]; v [..., j, e] -> o [..., i, e].

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
        "size_i": size["i"], "size_j": size["j"], "SIZE_d": size["d"], "SIZE_e": size["e"],
        "size_lead": lead[-1] if lead else 1, "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m,
        "BLOCK_N": block_n, **pads, "OPERAND": rt.operand(q.dtype), "STAGES": num_stages or 3,
        "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    descriptors = rt.descriptors(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(hard_attention_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied, descriptors=descriptors)
    work = {
        "part_m_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_at_ptr": ((parts, batch, size["i"]), torch.int32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (hard_attention_parts, (programs, parts), args, options),
        (hard_attention_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
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
    e = torch.arange(size["e"], device=device)
    i = torch.arange(size["i"], device=device)
    j = torch.arange(size["j"], device=device)
    v_2 = rt.take(v, 2, rt.argmax(rt.where(j[..., None, :] <= i[..., :, None], torch.einsum("...bc,...ac->...ab", k, q), -math.inf, dtype, device), -1)[..., :, None], e[..., None, :])
    out["o"] = rt.full(v_2, lead + (size["i"], size["e"],), dtype, device)
    return rt.result(out)
