"""What each rewrite makes of a small kernel, whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy as sp

from refold import Scalar, Spec, Tensor, axes, derive, exp, fold, pipeline, sqrt, tanh
from refold.algebra import Plan
from refold.algebra.base2 import exp2, in_base2
from refold.algebra.monoid import monoid
from refold.emit.triton import lines
from refold.schedule import ir
from refold.schedule.lower.gluon import gluon_kernel
from refold.schedule.lower.kernels import Kernels, kernels
from refold.schedule.lower.words import BLOCK_M, BLOCK_N, EVICT, INDEX, MASKED, pointer, scalar, within
from refold.schedule.passes.descriptors import descriptors
from refold.schedule.passes.hoisting import hoist
from refold.schedule.passes.loops import mask_free_tiles, peel_last_tile, skip_tiles
from refold.schedule.passes.programs import heaviest_first, several_pieces
from refold.schedule.passes.warps import warp_specialise
from refold.schedule.walk import function, invoke, rewritten
from refold.spec import Fold, Index

STATE, J0, SIZE, LO, FREE_HI, HI = (scalar(n) for n in ("l", "j0", "size_j", "lo", "free_hi", "hi"))
STEP = ir.Unpack((STATE,), ir.Invoke("_step", (STATE, J0, EVICT, MASKED)))
WRITE = ir.Evaluate(ir.Invoke("_write", (STATE, J0, EVICT, MASKED)))


def loop(body: ir.Statement, start: ir.Value, stop: ir.Value) -> ir.For:
    return ir.For(J0, start, stop, BLOCK_N, (body,))


def written(*body: ir.Statement) -> str:
    return "\n".join(lines(body))


def test_mask_free_tiles() -> None:
    before = loop(STEP, LO, HI)
    after = mask_free_tiles(before, ((LO, FREE_HI, False), (FREE_HI, HI, True)))
    assert written(before) == "for j0 in range(lo, hi, BLOCK_N):\n    (l,) = _step(l, j0, EVICT, MASKED)"
    assert written(*after) == "\n".join([
        "for j0 in range(lo, free_hi, BLOCK_N):", "    (l,) = _step(l, j0, EVICT, False)",
        "for j0 in range(free_hi, hi, BLOCK_N):", "    (l,) = _step(l, j0, EVICT, True)",
    ])  # fmt: skip


def test_skip_tiles() -> None:
    live = ir.Function("_live", (J0, SIZE), (ir.Return((ir.Binary("<", J0, SIZE),), alone=True),))
    assert written(skip_tiles(loop(STEP, LO, HI), live)) == "\n".join([
        "for j0 in range(lo, hi, BLOCK_N):", "    live = _live(j0, size_j)", "    if live:",
        "        (l,) = _step(l, j0, EVICT, MASKED)",
    ])  # fmt: skip


def test_peel_last_tile() -> None:
    zero = ir.Number(0)
    visits, writes = peel_last_tile(loop(STEP, zero, SIZE), loop(WRITE, zero, SIZE))
    assert written(*visits) == "\n".join([
        "last = 0 if ONE_TILE else (tl.cdiv(size_j, BLOCK_N) - 1) * BLOCK_N",
        "if not ONE_TILE:",
        "    for j0 in range(0, last, BLOCK_N):",
        '        (l,) = _step(l, j0, "evict_last", False)',
        '(l,) = _step(l, last, "" if ONE_TILE else "evict_first", RAGGED)',
    ])  # fmt: skip
    assert written(*writes) == "\n".join([
        '_write(l, last, "" if ONE_TILE else "evict_first", RAGGED)',
        "if not ONE_TILE:",
        "    for back in range(BLOCK_N, last + BLOCK_N, BLOCK_N):",
        '        _write(l, last - back, "evict_first", False)',
    ])  # fmt: skip
    assert peel_last_tile(loop(STEP, zero, SIZE), None) == (visits, ())


def test_heaviest_first() -> None:
    pid, tiles, i0, batch, rows = (scalar(n) for n in ("pid", "tiles", "i0", "batch", "size_i"))
    before = [
        ir.Let(tiles, ir.Binary("cdiv", rows, BLOCK_M)),
        ir.Let(i0, ir.Binary("*", ir.Binary("%", pid, tiles), BLOCK_M)),
        ir.Let(batch, ir.Binary("//", pid, tiles)),
    ]
    assert written(*heaviest_first(before)) == "\n".join([
        "tiles = tl.cdiv(size_i, BLOCK_M)",
        "before = pid // (tiles * side) * side",
        "beside = tl.minimum(size_batch - before, side)",
        "place = pid % (tiles * side)",
        "i0 = (tiles - 1 - place // beside) * BLOCK_M",
        "batch = before + place % beside",
    ])  # fmt: skip


def test_several_pieces() -> None:
    gone, work, zero = scalar("gone"), scalar("work"), ir.Number(0)
    body = [ir.Let(gone, ir.Invoke("_rows", (work, gone)))]
    after = several_pieces(body, ir.Binary("*", scalar("tiles"), scalar("size_batch")), before=[ir.Let(gone, zero)])
    assert written(*after) == "\n".join([
        "pid, programs = tl.program_id(0), tl.num_programs(0)",
        "works = tiles * size_batch",
        "gone = 0",
        "for nth in range(0, tl.cdiv(works, programs)):",
        "    # Rounds go up and down by turns: who had most in one has least in the next.",
        "    work = nth * programs + (pid if nth % 2 == 0 else programs - 1 - pid)",
        "    if work < works:",
        "        gone = _rows(work, gone)",
    ])  # fmt: skip


def test_the_scale_comes_after_the_maximum() -> None:
    """Of a factor that is positive, and of no other."""
    i, j = axes("i j")
    x = Tensor("x", i, j)

    def step(scale: Scalar) -> list[str]:
        s = x[i, j] * scale
        plan = derive(pipeline(o=fold.sum(exp(s - fold.max(s, over=j)), over=j)[i]))
        assert isinstance(plan, Plan)
        body = next(f for f in kernels(plan, "f").functions if f.name == "_step").body
        return [line for line in lines(body) if line.split(" = ")[0] in ("c2", "    c2", "m_new", "p")]

    assert step(Scalar("c", positive=True)) == [
        "m_new = tl.maximum(m, tl.max(x, 1) * c)", "p = _exp(x * c - m_hat[:, None])",
    ]  # fmt: skip
    assert step(Scalar("c")) == [
        "c2 = x * c", '    c2 = tl.where(in_j[None, :], c2, -float("inf"))',
        "m_new = tl.maximum(m, tl.max(c2, 1))", "p = _exp(c2 - m_hat[:, None])",
    ]  # fmt: skip


X, W, POINTER = scalar("x"), scalar("w"), pointer("w")


def test_hoist() -> None:
    """What reads the state, the tile, what was made of them or what is stored there stays, and what is assigned again.

    `W` is the same in every iteration, and all that is made of it alone.
    """
    alpha, p, y, z = (scalar(n) for n in ("alpha", "p", "y", "z"))
    body = [
        ir.Let(W, ir.Load(ir.Binary("+", POINTER, scalar("row")))),
        ir.Let(X, ir.Load(ir.Binary("+", pointer("x"), J0))),
        ir.Let(alpha, ir.Unary("exp2", W)),
        ir.Let(p, ir.Binary("*", X, alpha)),
        ir.If(MASKED, (ir.Let(z, ir.Binary("+", alpha, p)),)),
        ir.Let(y, ir.Number(0)),
        ir.If(MASKED, (ir.Let(y, alpha),)),
        ir.Let(scalar("o"), ir.Load(pointer("o"))),
        ir.Store(pointer("o"), p),
        ir.Let(STATE, ir.Binary("+", STATE, p)),
    ]
    before, inside = hoist(body, [STATE, J0])
    assert written(*before) == "w = tl.load(w_ptr + row)\nalpha = tl.exp2(w)"
    assert written(*inside) == "\n".join([
        "x = tl.load(x_ptr + j0)", "p = x * alpha", "if MASKED:", "    z = alpha + p", "y = 0", "if MASKED:",
        "    y = alpha", "o = tl.load(o_ptr)", "tl.store(o_ptr, p)", "l = l + p",
    ])  # fmt: skip
    assert hoist(inside, [STATE, J0]) == ([], inside)


def kernels_of(spec: Spec) -> Kernels:
    plan = derive(spec)
    assert isinstance(plan, Plan)
    return kernels(plan, "f")


def test_what_does_not_vary_along_the_axis_is_computed_before_the_loop() -> None:
    i, j = axes("i j")
    x, w = Tensor("x", i, j), Tensor("w", i)
    made = kernels_of(pipeline(o=fold.sum(tanh(x[i, j] + exp(w[i])), over=j)[i]))
    step, *_ = made.functions
    assert [line for line in lines(step.body) if "w_ptr" in line or "alpha" in line or "_exp" in line] == [
        "f = _tanh(x + alpha[:, None], FAST)"
    ]
    rolling = lines(made.rolling.body)
    start = rolling.index("w = tl.load(w_ptr + i * w_i, mask=in_i, other=0.0).to(tl.float32)")
    assert rolling[start + 1] == "alpha = _exp(w)"
    assert start < rolling.index("if not ONE_TILE:")


J, D = Index("j"), Index("d")
LANES = (
    ir.Let(ir.Name("j", (J,)), ir.Cast(ir.Binary("+", J0, ir.Lanes(BLOCK_N, (J,))), INDEX)),
    ir.Let(within(J), ir.Choice(MASKED, ir.Binary("<", ir.Name("j", (J,)), SIZE), ir.Number(True))),
)
PLACE = pointer("k")
STRIDES = {"k": ("k_lead0", "k_lead1", "k_h", "k_j", "k_d")}


def step_over_keys(*, along_j: str = "k_j", along_d: str = "k_d", mask: ir.Value | None = None) -> ir.Function:
    """A step that reads a tile of keys by pointers and a mask."""
    j, d, in_j, in_d = (ir.Spread(x, (J, D)) for x in (ir.Name("j", (J,)), ir.Name("d", (D,)), within(J), within(D)))
    place: ir.Value = ir.Binary("+", PLACE, ir.Binary("*", scalar("h"), scalar("k_h")))
    place = ir.Binary("+", place, ir.Binary("*", j, scalar(along_j)))
    place = ir.Binary("+", place, ir.Binary("*", d, scalar(along_d)))
    keys = ir.Load(place, mask or ir.Binary("&", in_j, in_d), ir.Number(0.0))
    return function("_step", (STATE, J0), (*LANES, ir.Let(ir.Name("k", (J, D)), keys), ir.Return((STATE,))))


def module_of(step: ir.Function) -> tuple[ir.Function, ...]:
    """A kernel around a step."""
    d, block = ir.Name("d", (D,)), ir.Name("BLOCK_d", kind="constant")
    leads = (ir.Binary("*", scalar(f"lead{n}"), scalar(f"k_lead{n}")) for n in (0, 1))
    return step, function("f", (), (
        ir.Let(PLACE, ir.Binary("+", PLACE, ir.Binary("+", *leads))),
        ir.Let(d, ir.Lanes(block, (D,))),
        ir.Let(within(D), ir.Binary("<", d, ir.Name("SIZE_d", kind="constant"))),
        loop(ir.Unpack((STATE,), invoke(step, MASKED=ir.Number(True))), LO, HI),
    ))  # fmt: skip


def test_descriptors() -> None:
    module = module_of(step_over_keys())
    (step, kernel), found = descriptors(module, STRIDES)
    load = (
        "tl.load(k_ptr + h * k_h + j[:, None] * k_j + d[None, :] * k_d, mask=in_j[:, None] & in_d[None, :], other=0.0)"
    )
    tile = "k_desc.load([lead0.to(tl.int32), lead1.to(tl.int32), h.to(tl.int32), j0, 0]).reshape(BLOCK_N, BLOCK_d)"
    before, after = (written(*f.body).splitlines() for f in (module[0], step))
    assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [
        (f"k = {load}", f"k = {tile} if DESC else {load}")
    ]
    # What the function reads beside, it is given.
    assert {p.text for p in step.parameters} - {p.text for p in module[0].parameters} == {
        "DESC", "BLOCK_d", "k_desc", "lead0", "lead1"
    }  # fmt: skip
    assert step == function("_step", (STATE, J0), step.body)
    # The pointer goes where it went.
    *others, call = module[1].body
    assert call == loop(ir.Unpack((STATE,), invoke(module[0], MASKED=ir.Number(True))), LO, HI)
    assert kernel.body == (*others, loop(ir.Unpack((STATE,), invoke(step, MASKED=ir.Number(True))), LO, HI))
    assert kernel == function("f", (), kernel.body)
    assert found["k"].blocks == (None, "BLOCK_N", "BLOCK_d")


IN_J = ir.Spread(within(J), (J, D))
NEITHER = {
    "a stride of another dimension": step_over_keys(along_j="k_d", along_d="k_j"),
    "a stride of no dimension": step_over_keys(along_j="x_j"),
    "no end of the second axis": step_over_keys(mask=IN_J),
    "another mask": step_over_keys(mask=ir.Binary("&", IN_J, ir.Spread(ir.Name("nth", (D,)), (J, D)))),
}


@pytest.mark.parametrize("what", NEITHER)
def test_a_tile_that_no_descriptor_reads_stays(what: str) -> None:
    module = module_of(NEITHER[what])
    assert descriptors(module, STRIDES) == (module, {})


def test_a_descriptor_belongs_to_a_load() -> None:
    module = module_of(step_over_keys())
    alone, found = descriptors(module, STRIDES)
    # Other loads of the tensor stay beside it, and none is read by it where the launcher may make tiles smaller.
    other = function("_other", (), [ir.Let(scalar("x"), ir.Load(ir.Binary("+", PLACE, scalar("h"))))])
    assert descriptors((other, *module), STRIDES) == ((other, *alone), found)
    merging = replace(module[0], name="_merging")
    assert descriptors((merging, *module), STRIDES, {"_merging"}) == ((merging, *alone), found)
    assert descriptors(module, {}) == (module, {})
    assert descriptors(module, STRIDES, {"_step"}) == (module, {})


def test_a_tensor_has_one_descriptor_of_one_shape() -> None:
    step = step_over_keys()
    wide = ir.Name("BLOCK_2", kind="constant")
    other = function("_wider", (STATE, J0), rewritten(step.body, lambda n: wide if n == BLOCK_N else n))
    assert other.body != step.body
    (first, second, _), found = descriptors((step, other, module_of(step)[1]), STRIDES)
    assert first.body != step.body and second == other and found["k"].blocks == (None, "BLOCK_N", "BLOCK_d")


def test_a_tile_that_data_chooses_is_nan_off_its_axis_however_it_is_read() -> None:
    b, g, i, j, d = axes("b g i j d")
    q, k, t = Tensor("q", b, i, d), Tensor("k", g, j, d), Tensor("t", b, dtype="int32")
    p = exp(fold.sum(q[b, i, d] * k[t[b], j, d], over=d))
    made = kernels_of(pipeline(o=fold.sum(p, over=j)[b, i]))
    (line,) = (x.strip() for x in lines(made.functions[0].body) if x.strip().startswith("k = "))
    at = "tl.minimum(tl.maximum(t, 0), size_g - 1).to(INDEX)"
    corner = f"[lead0.to(tl.int32), lead1.to(tl.int32), {at}.to(tl.int32), j0, d0]"
    assert line.startswith(f'k = tl.where((in_j & (inside == 0))[:, None], float("nan"), k_desc.load({corner})')


def test_warp_specialise() -> None:
    """What each function of the producer and of the consumers waits for, issues and hands back, in order."""
    i, j, d, e = axes("i j d e")
    q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
    s = fold.sum(q[i, d] * k[j, d], over=d)
    p = exp(s - fold.max(s, over=j))
    made = kernels_of(pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e]))
    hopper = gluon_kernel(made, "f")
    assert hopper is not None
    functions = {f.name: lines(f.body) for f in warp_specialise(hopper)}
    assert functions["_next"] == [
        "turn = (j0 - first) // BLOCK_N",
        "stage, phase = turn % SIZE_stages, turn // SIZE_stages & 1",
        "mbarrier.wait(k_full.index(stage), phase)",
        "scores = gl.zeros([BLOCK_M, BLOCK_N], gl.float32, _tile(BLOCK_N))",
        "scores = warpgroup_mma(held, k_buffers.index(stage).reshape([BLOCK_N, BLOCK_d]).permute((1, 0)), scores, "
        "use_acc=False, is_async=True)",
        "stage_before, phase_before = (turn - 1) % SIZE_stages, (turn - 1) // SIZE_stages & 1",
        "mbarrier.wait(v_full.index(stage_before), phase_before)",
        "acc = warpgroup_mma(weights, v_buffers.index(stage_before).reshape([BLOCK_N, BLOCK_e]), acc, is_async=True)",
        "scores = warpgroup_mma_wait(1, deps=[scores])",
        "mbarrier.arrive(k_empty.index(stage), count=1)",
        "m, l, following, alpha = _scored(m, l, scores, j0, size_j, BLOCK_N, BLOCK_e, INDEX, MASKED, OPERAND)",
        "acc, weights = warpgroup_mma_wait(0, deps=[acc, weights])",
        "mbarrier.arrive(v_empty.index(stage_before), count=1)",
        "acc = acc * _as_rows(alpha, BLOCK_e)[:, None]",
        "return m, l, acc, following",
    ]
    load = functions["_load"]
    assert load[load.index("for j0 in range(lo, hi, BLOCK_N):") + 1 :] == [
        "    turn = gone + (j0 - lo) // BLOCK_N",
        "    stage, phase = turn % SIZE_stages, turn // SIZE_stages & 1 ^ 1",
        "    mbarrier.wait(k_empty.index(stage), phase)",
        "    mbarrier.expect(k_full.index(stage), k_desc.block_type.nbytes)",
        "    _copy(k_desc, [lead0.to(tl.int32), lead1.to(tl.int32), j0, 0], k_full.index(stage), "
        "k_buffers.index(stage))",
        "    mbarrier.wait(v_empty.index(stage), phase)",
        "    mbarrier.expect(v_full.index(stage), v_desc.block_type.nbytes)",
        "    _copy(v_desc, [lead0.to(tl.int32), lead1.to(tl.int32), j0, 0], v_full.index(stage), "
        "v_buffers.index(stage))",
        "return gone + (hi - lo) // BLOCK_N",
    ]


def test_base_2() -> None:
    i, j, d = axes("i j d")
    q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j)
    s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
    p = exp(s - fold.max(s, over=j))
    plan = derive(pipeline(o=(fold.sum(p * v[j], over=j) / fold.sum(p, over=j))[i]))
    assert isinstance(plan, Plan)
    after = in_base2(plan)
    # The score, and with it the maximum and the anchor, are divided by log(2); every exp is an exp2 of them.
    score, value = plan.elements
    assert [e.expr for e in after.elements] == [score.expr / sp.log(2), value.expr]
    assert [(a.expr, a.default) for a in after.anchors] == [(a.expr, a.default) for a in plan.anchors]
    m, l, t = monoid(after).symbols
    (anchor,) = after.anchors
    old, new = exp2(m - anchor.fresh), exp2(score.symbol - anchor.fresh)
    lets = {str(let.symbol): let.expr for let in monoid(after).update.lets}
    assert {n: lets[n] for n in ("m", "l", str(t))} == {
        "m": sp.Max(m, Fold("max", score.symbol, plan.axis)),
        "l": l * old + Fold("sum", new, plan.axis),
        str(t): t * old + Fold("sum", new * value.symbol, plan.axis),
    }
    assert [f.expr for f in after.finish] == [f.expr for f in plan.finish]
