"""The kernel that cog_attention.py launches on Hopper: the same plan as its plain kernels, in Gluon.

One warp loads tiles, and two groups of warps compute on them. cog_attention.py loads this file.
"""

import sys

import triton.language as tl
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared, mbarrier, warpgroup_mma, warpgroup_mma_wait,
)

rt = sys.modules["refold_runtime_of the runtime"]  # cog_attention.py has loaded it
_copy, _tile, _operand_of, _lines, _as_rows = rt._copy, rt._tile, rt._operand_of, rt._lines, rt._as_rows


@gluon.jit
def _scored(
    m, l, scores, j0, scale_2, size_j, BLOCK_N: tl.constexpr, BLOCK_e: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr, OPERAND: tl.constexpr,
):
    # One tile from its scores to its weights: the emitted step without its two products.
    j = (j0 + gl.arange(0, BLOCK_N, layout=gl.SliceLayout(0, _tile(BLOCK_N)))).to(INDEX)
    in_j = j < size_j if MASKED else gl.full([BLOCK_N], True, tl.int1, layout=gl.SliceLayout(0, _tile(BLOCK_N)))
    dot = scores
    f = tl.abs(dot)
    if MASKED:
        f = tl.where(in_j[None, :], f, -float("inf"))
    m_new = tl.maximum(m, tl.max(f, 1) * scale_2)
    m_hat = tl.where(m_new != -float("inf"), m_new, 0.0)
    alpha = tl.exp2(m - m_hat)
    p = tl.exp2(f * scale_2 - m_hat[:, None])
    l_new = l * alpha + tl.sum(p, 1)
    f_2 = tl.abs(dot)
    a = dot * p / f_2
    if MASKED:
        a = tl.where(in_j[None, :], a, 0.0)
    weights = gl.convert_layout(a.to(OPERAND), _operand_of(BLOCK_e))
    return m_new, l_new, weights, alpha


@gluon.jit
def _next(
    m, l, acc, weights, j0, first, held, k_buffers, k_empty, k_full, scale_2, v_buffers, v_empty, v_full, size_j,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr, INDEX: tl.constexpr,
    MASKED: tl.constexpr, OPERAND: tl.constexpr, SIZE_stages: tl.constexpr,
):
    # The scores of a tile, while the weights of the one before meet v.
    turn = (j0 - first) // BLOCK_N
    stage, phase = turn % SIZE_stages, turn // SIZE_stages & 1
    mbarrier.wait(k_full.index(stage), phase)
    scores = gl.zeros([BLOCK_M, BLOCK_N], gl.float32, _tile(BLOCK_N))
    scores = warpgroup_mma(held, k_buffers.index(stage).reshape([BLOCK_N, BLOCK_d]).permute((1, 0)), scores, use_acc=False, is_async=True)
    stage_before, phase_before = (turn - 1) % SIZE_stages, (turn - 1) // SIZE_stages & 1
    mbarrier.wait(v_full.index(stage_before), phase_before)
    acc = warpgroup_mma(weights, v_buffers.index(stage_before).reshape([BLOCK_N, BLOCK_e]), acc, is_async=True)
    scores = warpgroup_mma_wait(1, deps=[scores])
    mbarrier.arrive(k_empty.index(stage), count=1)
    m, l, following, alpha = _scored(
        m, l, scores, j0, scale_2, size_j, BLOCK_N, BLOCK_e, INDEX, MASKED, OPERAND,
    )
    acc, weights = warpgroup_mma_wait(0, deps=[acc, weights])
    mbarrier.arrive(v_empty.index(stage_before), count=1)
    acc = acc * _as_rows(alpha, BLOCK_e)[:, None]
    return m, l, acc, following


