"""Questions of comparisons alone: what is said to be proved is held to all orders of a few values and infinities."""

from __future__ import annotations

import itertools
import operator
import random
from collections.abc import Iterator
from typing import Any

import pytest
import sympy as sp

from refold import Plan, Tensor, axes, derive, fold, pipeline
from refold.algebra import State
from refold.spec import Where
from refold.verify.obligation import Obligation, discharge
from refold.verify.smt.order import is_order

i, j = axes("i j")
x = Tensor("x", i, j)[i, j]
LOW, HIGH, NUMBER, OTHER = State("m"), State("w"), sp.Symbol("f", real=True), sp.Symbol("g", real=True)
FINITE, NUMBERS = (-1.0, 0.0, 1.0), (sp.S.NegativeOne, sp.S.Zero)
VALUES = {LOW: (-float("inf"), *FINITE), HIGH: (*FINITE, float("inf")), NUMBER: FINITE, OTHER: FINITE}
RELATIONS = {
    sp.Eq: operator.eq, sp.Ne: operator.ne, sp.Lt: operator.lt,
    sp.Le: operator.le, sp.Gt: operator.gt, sp.Ge: operator.ge,
}  # fmt: skip
HEADS: dict[Any, Any] = {sp.And: all, sp.Or: any, sp.Max: max, sp.Min: min, sp.Add: sum}


def plan() -> Plan:
    """A maximum, which may be -oo, and a minimum, which may be oo."""
    found = derive(pipeline(m=fold.max(x, over=j)[i], w=fold.min(x, over=j)[i]))
    assert isinstance(found, Plan)
    return found


def value(term: Any, at: dict[Any, float]) -> Any:
    """The value of a formula, by Python's own floats."""
    if term in at:
        return at[term]
    if not term.args:
        return bool(term) if term in (sp.true, sp.false) else float(term)
    if isinstance(term, Where):
        return value(term.args[1 if value(term.args[0], at) else 2], at)
    args = [value(a, at) for a in term.args]
    if isinstance(term, sp.Not):
        return not args[0]
    return RELATIONS[term.func](*args) if term.func in RELATIONS else HEADS[term.func](args)


def drawn(rng: random.Random, depth: int) -> Any:
    """A value: a symbol, a limit or a number, a choice between two, or an extreme of two."""
    if depth == 0 or rng.random() < 0.25:
        return rng.choice([LOW, LOW, HIGH, NUMBER, OTHER, NUMBER + OTHER, -sp.oo, sp.oo, *NUMBERS])
    one, other = drawn(rng, depth - 1), drawn(rng, depth - 1)
    if rng.random() < 0.6:
        return Where(condition(rng, depth - 1), one, other)
    return rng.choice([sp.Max, sp.Min])(one, other, evaluate=False)


def condition(rng: random.Random, depth: int) -> Any:
    """A comparison, or two of them."""
    if depth and rng.random() < 0.3:
        one, other = condition(rng, depth - 1), condition(rng, depth - 1)
        return rng.choice([sp.And, sp.Or])(one, sp.Not(other, evaluate=False), evaluate=False)
    return rng.choice([*RELATIONS])(drawn(rng, depth), drawn(rng, max(depth - 1, 0)), evaluate=False)


def worlds(*formulas: Any) -> Iterator[dict[Any, float]]:
    """All values of the symbols in some formulas."""
    symbols = sorted({s for f in formulas for s in f.free_symbols}, key=str)
    for values in itertools.product(*(VALUES[s] for s in symbols)):
        yield dict(zip(symbols, values, strict=True))


def questions(rng: random.Random) -> Iterator[tuple[tuple[Any, ...], Any, int]]:
    """What is assumed and claimed, with how often the claim fails: one that never does, and one that seldom does."""
    known = tuple(condition(rng, 1) for _ in range(rng.randrange(2)))
    claims = [(condition(rng, 2), n) for n in range(12)]
    counted = sorted((fails(known, claim), n, claim) for claim, n in claims if is_order((*known, claim)))
    for some in ([c for c in counted if c[0] == 0], [c for c in counted if c[0] > 0]):
        yield from ((known, claim, count) for count, _, claim in some[:1])


def fails(known: tuple[Any, ...], claim: Any) -> int:
    """At how many values all that is known holds, and the claim does not."""
    return sum(not value(claim, at) and all(value(f, at) for f in known) for at in worlds(*known, claim))


def verdicts(seeds: range) -> dict[str, int]:
    """How often each verdict was given; none is proved that fails anywhere."""
    found: dict[str, int] = {}
    here = plan()
    for seed in seeds:
        for known, claim, count in questions(random.Random(seed)):
            verdict = discharge(Obligation("question", "", known, (claim,)), here).verdict
            found[verdict] = found.get(verdict, 0) + 1
            assert verdict != "proved" or not count, (seed, known, claim)
    return found


def test_nothing_is_proved_that_fails_in_an_order_of_few_values() -> None:
    found = verdicts(range(30))
    assert min(found["proved"], found["refuted"]) >= 8, found


@pytest.mark.slow
def test_nothing_is_proved_that_fails_in_an_order_of_few_values_often() -> None:
    verdicts(range(30, 500))
