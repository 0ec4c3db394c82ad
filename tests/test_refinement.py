"""Kernels as data compute the monoid of their plan: proved where they do, and not where a piece of them is changed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sympy as sp

from refold import Plan, derive
from refold.algebra import State
from refold.schedule import ir
from refold.schedule.lower.kernels import Kernels, kernels
from refold.spec import Where
from refold.verify.kernel.prover import _renamed
from refold.verify.kernel.reading import Datum, Whole
from refold.verify.kernel.refinement import Prover, of_module
from refold.verify.verify import invariants_of

SOME = ("causal_attention", "softmax", "cross_entropy", "document")
# What is not shown: that -1 is kept as another number, angles that are equal, gathers of scores that are no number.
OPEN = ("argmax", "circular_mean", "paged_decode")
EXAMPLES = {path.stem for path in (Path(__file__).parents[1] / "examples").glob("[a-z]*.py")}
REST = sorted(EXAMPLES - {*SOME, *OPEN})


@cache
def prover_of(name: str) -> Prover:
    plan = derive(importlib.import_module(f"refold.examples.{name}").SPEC)
    assert isinstance(plan, Plan)
    return Prover(kernels(plan, name), invariants_of(plan))


def open_of(made: Kernels, prover: Prover) -> Iterator[str]:
    """The obligations that are not proved."""
    for result in of_module(made, prover):
        assert result.verdict in ("proved", "unknown")
        if result.verdict != "proved":
            yield result.name.partition(": ")[2]


@pytest.mark.parametrize("name", [*SOME, *(pytest.param(n, marks=pytest.mark.slow) for n in REST)])
def test_the_kernels_compute_the_monoid(name: str) -> None:
    prover = prover_of(name)
    assert not [*open_of(prover.made, prover)]


@pytest.mark.parametrize("name", ["argmax", *(pytest.param(n, marks=pytest.mark.slow) for n in OPEN[1:])])
def test_what_is_not_shown_yet(name: str) -> None:
    prover = prover_of(name)
    assert [*open_of(prover.made, prover)]


def pieces_left_out(made: Kernels) -> Iterator[tuple[str, Kernels]]:
    """The kernels without one of their stores, or without what their loops do.

    One loop of several is no such piece: which tiles loops visit is what the index obligations say.
    """
    for stage, kernel in made.stages.items():
        for n, s in enumerate(kernel.body):
            if isinstance(s, ir.Store):
                yield f"{stage} without a store", with_body(made, stage, (*kernel.body[:n], *kernel.body[n + 1 :]))
        yield f"{stage} without its loops", with_body(made, stage, idle(kernel.body))


def idle(body: tuple[ir.Statement, ...]) -> tuple[ir.Statement, ...]:
    """Statements of which loops do nothing."""
    return tuple(
        replace(s, body=(ir.Note("nothing"),)) if isinstance(s, ir.For)
        else replace(s, body=idle(s.body)) if isinstance(s, ir.If) else s
        for s in body
    )  # fmt: skip


def with_body(made: Kernels, stage: str, body: tuple[ir.Statement, ...]) -> Kernels:
    return replace(made, stages={**made.stages, stage: replace(made.stages[stage], body=body)})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["logsumexp", "attention"])
def test_a_kernel_that_leaves_something_out_is_not_proved(name: str) -> None:
    prover = prover_of(name)
    made = [*pieces_left_out(prover.made)]
    assert len(made) > 5
    assert [what for what, wrong in made if next(open_of(wrong, prover), None) is None] == []


def test_a_store_within_a_loop_is_not_proved() -> None:
    """What is stored before the last iteration is overwritten at best."""
    prover = prover_of("logsumexp")
    body = prover.made.stages["finish"].body
    store = next(s for s in body if isinstance(s, ir.Store))
    into = tuple(replace(s, body=(*s.body, store)) if isinstance(s, ir.For) else s for s in body)
    assert into != body
    assert {*open_of(with_body(prover.made, "finish", into), prover)}


def test_a_part_that_is_read_at_another_place_is_not_proved() -> None:
    """The kernel that joins parts reads a state where the other one keeps it: not the element beside it."""

    def beside(node: Any) -> Any:
        if isinstance(node, tuple):
            return tuple(map(beside, node))
        if not is_dataclass(node) or isinstance(node, type):
            return node
        moved = replace(node, **{f.name: beside(getattr(node, f.name)) for f in fields(node)})
        return replace(moved, place=ir.Binary("+", moved.place, ir.Number(1))) if isinstance(moved, ir.Load) else moved

    prover = prover_of("logsumexp")
    body = prover.made.stages["finish"].body
    assert beside(body) != body
    assert {"m", "l"} <= {*open_of(with_body(prover.made, "finish", beside(body)), prover)}


def test_other_names_are_what_a_substitution_gives() -> None:
    x, y, n = Datum(3), Datum(0), Whole(5)
    names = {x: Datum(0), y: Datum(1), n: Whole(0)}
    for expr in (
        sp.exp(x - sp.Max(x, y, x * y)) * sp.log(2 * x + 2 * y),
        Where(sp.And(x <= sp.Min(y, 3), n > 2), x / sp.Max(1, y**2), sp.nan),
        sp.Eq(sp.Max(x + n, sp.Min(y, sp.exp(x))), sp.Max(y, x + n)),
        sp.Max(State("m"), sp.exp(y)) + 7,
    ):
        assert _renamed(expr, dict(names)) == expr.xreplace(names) != expr
