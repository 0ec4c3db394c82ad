"""Irregular final states: what a plan carries in them, by its definition, and what the spec says there, as written.

The state of a part is determined by its positions alone, whatever the schedule (docs/theory.md, Theorem 2). So it is
enough to look at finitely many kinds of final states: that of no position, and those of at least one in which some
predicates mask every position, or data make 0 what is divided by. In each of them an accumulator is the fold of its
elements at the anchors of that state, and a fold of the spec that of its body as written. A reading is taken for a
fold only where all anchors behind it are regular, since it is proved only there. A masked position whose body has no
value, as exp(s - m) at s = m = -oo, is no element: it counts as the unit, in the oracle (`spec/evaluate.py`) as here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any, TypeAlias, TypeVar

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra.choices import write_out, zeros_of
from refold.algebra.extended import LENGTH, Unclear, apply, has_no_value, total
from refold.algebra.plan import Accumulator, Anchor, Plan, Reading, State
from refold.algebra.rewrite import denominators, folds, replace_size, walk
from refold.spec import Fold, Size, Where
from refold.spec.heads import UNITS, outside_folds
from refold.spec.mathematics import text

MOST = 64  # situations of one plan
Masked: TypeAlias = "tuple[tuple[sp.Basic, bool], ...]"
T = TypeVar("T")


@dataclass(frozen=True)
class Situation:
    """No position at all, or at least one: with predicates that mask all of them, and divisors that are 0.

    `masked` are predicates with the truth value that each of them has at every position.
    """

    plan: Plan
    masked: Masked = ()
    zero: tuple[sp.Expr, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is no position at all."""
        return not (self.masked or self.zero)

    def by_nothing(self, expr: sp.Basic) -> bool:
        """Whether an expression of the spec that has no value here has none because folds range over nothing."""
        if not self.zero:
            return True
        try:
            return bool(self.masked) and has_no_value(replace(self, zero=()).reduce(expr))
        except Unclear:
            return False

    @property
    def name(self) -> str:
        """The situation as a condition."""
        facts = [*(p for p, _ in self.masked), *(sp.Eq(z, 0, evaluate=False) for z in self.zero)]
        return "nothing" if self.empty else " and ".join(text(f) for f in facts)

    @property
    def shown(self) -> str:
        """The situation in words."""
        if self.empty:
            return f"no position of {self.plan.axis.name}"
        # A predicate that masks where it holds is shown as it fails.
        masks = " and ".join(text(p if holds else sp.Not(p)) for p, holds in self.masked)
        zeros = " and ".join(text(sp.Eq(z, 0, evaluate=False)) for z in self.zero)
        return " where ".join(part for part in (masks and f"{masks} at every position", zeros) if part)

    @cached_property
    def state(self) -> dict[State, sp.Expr]:
        """What each accumulator is: a number, -oo or +oo; folds of what is read; its symbol where that is any value."""
        found: dict[State, sp.Expr] = {}
        for a in self.plan.accumulators:
            found[a.symbol] = self._accumulator(a, found)
        return found

    @cached_property
    def possible(self) -> bool:
        """Whether what is to be 0 is nothing else, nor 0 by the masks alone."""
        masked = replace(self, zero=())
        try:
            return all(self.reduce(z) == 0 and not (self.masked and masked.reduce(z) == 0) for z in self.zero)
        except Unclear:
            return True

    @cached_property
    def irregular(self) -> frozenset[State]:
        """The anchors that are irregular, by their stale symbols; all others are taken to be regular."""
        return frozenset(x.stale for x in self.plan.anchors if self.reduce(x.regular) is sp.false)

    def regular_anchors(self) -> tuple[sp.Basic, ...]:
        """What is assumed of the anchors that are not irregular: the other cases are situations of their own."""
        conditions = [x.regular for x in self.plan.anchors if x.stale not in self.irregular]
        return tuple(c for c in conditions if self.reduce(c) is not sp.true)

    def reduce(self, expr: sp.Basic, state: Mapping[Any, sp.Basic] | None = None) -> sp.Basic:
        """The value of an expression of the plan or of the spec."""
        state = self.state if state is None else state
        if isinstance(expr, sp.Symbol) and expr in state:
            return state[expr]
        if isinstance(expr, Size) and expr.name == Size(self.plan.axis.name).name:
            return sp.S.Zero if self.empty else LENGTH
        if isinstance(expr, Where):
            return self._where(expr, state)
        if isinstance(expr, Fold) and expr.axis == self.plan.axis:
            return self._fold(expr, state)
        if not expr.args:
            return expr
        return apply(expr, [self.reduce(a, state) for a in expr.args])

    def hides(self, expr: sp.Basic) -> bool:
        """Whether a mask of this situation makes a part of an expression infinite, as the oracle looks for it."""
        if isinstance(expr, Where) and self._decided(expr.args[0]) is not None:
            taken = expr.args[1 if self._decided(expr.args[0]) else 2]
            if taken in (sp.oo, -sp.oo) and expr.args[1] != expr.args[2]:
                return True
        return not isinstance(expr, Fold) and any(self.hides(a) for a in expr.args)

    def _accumulator(self, a: Accumulator, before: Mapping[State, sp.Expr]) -> sp.Expr:
        if self.empty:
            return a.unit
        value = self._defined(a, before)
        zeroed = self._zeroed(a.symbol, before)
        # Where it is a number by definition, that decides whether the situation is possible.
        return value if zeroed is None or value.is_number else zeroed

    def _defined(self, a: Accumulator, before: Mapping[State, sp.Expr]) -> sp.Expr:
        anchors = [self.plan.anchor(s) for s in a.anchors]
        element = a.element if a.key is None else next(b.element for b in self.plan.accumulators if b.symbol == a.key)
        written = element.xreplace({e.symbol: e.expr for e in self.plan.elements})
        irregular = any(self.reduce(x.regular, before) is sp.false for x in anchors)
        if anchors and not irregular and not self._masks(written):
            return a.symbol
        if a.reducer == "any" and isinstance(written, Where) and self._shown(written) == 1:
            return sp.S.One
        values = {x.fresh: self._anchor(x, before) for x in anchors}
        value: sp.Expr = total(a.reducer, self.reduce(written, {**before, **values}), self.plan.axis)
        return value

    def _zeroed(self, symbol: State, before: Mapping[State, sp.Expr]) -> sp.Expr | None:
        """The value that makes a divisor 0, for the last accumulator that it reads."""
        for z in self.zero:
            if symbol in z.free_symbols and all(s in before for s in z.free_symbols - {symbol} if isinstance(s, State)):
                rate = z.coeff(symbol)
                return sp.sympify(self.reduce(sp.expand(symbol - z / rate), before))
        return None

    def _anchor(self, anchor: Anchor, before: Mapping[State, sp.Expr]) -> sp.Basic:
        # Undecided, it is regular: where it is not is another situation.
        irregular = self.reduce(anchor.regular, before) is sp.false
        return anchor.default if irregular else self.reduce(anchor.expr, before)

    def _masks(self, expr: sp.Basic) -> bool:
        return any(isinstance(n, Where) and self._decided(n.args[0]) is not None for n in walk(expr))

    def _decided(self, condition: sp.Basic) -> bool | None:
        for predicate, holds in self.masked:
            if condition == predicate:
                return holds
            if condition == sp.Not(predicate):
                return not holds
        return None

    def _where(self, expr: Where, state: Mapping[Any, sp.Basic]) -> sp.Basic:
        decided = self._decided(expr.args[0])
        condition = self.reduce(expr.args[0], state) if decided is None else sp.true if decided else sp.false
        if condition in (sp.true, sp.false):
            return self.reduce(expr.args[1 if condition is sp.true else 2], state)
        return Where(condition, *(self.reduce(a, state) for a in expr.args[1:]))

    def _fold(self, fold: Fold, state: Mapping[Any, sp.Basic]) -> sp.Basic:
        """A fold over nothing is the unit; else what its reading says where that is proved; else its body's."""
        if self.empty:
            return UNITS[fold.kind]
        reading = next((r for r in self.plan.readings if r.fold == fold), None)
        if reading is not None and not self._reads(fold) & self.irregular:
            divisors = [self.reduce(c, state) for c in divisors_in_choices(self.plan, reading)]
            if sp.false not in divisors:
                return self.reduce(reading.expr, state)
        body = self.reduce(fold.body, state)
        if body is sp.nan and self.hides(fold.body):
            return UNITS[fold.kind]  # a masked position at which there is no value is no element
        if fold.kind == "sum" and any(self._shows_no_number(t) for t in sp.Add.make_args(body)):
            return sp.zoo
        return total(fold.kind, body, self.plan.axis)

    def _shows_no_number(self, term: sp.Basic) -> bool:
        """Whether a term is divided by 0 where a predicate lets in a position, as it does that is not in `masked`."""
        shown = (self._shown(f) for f in sp.Mul.make_args(term) if isinstance(f, Where))
        return any(value is not None and has_no_value(value) for value in shown)

    def _shown(self, choice: Where) -> Any:
        """The branch of a choice that is taken at some position at least, if one is known to be."""
        for predicate, holds in predicates(self.plan):
            if choice.args[0] == predicate and self._decided(predicate) is None:
                return choice.args[2 if holds else 1]
        return None

    def _reads(self, fold: Fold) -> frozenset[State]:
        """The anchors behind the readings of a fold and of all folds inside of it."""
        found: frozenset[State] = frozenset()
        for reading in self.plan.readings:
            if reading.fold == fold or fold.body.has(reading.fold):
                found |= anchors_behind(self.plan, sp.Tuple(reading.expr, *reading.accumulators))
        return found


