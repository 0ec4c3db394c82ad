"""Executes a plan on a tape as its kernels do: elements by tiles, corrections, parts, the merge of parts, outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from refold.algebra import Accumulator, Fresh, Plan
from refold.algebra.base2 import in_base2
from refold.algebra.mean import stable_means
from refold.algebra.monoid import Let, Operation, Shared, monoid
from refold.algebra.roles import layout
from refold.errors import SpecError
from refold.spec import Fold, Read
from refold.spec.evaluate import Inputs
from refold.spec.heads import HEADS
from refold.verify.rounding.adjoint import tighten
from refold.verify.rounding.tape import Node, Tape, U
from refold.verify.rounding.terms import Terms, Values

Nodes = dict[Any, Node]


class Execution:
    """One run of the emitted order of operations, with tiles of `block` positions over `parts` parts of the axis."""

    def __init__(self, plan: Plan, given: Inputs, tape: Tape, operands: str, truncation: float) -> None:
        self.plan = plan = in_base2(plan)
        self.given, self.tape, self.truncation = given, tape, truncation
        self.axis = given.order[plan.axis]
        self.form = stable_means(plan, monoid(plan))
        assert self.form.update is not None
        self.update = self.form.update
        self.reducers = dict(zip(self.update.results, (c.reducer for c in self.form.state), strict=True))
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
        return {s: self.tape.constant(np.full(self.dims, float(u))) for s, u in self.form.units().items()}

    def tile(self, state: Nodes, positions: Any) -> Nodes:
        """The state, moved to the new anchors, and what a tile adds."""
        first, shape = len(self.tape.nodes), list(self.dims)
        shape[self.axis] = len(positions)
        flat = {self.form.axis: positions.reshape(shape)}
        self.tape.kind = "elements"
        elements = self.terms({}, flat)
        here: Nodes = {e.symbol: elements(e.expr) for e in self.form.elements}
        return self.tightened(self.apply(self.update, {**state, **here}, flat), first)

    def merge(self, left: Nodes, right: Nodes) -> Nodes:
        """Two states, each moved to the anchors of both together, then joined."""
        assert self.form.combine is not None
        first = len(self.tape.nodes)
        pair = {**left, **{c.right: right[c.symbol] for c in self.form.state if c.symbol in right}}
        return self.tightened(self.apply(self.form.combine, pair, {}), first)

    def apply(self, operation: Operation, values: Nodes, flat: Mapping[Any, Any]) -> Nodes:
        """The definitions of an operation in their order; `flat` are the positions of a tile, if there is one."""
        known = dict(values)
        own = dict(zip(operation.results, self.form.symbols, strict=True))
        for let in operation.lets:
            # A position is looked up at the end.
            if self.reducers.get(let.symbol) != "argmax":
                # Each definition by itself: what two of them share is rounded in both.
                known[let.symbol] = self.defined(let, self.terms(known, flat), in_tile=bool(flat))
        return {own[s]: node for s, node in known.items() if s in own}

    def defined(self, let: Let, terms: Terms, *, in_tile: bool) -> Node:
        """A fresh anchor, a share, or a component: what its corrections and its tile give, joined."""
        kinds = ("anchors", "corrections", "joins") if in_tile else ("merges",) * 3
        if isinstance(let.symbol, Fresh):
            self.tape.kind = kinds[0]
            return terms(let.expr)
        if isinstance(let.symbol, Shared):
            self.tape.kind = kinds[0]
            return self.added(let.expr, terms) if isinstance(let.expr, Fold) else self.quotient(let.expr, terms)
        reducer = self.reducers[let.symbol]
        head = HEADS[reducer]
        parts = let.expr.args if isinstance(let.expr, head) else (let.expr,)
        self.tape.kind = kinds[1]
        moved = [terms(p) for p in parts if not p.has(Shared) and not self.is_tile(p)]
        for fold in filter(self.is_tile, parts):
            added = self.added(fold, terms)
            if added.kind == "dots":
                # The additions of a dot go on from the accumulator: each rounds that too.
                size = terms.flat[self.form.axis].size
                moved = [self.tape.extra(m, self.truncation * U, "carried", size) for m in moved]
            moved.append(added)
        self.tape.kind = kinds[2]
        moved += [self.quotient(p, terms) for p in parts if p.has(Shared)]
        return self.join(reducer, moved)

    def is_tile(self, expr: sp.Expr) -> bool:
        return isinstance(expr, Fold) and expr.axis == self.form.axis

    def added(self, fold: Fold, terms: Terms) -> Node:
        """What a tile adds."""
        axis = self.form.axis
        self.tape.kind = "terms"
        sides = self.values.sides(fold.body, axis) if fold.kind == "sum" else None
        body = terms(fold.body) if sides is None else terms.dot(sides)
        body = terms.wide(body, axis, terms.flat[axis].size)
        return terms.reduced(fold.kind, body, axis, "tile sums" if sides is None else "dots", sides is not None)

    def quotient(self, expr: sp.Expr, terms: Terms) -> Node:
        """A share, divided once if at all."""
        above, below = sp.fraction(expr)
        return terms(above) if below == 1 else self.tape.over(terms(above), terms(below))

    def tightened(self, state: Nodes, first: int) -> Nodes:
        for node in state.values():
            if node.kind:
                tighten(self.tape, node, first)
        return state

    def join(self, reducer: str, parts: list[Node]) -> Node:
        tape = self.tape
        if reducer == "sum":
            return tape.sum_of(parts)
        if reducer == "count":
            return tape.constant(sum(p.exact for p in parts))
        operation = {"max": tape.larger, "any": tape.larger, "min": tape.smaller, "all": tape.smaller}[reducer]
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
                value = self.tape.choose(terms.condition(f.guard), terms(f.expr), terms(f.empty))
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
