"""dora_norm: norm and its kernels, emitted by refold from a proved plan.

    norm[o] = √(Σ_i ((Σ_r a[r,i]·b[o,r])·s + w[o,i])²)

The proof is dora_norm.proof.json, the test test_dora_norm.py. Needs torch and triton alone.
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
    name="dora_norm", inputs={"w": ("o", "i",), "a": ("r", "i",), "b": ("o", "r",)}, outputs={"norm": ("o",)},
    dtypes={"w": "float", "a": "float", "b": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), dots=True, pieces=True,
    descriptors={"b": (1, 1, "BLOCK_M", "BLOCK_r"), "w": (1, 1, "BLOCK_M", "BLOCK_N")}, words={"s": "float"},
)


@triton.jit
def _step(
    t, j0, a_ptr, b_desc, b_ptr, w_desc, w_ptr, a_i, a_r, b_o, b_r, i0, in_o, lead0, lead1, o, s, w_i, w_o, size_i,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_r: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr, OPERAND: tl.constexpr, SIZE_r: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    i = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_i = i < size_i if MASKED else tl.full([BLOCK_N], True, tl.int1)
    dot = tl.full([BLOCK_M, BLOCK_N], 0.0, tl.float32)
    for r0 in range(0, SIZE_r, BLOCK_r):
        r = (r0 + tl.arange(0, BLOCK_r)).to(INDEX)
        in_r = r < SIZE_r
        b = b_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), i0, r0]).reshape(BLOCK_M, BLOCK_r) if DESC else tl.load(b_ptr + o[:, None] * b_o + r[None, :] * b_r, mask=in_o[:, None] & in_r[None, :], other=0.0)
        a = tl.load(a_ptr + r[None, :] * a_r + i[:, None] * a_i, mask=in_r[None, :] & in_i[:, None], other=0.0)
        dot = tl.dot(b.to(OPERAND), tl.trans(a.to(OPERAND)), dot, input_precision="ieee")
    w = (w_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), i0, j0]).reshape(BLOCK_M, BLOCK_N) if DESC else tl.load(w_ptr + o[:, None] * w_o + i[None, :] * w_i, mask=in_o[:, None] & in_i[None, :], other=0.0)).to(tl.float32)
    c = dot * s + w
    s2 = c * c
    c_2 = s2
    if MASKED:
        c_2 = tl.where(in_i[None, :], c_2, 0.0)
    t_new = t + tl.sum(c_2, 1)
    return t_new,


@triton.jit
def _merge(t, t_part):
    # Two states, each corrected to the anchors of both together, then joined.
    t_new = t + t_part
    return t_new,


@triton.jit
def dora_norm_rolling(
    a_ptr, b_desc, b_ptr, norm_ptr, w_desc, w_ptr, a_i, a_lead0, a_lead1, a_r, b_lead0, b_lead1, b_o, b_r, norm_lead0,
    norm_lead1, norm_o, s, w_i, w_lead0, w_lead1, w_o, size_i, size_lead, size_o, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_r: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr, OPERAND: tl.constexpr,
    SIZE_r: tl.constexpr,
):
    # One program holds its rows and goes over all of axis i.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_o, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    o = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_o = o < size_o
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    w_ptr += lead0 * w_lead0 + lead1 * w_lead1
    a_ptr += lead0 * a_lead0 + lead1 * a_lead1
    b_ptr += lead0 * b_lead0 + lead1 * b_lead1
    norm_ptr += lead0 * norm_lead0 + lead1 * norm_lead1
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = 0
    hi = size_i
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        (t,) = _step(
            t, j0, a_ptr, b_desc, b_ptr, w_desc, w_ptr, a_i, a_r, b_o, b_r, i0, in_o, lead0, lead1, o, s, w_i, w_o,
            size_i, BLOCK_M, BLOCK_N, BLOCK_r, DESC, INDEX, False, OPERAND, SIZE_r,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        (t,) = _step(
            t, j0, a_ptr, b_desc, b_ptr, w_desc, w_ptr, a_i, a_r, b_o, b_r, i0, in_o, lead0, lead1, o, s, w_i, w_o,
            size_i, BLOCK_M, BLOCK_N, BLOCK_r, DESC, INDEX, True, OPERAND, SIZE_r,
        )
    norm = tl.sqrt(t)
    tl.store(norm_ptr + o * norm_o, norm.to(norm_ptr.dtype.element_ty), mask=in_o)


@triton.jit
def dora_norm_parts(
    a_ptr, b_desc, b_ptr, part_t_ptr, w_desc, w_ptr, a_i, a_lead0, a_lead1, a_r, b_lead0, b_lead1, b_o, b_r, chunk, s,
    w_i, w_lead0, w_lead1, w_o, size_batch, size_i, size_lead, size_o, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_r: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr, OPERAND: tl.constexpr, OVERLAP: tl.constexpr,
    SIZE_r: tl.constexpr,
):
    # One program leaves the state of one part of axis i.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_o, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    o = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_o = o < size_o
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    w_ptr += lead0 * w_lead0 + lead1 * w_lead1
    a_ptr += lead0 * a_lead0 + lead1 * a_lead1
    b_ptr += lead0 * b_lead0 + lead1 * b_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_i, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        (t,) = _step(
            t, j0, a_ptr, b_desc, b_ptr, w_desc, w_ptr, a_i, a_r, b_o, b_r, i0, in_o, lead0, lead1, o, s, w_i, w_o,
            size_i, BLOCK_M, BLOCK_N, BLOCK_r, DESC, INDEX, False, OPERAND, SIZE_r,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        (t,) = _step(
            t, j0, a_ptr, b_desc, b_ptr, w_desc, w_ptr, a_i, a_r, b_o, b_r, i0, in_o, lead0, lead1, o, s, w_i, w_o,
            size_i, BLOCK_M, BLOCK_N, BLOCK_r, DESC, INDEX, True, OPERAND, SIZE_r,
        )
    tl.store(part_t_ptr + ((part * size_batch + batch).to(tl.int64) * size_o + o), t, mask=in_o)


@triton.jit
def dora_norm_finish(
    norm_ptr, part_t_ptr, norm_lead0, norm_lead1, norm_o, parts, size_batch, size_lead, size_o, BLOCK_M: tl.constexpr,
    INDEX: tl.constexpr, OVERLAP: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_o, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    o = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_o = o < size_o
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    norm_ptr += lead0 * norm_lead0 + lead1 * norm_lead1
    t = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        t_part = tl.load(part_t_ptr + ((part * size_batch + batch).to(tl.int64) * size_o + o), mask=in_o, other=0.0)
        (t,) = _merge(t, t_part)
    norm = tl.sqrt(t)
    tl.store(norm_ptr + o * norm_o, norm.to(norm_ptr.dtype.element_ty), mask=in_o)


def dora_norm(w, a, b, *, s, out=None, schedule="auto",
              splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """w [..., o, i]; a [..., r, i]; b [..., o, r] -> norm [..., o].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(w, a, b, s, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((w, a, b), out, (s, schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(w, a, b, given, s, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"w": w, "a": a, "b": b}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "r")
    s = rt.scalar(TABLES, "s", s, integer=False, positive=False)
    device = w.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_r": rt.piece(size["r"], 16)}
    batch = math.prod(lead)
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, size["o"], size["i"], batch, pads, w.element_size(), device,
    )
    programs = batch * triton.cdiv(size["o"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["i"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["i"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["i"] + parts * chunk)
    # The weights of a sum have no bound, and float16 ends at 65504.
    args = {
        "s": s, "size_i": size["i"], "size_o": size["o"], "SIZE_r": size["r"], "size_lead": lead[-1] if lead else 1,
        "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "OPERAND": tl.float32 if w.dtype == torch.float16 else rt.operand(w.dtype), "STAGES": num_stages or 3,
        "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    descriptors = rt.descriptors(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(dora_norm_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied, descriptors=descriptors)
    work = {"part_t_ptr": ((parts, batch, size["o"]), torch.float32)}
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["o"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (dora_norm_parts, (programs, parts), args, options),
        (dora_norm_finish, (batch * triton.cdiv(size["o"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied, descriptors=descriptors)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(w, a, b, *, s):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"w": w, "a": a, "b": b}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = w.dtype, w.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    out["norm"] = rt.full(torch.sqrt(((torch.einsum("...bc,...ab->...ac", a, b) * s + w) ** 2).sum(-1)), lead + (size["o"],), dtype, device)
    return rt.result(out)
