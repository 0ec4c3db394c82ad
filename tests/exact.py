"""Evaluates specs and plans in mpmath at 80 digits, apart from the NumPy runs that verdicts are replayed with."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import sympy as sp
from mpmath import mp, mpf

from refold.algebra import Accumulator, Anchor, Plan, State
from refold.spec import Fold, Index, Param, Read, Size, Spec, Where
from refold.spec.heads import nearest, sigmoid

mp.dps = 80
AGREE = mpf(10) ** -60

Point = dict[Any, int]
Values = dict[Any, Any]


class Undefined(Exception):
    """A value that an expression does not have: 0/0, oo - oo, a read outside of its tensor."""


def _add(*values: Any) -> Any:
    if mp.inf in values and -mp.inf in values:
        raise Undefined("oo - oo")
    return sum(values, mpf(0))


def _times(*values: Any) -> Any:
    if any(mp.isinf(v) for v in values) and any(v == 0 for v in values):
        raise Undefined("0 * oo")
    return reduce(lambda x, y: x * y, values, mpf(1))


def _power(base: Any, n: Any) -> Any:
    if base == 0 and n < 0:
        raise Undefined("division by 0")
    if base < 0 and n != int(n):
        raise Undefined("a root of a negative number")
    return mp.power(base, n)


def _log(x: Any) -> Any:
    if x < 0:
        raise Undefined("the logarithm of a negative number")
    return -mp.inf if x == 0 else mp.log(x)


# By head; a head that is missing here raises a KeyError.
FUNCTIONS: dict[type[sp.Basic], Callable[..., Any]] = {
    sp.Add: _add,
    sp.Mul: _times,
    sp.Pow: _power,
    sp.exp: lambda x: mpf(0) if x == -mp.inf else mp.exp(x),
    sp.log: _log,
    sp.tanh: mp.tanh,
    sigmoid: lambda x: mpf(0) if x == -mp.inf else 1 / (1 + mp.exp(-x)),
    sp.sin: mp.sin,
    sp.cos: mp.cos,
    sp.erf: mp.erf,
    sp.Abs: abs,
    sp.floor: mp.floor,
    nearest: mp.nint,
    sp.Mod: lambda x, y: x - y * mp.floor(x / y),
    sp.Max: lambda *xs: max(xs),
    sp.Min: lambda *xs: min(xs),
    sp.And: lambda *xs: all(xs),
    sp.Or: lambda *xs: any(xs),
    sp.Not: lambda x: not x,
    sp.Le: lambda x, y: x <= y,
    sp.Lt: lambda x, y: x < y,
    sp.Ge: lambda x, y: x >= y,
    sp.Gt: lambda x, y: x > y,
    sp.Eq: lambda x, y: x == y,
    sp.Ne: lambda x, y: x != y,
}
FOLDS: dict[str, Callable[[list[Any]], Any]] = {
    "sum": lambda xs: _add(*xs),
    "count": lambda xs: _add(*xs),
    "prod": lambda xs: _times(*xs),
    "max": lambda xs: max(xs, default=-mp.inf),
    "min": lambda xs: min(xs, default=mp.inf),
    "any": lambda xs: mpf(any(x != 0 for x in xs)),
    "all": lambda xs: mpf(all(x != 0 for x in xs)),
    "argmax": lambda xs: mpf(xs.index(max(xs)) if xs else -1),
}


class Exact:
    """One set of inputs: sizes of axes, values of scalars, and tensors as functions of a position."""

    def __init__(self, spec: Spec, sizes: Mapping[str, int], seed: int) -> None:
        self.spec, self.sizes = spec, dict(sizes)
        rng = random.Random(seed)
        # Positions, and numbers that the pipeline compares integers with, such as a target to be ignored.
        tests = [n for o in spec.outputs for test in o.expr.atoms(sp.Eq, sp.Ne) for n in test.args if n.is_Integer]
        integers = [*range(max(self.sizes.values())), *sorted(int(n) for n in tests)]
        self.tensors: dict[str, dict[tuple[int, ...], Any]] = {}
        for t in spec.tensors:
            places = itertools.product(*(range(self.sizes[a.name]) for a in t.axes))
            self.tensors[t.name] = {
                place: mpf(rng.choice(integers)) if t.is_integer else _number(rng) for place in places
            }
        self.params = {p.name: mpf(2) if p.is_integer else _number(rng) for p in spec.params}
        self.params |= {p.name: 1 + abs(self.params[p.name]) for p in spec.params if p.is_positive and not p.is_integer}
        self.memory: dict[Any, Any] = {}

    def value(self, expr: sp.Basic, at: Point, states: Mapping[Any, Any]) -> Any:
        """The value of an expression at positions of its axes, with values of the symbols of a state."""
        known = (expr, tuple(at[a] for a in sorted(expr.free_symbols & at.keys(), key=str))) if not states else None
        if known is None:
            return self._value(expr, at, states)
        if known not in self.memory:
            try:
                self.memory[known] = self._value(expr, at, states)
            except Undefined as undefined:
                self.memory[known] = undefined
        if isinstance(self.memory[known], Undefined):
            raise self.memory[known]
        return self.memory[known]

    def _value(self, expr: sp.Basic, at: Point, states: Mapping[Any, Any]) -> Any:
        def of(e: sp.Basic) -> Any:
            return self.value(e, at, states)

        match expr:
            case _ if expr in states:
                return states[expr]
            case Index():
                return mpf(at[expr])
            case Size():
                return mpf(self.sizes[expr.name])
            case Param():
                return self.params[expr.name]
            case sp.Rational():
                return mpf(expr.p) / expr.q
            case sp.logic.boolalg.BooleanAtom():
                return bool(expr)
            case Read():
                place = tuple(int(of(i)) for i in expr.indices)
                if place not in self.tensors[expr.name]:
                    raise Undefined(f"{expr} outside of its tensor")
                return self.tensors[expr.name][place]
            case Where():
                return of(expr.args[1] if of(expr.args[0]) else expr.args[2])
            case Fold():
                places = range(self.sizes[expr.axis.name])
                return FOLDS[expr.kind]([self.value(expr.body, {**at, expr.axis: n}, states) for n in places])
        if expr is sp.nan:
            raise Undefined("nan")
        if expr.is_number and (expr.is_infinite or not expr.args):
            return mp.mpf(sp.N(expr, 100)) if expr.is_finite else mp.inf if expr == sp.oo else -mp.inf
        return FUNCTIONS[type(expr)](*(of(a) for a in expr.args))

    def output(self, name: str, at: Point) -> Any:
        """An output of the spec as written, at a position of its axes; None where it is undefined: anything will do."""
        expr = next(o.expr for o in self.spec.outputs if o.name == name)
        try:
            return self.value(expr, at, {})
        except Undefined:
            return None if self.spec.empty is sp.nan else self.value(self.spec.empty, at, {})

    # --- plans -------------------------------------------------------------------------------------------------

    def finish(self, plan: Plan, name: str, order: Any, at: Point) -> Any:
        """An output of a plan, its state made in some order; raises `Undefined` where a law has no value on the way."""
        state = self.state(plan, order, at)
        output = next(f for f in plan.finish if f.name == name)
        return self.value(output.expr if self.value(output.guard, at, state) else output.empty, at, state)

    def state(self, plan: Plan, order: Any, at: Point) -> Values:
        """The state over an order of positions: numbers enter one by one at the new anchors, tuples are merged."""
        state = unit = {a.symbol: FOLDS[a.reducer]([]) for a in plan.accumulators}
        for n, part in enumerate((order,) if isinstance(order, int) else order):
            if isinstance(part, int):
                state = self.advance(plan, [state], part, at)
            else:
                other = self.state(plan, part, at)
                state = self.advance(plan, [state, other], None, at) if n else other
        return state if order != () else unit

    def advance(self, plan: Plan, parts: list[Values], position: int | None, at: Point) -> Values:
        """The state of disjoint parts, and of one element more if a position is given, accumulator by accumulator."""
        new: Values = {}
        here = at if position is None else {**at, plan.axis: position}
        elements = {} if position is None else {e.symbol: self.value(e.expr, here, {}) for e in plan.elements}
        for a in plan.accumulators:
            used = [plan.anchor(s) for s in a.anchors]
            fresh = {x.fresh: self.guarded(x, new, at) for x in used}

            def joined(of: Accumulator, fresh: Values = fresh, used: list[Anchor] = used) -> list[Any]:
                corrected = [self.corrected(of, part, fresh, used, at) for part in parts]
                return corrected + ([] if position is None else [self.value(of.element, here, elements | fresh)])

            values = joined(a)
            if a.reducer == "argmax":
                key = next(k for k in plan.accumulators if k.symbol == a.key)
                ranked = [(k, -v) for k, v in zip(joined(key), values, strict=True) if v >= 0]
                new[a.symbol] = -max(ranked)[1] if ranked else mpf(-1)
            else:
                new[a.symbol] = FOLDS[a.reducer](values)
        return new

    def guarded(self, x: Anchor, state: Values, at: Point) -> Any:
        return self.value(x.expr if self.value(x.regular, at, state) else x.default, at, state)

    def corrected(self, a: Accumulator, part: Values, fresh: Values, used: list[Anchor], at: Point) -> Any:
        """A part's accumulator re-anchored; exponents take the stale anchors as they are, all else guarded."""
        values = {**part, **fresh} | {x.stale: self.guarded(x, part, at) for x in used}
        bare = {x.stale: State(f"{x.stale} as it is") for x in used}
        law = a.correction.replace(sp.exp, lambda e: sp.exp(e.xreplace(bare)))
        for x in used:
            if law.has(bare[x.stale]):
                values[bare[x.stale]] = self.value(x.expr, at, part)
        return self.value(law, at, values)


