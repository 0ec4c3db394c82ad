"""triplet_loss: loss and its kernels, emitted by refold from a proved plan.

    loss[i] = max(0, margin + max_j (distance[i,j] where label[j] = mine[i], else -∞) - min_j (∞ where label[j] = mine[i], else distance[i,j]))

The proof is triplet_loss.proof.json, the test test_triplet_loss.py. Needs torch and triton alone.
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
_larger, _largest, _smaller, _smallest = rt._larger, rt._largest, rt._smaller, rt._smallest
TABLES = rt.Tables(
    name="triplet_loss", inputs={"distance": ("i", "j",), "mine": ("i",), "label": ("j",)}, outputs={"loss": ("i",)},
    dtypes={"distance": "float", "mine": "int32", "label": "int32"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), streams=1, rereads=False, shared=1,
    words={"margin": "float"},
)


@triton.jit
def _step(
    w, m, j0, distance_ptr, label_ptr, distance_i, distance_j, i, in_i, label_j, mine, size_j, BLOCK_N: tl.constexpr,
    INDEX: tl.constexpr, MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    label = tl.load(label_ptr + j * label_j, mask=in_j, other=0)
    distance = tl.load(distance_ptr + i[:, None] * distance_i + j[None, :] * distance_j, mask=in_i[:, None] & in_j[None, :], other=0.0).to(tl.float32)
    s = tl.where(label[None, :] == mine[:, None], float("inf"), distance)
    if MASKED:
        s = tl.where(in_j[None, :], s, float("inf"))
    w_new = _smaller(w, _smallest(s, 1))
    s2 = tl.where(label[None, :] == mine[:, None], distance, -float("inf"))
    if MASKED:
        s2 = tl.where(in_j[None, :], s2, -float("inf"))
    m_new = _larger(m, _largest(s2, 1))
    return w_new, m_new


@triton.jit
def _merge(w, m, w_part, m_part):
    # Two states, each corrected to the anchors of both together, then joined.
    w_new = _smaller(w, w_part)
    m_new = _larger(m, m_part)
    return w_new, m_new


@triton.jit
def triplet_loss_rolling(
    distance_ptr, label_ptr, loss_ptr, mine_ptr, distance_i, distance_j, distance_lead0, distance_lead1, label_j,
    label_lead0, label_lead1, loss_i, loss_lead0, loss_lead1, margin, mine_i, mine_lead0, mine_lead1, size_i, size_j,
    size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, ONE_TILE: tl.constexpr,
    RAGGED: tl.constexpr,
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
    distance_ptr += lead0 * distance_lead0 + lead1 * distance_lead1
    mine_ptr += lead0 * mine_lead0 + lead1 * mine_lead1
    label_ptr += lead0 * label_lead0 + lead1 * label_lead1
    loss_ptr += lead0 * loss_lead0 + lead1 * loss_lead1
    mine = tl.load(mine_ptr + i * mine_i, mask=in_i, other=0)
    w = tl.full([BLOCK_M], float("inf"), tl.float32)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    last = 0 if ONE_TILE else (tl.cdiv(size_j, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            w, m = _step(
                w, m, j0, distance_ptr, label_ptr, distance_i, distance_j, i, in_i, label_j, mine, size_j, BLOCK_N,
                INDEX, False,
            )
    w, m = _step(
        w, m, last, distance_ptr, label_ptr, distance_i, distance_j, i, in_i, label_j, mine, size_j, BLOCK_N,
        INDEX, RAGGED,
    )
    loss = _larger(0.0, m + margin - w)
    tl.store(loss_ptr + i * loss_i, loss.to(loss_ptr.dtype.element_ty), mask=in_i)


@triton.jit
def triplet_loss_parts(
    distance_ptr, label_ptr, mine_ptr, part_m_ptr, part_w_ptr, chunk, distance_i, distance_j, distance_lead0,
    distance_lead1, label_j, label_lead0, label_lead1, mine_i, mine_lead0, mine_lead1, size_batch, size_i, size_j,
    size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
    RAGGED: tl.constexpr,
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
    distance_ptr += lead0 * distance_lead0 + lead1 * distance_lead1
    mine_ptr += lead0 * mine_lead0 + lead1 * mine_lead1
    label_ptr += lead0 * label_lead0 + lead1 * label_lead1
    mine = tl.load(mine_ptr + i * mine_i, mask=in_i, other=0)
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    w = tl.full([BLOCK_M], float("inf"), tl.float32)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, free_hi, BLOCK_N):
        w, m = _step(
            w, m, j0, distance_ptr, label_ptr, distance_i, distance_j, i, in_i, label_j, mine, size_j, BLOCK_N,
            INDEX, False,
        )
    if RAGGED:
        for j0 in range(free_hi, hi, BLOCK_N):
            w, m = _step(
                w, m, j0, distance_ptr, label_ptr, distance_i, distance_j, i, in_i, label_j, mine, size_j, BLOCK_N,
                INDEX, True,
            )
    tl.store(part_w_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), w, mask=in_i)
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m, mask=in_i)


@triton.jit
def triplet_loss_finish(
    loss_ptr, part_m_ptr, part_w_ptr, loss_i, loss_lead0, loss_lead1, margin, parts, size_batch, size_i, size_lead,
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
    w = tl.full([BLOCK_M], float("inf"), tl.float32)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        w_part = tl.load(part_w_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=float("inf"))
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        w, m = _merge(w, m, w_part, m_part)
    loss = _larger(0.0, m + margin - w)
    tl.store(loss_ptr + i * loss_i, loss.to(loss_ptr.dtype.element_ty), mask=in_i)


def triplet_loss(distance, mine, label, *, margin, out=None, schedule="auto",
                 splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """distance [..., i, j]; mine [..., i]; label [..., j] -> loss [..., i].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(distance, mine, label, margin, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((distance, mine, label), out, (margin, schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(distance, mine, label, given, margin, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"distance": distance, "mine": mine, "label": label}
    size = rt.sizes(TABLES, inputs)
    margin = rt.scalar(TABLES, "margin", margin, integer=False, positive=True)
    device = distance.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {}
    batch = math.prod(lead)
    block_m, block_n = rt.row_blocks(TABLES, block_m, block_n, size["i"], size["j"], batch, distance.element_size(), rt.units(device))
    num_warps = num_warps or rt.row_warps(TABLES, block_m, block_n, size["j"], distance.element_size())
    slots = 2 * rt.units(device)
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    args = {
        "margin": margin, "size_i": size["i"], "size_j": size["j"], "size_lead": lead[-1] if lead else 1,
        "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m, "BLOCK_N": block_n, **pads,
        "ONE_TILE": size["j"] <= block_n, "RAGGED": size["j"] % block_n > 0 or size["j"] == 0,
        "OPERAND": rt.operand(distance.dtype), "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(triplet_loss_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_w_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_m_ptr": ((parts, batch, size["i"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (triplet_loss_parts, (programs, parts), args, options),
        (triplet_loss_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(distance, mine, label, *, margin):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"distance": distance, "mine": mine, "label": label}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = distance.dtype, distance.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    out["loss"] = rt.full((rt.largest(rt.where(label[..., None, :] == mine[..., :, None], distance, -math.inf, dtype, device), -1) + margin - rt.smallest(rt.where(label[..., None, :] == mine[..., :, None], math.inf, distance, dtype, device), -1)).clamp(min=0), lead + (size["i"],), dtype, device)
    return rt.result(out)
