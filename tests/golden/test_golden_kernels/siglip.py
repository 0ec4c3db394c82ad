"""siglip: loss and its kernels, emitted by refold from a proved plan.

    s[i,j] = (Σ_d k[j,d]·q[i,d])·t
    s2[i,j] = (-b) - s[i,j] where j = i, else b + s[i,j]
    loss[i] = Σ_j (log(exp(-|s2[i,j]|) + 1) + max(0, s2[i,j]))

The proof is siglip.proof.json, the test test_siglip.py. Needs torch and triton alone.
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
_exp, _larger = rt._exp, rt._larger
TABLES = rt.Tables(
    name="siglip", inputs={"q": ("i", "d",), "k": ("j", "d",)}, outputs={"loss": ("i",)},
    dtypes={"q": "float", "k": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), dots=True, pieces=True,
    descriptors={"k": (1, 1, "BLOCK_N", "BLOCK_d"), "q": (1, 1, "BLOCK_M", "BLOCK_d")},
    words={"b": "float", "t": "float"},
)


@triton.jit
def _step(
    t2, j0, k_desc, k_ptr, q_desc, q_ptr, b, i, i0, in_i, k_d, k_j, lead0, lead1, q_d, q_i, t, size_j,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, DESC: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr, OPERAND: tl.constexpr, SIZE_d: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    dot = tl.full([BLOCK_M, BLOCK_N], 0.0, tl.float32)
    for d0 in range(0, SIZE_d, BLOCK_d):
        d = (d0 + tl.arange(0, BLOCK_d)).to(INDEX)
        in_d = d < SIZE_d
        q = q_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), i0, d0]).reshape(BLOCK_M, BLOCK_d) if DESC else tl.load(q_ptr + i[:, None] * q_i + d[None, :] * q_d, mask=in_i[:, None] & in_d[None, :], other=0.0)
        k = k_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), j0, d0]).reshape(BLOCK_N, BLOCK_d) if DESC else tl.load(k_ptr + j[:, None] * k_j + d[None, :] * k_d, mask=in_j[:, None] & in_d[None, :], other=0.0)
        dot = tl.dot(q.to(OPERAND), tl.trans(k.to(OPERAND)), dot, input_precision="ieee")
    f = tl.abs(tl.where(j[None, :] == i[:, None], dot * t * (-1.0) - b, dot * t + b))
    p = _exp(f * (-1.0))
    f_2 = tl.log(p + 1.0)
    s = _larger(0.0, tl.where(j[None, :] == i[:, None], dot * t * (-1.0) - b, dot * t + b)) + f_2
    c = s
    if MASKED:
        c = tl.where(in_j[None, :], c, 0.0)
    t2_new = t2 + tl.sum(c, 1)
    return t2_new,


@triton.jit
def _merge(t2, t2_part):
    # Two states, each corrected to the anchors of both together, then joined.
    t2_new = t2 + t2_part
    return t2_new,


@triton.jit
def siglip_rolling(
    k_desc, k_ptr, loss_ptr, q_desc, q_ptr, b, k_d, k_j, k_lead0, k_lead1, loss_i, loss_lead0, loss_lead1, q_d, q_i,
    q_lead0, q_lead1, t, size_i, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr,
    DESC: tl.constexpr, INDEX: tl.constexpr, OPERAND: tl.constexpr, SIZE_d: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    loss_ptr += lead0 * loss_lead0 + lead1 * loss_lead1
    t2 = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = 0
    hi = size_j
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        (t2,) = _step(
            t2, j0, k_desc, k_ptr, q_desc, q_ptr, b, i, i0, in_i, k_d, k_j, lead0, lead1, q_d, q_i, t, size_j,
            BLOCK_M, BLOCK_N, BLOCK_d, DESC, INDEX, False, OPERAND, SIZE_d,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        (t2,) = _step(
            t2, j0, k_desc, k_ptr, q_desc, q_ptr, b, i, i0, in_i, k_d, k_j, lead0, lead1, q_d, q_i, t, size_j,
            BLOCK_M, BLOCK_N, BLOCK_d, DESC, INDEX, True, OPERAND, SIZE_d,
        )
    tl.store(loss_ptr + i * loss_i, t2.to(loss_ptr.dtype.element_ty), mask=in_i)


@triton.jit
def siglip_parts(
    k_desc, k_ptr, part_t2_ptr, q_desc, q_ptr, b, chunk, k_d, k_j, k_lead0, k_lead1, q_d, q_i, q_lead0, q_lead1, t,
    size_batch, size_i, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr,
    DESC: tl.constexpr, INDEX: tl.constexpr, OPERAND: tl.constexpr, OVERLAP: tl.constexpr, SIZE_d: tl.constexpr,
):
    # One program leaves the state of one part of axis j.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_i, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    i = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_i = i < size_i
    lead = batch
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    q_ptr += lead0 * q_lead0 + lead1 * q_lead1
    k_ptr += lead0 * k_lead0 + lead1 * k_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    t2 = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        (t2,) = _step(
            t2, j0, k_desc, k_ptr, q_desc, q_ptr, b, i, i0, in_i, k_d, k_j, lead0, lead1, q_d, q_i, t, size_j,
            BLOCK_M, BLOCK_N, BLOCK_d, DESC, INDEX, False, OPERAND, SIZE_d,
        )
    for j0 in range(free_hi, hi, BLOCK_N):
        (t2,) = _step(
            t2, j0, k_desc, k_ptr, q_desc, q_ptr, b, i, i0, in_i, k_d, k_j, lead0, lead1, q_d, q_i, t, size_j,
            BLOCK_M, BLOCK_N, BLOCK_d, DESC, INDEX, True, OPERAND, SIZE_d,
        )
    tl.store(part_t2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), t2, mask=in_i)


@triton.jit
def siglip_finish(
    loss_ptr, part_t2_ptr, loss_i, loss_lead0, loss_lead1, parts, size_batch, size_i, size_lead, BLOCK_M: tl.constexpr,
    INDEX: tl.constexpr, OVERLAP: tl.constexpr,
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
    t2 = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        t2_part = tl.load(part_t2_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=0.0)
        (t2,) = _merge(t2, t2_part)
    tl.store(loss_ptr + i * loss_i, t2.to(loss_ptr.dtype.element_ty), mask=in_i)


def siglip(q, k, *, b, t, out=None, schedule="auto",
           splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """q [..., i, d]; k [..., j, d] -> loss [..., i].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(q, k, b, t, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((q, k), out, (b, t, schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(q, k, given, b, t, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"q": q, "k": k}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "d")
    b = rt.scalar(TABLES, "b", b, integer=False, positive=False)
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
        "t": t, "b": b, "size_i": size["i"], "size_j": size["j"], "SIZE_d": size["d"],
        "size_lead": lead[-1] if lead else 1, "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m,
        "BLOCK_N": block_n, **pads, "OPERAND": tl.float32 if q.dtype == torch.float16 else rt.operand(q.dtype),
        "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    descriptors = rt.descriptors(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(siglip_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied, descriptors=descriptors)
    work = {"part_t2_ptr": ((parts, batch, size["i"]), torch.float32)}
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (siglip_parts, (programs, parts), args, options),
        (siglip_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied, descriptors=descriptors)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(q, k, *, b, t):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"q": q, "k": k}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = q.dtype, q.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    i = torch.arange(size["i"], device=device)
    j = torch.arange(size["j"], device=device)
    s = torch.einsum("...bc,...ac->...ab", k, q) * t
    s2 = rt.where(j[..., None, :] == i[..., :, None], -b - s, s + b, dtype, device)
    out["loss"] = rt.full((s2.clamp(min=0) + torch.log(torch.exp(-torch.abs(s2)) + 1)).sum(-1), lead + (size["i"],), dtype, device)
    return rt.result(out)
