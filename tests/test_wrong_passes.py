"""A rewrite of kernels that is wrong in one thing: an obligation says so, and no run is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from refold import Plan, Tensor, axes, derive, exp, fold, log, pipeline
from refold.schedule import ir
from refold.schedule.launch import launch
from refold.schedule.lower.kernels import kernels
from refold.schedule.lower.words import BLOCK_M, descriptor, pointer, scalar
from refold.schedule.passes.descriptors import Descriptor, descriptors
from refold.schedule.passes.hoisting import hoist
from refold.schedule.walk import reads, rewritten
from refold.verify.kernel.accesses import access_questions
from refold.verify.kernel.asked import Asked
from refold.verify.kernel.described import faults
from refold.verify.kernel.lane import lanes_of
from refold.verify.kernel.prover import Prover
from refold.verify.kernel.questions import answer
from refold.verify.kernel.refinement import of_module
from refold.verify.smt.formulas import own_context
from refold.verify.verify import invariants_of


def hoists_what_reads(*forgotten: str) -> Callable[..., Any]:
    """The rewrite, if the loop did not change some names."""
    return lambda lines, changing: hoist(lines, [n for n in changing if n.text not in forgotten])


def hoists_what_the_body_makes(lines: list[ir.Statement], changing: list[ir.Name]) -> Any:
    """The rewrite, if it looked at the names that the loop changes and at none that the body makes of them."""
    given = {n.text for n in changing}
    before = [s for s in lines if isinstance(s, ir.Let) and not reads(s) & given]
    return before, [s for s in lines if s not in before]


@pytest.mark.parametrize("wrong", [
    hoists_what_reads("m", "l"), hoists_what_reads("j0"), hoists_what_the_body_makes,
])  # fmt: skip
def test_an_obligation_refutes_what_hoists_what_the_loop_changes(
    wrong: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    i, j = axes("i j")
    x, w = Tensor("x", i, j), Tensor("w", i)
    s = x[i, j] * exp(w[i])
    plan = derive(pipeline(o=(fold.max(s, over=j) + log(fold.sum(exp(s - fold.max(s, over=j)), over=j)))[i]))
    assert isinstance(plan, Plan)
    laws = invariants_of(plan)

    def open_of() -> set[str]:
        made = kernels.__wrapped__(plan, "f")
        return {r.name for r in of_module(made, Prover(made, laws)) if r.verdict != "proved"}

    assert not open_of()
    monkeypatch.setattr("refold.schedule.lower.scope.hoist", wrong)
    assert open_of()


# --- descriptors -----------------------------------------------------------------------------------------------------

Functions = tuple[ir.Function, ...]
Made = tuple[Functions, dict[str, Descriptor]]
K, BOXED = pointer("k"), descriptor("k")


@cache
def products() -> Plan:
    """A kernel with a dot, whose keys are in a tile."""
    i, j, d = axes("i j d")
    q, k = Tensor("q", i, d), Tensor("k", j, d)
    plan = derive(pipeline(o=fold.sum(exp(fold.sum(q[i, d] * k[j, d], over=d)), over=j)[i]))
    assert isinstance(plan, Plan)
    return plan


def each(change: Callable[[Any], Any]) -> Callable[[Made], Made]:
    """A change of every node of the kernels."""

    def of(made: Made) -> Made:
        functions, found = made
        return tuple(replace(f, body=rewritten(f.body, change)) for f in functions), found

    return of


def tile(**parts: Callable[[ir.Fetch], Any]) -> Callable[[Made], Made]:
    """Other parts of what a descriptor of k reads."""

    def change(node: Any) -> Any:
        if isinstance(node, ir.Fetch) and node.descriptor == BOXED:
            return replace(node, **{name: part(node) for name, part in parts.items()})
        return node

    return each(change)


def load(**parts: Callable[[ir.Load], Any]) -> Callable[[Made], Made]:
    """Other parts of the load of k that a descriptor stands for: as if the rewrite had not looked at them."""

    def change(node: Any) -> Any:
        if isinstance(node, ir.Choice) and isinstance(node.then, ir.Fetch) and node.then.descriptor == BOXED:
            assert isinstance(node.other, ir.Load)
            return replace(node, other=replace(node.other, **{name: part(node.other) for name, part in parts.items()}))
        return node

    return each(change)


def moved(node: Any) -> Any:
    """The descriptor at the leading position of the program, as if it were a pointer."""
    if isinstance(node, ir.For):
        return ir.If(ir.Number(True), (ir.Let(BOXED, ir.Binary("+", BOXED, scalar("lead0"))), node))
    return node


def seen(old: ir.Load) -> ir.Value:
    """A mask that is more than the ends of the axes."""
    assert old.mask is not None
    return ir.Binary("&", old.mask, ir.Binary("<", column(old), scalar("j0")))


def column(old: ir.Load) -> ir.Value:
    """The position along the second axis of a tile."""
    return ir.Spread(ir.Name("d", (old.axes[1],)), old.axes)


def of_a_tile_of_rows(made: Made) -> Made:
    """The block of another axis, which the launcher is told as well."""
    functions, found = tile(shape=lambda t: (BLOCK_M, t.shape[1]))(made)
    return functions, found | {"k": replace(found["k"], blocks=("BLOCK_M", "BLOCK_d"))}


def told(made: Made) -> Made:
    """The launcher makes the descriptor of another block."""
    functions, found = made
    return functions, found | {"k": replace(found["k"], blocks=("BLOCK_d", "BLOCK_N"))}


one = ir.Number(1)
WRONG: dict[str, Callable[[Made], Made]] = {
    "the shape exchanged": tile(shape=lambda t: t.shape[::-1]),
    "the shape of another tile": of_a_tile_of_rows,
    "the launcher's shape exchanged": told,
    "the strides exchanged": tile(corner=lambda t: (*t.corner[:2], t.corner[3], t.corner[2])),
    "begins a position late": tile(corner=lambda t: (*t.corner[:2], ir.Binary("+", t.corner[2], one), t.corner[3])),
    "begins at the first tile": tile(corner=lambda t: (*t.corner[:2], ir.Number(0), t.corner[3])),
    "a dimension left out": tile(corner=lambda t: t.corner[1:]),
    "of another tensor": tile(descriptor=lambda _: descriptor("q")),
    "moved like a pointer": each(moved),
    "a load of another stride": load(place=lambda x: ir.Binary("+", x.place, column(x))),
    "a load with another mask": load(mask=seen),
    "a load without a mask": load(mask=lambda _: None, other=lambda _: None),
    "a load of 1 beyond the ends": load(other=lambda _: ir.Number(1.0)),
    "a tile without its load": each(
        lambda n: (
            n.then if isinstance(n, ir.Choice) and isinstance(n.then, ir.Fetch) and n.then.descriptor == BOXED else n
        )
    ),
}


@pytest.mark.parametrize("what", ["nothing", *WRONG])
def test_an_obligation_refutes_a_descriptor_that_does_not_give_what_the_load_gives(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = WRONG.get(what, lambda made: made)
    monkeypatch.setattr("refold.schedule.lower.kernels.descriptors", lambda *given: wrong(descriptors(*given)))
    made = kernels.__wrapped__(products(), "f")
    how = launch(made)
    with own_context():
        questions = [*access_questions(made, how, lanes_of(made, how), Asked())]
        (verdict,) = (answer(q, 1_000).verdict for q in questions if q.name == "index loads k")
    assert (verdict == "proved") == (what == "nothing")


def test_no_descriptor_reads_where_parts_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    i, j, d = axes("i j d")
    q, k = Tensor("q", i, d), Tensor("k", j, d)
    square = fold.sum(q[i, d] * q[i, d], over=d)
    plan = derive(pipeline(o=(fold.sum(exp(fold.sum(q[i, d] * k[j, d], over=d)), over=j) / square)[i]))
    assert isinstance(plan, Plan)
    made = kernels.__wrapped__(plan, "f")
    assert "q" in made.descriptors and faults(made, "q") == ""
    monkeypatch.setattr(
        "refold.schedule.lower.kernels.descriptors", lambda module, strides, _: descriptors(module, strides)
    )
    assert "where parts are merged" in faults(kernels.__wrapped__(plan, "f"), "q")
