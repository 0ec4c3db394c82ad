"""Executes a plan on a tape as its kernels do: elements by tiles, corrections, parts, the merge of parts, outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from refold.algebra import Accumulator, Anchor, Plan, State
from refold.algebra.base2 import exp2, in_base2
from refold.algebra.merge import mean_of
from refold.algebra.roles import layout
from refold.errors import SpecError
from refold.spec import Read
from refold.spec.evaluate import Inputs
from refold.verify.adjoint import tighten
from refold.verify.tape import Node, Tape, U
from refold.verify.terms import Terms, Values

Nodes = dict[Any, Node]


class Execution:
    """One run of the emitted order of operations, with tiles of `block` positions over `parts` parts of the axis."""

    def __init__(self, plan: Plan, given: Inputs, tape: Tape, operands: str, truncation: float) -> None:
        self.plan = plan = in_base2(plan)
        self.given, self.tape, self.truncation = given, tape, truncation
        self.axis = given.order[plan.axis]
        self.used = {a.symbol: [plan.anchor(s) for s in a.anchors] for a in plan.accumulators}
        self.inner = {e.symbol: e.expr for e in plan.elements}
        self.values = Values(given, tape, operands, truncation, self.inner, layout(plan))
        self.dims = [1] * len(given.order)

    def terms(self, values: Mapping[Any, Node], flat: Mapping[Any, Any] | None = None) -> Terms:
        return Terms(self.values, values, flat or {})

    def run(self, block: int, parts: int) -> dict[str, Node | SpecError]:
        """Every output before it is stored, or why there is no bound for it."""
        length = self.given.sizes[self.plan.axis]
        chunk = math.ceil(math.ceil(length / parts) / block) * block
        states = []
        for part in range(parts):
            state = self.unit()
            for step, lo in enumerate(range(part * chunk, min((part + 1) * chunk, length), block)):
                hi = min(lo + block, (part + 1) * chunk, length)
                self.tape.step = step
                state = self.tile(state, np.arange(lo, hi, dtype=np.float64))
            states.append(state)
        state = states[0]
        if parts > 1:
            state = self.unit()
            for self.tape.step, other in enumerate(states):
                state = self.merge(state, other)
        return self.finish(state)

    def unit(self) -> Nodes:
        return {a.symbol: self.tape.constant(np.full(self.dims, float(a.unit))) for a in self.plan.accumulators}

    def tile(self, state: Nodes, positions: Any) -> Nodes:
        """The state, moved to the new anchors, and what a tile adds."""
        tape, new, axis, first = self.tape, Nodes(), self.plan.axis, len(self.tape.nodes)
        shape = list(self.dims)
        shape[self.axis] = len(positions)
        flat = {axis: positions.reshape(shape)}
        tape.kind = "elements"
        elements = self.terms({}, flat)
        here: Nodes = {e.symbol: elements(e.expr) for e in self.plan.elements}
        for a in self.computed:
            tape.kind = "anchors"
            fresh = {x.fresh: self.guarded(x, new) for x in self.used[a.symbol]}
            terms = self.terms({**here, **fresh, a.symbol: state[a.symbol]}, flat)
            mean = mean_of(self.plan, a)
            if mean is not None:
                # a + sum(phi - a w)/n', as the kernels have it.
                phi, n, _, count = mean
                tape.kind = "terms"
                body = terms.wide(terms(phi - a.symbol * count.element), axis, len(positions))
                total = terms.reduced("sum", body, axis, "tile sums")
                tape.kind = "joins"
                new[a.symbol] = tape.sum_of([state[a.symbol], tape.over(total, fresh[n])])
                continue
            tape.kind = "corrections"
            moved = self.moved(a, state, fresh)
            sides = self.values.sides(a.element, axis) if a.reducer == "sum" else None
            tape.kind = "terms"
            body = terms(a.element) if sides is None else terms.dot(sides)
            kind = "tile sums" if sides is None else "dots"
            added = terms.reduced(a.reducer, terms.wide(body, axis, len(positions)), axis, kind, sides is not None)
            if sides is not None:
                # The additions of a dot go on from the accumulator: each rounds that too.
                moved = [tape.extra(m, self.truncation * U, "carried", len(positions)) for m in moved]
            tape.kind = "joins"
            new[a.symbol] = self.join(a, [*moved, added])
        return self.tightened(new, first)

    def merge(self, left: Nodes, right: Nodes) -> Nodes:
        """Two states, each moved to the anchors of both together, then joined."""
        tape, new, first = self.tape, Nodes(), len(self.tape.nodes)
        tape.kind = "merges"
        for a in self.computed:
            fresh = {x.fresh: self.guarded(x, new) for x in self.used[a.symbol]}
            mean = mean_of(self.plan, a)
            if mean is not None:
                _, n, _, count = mean
                apart = tape.sum_of([right[a.symbol], tape.times(tape.constant(-1.0), left[a.symbol])])
                shift = tape.over(tape.times(apart, right[count.symbol]), fresh[n])
                new[a.symbol] = tape.sum_of([left[a.symbol], shift])
                continue
            new[a.symbol] = self.join(a, [*self.moved(a, left, fresh), *self.moved(a, right, fresh)])
        return self.tightened(new, first)

    def tightened(self, state: Nodes, first: int) -> Nodes:
        for node in state.values():
            if node.kind:
                tighten(self.tape, node, first)
        return state

    @property
    def computed(self) -> list[Accumulator]:
        return [a for a in self.plan.accumulators if a.reducer != "argmax"]

    def guarded(self, anchor: Anchor, state: Nodes) -> Node:
        terms = self.terms(state)
        return self.tape.choose(terms.condition(anchor.regular), terms(anchor.expr), terms(anchor.default))

    def moved(self, a: Accumulator, state: Nodes, fresh: Mapping[Any, Node]) -> list[Node]:
        """The summands of an accumulator re-anchored: raw anchors in exponents, guarded ones elsewhere."""
        values: Nodes = {**state, **fresh}
        raw = {s: State(f"{s} of the exponents") for s in a.anchors}
        for anchor in self.used[a.symbol]:
            values[raw[anchor.stale]] = self.terms(state)(anchor.expr)
            values[anchor.stale] = self.guarded(anchor, state)
        exponential = lambda x: isinstance(x, sp.exp | exp2)  # noqa: E731
        law = a.moved.replace(exponential, lambda x: x.func(x.args[0].xreplace(raw)))
        terms = self.terms(values)
        return [terms(t) for t in (sp.Add.make_args(law) if a.reducer == "sum" else [law])]

    def join(self, a: Accumulator, parts: list[Node]) -> Node:
        tape = self.tape
        if a.reducer == "sum":
            return tape.sum_of(parts)
        if a.reducer == "count":
            return tape.constant(sum(p.exact for p in parts))
        operation = {"max": tape.larger, "any": tape.larger, "min": tape.smaller, "all": tape.smaller}[a.reducer]
        result = parts[0]
        for part in parts[1:]:
            result = operation(result, part)
        return result

    def finish(self, state: Nodes) -> dict[str, Node | SpecError]:
        results: dict[str, Node | SpecError] = {}
        self.tape.kind, self.tape.step = "finish", 0
        for f in self.plan.finish:
            try:
                used = [a for a in self.plan.accumulators if a.symbol in f.expr.free_symbols]
                terms = self.terms(state | {a.symbol: self.position(a) for a in used if a.reducer == "argmax"})
                value = self.tape.choose(terms.condition(f.guard), terms(f.expr), self.tape.constant(float(f.empty)))
                results[f.name] = value
            except SpecError as error:
                results[f.name] = error
        return results

    def position(self, a: Accumulator) -> Node:
        """Where data is largest: no rounding moves that. Of computed scores the next may be as near as you like."""
        key = next(k.element for k in self.plan.accumulators if k.symbol == a.key)
        if not isinstance(self.inner.get(key), Read):
            raise SpecError(f"a position is a step function of the scores {key}, which are rounded and may tie")
        fold = next(r.fold for r in self.plan.readings if r.accumulator == a.symbol)
        return self.tape.constant(self.given.walk()(fold))