def anchors_behind(plan: Plan, expr: sp.Basic) -> frozenset[State]:
    """The anchors at which the accumulators of an expression were computed, and theirs."""
    needed = {s for s in expr.free_symbols if isinstance(s, State)}
    found: set[State] = set()
    for a in reversed(plan.accumulators):
        if a.symbol in needed:
            found |= set(a.anchors)
            needed |= {s for x in a.anchors for s in plan.anchor(x).expr.free_symbols if isinstance(s, State)}
    return frozenset(found)


def situations(plan: Plan) -> tuple[Situation, ...]:
    """The empty one, and one for all predicates that may mask everything and all divisors that may be 0."""
    zeros = _zeros(plan)
    sets = [(masked, zero) for masked in subsets(predicates(plan)) for zero in subsets(zeros) if masked or zero]
    made = (Situation(plan), *(Situation(plan, *s) for s in sets[:MOST]))
    return tuple(s for s in made if s.possible)


def predicates(plan: Plan) -> Masked:
    """What may mask every position, with the truth value at which it does: of sums that an output divides, too."""
    found = dict.fromkeys(p for e in plan.elements for p in masks_of(e.expr))
    if any(d.has(State) for f in plan.finish for d in denominators(f.expr)):
        written = {e.symbol: e.expr for e in plan.elements}
        sums = (sp.Mul.make_args(a.element.xreplace(written)) for a in plan.accumulators if a.reducer == "sum")
        found |= dict.fromkeys(p for factors in sums for f in factors for p in zeros_of(f))
    return tuple(found)