def _number(rng: random.Random) -> Any:
    return mpf(rng.randint(-300, 300)) / 97


def positions(spec: Spec, name: str, sizes: Mapping[str, int]) -> list[Point]:
    """Every position of an output; axes that it does not have are at 0."""
    axes = next(o.axes for o in spec.outputs if o.name == name)
    rest = dict.fromkeys(spec.axes, 0)
    return [rest | dict(zip(axes, place, strict=True)) for place in
            itertools.product(*(range(sizes[a.name]) for a in axes))]  # fmt: skip


def any_order(length: int, rng: random.Random) -> Any:
    """A random schedule: positions shuffled into parts, some of them empty, some of parts themselves."""
    places = list(range(length))
    rng.shuffle(places)
    cuts = sorted(rng.randint(0, length) for _ in range(rng.randint(0, 3)))
    parts: list[Any] = [tuple(places[a:b]) for a, b in zip([0, *cuts], [*cuts, length], strict=True)]
    if len(parts) > 2:
        parts = [tuple(parts[:2]), *parts[2:]]
    return tuple(parts) if len(parts) > 1 else parts[0]


def difference(plan: Plan, sizes: Mapping[str, int], seed: int, tries: int = 2) -> str | None:
    """Where a plan and its spec disagree in 80 digits on one random input, in some random order; None where nowhere."""
    given = Exact(plan.spec, sizes, seed)
    rng = random.Random(seed)
    orders = [tuple(range(sizes[plan.axis.name])), *(any_order(sizes[plan.axis.name], rng) for _ in range(tries))]
    for output in plan.spec.outputs:
        for at in positions(plan.spec, output.name, sizes):
            wanted = given.output(output.name, at)
            for order in orders if wanted is not None else ():
                try:
                    got = given.finish(plan, output.name, order, at)
                except Undefined as undefined:
                    return f"{output.name} at {at}, order {order}: {undefined}, wanted {mp.nstr(wanted, 20)}"
                if got != wanted and not abs(got - wanted) <= AGREE * (1 + abs(wanted)):
                    return f"{output.name} at {at}, order {order}: {mp.nstr(got, 20)}, wanted {mp.nstr(wanted, 20)}"
    return None
