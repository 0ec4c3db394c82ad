"""From folds in normal form to accumulators: anchors, correction laws, what can be dropped."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import sympy as sp

from refold.algebra.abstract import abstract
from refold.algebra.corrections import (
    Move,
    Terms,
    given,
    given_by_others,
    never_zero,
    of_extremum,
    of_product,
    of_ranking,
    regular,
    total,
)
from refold.algebra.extended import infinities
from refold.algebra.journal import Journal
from refold.algebra.law import Law, separate, solve
from refold.algebra.masked import refuse_partial_anchor
from refold.algebra.names import Names
from refold.algebra.plan import Accumulator, Anchor, Element, Family, Fresh, State, Varying
from refold.algebra.ranking import Ranking, nested, ranking
from refold.algebra.refuse import Apart, Refused, refuse
from refold.algebra.rewrite import denominators, map_folds, summands
from refold.algebra.stabilise import primitive
from refold.spec import Fold, Index, Spec
from refold.spec.heads import sigmoid
from refold.spec.mathematics import text

GIVEN = "given by the others"


class Accumulation:
    """The accumulators and anchors of one derivation, found fold by fold from the innermost."""

    def __init__(self, spec: Spec, axis: Index, journal: Journal, names: Names) -> None:
        self.spec, self.axis, self.journal, self.names = spec, axis, journal, names
        self.elements: dict[sp.Expr, Element] = {}
        self.anchors: list[Anchor] = []
        self.accumulators: list[Accumulator] = []
        self.values: dict[Fold, sp.Expr] = {}
        # The accumulators behind each value, with coefficients that do not vary.
        self.terms: dict[Fold, Terms] = {}
        # What every anchor stands for, over the folds in normal form.
        self.meanings: dict[sp.Symbol, sp.Expr] = {}

    def value(self, fold: Fold) -> Any:
        """The value of a normal fold over accumulators, deriving them on first sight."""
        if fold not in self.values:
            self.values[fold] = self.correct(fold)
        return self.values[fold]

    def correct(self, fold: Fold) -> sp.Expr:
        """Finds the correction law of one fold and adds its accumulators."""
        body, used = abstract(nested(fold.body, fold.axis), self.axis, self.element, self.anchor)
        axes = tuple(sorted((s for s in fold.free_symbols if isinstance(s, Index)), key=lambda a: a.name))
        order = ranking(body, self.axis, [*self.elements.values()], self.anchors, self.accumulators)
        if fold.kind == "argmax":
            return self.argmax(fold, order, used, axes)
        if fold.kind == "sum":
            terms = given(body, used, self.sources(), self.anchors, self.elements.values())
            if terms is not None:
                self.terms[fold], value = terms, total(terms, self.anchors)
                self.journal.step("drop", fold, value, GIVEN)
                return value
        if not used:
            return self.add(fold, fold.kind, body, None, axes, 1, (), self.names.accumulator(fold, body, axes))
        varying = tuple(e.symbol for e in self.elements.values() if e.symbol in body.free_symbols)
        move: Move | None = None
        match fold.kind:
            case "sum":
                return self.correct_sum(fold, body, used, varying, axes)
            case "max" | "min":
                move = of_ranking(order, used, order.keys) if order else of_extremum(fold, body, used, varying)
            case "prod":
                move = of_product(body, used, varying, lambda: self.value(Fold("count", sp.S.One, self.axis)))
        if move is None:
            raise self.refused(fold, body, used)
        name = self.names.accumulator(fold, body, axes)
        return self.add(fold, fold.kind, body, move(State(name)), axes, 1, tuple(a.stale for a in used), name)

    def sources(self) -> list[Accumulator]:
        """The accumulators that are sums."""
        return [a for a in self.accumulators if a.reducer in ("sum", "count")]

    def terms_of(self, fold: Fold) -> Terms:
        """The accumulators of a fold that has its value, with coefficients."""
        return self.terms.get(fold) or ((self.values[fold], sp.S.One),)

    def refused(self, fold: Fold, body: sp.Expr, used: list[Anchor]) -> Refused:
        """A fold for which there is no law here, with the evidence for that."""
        elements = tuple(e for e in self.elements.values() if e.symbol in body.free_symbols)
        meanings = {a.fresh: self.meanings[a.fresh] for a in used}
        return Refused(partial(refuse, self.spec, fold, body, meanings, elements), fold.kind)

    def correct_sum(self, fold: Fold, body: sp.Expr, used: list[Anchor], varying: Any, axes: Any) -> sp.Expr:
        fresh, stale = tuple(a.fresh for a in used), tuple(a.stale for a in used)
        law = solve(body, fresh, stale, varying, never_zero(used))
        if law is None:
            if separate(body, fresh, varying) is not None and len(summands(fold.body)) > 1:
                raise Apart(fold)
            raise self.refused(fold, body, used)
        rank = len(law.basis)
        base = self.names.accumulator(fold, law.basis[0], axes)
        values: list[sp.Expr | None] = [None] * rank
        states: list[State | None] = [None] * rank
        back: dict[Any, Any] = {a.fresh: a.stale for a in self.anchors}
        self.never_zero(law, used)
        guarded = {a.stale for a in used if a.default != 0}
        dropped = given_by_others(law, self.sources(), back, self.elements.values(), guarded)
        for k, terms in dropped.items():
            values[k] = total(terms, self.anchors)
        fresh_rows = [k for k in range(rank) if values[k] is None]
        for k in fresh_rows:
            name = base if k == 0 else self.names.member(base, law.basis[k])
            states[k] = State(name)
            values[k] = states[k]
            self.names.taken.add(name)
        # What gives a dropped component may stand at anchors of its own.
        read = {s for value in values if value is not None for s in value.free_symbols}
        stale += tuple(a.stale for a in self.anchors if a.stale in read and a.stale != a.expr and a.stale not in stale)
        self.journal.step("law", body, sp.Tuple(*law.basis), _shown(law))
        result: sp.Expr = sp.S.Zero
        for k in reversed(range(rank)):
            state = states[k]
            if state is None:
                self.journal.step("drop", Fold("sum", law.basis[k].xreplace(back), self.axis), values[k], GIVEN)
                continue
            correction = sp.Add(*(law.matrix[k, c] * values[c] for c in range(rank)))
            family = Family(law.basis, law.matrix, tuple(sp.sympify(v) for v in values), tuple(dropped.items()), k)
            result = self.add(
                fold if k == 0 else None, "sum", law.basis[k], correction, axes, rank, stale, str(state), family
            )
        return result

    def never_zero(self, law: Law, used: list[Anchor]) -> None:
        """An anchor that T divides by has 1 for its default, if it is one of what is never 0 itself."""
        divisors = {d for entry in law.matrix for d in denominators(entry)}
        for n, anchor in enumerate(used):
            if anchor.default == 0 and isinstance(anchor.expr, sp.exp | sigmoid) and anchor.stale in divisors:
                used[n] = replace(anchor, default=sp.S.One)
                self.anchors[self.anchors.index(anchor)] = used[n]

    def argmax(self, fold: Fold, order: Ranking | None, used: list[Anchor], axes: Any) -> sp.Expr:
        """Carries the position beside its key; a strictly monotone correction of the key keeps the position."""
        key = self.value(Fold("max", fold.body, self.axis))
        assert isinstance(key, State)
        position = self.element(self.axis)
        name = self.names.free("at")
        symbol = State(name)
        self.names.taken.add(name)
        stale = tuple(a.stale for a in used)
        correction = symbol if order is None else of_ranking(order, used, order.places)(symbol)
        self.accumulators.append(Accumulator(symbol, "argmax", position, correction, axes, 1, stale, key))
        self.journal.step("argmax", fold, symbol, "the lowest position at which the key is largest")
        if correction != symbol:
            self.journal.step("correct", symbol, correction)
        return symbol

    def add(
        self, fold: Fold | None, kind: str, element: sp.Expr, correction: sp.Expr | None, axes: Any, rank: int,
        stale: Any, name: str, family: Family | None = None,
    ) -> sp.Expr:  # fmt: skip
        for known in self.accumulators:
            if known.reducer == kind and known.element == element and known.axes == axes:
                return known.symbol
        symbol = State(name)
        self.names.taken.add(name)
        correction = symbol if correction is None else correction
        accumulator = Accumulator(symbol, kind, element, correction, axes, rank, tuple(stale), family=family)  # type: ignore[arg-type]
        self.accumulators.append(accumulator)
        if fold is not None:
            self.journal.step("accumulate", fold, symbol)
        if correction != symbol:
            self.journal.step("correct", symbol, correction)
        return symbol

    def element(self, expr: sp.Expr) -> sp.Expr:
        if expr.is_number:
            return expr
        factor, part = primitive(expr)
        if part == self.axis and factor != 1:
            return factor * self.element(part)  # a position is itself, for argmax
        for known in self.elements:
            other, same = primitive(known)
            if same == part:
                return factor / other * self.elements[known].symbol
        if expr not in self.elements:
            name = self.names.element(expr, self.axis)
            limits = infinities(expr)
            self.elements[expr] = Element(Varying(name), expr, -1 if -1 in limits else 1 if limits else 0)
        return self.elements[expr].symbol

    def anchor(self, expr: sp.Expr, *, divided: bool) -> Anchor:
        """The anchor of a finished value; a mean `sum b / n` becomes the fold `sum (b/n)`, which is itself anchored."""
        refuse_partial_anchor(expr, self.axis)
        factors = sp.Mul.make_args(expr)
        sums = [f for f in factors if isinstance(f, Fold) and f.kind == "sum"]
        counts = [
            f
            for f in factors
            if isinstance(f, sp.Pow) and f.exp == -1 and isinstance(f.base, Fold) and f.base.kind == "count"
        ]
        if len(factors) == 2 and len(sums) == 1 and len(counts) == 1:
            mean = Fold("sum", sums[0].body * counts[0], self.axis)
            self.journal.step("mean", expr, mean, "a ratio of folds as one fold, carried as the mean itself")
            value = self.value(mean)
            count = self.value(counts[0].base)
            self.values[sums[0]] = value * count
            self.terms[sums[0]] = tuple((s, c * count) for s, c in self.terms_of(mean))
        else:
            value = map_folds(expr, self.axis, self.value)
        for known in self.anchors:
            if known.expr == value:
                if divided and known.default == 0:
                    break
                return known
        name = str(value) if isinstance(value, State) else self.names.free("r")
        self.names.taken.add(name)
        stale = State(name)
        self.meanings[Fresh(name)] = expr
        usable, default = regular(value, self.accumulators, divided=divided), sp.S.One if divided else sp.S.Zero
        anchor = Anchor(stale, Fresh(name), value, usable, default)
        self.anchors = [a for a in self.anchors if a.stale != stale] + [anchor]
        return anchor


def _shown(law: Law) -> str:
    """A law of a rank above 1 with its matrix."""
    if len(law.basis) == 1:
        return ""
    rows = ["[" + ", ".join(text(x) for x in law.matrix.row(n)) + "]" for n in range(law.matrix.rows)]
    return f"separable rank {len(law.basis)}: T = [{', '.join(rows)}]"