def uncovered(plan: Plan) -> tuple[str, ...]:
    """Why there may be other irregular states than those of `situations`; empty where there are none."""
    found = [
        f"{text(c)} may fail for other reasons than an empty axis, a mask or a divisor that is 0"
        for c in _conditions(plan)
        if _cause(plan, c) is None
    ]
    if 2 ** (len(predicates(plan)) + len(_zeros(plan))) > MOST:
        found.append("there are too many masks and divisors to look at all of their combinations")
    return tuple(dict.fromkeys(found))


def masks_of(expr: sp.Basic) -> Iterator[tuple[sp.Basic, bool]]:
    """The predicates of an element with the truth value at which it is infinite, or 0 where it else is 1."""
    for node in walk(expr):
        if isinstance(node, Where):
            condition, then, other = node.args
            if other in (sp.oo, -sp.oo) or (then, other) == (1, 0):
                yield condition, False
            elif then in (sp.oo, -sp.oo) or (then, other) == (0, 1):
                yield condition, True


def as_derived(plan: Plan, expr: sp.Basic) -> Any:
    """The spec in the form that was derived from: its choices written out, `|j| -> count_j 1` where that is carried."""
    expr = write_out(expr)
    count = Fold("count", sp.S.One, plan.axis)
    counted = any(a.reducer == "count" and a.element == 1 for a in plan.accumulators)
    return replace_size(expr, plan.axis, count) if counted else expr


