"""The operations of every example's monoid, in 80 digits at random inputs: what they say of each other holds."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pytest
import sympy as sp
from exact import AGREE, FOLDS, Exact
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf
from state_cases import SPECS

from refold import Spec, derive
from refold.algebra import Plan
from refold.algebra.mean import stable_means
from refold.algebra.monoid import Monoid, New, Operation, Shared, definition, monoid
from refold.spec import Fold, Where

EXAMPLES = ("alibi", "argmax", "attention", "attention_sink", "causal_attention", "circular_mean", "covariance",
            "entropy", "global_window", "gqa", "kl", "kurtosis", "layer_norm", "logsumexp", "rms_norm",
            "sigmoid_attention", "softmax", "z_loss")  # fmt: skip
NAMES = (*EXAMPLES, *SPECS)
State = dict[Any, Any]
Positions = tuple[int, ...]


@cache
def derived(name: str) -> tuple[Plan, Monoid]:
    spec: Spec = SPECS[name] if name in SPECS else importlib.import_module(f"refold.examples.{name}").SPEC
    plan = derive(spec)
    assert isinstance(plan, Plan)
    return plan, monoid(plan)


class Case:
    """One monoid at one input and one position of all axes but the folded one."""

    def __init__(self, plan: Plan, form: Monoid, seed: int, length: int) -> None:
        self.plan, self.form = plan, form
        sizes = {a.name: length if a == form.axis else 2 + seed % 3 for a in form.spec.axes}
        self.exact = Exact(form.spec, sizes, seed)
        self.at = {a: seed % sizes[a.name] for a in form.spec.axes if a != form.axis}
        self.written = {e.symbol: e.expr for e in form.elements}

    def apply(self, operation: Operation, values: Mapping[Any, Any], tile: Sequence[int]) -> State:
        known, shared = dict(values), dict[Any, Any]()
        for let in operation.lets:
            expr = let.expr.xreplace(shared)
            if isinstance(let.symbol, Shared):
                # Written out, since it may vary with the positions of the tile.
                shared[let.symbol] = expr
            else:
                known[let.symbol] = self.value(expr, known, tile)
        return self.form.named(known[r] for r in operation.results)

    def value(self, expr: sp.Expr, values: Mapping[Any, Any], tile: Sequence[int]) -> Any:
        """An expression over a state and a tile, folds over the axis of the tile's positions alone."""
        known, expr = dict(values), expr.xreplace(self.written)
        folds = [f for f in expr.atoms(Fold) if f.axis == self.form.axis]
        for fold in folds:
            xs = [self.exact.value(fold.body, {**self.at, self.form.axis: n}, values) for n in tile]
            found = FOLDS[fold.kind](xs)
            known[fold] = mpf(tile[int(found)]) if fold.kind == "argmax" and tile else found
        at = {**self.at, self.form.axis: tile[0]} if len(tile) == 1 else self.at
        return self.exact.value(expr, at, known)

    def unit(self) -> State:
        return self.form.named(self.value(u, {}, ()) for u in self.form.unit)

    def lift(self, position: int) -> State:
        return self.apply(self.form.lift, {}, (position,))

    def combine(self, left: State, right: State) -> State:
        assert self.form.combine is not None
        return self.apply(self.form.combine, self.form.pair(left, right), ())

    def part(self, positions: Sequence[int]) -> State:
        """The lifts of some positions, combined from the left."""
        state = self.unit()
        for n in positions:
            state = self.combine(state, self.lift(n))
        return state


def near(x: Any, y: Any) -> bool:
    return bool(x == y or abs(x - y) <= AGREE * (1 + abs(x)))


def same(left: State, right: State) -> None:
    assert all(near(left[s], right[s]) for s in left), (left, right)


PARTS = st.integers(0, 6).flatmap(
    lambda n: st.tuples(st.permutations(range(n)), st.lists(st.integers(0, n), min_size=2, max_size=2).map(sorted))
)


def parts_of(drawn: tuple[list[int], list[int]]) -> tuple[Positions, Positions, Positions]:
    places, (a, b) = drawn
    return tuple(places[:a]), tuple(places[a:b]), tuple(places[b:])


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12)
@given(drawn=PARTS, seed=st.integers(0, 999))
def test_operations_agree(name: str, drawn: tuple[list[int], list[int]], seed: int) -> None:
    case = Case(*derived(name), seed, len(drawn[0]))
    one, two, three = parts_of(drawn)
    x, y, z = (case.part(p) for p in (one, two, three))
    # The unit is neutral, and combining is associative and commutative.
    same(case.combine(case.unit(), x), x)
    same(case.combine(x, case.unit()), x)
    same(case.combine(case.combine(x, y), z), case.combine(x, case.combine(y, z)))
    same(case.combine(x, y), case.combine(y, x))
    # A tile at once is its lifts, combined; a step is a tile of one element.
    tile = tuple(sorted(two))
    same(case.apply(case.form.update, x, tile), case.combine(x, case.part(two)))
    same(case.part(two), case.apply(definition(case.plan), {}, tile))
    # How kernels write means is the same.
    stable = stable_means(case.plan, case.form)
    assert stable.combine is not None
    same(case.apply(stable.update, x, tile), case.combine(x, case.part(two)))
    same(case.apply(stable.combine, case.form.pair(x, y), ()), case.combine(x, y))
    for n in three[:1]:
        same(case.apply(case.form.step, x, (n,)), case.combine(x, case.lift(n)))


def test_update_takes_a_tile_of_attention_at_once() -> None:
    plan, form = derived("attention")
    m, l, acc = form.symbols
    names = {str(let.symbol): let.symbol for let in form.update.lets if str(let.symbol).endswith("′")}
    (fresh,) = names.values()
    s, v = (e.symbol for e in form.elements)
    j = plan.axis
    new = {str(r): r for r in form.update.results}
    assert [(let.symbol, let.expr) for let in form.update.lets if let.symbol != fresh] == [
        (new["m"], sp.Max(m, Fold("max", s, j))),
        (new["l"], l * sp.exp(m - fresh) + Fold("sum", sp.exp(s - fresh), j)),
        (new["acc"], acc * sp.exp(m - fresh) + Fold("sum", v * sp.exp(s - fresh), j)),
    ]


def test_a_mean_is_not_multiplied_at_every_tile() -> None:
    """What `stable_means` makes of the count and the mean of layer_norm, whole."""
    plan, form = derived("layer_norm")
    stable = stable_means(plan, form)
    n, mean, _ = form.symbols
    n2, mean2, _ = (c.right for c in form.state)
    (x,) = (e.symbol for e in form.elements)
    fresh = plan.anchor(plan.accumulators[1].anchors[0]).fresh
    added, gap, share = (Shared(f"mean {word}") for word in ("added", "gap", "share"))

    def lets(operation: Operation | None) -> list[tuple[sp.Symbol, sp.Expr]]:
        assert operation is not None
        return [(let.symbol, let.expr) for let in operation.lets if str(let.symbol).startswith("mean ")
                or let.symbol == New("mean")]  # fmt: skip

    assert lets(form.update) == [
        (New("mean"), mean * Where(sp.Ne(n, 0), n, 1) / fresh + Fold("sum", x / fresh, plan.axis))
    ]
    assert lets(stable.update) == [(added, Fold("sum", x - mean, plan.axis)), (New("mean"), mean + added / fresh)]
    assert lets(stable.combine) == [(gap, mean2 - mean), (share, n2 / fresh), (New("mean"), mean + gap * share)]
