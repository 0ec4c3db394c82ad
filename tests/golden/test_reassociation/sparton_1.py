"""sparton_1: w and its kernels, emitted by refold from a proved plan.

    w[b,v] = log(max(0, max_t (Σ_d e[v,d]·h[b,t,d] where t < length[b], else -∞)) + 1) where any_t (1 where t < length[b], else 0) > 0, else -∞

The proof is sparton_1.proof.json, the test test_sparton_1.py. Needs torch and triton alone.
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
_larger, _largest, _position = rt._larger, rt._largest, rt._position
TABLES = rt.Tables(
    name="sparton_1", inputs={"length": ("b",), "h": ("b", "t", "d",), "e": ("v", "d",)}, outputs={"w": ("b", "v",)},
    dtypes={"length": "int32", "h": "float", "e": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), dots=True, pieces=True, masks=True,
    descriptors={"e": (1, 1, "BLOCK_M", "BLOCK_d"), "h": (1, 1, 1, "BLOCK_N", "BLOCK_d")},
)


@triton.jit
def _step(
    any, m, j0, e_desc, e_ptr, h_desc, h_ptr, b, e_d, e_v, h_b, h_d, h_t, i0, in_v, lead0, lead1, length, v, size_t,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr, OPERAND: tl.constexpr, SIZE_d: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    t = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_t = t < size_t if MASKED else tl.full([BLOCK_N], True, tl.int1)
    s = tl.where(t < length, 1.0, 0.0)
    c = s
    if MASKED:
        c = tl.where(in_t, c, 0.0)
    any_new = tl.maximum(any, tl.max(c, 0))
    dot = tl.full([BLOCK_M, BLOCK_N], 0.0, tl.float32)
    for d0 in range(0, SIZE_d, BLOCK_d):
        d = (d0 + tl.arange(0, BLOCK_d)).to(INDEX)
        in_d = d < SIZE_d
        e = e_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), i0, d0]).reshape(BLOCK_M, BLOCK_d) if DESC else tl.load(e_ptr + v[:, None] * e_v + d[None, :] * e_d, mask=in_v[:, None] & in_d[None, :], other=0.0)
        h = h_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), b.to(tl.int32), j0, d0]).reshape(BLOCK_N, BLOCK_d) if DESC else tl.load(h_ptr + b * h_b + t[:, None] * h_t + d[None, :] * h_d, mask=in_t[:, None] & in_d[None, :], other=0.0)
        dot = tl.dot(e.to(OPERAND), tl.trans(h.to(OPERAND)), dot, input_precision="ieee")
    s2 = dot
    if MASKED:
        s2 = tl.where((in_t & (t < length))[None, :], s2, -float("inf"))
    m_new = _larger(m, _largest(s2, 1))
    return any_new, m_new


@triton.jit
def _merge(any, m, any_part, m_part):
    # Two states, each corrected to the anchors of both together, then joined.
    any_new = tl.maximum(any, any_part)
    m_new = _larger(m, m_part)
    return any_new, m_new


@triton.jit
def sparton_1_rolling(
    e_desc, e_ptr, h_desc, h_ptr, length_ptr, w_ptr, e_d, e_lead0, e_lead1, e_v, h_b, h_d, h_lead0, h_lead1, h_t,
    length_b, length_lead0, length_lead1, w_b, w_lead0, w_lead1, w_v, size_b, size_lead, size_t, size_v,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr,
    OPERAND: tl.constexpr, SIZE_d: tl.constexpr,
):
    # One program holds its rows and goes over all of axis t.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_v, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    v = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_v = v < size_v
    lead = batch
    b = (lead % size_b).to(INDEX)
    lead = lead // size_b
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    length_ptr += lead0 * length_lead0 + lead1 * length_lead1
    h_ptr += lead0 * h_lead0 + lead1 * h_lead1
    e_ptr += lead0 * e_lead0 + lead1 * e_lead1
    w_ptr += lead0 * w_lead0 + lead1 * w_lead1
    length = tl.load(length_ptr + b * length_b)
    any = tl.full([], 0.0, tl.float32)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    lo = 0
    hi = size_t
    free_hi = hi
    free_hi = tl.minimum(free_hi, _position(length))
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        any, m = _step(
            any, m, j0, e_desc, e_ptr, h_desc, h_ptr, b, e_d, e_v, h_b, h_d, h_t, i0, in_v, lead0, lead1, length, v,
            size_t, BLOCK_M, BLOCK_N, BLOCK_d, DESC, INDEX, False, OPERAND, SIZE_d,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        any, m = _step(
            any, m, j0, e_desc, e_ptr, h_desc, h_ptr, b, e_d, e_v, h_b, h_d, h_t, i0, in_v, lead0, lead1, length, v,
            size_t, BLOCK_M, BLOCK_N, BLOCK_d, DESC, INDEX, True, OPERAND, SIZE_d,
        )
    f = tl.log(_larger(0.0, m) + 1.0)
    w = tl.where(any > 0.0, f, -float("inf"))
    tl.store(w_ptr + b * w_b + v * w_v, w.to(w_ptr.dtype.element_ty), mask=in_v)


@triton.jit
def sparton_1_parts(
    e_desc, e_ptr, h_desc, h_ptr, length_ptr, part_any_ptr, part_m_ptr, chunk, e_d, e_lead0, e_lead1, e_v, h_b, h_d,
    h_lead0, h_lead1, h_t, length_b, length_lead0, length_lead1, size_b, size_batch, size_lead, size_t, size_v,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr,
    OPERAND: tl.constexpr, OVERLAP: tl.constexpr, SIZE_d: tl.constexpr,
):
    # One program leaves the state of one part of axis t.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_v, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    v = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_v = v < size_v
    lead = batch
    b = (lead % size_b).to(INDEX)
    lead = lead // size_b
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    length_ptr += lead0 * length_lead0 + lead1 * length_lead1
    h_ptr += lead0 * h_lead0 + lead1 * h_lead1
    e_ptr += lead0 * e_lead0 + lead1 * e_lead1
    length = tl.load(length_ptr + b * length_b)
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    any = tl.full([], 0.0, tl.float32)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_t, (part + 1) * chunk)
    free_hi = hi
    free_hi = tl.minimum(free_hi, _position(length))
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        any, m = _step(
            any, m, j0, e_desc, e_ptr, h_desc, h_ptr, b, e_d, e_v, h_b, h_d, h_t, i0, in_v, lead0, lead1, length, v,
            size_t, BLOCK_M, BLOCK_N, BLOCK_d, DESC, INDEX, False, OPERAND, SIZE_d,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        any, m = _step(
            any, m, j0, e_desc, e_ptr, h_desc, h_ptr, b, e_d, e_v, h_b, h_d, h_t, i0, in_v, lead0, lead1, length, v,
            size_t, BLOCK_M, BLOCK_N, BLOCK_d, DESC, INDEX, True, OPERAND, SIZE_d,
        )
    tl.store(part_any_ptr + (part * size_batch + batch).to(tl.int64), any)
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_v + v), m, mask=in_v)


@triton.jit
def sparton_1_finish(
    part_any_ptr, part_m_ptr, w_ptr, parts, w_b, w_lead0, w_lead1, w_v, size_b, size_batch, size_lead, size_v,
    BLOCK_M: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_v, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    v = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_v = v < size_v
    lead = batch
    b = (lead % size_b).to(INDEX)
    lead = lead // size_b
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    w_ptr += lead0 * w_lead0 + lead1 * w_lead1
    any = tl.full([], 0.0, tl.float32)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        any_part = tl.load(part_any_ptr + (part * size_batch + batch).to(tl.int64))
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_v + v), mask=in_v, other=-float("inf"))
        any, m = _merge(any, m, any_part, m_part)
    f = tl.log(_larger(0.0, m) + 1.0)
    w = tl.where(any > 0.0, f, -float("inf"))
    tl.store(w_ptr + b * w_b + v * w_v, w.to(w_ptr.dtype.element_ty), mask=in_v)


def sparton_1(length, h, e, *, out=None, schedule="auto",
              splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """length [..., b]; h [..., b, t, d]; e [..., v, d] -> w [..., b, v].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(length, h, e, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((length, h, e), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(length, h, e, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"length": length, "h": h, "e": e}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "d")
    device = length.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_d": rt.piece(size["d"], 16)}
    batch = math.prod(lead) * size["b"]
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, size["v"], size["t"], batch, pads, h.element_size(), device,
    )
    programs = batch * triton.cdiv(size["v"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["t"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["t"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["t"] + parts * chunk)
    args = {
        "size_b": size["b"], "size_t": size["t"], "size_v": size["v"], "SIZE_d": size["d"],
        "size_lead": lead[-1] if lead else 1, "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m,
        "BLOCK_N": block_n, **pads, "OPERAND": rt.operand(h.dtype), "STAGES": num_stages or 3,
        "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    descriptors = rt.descriptors(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(sparton_1_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied, descriptors=descriptors)
    work = {"part_any_ptr": ((parts, batch), torch.float32), "part_m_ptr": ((parts, batch, size["v"]), torch.float32)}
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["v"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (sparton_1_parts, (programs, parts), args, options),
        (sparton_1_finish, (batch * triton.cdiv(size["v"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied, descriptors=descriptors)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(length, h, e):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"length": length, "h": h, "e": e}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = h.dtype, h.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    t = torch.arange(size["t"], device=device)
    out["w"] = rt.full(rt.where((rt.any_of(rt.where(t[..., None, :] < length[..., :, None], 1, 0, torch.int64, device), -1) > 0)[..., :, None], torch.log(rt.largest(rt.where((t[..., None, :] < length[..., :, None])[..., :, :, None], torch.einsum("...cd,...abd->...abc", e, h), -math.inf, dtype, device), -2).clamp(min=0) + 1), -math.inf, dtype, device), lead + (size["b"], size["v"],), dtype, device)
    return rt.result(out)
