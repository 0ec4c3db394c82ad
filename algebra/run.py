"""Runs a monoid in float64 NumPy, in any order and any split: what verdicts are replayed with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from refold.algebra.monoid import Monoid, Operation, monoid
from refold.algebra.plan import Finish, Plan, State
from refold.spec import Read
from refold.spec.evaluate import Inputs
from refold.spec.walk import Array, Walk

# A position is one element, a tuple the merge of its parts from the left, () a part that holds nothing.
Order: TypeAlias = "int | tuple[Order, ...]"
Values: TypeAlias = dict[State, Array]


def run(plan: Plan, inputs: Mapping[str, Any], order: Order | None = None) -> dict[str, Array]:
    """Every output as a float64 array, from one lift a position and merges as `order` says; from the left by default.

    `((0, 1), (), 2)` merges elements 0 and 1, then nothing, then element 2. Raises a `SpecError` for inputs that
    do not fit and a `ValueError` for an order that does not name every position once.
    """
    runner = Runner(monoid(plan), Inputs.of(plan.spec, inputs))
    length = runner.given.sizes[plan.axis]
    order = tuple(range(length)) if order is None else order
    if sorted(_positions(order)) != list(range(length)):
        raise ValueError(f"the order has to name each of the positions 0 to {length - 1} of axis {plan.axis.name} once")
    with np.errstate(all="ignore"):
        return runner.finish(runner.state(order))


def _positions(order: Order) -> list[int]:
    return [order] if isinstance(order, int) else [p for part in order for p in _positions(part)]


class Runner:
    """One run: the inputs, and the operations of a monoid on arrays with one dimension an axis of the spec."""

    def __init__(self, form: Monoid, given: Inputs) -> None:
        self.form, self.given = form, given
        self.base = given.walk()
        with np.errstate(all="ignore"):
            self.elements = {e.symbol: self.wide(self.base(e.expr)) for e in form.elements}

    def wide(self, value: Any) -> Array:
        """A value with one dimension an axis of the spec."""
        return np.reshape(value, [1] * len(self.given.order)) if np.ndim(value) == 0 else np.asarray(value)

    def walk(self, values: Mapping[Any, Any]) -> Walk:
        """A walk that knows these symbols, and whatever of the inputs has been evaluated."""
        walk = self.given.walk(values)
        walk.seen = {k: v for k, v in self.base.seen.items() if isinstance(k, Read)}
        return walk

    def start(self) -> Values:
        """The state of no position."""
        walk = self.walk({})
        return {s: self.wide(walk(value)) for s, value in self.form.units().items()}

    def lift(self, position: int) -> Values:
        return self.apply(self.form.lift, self.entering(position))

    def step(self, state: Values, position: int) -> Values:
        """The state with one more element, a tile of its own."""
        return self.apply(self.form.step, state | self.entering(position))

    def tile(self, state: Values, positions: Sequence[int]) -> Values:
        """The state with the elements of a tile."""
        assert self.form.update is not None
        return self.apply(self.form.update, state | self.entering(*positions))

    def merge(self, left: Values, right: Values) -> Values:
        assert self.form.combine is not None
        return self.apply(self.form.combine, self.form.pair(left, right))

    def apply(self, operation: Operation, values: Mapping[Any, Any]) -> Values:
        walk = self.walk(values)
        for let in operation.lets:
            walk.env[let.symbol] = walk(let.expr)
        return self.form.named(self.wide(walk.env[result]) for result in operation.results)

    def state(self, order: Order) -> Values:
        if isinstance(order, int):
            return self.lift(order)
        if not order:
            return self.start()
        state = self.state(order[0])
        for part in order[1:]:
            state = self.merge(state, self.state(part))
        return state

    def here(self, *positions: int) -> dict[Any, Array]:
        """The elements at some positions."""
        axis = self.given.order[self.form.axis]
        return {s: v if v.shape[axis] == 1 else np.take(v, positions, axis=axis) for s, v in self.elements.items()}

    def entering(self, *positions: int) -> dict[Any, Array]:
        """The elements at some positions, and the positions themselves: all that an operation knows of the axis."""
        axis = self.given.order[self.form.axis]
        shape = [len(positions) if n == axis else 1 for n in range(len(self.given.order))]
        return {**self.here(*positions), self.form.axis: np.array(positions, dtype=np.float64).reshape(shape)}

    def finish(self, state: Values) -> dict[str, Array]:
        return {f.name: self.given.present(self.value(f, state), f.axes) for f in self.form.project}

    def value(self, finish: Finish, state: Values) -> Array:
        """What is written of a state, with one dimension an axis of the spec."""
        walk = self.walk(state)
        return np.where(walk(finish.guard), walk(finish.expr), walk(finish.empty))
