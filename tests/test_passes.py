"""What each rewrite makes of a small kernel, whole."""

from __future__ import annotations

import sympy as sp

from refold import Scalar, Tensor, axes, derive, exp, fold, pipeline, sqrt
from refold.algebra import Plan
from refold.algebra.base2 import exp2, in_base2
from refold.algebra.monoid import monoid
from refold.emit.triton import lines
from refold.schedule import ir
from refold.schedule.lower.kernels import kernels
from refold.schedule.lower.words import BLOCK_M, BLOCK_N, EVICT, MASKED, scalar
from refold.schedule.passes.loops import mask_free_tiles, peel_last_tile, skip_tiles
from refold.schedule.passes.programs import heaviest_first, several_pieces
from refold.spec import Fold

STATE, J0, SIZE, LO, FULL, HI = (scalar(n) for n in ("l", "j0", "size_j", "lo", "full_hi", "hi"))
STEP = ir.Unpack((STATE,), ir.Invoke("_step", (STATE, J0, EVICT, MASKED)))
WRITE = ir.Evaluate(ir.Invoke("_write", (STATE, J0, EVICT, MASKED)))


def loop(body: ir.Statement, start: ir.Value, stop: ir.Value) -> ir.For:
    return ir.For(J0, start, stop, BLOCK_N, (body,))


def written(*body: ir.Statement) -> str:
    return "\n".join(lines(body))


def test_mask_free_tiles() -> None:
    before = loop(STEP, LO, HI)
    after = mask_free_tiles(before, ((LO, FULL, False), (FULL, HI, True)))
    assert written(before) == "for j0 in range(lo, hi, BLOCK_N):\n    (l,) = _step(l, j0, EVICT, MASKED)"
    assert written(*after) == "\n".join([
        "for j0 in range(lo, full_hi, BLOCK_N):", "    (l,) = _step(l, j0, EVICT, False)",
        "for j0 in range(full_hi, hi, BLOCK_N):", "    (l,) = _step(l, j0, EVICT, True)",
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
        "for seen in range(0, tl.cdiv(works, programs)):",
        "    # Rounds go up and down by turns: who had most in one has least in the next.",
        "    work = seen * programs + (pid if seen % 2 == 0 else programs - 1 - pid)",
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
