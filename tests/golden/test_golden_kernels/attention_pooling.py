"""attention_pooling: z and its kernels, emitted by refold from a proved plan.

    t[b,j] = Σ_l w[l]·sigmoid(gates[b,j,l])·tanh(tanhs[b,j,l])
    m[b] = max_j t[b,j]
    p[b,j] = exp(t[b,j] - m[b])
    z[b,e] = (Σ_j p[b,j]·x[b,j,e])/(Σ_j p[b,j])

The proof is attention_pooling.proof.json, the test test_attention_pooling.py. Needs torch and triton alone.
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
_sigmoid, _tanh = rt._sigmoid, rt._tanh
TABLES = rt.Tables(
    name="attention_pooling",
    inputs={"x": ("b", "j", "e",), "tanhs": ("b", "j", "l",), "gates": ("b", "j", "l",), "w": ("l",)},
    outputs={"z": ("b", "e",)}, dtypes={"x": "float", "tanhs": "float", "gates": "float", "w": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), costly=True,
)


@triton.jit
def _step(
    m, l2, acc, j0, gates_ptr, tanhs_ptr, x_ptr, b, e, gates_b, gates_j, gates_l, in_e, in_l, l, tanhs_b, tanhs_j,
    tanhs_l, w, x_b, x_e, x_j, size_j, BLOCK_N: tl.constexpr, FAST: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    gates = tl.load(gates_ptr + b * gates_b + j[:, None] * gates_j + l[None, :] * gates_l, mask=in_j[:, None] & in_l[None, :], other=0.0).to(tl.float32)
    f = _sigmoid(gates)
    tanhs = tl.load(tanhs_ptr + b * tanhs_b + j[:, None] * tanhs_j + l[None, :] * tanhs_l, mask=in_j[:, None] & in_l[None, :], other=0.0).to(tl.float32)
    f_2 = _tanh(tanhs, FAST)
    r = tl.sum(f * f_2 * w[None, :], 1)
    if MASKED:
        r = tl.where(in_j, r, -float("inf"))
    m_new = tl.maximum(m, tl.max(r, 0) * 1.4426950408889634)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    p = tl.exp2(r * 1.4426950408889634 - m_hat)
    l2_new = l2 * alpha + tl.sum(p, 0)
    x = tl.load(x_ptr + b * x_b + j[:, None] * x_j + e[None, :] * x_e, mask=in_j[:, None] & in_e[None, :], other=0.0).to(tl.float32)
    acc_new = acc * alpha + tl.sum(x * p[:, None], 0)
    return m_new, l2_new, acc_new


@triton.jit
def _merge(m, l2, acc, m_part, l2_part, acc_part):
    # Two states, each corrected to the anchors of both together, then joined.
    m_new = tl.maximum(m, m_part)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    alpha_2 = tl.exp2(m_part - m_hat)
    l2_new = l2 * alpha + l2_part * alpha_2
    acc_new = acc * alpha + acc_part * alpha_2
    return m_new, l2_new, acc_new


@triton.jit
def attention_pooling_rolling(
    gates_ptr, tanhs_ptr, w_ptr, x_ptr, z_ptr, gates_b, gates_j, gates_l, gates_lead0, gates_lead1, tanhs_b, tanhs_j,
    tanhs_l, tanhs_lead0, tanhs_lead1, w_l, w_lead0, w_lead1, x_b, x_e, x_j, x_lead0, x_lead1, z_b, z_e, z_lead0,
    z_lead1, size_b, size_j, size_lead, BLOCK_N: tl.constexpr, BLOCK_e: tl.constexpr, BLOCK_l: tl.constexpr,
    FAST: tl.constexpr, INDEX: tl.constexpr, ONE_TILE: tl.constexpr, RAGGED: tl.constexpr, SIZE_e: tl.constexpr,
    SIZE_l: tl.constexpr,
):
    # One program holds its rows and goes over all of axis j.
    pid = tl.program_id(0)
    batch = pid
    lead = batch
    b = (lead % size_b).to(INDEX)
    lead = lead // size_b
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    l = tl.arange(0, BLOCK_l).to(INDEX)  # [BLOCK_l]
    in_l = l < SIZE_l
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    x_ptr += lead0 * x_lead0 + lead1 * x_lead1
    tanhs_ptr += lead0 * tanhs_lead0 + lead1 * tanhs_lead1
    gates_ptr += lead0 * gates_lead0 + lead1 * gates_lead1
    w_ptr += lead0 * w_lead0 + lead1 * w_lead1
    z_ptr += lead0 * z_lead0 + lead1 * z_lead1
    w = tl.load(w_ptr + l * w_l, mask=in_l, other=0.0).to(tl.float32)
    m = tl.full([], -float("inf"), tl.float32)
    l2 = tl.full([], 0.0, tl.float32)
    acc = tl.full([BLOCK_e], 0.0, tl.float32)
    last = 0 if ONE_TILE else (tl.cdiv(size_j, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            m, l2, acc = _step(
                m, l2, acc, j0, gates_ptr, tanhs_ptr, x_ptr, b, e, gates_b, gates_j, gates_l, in_e, in_l, l, tanhs_b,
                tanhs_j, tanhs_l, w, x_b, x_e, x_j, size_j, BLOCK_N, FAST, INDEX, False,
            )
    m, l2, acc = _step(
        m, l2, acc, last, gates_ptr, tanhs_ptr, x_ptr, b, e, gates_b, gates_j, gates_l, in_e, in_l, l, tanhs_b,
        tanhs_j, tanhs_l, w, x_b, x_e, x_j, size_j, BLOCK_N, FAST, INDEX, RAGGED,
    )
    l2_safe = tl.where(l2 != 0.0, l2, 1.0)
    z = tl.where(l2 != 0.0, acc * (1.0 / l2_safe), float("nan"))
    tl.store(z_ptr + b * z_b + e * z_e, z.to(z_ptr.dtype.element_ty), mask=in_e)


@triton.jit
def attention_pooling_parts(
    gates_ptr, part_acc_ptr, part_l2_ptr, part_m_ptr, tanhs_ptr, w_ptr, x_ptr, chunk, gates_b, gates_j, gates_l,
    gates_lead0, gates_lead1, tanhs_b, tanhs_j, tanhs_l, tanhs_lead0, tanhs_lead1, w_l, w_lead0, w_lead1, x_b, x_e, x_j,
    x_lead0, x_lead1, size_b, size_batch, size_j, size_lead, BLOCK_N: tl.constexpr, BLOCK_e: tl.constexpr,
    BLOCK_l: tl.constexpr, FAST: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr, RAGGED: tl.constexpr,
    SIZE_e: tl.constexpr, SIZE_l: tl.constexpr, STAGES: tl.constexpr,
):
    # One program leaves the state of one part of axis j.
    pid = tl.program_id(0)
    batch = pid
    lead = batch
    b = (lead % size_b).to(INDEX)
    lead = lead // size_b
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    l = tl.arange(0, BLOCK_l).to(INDEX)  # [BLOCK_l]
    in_l = l < SIZE_l
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    x_ptr += lead0 * x_lead0 + lead1 * x_lead1
    tanhs_ptr += lead0 * tanhs_lead0 + lead1 * tanhs_lead1
    gates_ptr += lead0 * gates_lead0 + lead1 * gates_lead1
    w_ptr += lead0 * w_lead0 + lead1 * w_lead1
    w = tl.load(w_ptr + l * w_l, mask=in_l, other=0.0).to(tl.float32)
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([], -float("inf"), tl.float32)
    l2 = tl.full([], 0.0, tl.float32)
    acc = tl.full([BLOCK_e], 0.0, tl.float32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in tl.range(lo, free_hi, BLOCK_N, num_stages=STAGES):
        m, l2, acc = _step(
            m, l2, acc, j0, gates_ptr, tanhs_ptr, x_ptr, b, e, gates_b, gates_j, gates_l, in_e, in_l, l, tanhs_b,
            tanhs_j, tanhs_l, w, x_b, x_e, x_j, size_j, BLOCK_N, FAST, INDEX, False,
        )
    if RAGGED:
        for j0 in tl.range(free_hi, hi, BLOCK_N, num_stages=STAGES):
            m, l2, acc = _step(
                m, l2, acc, j0, gates_ptr, tanhs_ptr, x_ptr, b, e, gates_b, gates_j, gates_l, in_e, in_l, l, tanhs_b,
                tanhs_j, tanhs_l, w, x_b, x_e, x_j, size_j, BLOCK_N, FAST, INDEX, True,
            )
    tl.store(part_m_ptr + (part * size_batch + batch).to(tl.int64), m)
    tl.store(part_l2_ptr + (part * size_batch + batch).to(tl.int64), l2)
    tl.store(part_acc_ptr + ((part * size_batch + batch).to(tl.int64) * SIZE_e + e), acc, mask=in_e)


@triton.jit
def attention_pooling_finish(
    part_acc_ptr, part_l2_ptr, part_m_ptr, z_ptr, parts, z_b, z_e, z_lead0, z_lead1, size_b, size_batch, size_lead,
    BLOCK_e: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr, SIZE_e: tl.constexpr,
):
    # Merges the states of all parts and writes.
    pid = tl.program_id(0)
    batch = pid
    lead = batch
    b = (lead % size_b).to(INDEX)
    lead = lead // size_b
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    z_ptr += lead0 * z_lead0 + lead1 * z_lead1
    m = tl.full([], -float("inf"), tl.float32)
    l2 = tl.full([], 0.0, tl.float32)
    acc = tl.full([BLOCK_e], 0.0, tl.float32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + (part * size_batch + batch).to(tl.int64))
        l2_part = tl.load(part_l2_ptr + (part * size_batch + batch).to(tl.int64))
        acc_part = tl.load(part_acc_ptr + ((part * size_batch + batch).to(tl.int64) * SIZE_e + e), mask=in_e, other=0.0)
        m, l2, acc = _merge(m, l2, acc, m_part, l2_part, acc_part)
    l2_safe = tl.where(l2 != 0.0, l2, 1.0)
    z = tl.where(l2 != 0.0, acc * (1.0 / l2_safe), float("nan"))
    tl.store(z_ptr + b * z_b + e * z_e, z.to(z_ptr.dtype.element_ty), mask=in_e)


def attention_pooling(x, tanhs, gates, w, *, out=None, schedule="auto",
                      splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """x [..., b, j, e]; tanhs [..., b, j, l]; gates [..., b, j, l]; w [..., l] -> z [..., b, e].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return _OPERATOR(x, tanhs, gates, w, schedule, splits, block_m, block_n, num_warps, num_stages)
    return _call((x, tanhs, gates, w), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(x, tanhs, gates, w, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"x": x, "tanhs": tanhs, "gates": gates, "w": w}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "l", "e")
    device = x.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_l": rt.pad(size["l"], 1), "BLOCK_e": rt.pad(size["e"], 1)}
    batch = math.prod(lead) * size["b"]
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, 1, size["j"], batch, pads, x.element_size(), device,
    )
    programs = batch
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    args = {
        "size_b": size["b"], "size_j": size["j"], "SIZE_l": size["l"], "SIZE_e": size["e"],
        "size_lead": lead[-1] if lead else 1, "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m,
        "BLOCK_N": block_n, **pads, "ONE_TILE": size["j"] <= block_n,
        "RAGGED": size["j"] % block_n > 0 or size["j"] == 0, "OPERAND": rt.operand(x.dtype), "FAST": rt.fast(x),
        "STAGES": num_stages or 3, "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(attention_pooling_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_m_ptr": ((parts, batch), torch.float32), "part_l2_ptr": ((parts, batch), torch.float32),
        "part_acc_ptr": ((parts, batch, size["e"]), torch.float32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (attention_pooling_parts, (programs, parts), args, options),
        (attention_pooling_finish, (batch, 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(x, tanhs, gates, w):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"x": x, "tanhs": tanhs, "gates": gates, "w": w}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = x.dtype, x.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    t = (w[..., None, None, :] * torch.sigmoid(gates) * torch.tanh(tanhs)).sum(-1)
    m = rt.largest(t, -1)
    p = torch.exp(t - m[..., :, None])
    out["z"] = rt.full((x * p[..., :, :, None]).sum(-2) / p.sum(-1)[..., :, None], lead + (size["b"], size["e"],), dtype, device)
    return rt.result(out)
