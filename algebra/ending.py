"""The end of a derivation: outputs with their guards, side conditions, readings, and what no output needs."""

from __future__ import annotations

import numpy as np
import sympy as sp

from refold.algebra.accumulate import Accumulation
from refold.algebra.ieee import ieee
from refold.algebra.normal import NormalForm
from refold.algebra.plan import Accumulator, Condition, Finish, Reading, State, counts
from refold.algebra.ranking import ranking
from refold.algebra.rewrite import denominators, folds, map_folds, walk
from refold.spec import Fold, Output, Read, Size, Where
from refold.spec.heads import UNITS, at_an_element


class Ending:
    """What follows once every fold has its accumulators."""

    def __init__(self, form: NormalForm, found: Accumulation, empty: sp.Expr) -> None:
        self.form, self.found, self.empty, self.axis = form, found, empty, form.axis

    def finish(self, output: Output, expr: sp.Expr) -> Finish:
        """Guards an output whose expression is undefined in the empty state."""
        empty = self.empty
        guard = self.guard(output.expr, expr)
        if guard is not sp.true and self.fails_on_nothing_alone(guard):
            value = self.at_nothing(output.expr)
            empty = sp.nsimplify(value) if np.isfinite(value) else empty
        if self.divides_by_data(guard):
            # What is divided by 0 is not 0 itself, perhaps: the quotient says so as the pipeline does, by infinity.
            guard = sp.true
        return Finish(output.name, expr, output.axes, guard, empty)

    def divides_by_data(self, guard: sp.Basic) -> bool:
        """Whether a guard tests a sum of data, which may be 0 beside a numerator that is not.

        Weights and counts are 0 of no element alone; moments about an anchor are 0 together, which is NaN either way.
        """
        written = {e.symbol: e.expr for e in self.found.elements.values()}
        tested = [a for a in self.found.accumulators if a.symbol in guard.free_symbols and a.reducer == "sum"]
        plain = (a.element.xreplace(written) for a in tested if not a.anchors or self.empty is not sp.nan)
        return any(element.has(Read) and not isinstance(element, sp.exp) for element in plain)

    def guard(self, written: sp.Expr, expr: sp.Expr) -> sp.Basic:
        """What has to hold of the final state where an expression is evaluated: of each case what it needs."""
        if isinstance(expr, Where) and not expr.args[0].has(State):
            condition, *cases = expr.args
            sides = written.args[1:] if isinstance(written, Where) else (written, written)
            then, other = (self.guard(w, e) for w, e in zip(sides, cases, strict=True))
            return sp.And(sp.Or(sp.Not(condition), then), sp.Or(condition, other))
        if self.undefined_at_unit(expr):
            zero = [d for d in denominators(expr) if d.has(State) and self.at_unit(d) in (0.0,)]
            if zero:
                return sp.And(*(sp.Ne(d, 0, evaluate=False) for d in zero))
            limits = {e.symbol: e.infinite for e in self.found.elements.values()}
            # A minimum of what a mask makes -oo is not +oo where all is masked: its guard would be that of no position.
            telling = [a for a in self.found.accumulators
                       if all(limits.get(s, 0) * a.unit != -sp.oo for s in a.element.free_symbols)]  # fmt: skip
            return sp.And(*counts(expr.xreplace(self.best()), telling))
        if not any(e.infinite for e in self.found.elements.values()) and np.isnan(self.at_nothing(written)):
            # Written as 0/0 over an empty axis and carried as something that is 0 there, like a mean.
            return sp.And(*self.regular(expr))
        return sp.true

    def best(self) -> dict[State, State]:
        """The first of the ranking that each maximum is of: it has a value of any position."""
        known, elements = self.found.accumulators, [*self.found.elements.values()]
        orders = {
            a.symbol: ranking(a.element, self.axis, elements, self.found.anchors, known[:n])
            for n, a in enumerate(known)
        }
        return {symbol: order.keys[0] for symbol, order in orders.items() if order is not None}

    def fails_on_nothing_alone(self, guard: sp.Basic) -> bool:
        """Whether a guard holds as soon as there is one element: nothing masked, and only counts and sums of exp."""
        tested = [a for a in self.found.accumulators if a.symbol in guard.free_symbols]
        return not any(e.infinite for e in self.found.elements.values()) and all(
            isinstance(part.args[0], State) for part in sp.And.make_args(guard)
        ) and all(a.reducer in ("count", "max", "min") or isinstance(a.element, sp.exp) for a in tested)  # fmt: skip

    def regular(self, expr: sp.Expr) -> list[sp.Basic]:
        """Where the anchors of the accumulators in an expression are regular."""
        stale = {s for a in self.found.accumulators if a.symbol in expr.free_symbols for s in a.anchors}
        return [a.regular for a in self.found.anchors if a.stale in stale and a.regular is not sp.true]

    def at_nothing(self, written: sp.Expr) -> float:
        """What an output says of an empty axis: sum_j p/r is 0, (sum_j p)/r is 0/0; inf where that hangs on data."""
        length = sp.Dummy()
        units: dict[sp.Basic, float] = {length: 0.0}

        def unit(fold: Fold) -> sp.Expr:
            symbol = sp.Dummy()
            units[symbol] = float(UNITS[fold.kind])
            return symbol

        bare = map_folds(written.xreplace({Size(self.axis.name): length}), self.axis, unit)
        return ieee(bare, units, {}) if bare.free_symbols <= set(units) else np.inf

    def readings(self, kept: set[State]) -> tuple[Reading, ...]:
        """What every fold of the spec is in the final state, beside folds that the plan does without."""

        def value(fold: Fold) -> sp.Expr:
            found = self.found.values.get(fold, fold)
            return found if _states(found) <= kept else fold

        count = Fold("count", sp.S.One, self.axis)
        # A length that the plan does not count along is that of the whole axis.
        length: dict[sp.Basic, sp.Expr] = {count: self.axis.size} if isinstance(value(count), Fold) else {}
        found = []
        for fold, expr in self.form.normal.items():
            parts = self.form.results.get(fold)
            if parts is None or any(scale != 0 and isinstance(value(main), Fold) for scale, main in parts):
                continue
            terms = []
            for scale, main in parts:
                if scale == 0:
                    continue
                factor = map_folds(scale, self.axis, value).xreplace(length)
                terms += [(symbol, factor * c) for symbol, c in self.found.terms_of(main)]
            expr = map_folds(expr, self.axis, value).xreplace(length)
            found.append(Reading(fold.xreplace(length), expr, tuple(terms)))
        return tuple(found)

    def unit_of(self, symbol: State) -> float:
        unit = next(a.unit for a in self.found.accumulators if a.symbol == symbol)
        return float(unit)

    def at_unit(self, expr: sp.Expr) -> float:
        """The IEEE value of an expression in the empty state, its elements masked and its constants positive."""
        values: dict[sp.Basic, float] = {}
        for s in expr.free_symbols:
            if isinstance(s, State):
                values[s] = self.unit_of(s)
        masked = {e.expr: float(e.infinite) * np.inf for e in self.found.elements.values() if e.infinite}
        return ieee(expr, values, masked)

    def undefined_at_unit(self, expr: sp.Expr) -> bool:
        return bool(np.isnan(self.at_unit(expr)))

    def rising_exponents(self, finish: tuple[Finish, ...]) -> frozenset[sp.Expr]:
        """Constants `z` in an `exp(z - m)` of a finish, m a derived shift: the shift has to be `max(m, z)` instead."""
        shifts = {self.found.values[f] for s in self.form.scales for f in folds(s, self.axis) if f in self.found.values}
        found = set()
        for f in finish:
            for node in walk(f.expr):
                if isinstance(node, sp.exp) and not self.form.varies(node):
                    taken = [t for t in sp.Add.make_args(node.args[0]) if -t in shifts]
                    rest = node.args[0] - sp.Add(*taken)
                    if taken and not rest.has(State):
                        found.add(rest)
        return frozenset(found)

    def drop_unused(self, finish: tuple[Finish, ...]) -> tuple[Accumulator, ...]:
        """The accumulators that an output needs, in the order of their updates."""
        needed = {s for f in finish for s in (f.expr.free_symbols | f.guard.free_symbols) if isinstance(s, State)}
        known = {a.symbol for a in self.found.accumulators}
        for a in reversed(self.found.accumulators):
            if a.symbol in needed:
                anchors = [x for x in self.found.anchors if x.stale in a.anchors]
                read = a.correction.free_symbols.union(*(x.expr.free_symbols for x in anchors))
                needed |= (read & known) | ({a.key} if a.key is not None else set())
        return tuple(a for a in self.found.accumulators if a.symbol in needed)

    def conditions(self, finish: tuple[Finish, ...], accumulators: tuple[Accumulator, ...]) -> tuple[Condition, ...]:
        found: dict[tuple[str, str], Condition] = {}

        def note(claim: sp.Basic, where: str, guarded: bool) -> None:
            found.setdefault((str(claim), where), Condition(claim, where, guarded))

        stales = {s for a in accumulators for s in a.anchors}
        for anchor in self.found.anchors:
            if anchor.stale in stales and anchor.regular is not sp.true:
                note(anchor.regular, f"anchor {anchor.stale}", True)
        for a in accumulators:
            for d in denominators(a.correction):
                if not all(self.inverted(factor) for factor in sp.Mul.make_args(d)):
                    note(sp.Ne(d, 0, evaluate=False), f"correction of {a.symbol}", False)
        for f in finish:
            for d in denominators(f.expr):
                if not at_an_element(d).is_nonzero:
                    guarded = any(sp.Ne(d, 0, evaluate=False) == g for g in sp.And.make_args(f.guard))
                    note(sp.Ne(d, 0, evaluate=False), f"output {f.name}", guarded)
            if f.guard is not sp.true and not any(c.where == f"output {f.name}" and c.guarded for c in found.values()):
                note(f.guard, f"output {f.name}", True)
        return tuple(found.values())

    def inverted(self, factor: sp.Expr) -> bool:
        """Whether a factor of a denominator is a number, or an anchor that its guard or its form keeps from 0."""
        base = factor.base if isinstance(factor, sp.Pow) else factor
        anchor = next((a for a in self.found.anchors if base in (a.stale, a.fresh)), None)
        if anchor is None:
            return bool(at_an_element(base).is_nonzero)
        return anchor.is_never_zero


def _states(expr: sp.Basic) -> set[sp.Basic]:
    return {s for s in expr.free_symbols if isinstance(s, State)}
