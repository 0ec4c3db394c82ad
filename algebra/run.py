"""Runs a plan in float64 NumPy by its laws alone, in any order and any split: what verdicts are replayed with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import sympy as sp

from refold.algebra.plan import Accumulator, Anchor, Plan, State
from refold.spec import Read
from refold.spec.evaluate import Array, Inputs, Walk

# A position is one element, a tuple the merge of its parts from the left, () a part that holds nothing.
Order: TypeAlias = "int | tuple[Order, ...]"
Values: TypeAlias = dict[State, Array]


def run(plan: Plan, inputs: Mapping[str, Any], order: Order | None = None) -> dict[str, Array]:
    """Every output as a float64 array, from one lift a position and merges as `order` says; from the left by default.

    `((0, 1), (), 2)` merges elements 0 and 1, then nothing, then element 2. Raises a `SpecError` for inputs that
    do not fit and a `ValueError` for an order that does not name every position once.
    """
    runner = Runner(plan, Inputs.of(plan.spec, inputs))
    length = runner.given.sizes[plan.axis]
    order = tuple(range(length)) if order is None else order
    if sorted(_positions(order)) != list(range(length)):
        raise ValueError(f"the order has to name each of the positions 0 to {length - 1} of axis {plan.axis.name} once")
    with np.errstate(all="ignore"):
        return runner.finish(runner.state(order))


def _positions(order: Order) -> list[int]:
    return [order] if isinstance(order, int) else [p for part in order for p in _positions(part)]


class Runner:
    """One run: the inputs, and the accumulators' laws with the anchors of exponents apart from the others."""

    def __init__(self, plan: Plan, given: Inputs) -> None:
        self.plan, self.given = plan, given
        self.base = given.walk()
        self.elements = {e.symbol: self.wide(self.base(e.expr)) for e in plan.elements}
        self.used = {a.symbol: [plan.anchor(s) for s in a.anchors] for a in plan.accumulators}
        self.laws = {a.symbol: _raw_exponents(a.moved, a.anchors) for a in plan.accumulators}

    def wide(self, value: Any) -> Array:
        """A value with one dimension an axis of the spec."""
        return np.reshape(value, [1] * len(self.given.order)) if np.ndim(value) == 0 else np.asarray(value)

    def walk(self, values: Mapping[Any, Any]) -> Walk:
        """A walk that knows these symbols, and whatever of the inputs has been evaluated."""
        walk = self.given.walk(values)
        walk.seen = {k: v for k, v in self.base.seen.items() if isinstance(k, Read)}
        return walk

    def unit(self) -> Values:
        return {a.symbol: self.wide(float(a.unit)) for a in self.plan.accumulators}

    def state(self, order: Order) -> Values:
        if isinstance(order, int):
            return self.advance([self.unit()], order)
        if not order:
            return self.unit()
        state = self.state(order[0])
        for part in order[1:]:
            state = self.advance([state, self.state(part)])
        return state

    def advance(self, states: list[Values], position: int | None = None) -> Values:
        """The state of the union of disjoint parts, and of one more element if a position is given."""
        new: Values = {}
        here = {} if position is None else {s: self.at(v, position) for s, v in self.elements.items()}
        for a in self.plan.accumulators:
            fresh = {x.fresh: self.guarded(x, new) for x in self.used[a.symbol]}
            parts = [self.moved(a, a.symbol, state, fresh) for state in states]
            keys = [self.moved(a, a.key, state, fresh) for state in states] if a.key is not None else []
            if position is not None:
                walk = self.walk(here | fresh)
                parts.append(self.wide(walk(a.element)))
                if a.key is not None:
                    element = next(k.element for k in self.plan.accumulators if k.symbol == a.key)
                    keys.append(self.wide(walk(element)))
            new[a.symbol] = _combine(a.reducer, parts, keys)
        return new

    def at(self, value: Array, position: int) -> Array:
        axis = self.given.order[self.plan.axis]
        return value if value.shape[axis] == 1 else np.take(value, [position], axis=axis)

    def guarded(self, anchor: Anchor, state: Values) -> Array:
        """The anchor in a state, or its default where it is not regular."""
        walk = self.walk(state)
        return np.where(walk(anchor.regular), walk(anchor.expr), float(anchor.default))

    def moved(self, a: Accumulator, symbol: State, state: Values, fresh: Mapping[Any, Any]) -> Array:
        """An accumulator of an old state, re-anchored; exponents take stale anchors as they are, all else guarded."""
        values: dict[Any, Any] = {**state, **fresh}
        for anchor in self.used[a.symbol]:
            values[_raw(anchor.stale)] = self.walk(state)(anchor.expr)
            values[anchor.stale] = self.guarded(anchor, state)
        return self.wide(self.walk(values)(self.laws[symbol]))

    def finish(self, state: Values) -> dict[str, Array]:
        results = {}
        for output in self.plan.finish:
            walk = self.walk(state)
            value = np.where(walk(output.guard), walk(output.expr), float(output.empty))
            results[output.name] = self.given.present(value, output.axes)
        return results


def reduced(runner: Runner, positions: tuple[int, ...]) -> Values:
    """The state of a part as it is defined: every fold in turn, each over the finished anchors of the part."""
    state: Values = {}
    for a in runner.plan.accumulators:
        fresh = {x.fresh: runner.guarded(x, state) for x in runner.used[a.symbol]}
        elements = {k.symbol: k.element for k in runner.plan.accumulators}
        parts, keys = [runner.unit()[a.symbol]], [runner.unit()[a.key]] if a.key is not None else []
        for position in positions:
            walk = runner.walk({s: runner.at(v, position) for s, v in runner.elements.items()} | fresh)
            parts.append(runner.wide(walk(a.element)))
            if a.key is not None:
                keys.append(runner.wide(walk(elements[a.key])))
        state[a.symbol] = _combine(a.reducer, parts, keys)
    return state


def _raw(stale: State) -> State:
    return State(f"{stale} of the exponents")


def _raw_exponents(expr: sp.Expr, stale: tuple[State, ...]) -> sp.Expr:
    return expr.replace(sp.exp, lambda x: sp.exp(x.xreplace({s: _raw(s) for s in stale})))


def _combine(reducer: str, parts: list[Array], keys: list[Array]) -> Array:
    result = parts[0]
    key = keys[0] if keys else result
    for n, part in enumerate(parts[1:], 1):
        match reducer:
            case "sum" | "count":
                result = result + part
            case "prod":
                result = result * part
            case "max" | "any":
                result = np.maximum(result, part)
            case "min" | "all":
                result = np.minimum(result, part)
            case "argmax":
                # Of equal keys the lower position wins, and any position over -1, that of nothing.
                tie = np.where(np.minimum(result, part) < 0, np.maximum(result, part), np.minimum(result, part))
                result = np.where(key > keys[n], result, np.where(key < keys[n], part, tie))
                key = np.maximum(key, keys[n])
    return result
