"""monarch: o and its kernels, emitted by refold from a proved plan.

    m[a,i] = max_b l[i,a,b]
    m2[i,b] = max_j r[b,i,j]
    p[a,i,b] = exp(l[i,a,b] - m[a,i])
    p2[i,b,j] = exp(r[b,i,j] - m2[i,b])
    o[a,i,e] = (Σ_b (Σ_j p2[i,b,j]·v[b,j,e])·p[a,i,b]/(Σ_j p2[i,b,j]))/(Σ_b p[a,i,b])

The proof is monarch.proof.json, the test test_monarch.py. Needs torch and triton alone.
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
_exp, _larger, _largest = rt._exp, rt._larger, rt._largest
TABLES = rt.Tables(
    name="monarch", inputs={"r": ("b", "i", "j",), "l": ("i", "a", "b",), "v": ("b", "j", "e",)},
    outputs={"o": ("a", "i", "e",)}, dtypes={"r": "float", "l": "float", "v": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), dots=True, pieces=True,
    boxes={"l": (1, 1, 1, "BLOCK_M", "BLOCK_N")},
)


@triton.jit
def _step(
    m, l2, acc, j0, l_box, l_ptr, r_ptr, v_ptr, a, e, i, i0, in_a, l_a, l_b, l_i, lead0, lead1, r_b, r_i, r_j, v_b, v_e,
    v_j, size_b, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_j: tl.constexpr, BOX: tl.constexpr,
    INDEX: tl.constexpr, MASKED: tl.constexpr, SIZE_j: tl.constexpr,
):
    # One tile: the state, moved to the new anchors, and what the tile adds.
    b = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_b = b < size_b if MASKED else tl.full([BLOCK_N], True, tl.int1)
    l = (l_box.load([lead0.to(tl.int32), lead1.to(tl.int32), i.to(tl.int32), i0, j0]).reshape(BLOCK_M, BLOCK_N) if BOX else tl.load(l_ptr + i * l_i + a[:, None] * l_a + b[None, :] * l_b, mask=in_a[:, None] & in_b[None, :], other=0.0)).to(tl.float32)
    if MASKED:
        l = tl.where(in_b[None, :], l, -float("inf"))
    m_new = tl.maximum(m, tl.max(l, 1))
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = _exp(m - m_hat)
    p = _exp(l - m_hat[:, None])
    l2_new = l2 * alpha + tl.sum(p, 1)
    r_3 = tl.full([BLOCK_N], -float("inf"), tl.float32)
    for j0_3 in range(0, SIZE_j, BLOCK_j):
        j = (j0_3 + tl.arange(0, BLOCK_j)).to(INDEX)
        in_j = j < SIZE_j
        r_2 = tl.load(r_ptr + b[:, None] * r_b + i * r_i + j[None, :] * r_j, mask=in_b[:, None] & in_j[None, :], other=0.0).to(tl.float32)
        r_3 = _larger(r_3, _largest(tl.where(in_j[None, :], r_2, -float("inf")), 1))
    r_4 = tl.full([BLOCK_N], 0.0, tl.float32)
    for j0_2 in range(0, SIZE_j, BLOCK_j):
        j = (j0_2 + tl.arange(0, BLOCK_j)).to(INDEX)
        in_j = j < SIZE_j
        v = tl.load(v_ptr + b[:, None] * v_b + j[None, :] * v_j + e * v_e, mask=in_b[:, None] & in_j[None, :], other=0.0).to(tl.float32)
        r = tl.load(r_ptr + b[:, None] * r_b + i * r_i + j[None, :] * r_j, mask=in_b[:, None] & in_j[None, :], other=0.0).to(tl.float32)
        p_2 = _exp(r - r_3[:, None])
        r_4 = r_4 + tl.sum(tl.where(in_j[None, :], v * p_2, 0.0), 1)
    r_6 = tl.full([BLOCK_N], 0.0, tl.float32)
    for j0_4 in range(0, SIZE_j, BLOCK_j):
        j = (j0_4 + tl.arange(0, BLOCK_j)).to(INDEX)
        in_j = j < SIZE_j
        r_5 = tl.load(r_ptr + b[:, None] * r_b + i * r_i + j[None, :] * r_j, mask=in_b[:, None] & in_j[None, :], other=0.0).to(tl.float32)
        p_3 = _exp(r_5 - r_3[:, None])
        r_6 = r_6 + tl.sum(tl.where(in_j[None, :], p_3, 0.0), 1)
    s = r_4 / r_6
    c = s[None, :] * p
    if MASKED:
        c = tl.where(in_b[None, :], c, 0.0)
    acc_new = acc * alpha + tl.sum(c, 1)
    return m_new, l2_new, acc_new


@triton.jit
def _merge(m, l2, acc, m_part, l2_part, acc_part):
    # Two states, each moved to the anchors of both together, then joined.
    m_new = tl.maximum(m, m_part)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = _exp(m - m_hat)
    alpha_2 = _exp(m_part - m_hat)
    l2_new = l2 * alpha + l2_part * alpha_2
    acc_new = acc * alpha + acc_part * alpha_2
    return m_new, l2_new, acc_new


@triton.jit
def monarch_rolling(
    l_box, l_ptr, o_ptr, r_ptr, v_ptr, l_a, l_b, l_i, l_lead0, l_lead1, o_a, o_e, o_i, o_lead0, o_lead1, r_b, r_i, r_j,
    r_lead0, r_lead1, v_b, v_e, v_j, v_lead0, v_lead1, size_a, size_b, size_e, size_i, size_lead, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_j: tl.constexpr, BOX: tl.constexpr, INDEX: tl.constexpr, SIZE_j: tl.constexpr,
):
    # One program holds its rows and goes over all of axis b.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_a, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    a = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_a = a < size_a
    lead = batch
    e = (lead % size_e).to(INDEX)
    lead = lead // size_e
    i = (lead % size_i).to(INDEX)
    lead = lead // size_i
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    r_ptr += lead0 * r_lead0 + lead1 * r_lead1
    l_ptr += lead0 * l_lead0 + lead1 * l_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l2 = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = 0
    hi = size_b
    full_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    full_hi = tl.minimum(tl.maximum(full_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, full_hi, BLOCK_N):
        m, l2, acc = _step(
            m, l2, acc, j0, l_box, l_ptr, r_ptr, v_ptr, a, e, i, i0, in_a, l_a, l_b, l_i, lead0, lead1, r_b, r_i,
            r_j, v_b, v_e, v_j, size_b, BLOCK_M, BLOCK_N, BLOCK_j, BOX, INDEX, False, SIZE_j,
        )
    for j0 in range(full_hi, hi, BLOCK_N):
        m, l2, acc = _step(
            m, l2, acc, j0, l_box, l_ptr, r_ptr, v_ptr, a, e, i, i0, in_a, l_a, l_b, l_i, lead0, lead1, r_b, r_i,
            r_j, v_b, v_e, v_j, size_b, BLOCK_M, BLOCK_N, BLOCK_j, BOX, INDEX, True, SIZE_j,
        )
    l2_safe = tl.where(l2 != 0.0, l2, 1.0)
    o = tl.where(l2 != 0.0, acc / l2_safe, float("nan"))
    tl.store(o_ptr + a * o_a + i * o_i + e * o_e, o.to(o_ptr.dtype.element_ty), mask=in_a)


@triton.jit
def monarch_parts(
    l_box, l_ptr, part_acc_ptr, part_l2_ptr, part_m_ptr, r_ptr, v_ptr, chunk, l_a, l_b, l_i, l_lead0, l_lead1, r_b, r_i,
    r_j, r_lead0, r_lead1, v_b, v_e, v_j, v_lead0, v_lead1, size_a, size_b, size_batch, size_e, size_i, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_j: tl.constexpr, BOX: tl.constexpr, INDEX: tl.constexpr,
    OVERLAP: tl.constexpr, SIZE_j: tl.constexpr,
):
    # One program leaves the state of one part of axis b.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_a, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    a = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_a = a < size_a
    lead = batch
    e = (lead % size_e).to(INDEX)
    lead = lead // size_e
    i = (lead % size_i).to(INDEX)
    lead = lead // size_i
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    r_ptr += lead0 * r_lead0 + lead1 * r_lead1
    l_ptr += lead0 * l_lead0 + lead1 * l_lead1
    v_ptr += lead0 * v_lead0 + lead1 * v_lead1
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l2 = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_b, (part + 1) * chunk)
    full_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    full_hi = tl.minimum(tl.maximum(full_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in range(lo, full_hi, BLOCK_N):
        m, l2, acc = _step(
            m, l2, acc, j0, l_box, l_ptr, r_ptr, v_ptr, a, e, i, i0, in_a, l_a, l_b, l_i, lead0, lead1, r_b, r_i,
            r_j, v_b, v_e, v_j, size_b, BLOCK_M, BLOCK_N, BLOCK_j, BOX, INDEX, False, SIZE_j,
        )
    for j0 in range(full_hi, hi, BLOCK_N):
        m, l2, acc = _step(
            m, l2, acc, j0, l_box, l_ptr, r_ptr, v_ptr, a, e, i, i0, in_a, l_a, l_b, l_i, lead0, lead1, r_b, r_i,
            r_j, v_b, v_e, v_j, size_b, BLOCK_M, BLOCK_N, BLOCK_j, BOX, INDEX, True, SIZE_j,
        )
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_a + a), m, mask=in_a)
    tl.store(part_l2_ptr + ((part * size_batch + batch).to(tl.int64) * size_a + a), l2, mask=in_a)
    tl.store(part_acc_ptr + ((part * size_batch + batch).to(tl.int64) * size_a + a), acc, mask=in_a)


@triton.jit
def monarch_finish(
    o_ptr, part_acc_ptr, part_l2_ptr, part_m_ptr, o_a, o_e, o_i, o_lead0, o_lead1, parts, size_a, size_batch, size_e,
    size_i, size_lead, BLOCK_M: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    tiles = tl.cdiv(size_a, BLOCK_M)
    i0 = pid % tiles * BLOCK_M
    batch = pid // tiles
    a = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]
    in_a = a < size_a
    lead = batch
    e = (lead % size_e).to(INDEX)
    lead = lead // size_e
    i = (lead % size_i).to(INDEX)
    lead = lead // size_i
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    l2 = tl.full([BLOCK_M], 0.0, tl.float32)
    acc = tl.full([BLOCK_M], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_a + a), mask=in_a, other=-float("inf"))
        l2_part = tl.load(part_l2_ptr + ((part * size_batch + batch).to(tl.int64) * size_a + a), mask=in_a, other=0.0)
        acc_part = tl.load(part_acc_ptr + ((part * size_batch + batch).to(tl.int64) * size_a + a), mask=in_a, other=0.0)
        m, l2, acc = _merge(m, l2, acc, m_part, l2_part, acc_part)
    l2_safe = tl.where(l2 != 0.0, l2, 1.0)
    o = tl.where(l2 != 0.0, acc / l2_safe, float("nan"))
    tl.store(o_ptr + a * o_a + i * o_i + e * o_e, o.to(o_ptr.dtype.element_ty), mask=in_a)


def monarch(r, l, v, *, out=None, schedule="auto",
            splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """r [..., b, i, j]; l [..., i, a, b]; v [..., b, j, e] -> o [..., a, i, e].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(r, l, v, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((r, l, v), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(r, l, v, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"r": r, "l": l, "v": v}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "j")
    device = r.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_j": rt.piece(size["j"], 16)}
    batch = math.prod(lead) * size["i"] * size["e"]
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, size["a"], size["b"], batch, pads, r.element_size(), device,
    )
    programs = batch * triton.cdiv(size["a"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["b"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["b"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["b"] + parts * chunk)
    # The weights of a sum have no bound, and float16 ends at 65504.
    args = {
        "size_a": size["a"], "size_b": size["b"], "size_e": size["e"], "size_i": size["i"], "SIZE_j": size["j"],
        "size_lead": lead[-1] if lead else 1, "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m,
        "BLOCK_N": block_n, **pads, "OPERAND": tl.float32 if r.dtype == torch.float16 else rt.operand(r.dtype),
        "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    boxes = rt.boxes(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(monarch_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied, boxes=boxes)
    work = {
        "part_m_ptr": ((parts, batch, size["a"]), torch.float32),
        "part_l2_ptr": ((parts, batch, size["a"]), torch.float32),
        "part_acc_ptr": ((parts, batch, size["a"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["a"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (monarch_parts, (programs, parts), args, options),
        (monarch_finish, (batch * triton.cdiv(size["a"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied, boxes=boxes)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(r, l, v):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"r": r, "l": l, "v": v}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = r.dtype, r.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    m2 = rt.largest(r, -1)
    p2 = torch.exp(r - m2[..., :, :, None])
    l_2 = l.movedim((-1, -3, -2), (-3, -2, -1))
    m = rt.largest(l_2, -3)
    p = torch.exp(l_2 - m[..., None, :, :])
    out["o"] = rt.full((torch.einsum("...abe,...abd->...bde", torch.einsum("...ace,...abc->...abe", v, p2) / p2.sum(-1)[..., :, :, None], p) / p.sum(-3)[..., :, :, None]).movedim((-2, -3, -1), (-3, -2, -1)), lead + (size["a"], size["i"], size["e"],), dtype, device)
    return rt.result(out)