def _conditions(plan: Plan) -> tuple[sp.Basic, ...]:
    """What the anchors of a plan need in order to be regular."""
    parts = [c for x in plan.anchors for c in sp.And.make_args(x.regular) if c is not sp.true]
    left = [c for r in plan.readings for c in divisors_in_choices(plan, r)]
    return tuple(dict.fromkeys((*parts, *left)))


def divisors_in_choices(plan: Plan, reading: Reading) -> Iterator[sp.Basic]:
    """That what left a sum as a divisor is not 0, of `sum where(p, x/r, 0)`, which is 0 at r = 0 if p holds nowhere."""
    body = as_derived(plan, reading.fold).body
    if any(isinstance(n, Where) and folds(n, plan.axis) for n in outside_folds(body)):
        yield from (sp.Ne(d, 0, evaluate=False) for _, c in reading.terms for d in denominators(c))


def _zeros(plan: Plan) -> tuple[sp.Expr, ...]:
    """What data may make 0 and anchors or outputs divide by; a sum of exponentials is 0 by masks alone."""
    exponentials = {a.symbol for a in plan.accumulators if isinstance(a.element, sp.exp)}
    parts = (c for f in plan.finish for c in sp.And.make_args(f.guard))
    guards = (c for c in parts if not c.free_symbols <= exponentials)
    causes = dict.fromkeys(_cause(plan, c) for c in (*_conditions(plan), *guards))
    return tuple(c for c in causes if isinstance(c, sp.Expr))


def fails_when_empty(plan: Plan, condition: sp.Basic) -> bool:
    """Whether a condition fails in `situations` alone: of no position, or where one predicate masks all of them."""
    return _cause(plan, condition) == "mask"


def _cause(plan: Plan, condition: sp.Basic) -> str | sp.Expr | None:
    """Why a condition may fail: "mask" for an empty axis or one predicate, the divisor that is 0, None for neither.

    A length is 0 of no position alone. A maximum is -oo, a minimum +oo and a count 0 if its elements are so at the mask
    of one predicate alone and the predicate masks every position, or there is none.
    """
    if condition == sp.Gt(plan.axis.size, 0, evaluate=False):
        return "mask"
    if not isinstance(condition, Relational):
        return None
    symbols = [a for a in plan.accumulators if a.symbol in condition.free_symbols]
    if len(symbols) == 1 and symbols[0].symbol == condition.lhs and not symbols[0].anchors:
        (a,) = symbols
        limits = {"max": (sp.Gt, -sp.oo), "min": (sp.Lt, sp.oo), "count": (sp.Ne, sp.S.Zero), "any": (sp.Ne, sp.S.Zero)}
        kind, limit = limits.get(a.reducer, (None, None))
        if kind is not None and isinstance(condition, kind) and condition.rhs == limit:
            written = a.element.xreplace({e.symbol: e.expr for e in plan.elements})
            masks = dict.fromkeys(masks_of(written))
            alone = Situation(plan, tuple(masks))
            # Without a mask, an empty axis alone is a reason.
            if not masks or (len(masks) == 1 and alone.reduce(written, {}) == limit):
                return "mask"
            return None
    if isinstance(condition, sp.Ne) and isinstance(condition.lhs, Fold) and isinstance(condition.lhs.body, sp.exp):
        return "mask"  # a sum of exponentials that the plan does without
    if isinstance(condition, sp.Ne) and condition.rhs == 0 and symbols:
        divisor = condition.lhs
        while isinstance(divisor, sp.Abs) or (isinstance(divisor, sp.Pow) and divisor.exp.is_positive):
            divisor = divisor.args[0]  # a magnitude, a power and a root are 0 where that is
        last = symbols[-1].symbol
        rate = sp.expand(divisor).coeff(last)
        if rate.is_number and rate != 0 and last not in sp.expand(divisor - rate * last).free_symbols:
            return sp.sympify(divisor)
    return None


def subsets(items: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    """Every choice of some items, the smaller ones first."""
    for n in range(len(items) + 1):
        yield from combinations(items, n)