@gluon.jit
def _load(
    work, nth, gone, k_desc, q_desc, v_desc, k_buffers, k_empty, k_full, q_buffers, q_empty, q_full, v_buffers, v_empty,
    v_full, size_i, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, SIZE_rows: tl.constexpr,
    SIZE_stages: tl.constexpr,
):
    # Loads the rows of both groups, then every tile that is visited.
    tiles = tl.cdiv(size_i, 2 * BLOCK_M)
    i0 = (tiles - 1 - work % tiles) * 2 * BLOCK_M
    lead = work // tiles
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    lo = 0
    hi = size_j
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    slot = nth % SIZE_rows * 2 + 0
    mbarrier.wait(q_empty.index(slot), nth // SIZE_rows & 1 ^ 1)
    mbarrier.expect(q_full.index(slot), q_desc.block_type.nbytes)
    _copy(q_desc, [lead0.to(tl.int32), lead1.to(tl.int32), i0 + 0 * BLOCK_M, 0], q_full.index(slot), q_buffers.index(slot))
    slot = nth % SIZE_rows * 2 + 1
    mbarrier.wait(q_empty.index(slot), nth // SIZE_rows & 1 ^ 1)
    mbarrier.expect(q_full.index(slot), q_desc.block_type.nbytes)
    _copy(q_desc, [lead0.to(tl.int32), lead1.to(tl.int32), i0 + 1 * BLOCK_M, 0], q_full.index(slot), q_buffers.index(slot))
    for j0 in range(lo, hi, BLOCK_N):
        turn = gone + (j0 - lo) // BLOCK_N
        stage, phase = turn % SIZE_stages, turn // SIZE_stages & 1 ^ 1
        mbarrier.wait(k_empty.index(stage), phase)
        mbarrier.expect(k_full.index(stage), k_desc.block_type.nbytes)
        _copy(k_desc, [lead0.to(tl.int32), lead1.to(tl.int32), j0, 0], k_full.index(stage), k_buffers.index(stage))
        mbarrier.wait(v_empty.index(stage), phase)
        mbarrier.expect(v_full.index(stage), v_desc.block_type.nbytes)
        _copy(v_desc, [lead0.to(tl.int32), lead1.to(tl.int32), j0, 0], v_full.index(stage), v_buffers.index(stage))
    return gone + (hi - lo) // BLOCK_N


@gluon.jit
def _rows(
    work, nth, gone, group, o_ptr, k_buffers, k_empty, k_full, o_e, o_i, o_lead0, o_lead1, q_buffers, q_empty, q_full,
    scale_2, v_buffers, v_empty, v_full, size_i, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr, INDEX: tl.constexpr, OPERAND: tl.constexpr, SIZE_e: tl.constexpr,
    SIZE_rows: tl.constexpr, SIZE_stages: tl.constexpr,
):
    # One group holds its rows and goes over the tiles.
    tiles = tl.cdiv(size_i, 2 * BLOCK_M)
    i0 = (tiles - 1 - work % tiles) * 2 * BLOCK_M
    lead = work // tiles
    lead0 = (lead // size_lead).to(tl.int64)
    lead1 = (lead % size_lead).to(tl.int64)
    i = (i0 + group * BLOCK_M + gl.arange(0, BLOCK_M, layout=gl.SliceLayout(1, _tile(BLOCK_N)))).to(INDEX)
    in_i = i < size_i
    e = gl.arange(0, BLOCK_e, layout=gl.SliceLayout(0, _tile(BLOCK_e))).to(INDEX)
    in_e = e < SIZE_e
    o_ptr += lead0 * o_lead0 + lead1 * o_lead1
    m = gl.full([BLOCK_M], -float("inf"), gl.float32, gl.SliceLayout(1, _tile(BLOCK_N)))
    l = gl.full([BLOCK_M], 0.0, gl.float32, gl.SliceLayout(1, _tile(BLOCK_N)))
    acc = gl.full([BLOCK_M, BLOCK_e], 0.0, gl.float32, _tile(BLOCK_e))
    lo = 0
    hi = size_j
    free_hi = hi
    hi = tl.maximum(tl.cdiv(hi, BLOCK_N) * BLOCK_N, lo)
    free_hi = tl.minimum(tl.maximum(free_hi // BLOCK_N * BLOCK_N, lo), hi)
    slot = nth % SIZE_rows * 2 + group
    mbarrier.wait(q_full.index(slot), nth // SIZE_rows & 1)
    held = q_buffers.index(slot).reshape([BLOCK_M, BLOCK_d])
    if lo < hi:
        stage = gone % SIZE_stages
        mbarrier.wait(k_full.index(stage), gone // SIZE_stages & 1)
        scores = gl.zeros([BLOCK_M, BLOCK_N], gl.float32, _tile(BLOCK_N))
        scores = warpgroup_mma(held, k_buffers.index(stage).reshape([BLOCK_N, BLOCK_d]).permute((1, 0)), scores, use_acc=False, is_async=True)
        scores = warpgroup_mma_wait(0, deps=[scores])
        mbarrier.arrive(k_empty.index(stage), count=1)
        m, l, weights, alpha = _scored(m, l, scores, lo, scale_2, size_j, BLOCK_N, BLOCK_e, INDEX, True, OPERAND)
        acc = acc * _as_rows(alpha, BLOCK_e)[:, None]
        first = lo - gone * BLOCK_N
        for j0 in range(tl.maximum(lo, lo + BLOCK_N), free_hi, BLOCK_N):
            m, l, acc, weights = _next(
                m, l, acc, weights, j0, first, held, k_buffers, k_empty, k_full, scale_2, v_buffers, v_empty, v_full,
                size_j, BLOCK_M, BLOCK_N, BLOCK_d, BLOCK_e, INDEX, False, OPERAND, SIZE_stages,
            )
        for j0 in range(tl.maximum(free_hi, lo + BLOCK_N), hi, BLOCK_N):
            m, l, acc, weights = _next(
                m, l, acc, weights, j0, first, held, k_buffers, k_empty, k_full, scale_2, v_buffers, v_empty, v_full,
                size_j, BLOCK_M, BLOCK_N, BLOCK_d, BLOCK_e, INDEX, True, OPERAND, SIZE_stages,
            )
        turn = gone + (hi - lo) // BLOCK_N - 1
        stage = turn % SIZE_stages
        mbarrier.wait(v_full.index(stage), turn // SIZE_stages & 1)
        acc = warpgroup_mma(weights, v_buffers.index(stage).reshape([BLOCK_N, BLOCK_e]), acc, is_async=True)
        acc, weights = warpgroup_mma_wait(0, deps=[acc, weights])
        mbarrier.arrive(v_empty.index(stage), count=1)
    mbarrier.arrive(q_empty.index(slot), count=1)
    l_safe = tl.where(l != 0.0, l, 1.0)
    o_2 = tl.where(_as_rows(l != 0.0, BLOCK_e)[:, None], acc * _as_rows(1.0 / l_safe, BLOCK_e)[:, None], float("nan"))
    tl.store(o_ptr + gl.convert_layout(i, gl.SliceLayout(1, _lines(BLOCK_e)))[:, None] * o_i + gl.convert_layout(e, gl.SliceLayout(0, _lines(BLOCK_e)))[None, :] * o_e, gl.convert_layout(o_2.to(o_ptr.dtype.element_ty), _lines(BLOCK_e)), mask=gl.convert_layout(in_i, gl.SliceLayout(1, _lines(BLOCK_e)))[:, None] & gl.convert_layout(in_e, gl.SliceLayout(0, _lines(BLOCK_e)))[None, :])
    return gone + (hi - lo) // BLOCK_N


@gluon.jit
def _fill(
    k_desc, q_desc, v_desc, k_buffers, k_empty, k_full, q_buffers, q_empty, q_full, v_buffers, v_empty, v_full,
    size_batch, size_i, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, SIZE_rows: tl.constexpr,
    SIZE_stages: tl.constexpr,
):
    # The tiles of one piece of work after another.
    pid, programs = tl.program_id(0), tl.num_programs(0)
    works = tl.cdiv(size_i, 2 * BLOCK_M) * size_batch
    gone = 0
    for nth in range(0, tl.cdiv(works, programs)):
        # Rounds go up and down by turns: who had most in one has least in the next.
        work = nth * programs + (pid if nth % 2 == 0 else programs - 1 - pid)
        if work < works:
            gone = _load(
                work, nth, gone, k_desc, q_desc, v_desc, k_buffers, k_empty, k_full, q_buffers, q_empty, q_full,
                v_buffers, v_empty, v_full, size_i, size_j, size_lead, BLOCK_M, BLOCK_N, SIZE_rows, SIZE_stages,
            )


@gluon.jit
def _empty(
    group, o_ptr, k_buffers, k_empty, k_full, o_e, o_i, o_lead0, o_lead1, q_buffers, q_empty, q_full, scale_2,
    v_buffers, v_empty, v_full, size_batch, size_i, size_j, size_lead, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr, INDEX: tl.constexpr, OPERAND: tl.constexpr, SIZE_e: tl.constexpr,
    SIZE_rows: tl.constexpr, SIZE_stages: tl.constexpr,
):
    # The rows of one group in every piece of work.
    pid, programs = tl.program_id(0), tl.num_programs(0)
    works = tl.cdiv(size_i, 2 * BLOCK_M) * size_batch
    gone = 0
    for nth in range(0, tl.cdiv(works, programs)):
        # Rounds go up and down by turns: who had most in one has least in the next.
        work = nth * programs + (pid if nth % 2 == 0 else programs - 1 - pid)
        if work < works:
            gone = _rows(
                work, nth, gone, group, o_ptr, k_buffers, k_empty, k_full, o_e, o_i, o_lead0, o_lead1, q_buffers,
                q_empty, q_full, scale_2, v_buffers, v_empty, v_full, size_i, size_j, size_lead, BLOCK_M, BLOCK_N,
                BLOCK_d, BLOCK_e, INDEX, OPERAND, SIZE_e, SIZE_rows, SIZE_stages,
            )


@gluon.jit
def cog_attention_hopper(
    k_desc, o_ptr, q_desc, v_desc, o_e, o_i, o_lead0, o_lead1, scale_2, size_batch, size_i, size_j, size_lead,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_d: tl.constexpr, BLOCK_e: tl.constexpr, INDEX: tl.constexpr,
    OPERAND: tl.constexpr, SIZE_e: tl.constexpr, SIZE_rows: tl.constexpr, SIZE_stages: tl.constexpr,
):
    # A warp loads tiles; two groups of 64 rows compute.
    q_buffers = gl.allocate_shared_memory(q_desc.dtype, [2 * SIZE_rows, 1, 1, BLOCK_M, BLOCK_d], q_desc.layout)
    k_buffers = gl.allocate_shared_memory(k_desc.dtype, [SIZE_stages, 1, 1, BLOCK_N, BLOCK_d], k_desc.layout)
    v_buffers = gl.allocate_shared_memory(v_desc.dtype, [SIZE_stages, 1, 1, BLOCK_N, BLOCK_e], v_desc.layout)
    q_full = gl.allocate_shared_memory(gl.int64, [2 * SIZE_rows, 1], mbarrier.MBarrierLayout())
    q_empty = gl.allocate_shared_memory(gl.int64, [2 * SIZE_rows, 1], mbarrier.MBarrierLayout())
    k_full = gl.allocate_shared_memory(gl.int64, [SIZE_stages, 1], mbarrier.MBarrierLayout())
    k_empty = gl.allocate_shared_memory(gl.int64, [SIZE_stages, 1], mbarrier.MBarrierLayout())
    v_full = gl.allocate_shared_memory(gl.int64, [SIZE_stages, 1], mbarrier.MBarrierLayout())
    v_empty = gl.allocate_shared_memory(gl.int64, [SIZE_stages, 1], mbarrier.MBarrierLayout())
    for stage in gl.static_range(2 * SIZE_rows):
        mbarrier.init(q_full.index(stage), count=1)
        mbarrier.init(q_empty.index(stage), count=1)
    for stage in gl.static_range(SIZE_stages):
        mbarrier.init(k_full.index(stage), count=1)
        mbarrier.init(k_empty.index(stage), count=2)
        mbarrier.init(v_full.index(stage), count=1)
        mbarrier.init(v_empty.index(stage), count=2)
    fence_async_shared()
    gl.warp_specialize([
        (_fill, (k_desc, q_desc, v_desc, k_buffers, k_empty, k_full, q_buffers, q_empty, q_full, v_buffers, v_empty, v_full, size_batch, size_i, size_j, size_lead, BLOCK_M, BLOCK_N, SIZE_rows, SIZE_stages)),
        (_empty, (0, o_ptr, k_buffers, k_empty, k_full, o_e, o_i, o_lead0, o_lead1, q_buffers, q_empty, q_full, scale_2, v_buffers, v_empty, v_full, size_batch, size_i, size_j, size_lead, BLOCK_M, BLOCK_N, BLOCK_d, BLOCK_e, INDEX, OPERAND, SIZE_e, SIZE_rows, SIZE_stages)),
        (_empty, (1, o_ptr, k_buffers, k_empty, k_full, o_e, o_i, o_lead0, o_lead1, q_buffers, q_empty, q_full, scale_2, v_buffers, v_empty, v_full, size_batch, size_i, size_j, size_lead, BLOCK_M, BLOCK_N, BLOCK_d, BLOCK_e, INDEX, OPERAND, SIZE_e, SIZE_rows, SIZE_stages)),
    ], [4, 4], [240, 240])
