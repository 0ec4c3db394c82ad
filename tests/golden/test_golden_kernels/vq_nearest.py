"""vq_nearest: code and its kernels, emitted by refold from a proved plan.

    code[i] = argmax_j (-Σ_d (z[i,d] - codebook[j,d])²)
    y[i,e] = codebook[argmax_j (-Σ_d (z[i,d] - codebook[j,d])²),e]

The proof is vq_nearest.proof.json, the test test_vq_nearest.py. Needs torch and triton alone.
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
    name="vq_nearest", inputs={"z": ("i", "d",), "codebook": ("j", "d",)}, outputs={"code": ("i",), "y": ("i", "e",)},
    dtypes={"z": "float", "codebook": "float"},
    limits=rt.Limits(axis=2**30, block=2**20, count=2**31, index=2**31, mask=2**62), whole=("code",), equal={"e": "d"},
)


@triton.jit
def _step(
    m, at, j0, codebook_ptr, codebook_d, codebook_j, d, in_d, z, size_j, BLOCK_N: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr,
):
    # One tile: the state, corrected to the new anchors, and what the tile adds.
    j = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)
    in_j = j < size_j if MASKED else tl.full([BLOCK_N], True, tl.int1)
    codebook = tl.load(codebook_ptr + j[:, None] * codebook_j + d[None, :] * codebook_d, mask=in_j[:, None] & in_d[None, :], other=0.0).to(tl.float32)
    c = z[:, None, :] - codebook[None, :, :]
    r = tl.sum(tl.where(in_d[None, None, :], c * c, 0.0), 2)
    s = r * (-1.0)
    if MASKED:
        s = tl.where(in_j[None, :], s, -float("inf"))
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
def vq_nearest_rolling(
    code_ptr, codebook_ptr, y_ptr, z_ptr, code_i, code_lead0, code_lead1, codebook_d, codebook_j, codebook_lead0,
    codebook_lead1, y_e, y_i, y_lead0, y_lead1, z_d, z_i, z_lead0, z_lead1, size_i, size_j, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr, INDEX: tl.constexpr,
    ONE_TILE: tl.constexpr, RAGGED: tl.constexpr, SIZE_d: tl.constexpr, SIZE_e: tl.constexpr,
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
    d = tl.arange(0, BLOCK_d).to(INDEX)  # [BLOCK_d]
    in_d = d < SIZE_d
    e = tl.arange(0, BLOCK_e).to(INDEX)  # [BLOCK_e]
    in_e = e < SIZE_e
    z_ptr += lead0 * z_lead0 + lead1 * z_lead1
    codebook_ptr += lead0 * codebook_lead0 + lead1 * codebook_lead1
    code_ptr += lead0 * code_lead0 + lead1 * code_lead1
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    z = tl.load(z_ptr + i[:, None] * z_i + d[None, :] * z_d, mask=in_i[:, None] & in_d[None, :], other=0.0).to(tl.float32)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    at = tl.full([BLOCK_M], 2147483647, tl.int32)
    last = 0 if ONE_TILE else (tl.cdiv(size_j, BLOCK_N) - 1) * BLOCK_N
    if not ONE_TILE:
        for j0 in range(0, last, BLOCK_N):
            m, at = _step(m, at, j0, codebook_ptr, codebook_d, codebook_j, d, in_d, z, size_j, BLOCK_N, INDEX, False)
    m, at = _step(m, at, last, codebook_ptr, codebook_d, codebook_j, d, in_d, z, size_j, BLOCK_N, INDEX, RAGGED)
    code = tl.where(at == 2147483647, -1, at)
    at_2 = tl.where(at == 2147483647, -1, at)
    inside = (at_2 >= 0) & (at_2 < size_j)
    codebook_2 = tl.where((in_i & (inside == 0))[:, None], float("nan"), tl.load(codebook_ptr + at_2.to(INDEX)[:, None] * codebook_j + e[None, :] * codebook_d, mask=inside[:, None] & in_e[None, :], other=0.0)).to(tl.float32)
    tl.store(code_ptr + i * code_i, code.to(code_ptr.dtype.element_ty), mask=in_i)
    tl.store(y_ptr + i[:, None] * y_i + e[None, :] * y_e, codebook_2.to(y_ptr.dtype.element_ty), mask=in_i[:, None] & in_e[None, :])


@triton.jit
def vq_nearest_parts(
    codebook_ptr, part_at_ptr, part_m_ptr, z_ptr, chunk, codebook_d, codebook_j, codebook_lead0, codebook_lead1, z_d,
    z_i, z_lead0, z_lead1, size_batch, size_i, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_d: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr, RAGGED: tl.constexpr, SIZE_d: tl.constexpr,
    STAGES: tl.constexpr,
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
    d = tl.arange(0, BLOCK_d).to(INDEX)  # [BLOCK_d]
    in_d = d < SIZE_d
    z_ptr += lead0 * z_lead0 + lead1 * z_lead1
    codebook_ptr += lead0 * codebook_lead0 + lead1 * codebook_lead1
    z = tl.load(z_ptr + i[:, None] * z_i + d[None, :] * z_d, mask=in_i[:, None] & in_d[None, :], other=0.0).to(tl.float32)
    part = tl.program_id(1)
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    at = tl.full([BLOCK_M], 2147483647, tl.int32)
    lo = part * chunk
    hi = tl.minimum(size_j, (part + 1) * chunk)
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    for j0 in tl.range(lo, free_hi, BLOCK_N, num_stages=STAGES):
        m, at = _step(m, at, j0, codebook_ptr, codebook_d, codebook_j, d, in_d, z, size_j, BLOCK_N, INDEX, False)
    if RAGGED:
        for j0 in tl.range(free_hi, hi, BLOCK_N, num_stages=STAGES):
            m, at = _step(m, at, j0, codebook_ptr, codebook_d, codebook_j, d, in_d, z, size_j, BLOCK_N, INDEX, True)
    tl.store(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), m, mask=in_i)
    tl.store(part_at_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), at, mask=in_i)


@triton.jit
def vq_nearest_finish(
    code_ptr, codebook_ptr, part_at_ptr, part_m_ptr, y_ptr, code_i, code_lead0, code_lead1, codebook_d, codebook_j,
    codebook_lead0, codebook_lead1, parts, y_e, y_i, y_lead0, y_lead1, size_batch, size_i, size_j, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_e: tl.constexpr, INDEX: tl.constexpr, OVERLAP: tl.constexpr, SIZE_e: tl.constexpr,
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
    codebook_ptr += lead0 * codebook_lead0 + lead1 * codebook_lead1
    code_ptr += lead0 * code_lead0 + lead1 * code_lead1
    y_ptr += lead0 * y_lead0 + lead1 * y_lead1
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    at = tl.full([BLOCK_M], 2147483647, tl.int32)
    if OVERLAP:
        tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet
    for part in tl.range(0, parts, loop_unroll_factor=8):
        m_part = tl.load(part_m_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=-float("inf"))
        at_part = tl.load(part_at_ptr + ((part * size_batch + batch).to(tl.int64) * size_i + i), mask=in_i, other=2147483647)
        m, at = _merge(m, at, m_part, at_part)
    code = tl.where(at == 2147483647, -1, at)
    tl.store(code_ptr + i * code_i, code.to(code_ptr.dtype.element_ty), mask=in_i)
    at_2 = tl.where(at == 2147483647, -1, at)
    inside = (at_2 >= 0) & (at_2 < size_j)
    codebook_2 = tl.where((in_i & (inside == 0))[:, None], float("nan"), tl.load(codebook_ptr + at_2.to(INDEX)[:, None] * codebook_j + e[None, :] * codebook_d, mask=inside[:, None] & in_e[None, :], other=0.0)).to(tl.float32)
    tl.store(y_ptr + i[:, None] * y_i + e[None, :] * y_e, codebook_2.to(y_ptr.dtype.element_ty), mask=in_i[:, None] & in_e[None, :])


def vq_nearest(z, codebook, *, out=None, schedule="auto",
               splits=None, block_m=None, block_n=None, num_warps=None, num_stages=None):
    """z [..., i, d]; codebook [..., j, d] -> code [..., i]; y [..., i, e].

    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts
    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.
    """
    if torch.compiler.is_compiling() and out is None:
        return dict(zip(TABLES.outputs, _OPERATOR(z, codebook, schedule, splits, block_m, block_n, num_warps, num_stages)))
    return _call((z, codebook), out, (schedule, splits, block_m, block_n, num_warps, num_stages))


def _prepare(z, codebook, given, schedule, splits, block_m, block_n, num_warps, num_stages):
    """Checks what is given and lays out the call."""
    inputs = {"z": z, "codebook": codebook}
    size = rt.sizes(TABLES, inputs)
    rt.check_positive(TABLES, size, "d", "e")
    device = z.device
    lead, views, copied = rt.leading(TABLES, inputs)
    layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)
    if not any(o.numel() for o in outputs.values()):
        return rt.Call(TABLES, device, layout)
    views.update(outputs)
    pads = {"BLOCK_d": rt.pad(size["d"], 1), "BLOCK_e": rt.pad(size["e"], 1)}
    batch = math.prod(lead)
    block_m, block_n, num_warps, num_stages, slots = rt.tiles(
        TABLES, block_m, block_n, num_warps, num_stages, size["i"], size["j"], batch, pads, z.element_size(), device,
    )
    programs = batch * triton.cdiv(size["i"], block_m)
    parts, chunk = rt.schedule(TABLES, schedule, splits, programs, size["j"], block_n, slots)
    rt.check_parts(TABLES, chunk, block_n, parts * chunk, size["j"])
    rt.check_launch(TABLES, (block_m, block_n, *pads.values()), batch * parts, size["j"] + parts * chunk)
    args = {
        "size_i": size["i"], "size_j": size["j"], "SIZE_d": size["d"], "SIZE_e": size["e"],
        "size_lead": lead[-1] if lead else 1, "size_batch": batch, "parts": parts, "chunk": chunk, "BLOCK_M": block_m,
        "BLOCK_N": block_n, **pads, "ONE_TILE": size["j"] <= block_n,
        "RAGGED": size["j"] % block_n > 0 or size["j"] == 0, "OPERAND": rt.operand(z.dtype), "STAGES": num_stages or 3,
        "OVERLAP": parts > 1 and rt.overlaps(device),
    }
    rt.strides(TABLES, args, views)
    options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)
    if parts == 1:
        launches = [(vq_nearest_rolling, (programs,), args, options)]
        return rt.Call(TABLES, device, layout, launches, copied=copied)
    work = {
        "part_m_ptr": ((parts, batch, size["i"]), torch.float32),
        "part_at_ptr": ((parts, batch, size["i"]), torch.int32),
    }
    options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})
    few, options_2 = rt.merging(size["i"] * batch, block_m, max(pads.values(), default=1), options_2, device)
    launches = [
        (vq_nearest_parts, (programs, parts), args, options),
        (vq_nearest_finish, (batch * triton.cdiv(size["i"], few), 1), args | {"BLOCK_M": few}, options_2),
    ]
    return rt.Call(TABLES, device, layout, launches, work, copied)


_call = rt.Calls(TABLES, _prepare)
_OPERATOR = rt.operator(TABLES, __file__, _call)


def reference(z, codebook):
    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""
    inputs = {"z": z, "codebook": codebook}
    size = rt.sizes(TABLES, inputs, check=False)
    dtype, device = z.dtype, z.device
    lead = rt.broadcast(TABLES, inputs)
    out = {}
    e = torch.arange(size["e"], device=device)
    out["code"] = rt.full(rt.argmax(-((z[..., :, None, :] - codebook[..., None, :, :]) ** 2).sum(-1), -1), lead + (size["i"],), torch.int64, device)
    codebook_2 = rt.take(codebook, 2, rt.argmax(-((z[..., :, None, :] - codebook[..., None, :, :]) ** 2).sum(-1), -1)[..., :, None], e[..., None, :])
    out["y"] = rt.full(codebook_2, lead + (size["i"], size["e"],), dtype, device)
    return rt.result(out)
