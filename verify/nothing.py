"""Outputs of nothing: what comes out of an empty axis, and of rows in which every position is masked.

The state of a part is determined by its positions alone, whatever the schedule (docs/theory.md, Theorem 2), so that
it is enough to look at two kinds of final states: that of no position, and those of positions at each of which some
predicates fail. In both, folds over what is masked have a value that does not depend on data, and the output of the
plan and that of the spec are compared as expressions. A masked position whose body has no value, as exp(s - m) at
s = m = -oo, is no element: it counts as the unit, in the oracle (`spec/evaluate.py`) as here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

from refold.algebra import UNITS, Accumulator, Anchor, Finish, Plan, State, Varying
from refold.algebra.merge import guarded
from refold.algebra.rewrite import map_folds, walk
from refold.spec import Fold, Size, Where
from refold.spec.mathematics import text
from refold.verify.obligation import Defined, Obligation
from refold.verify.reach import Reach, eq

LENGTH = sp.Symbol("n", integer=True, positive=True)


@dataclass(frozen=True, slots=True)
class Situation:
    """A part without positions, or one at each position of which the `masked` predicates mask."""

    plan: Plan
    masked: tuple[tuple[sp.Basic, bool], ...]

    @property
    def empty(self) -> bool:
        """Whether there is no position at all."""
        return not self.masked

    @property
    def shown(self) -> str:
        """The situation in words."""
        if self.empty:
            return f"no position of {self.plan.axis.name}"
        # A predicate that masks where it holds is shown as it fails.
        return " and ".join(text(p if holds else sp.Not(p)) for p, holds in self.masked) + " at every position"

    def state(self) -> dict[State, sp.Expr]:
        """What is known of each accumulator: a number, -oo or +oo; or its symbol, for any value that it may have."""
        found: dict[State, sp.Expr] = {}
        for a in self.plan.accumulators:
            found[a.symbol] = self._accumulator(a, found)
        return found

    def _accumulator(self, a: Accumulator, before: dict[State, sp.Expr]) -> sp.Expr:
        if self.empty:
            return a.unit
        anchors = {x.fresh: self._anchor(x, before) for x in (self.plan.anchor(s) for s in a.anchors)}
        element = a.element.xreplace({e.symbol: e.expr for e in self.plan.elements if self.hides(e.expr)})
        total = _total(a.reducer, self.reduce(element.xreplace(anchors), before), self.plan)
        return a.symbol if total is None else total

    def _anchor(self, anchor: Anchor, before: dict[State, sp.Expr]) -> sp.Expr:
        return self.reduce(guarded(anchor, before), before)

    def hides(self, expr: sp.Basic) -> bool:
        """Whether a predicate of this situation decides anything in an expression."""
        return any(isinstance(n, Where) and self._decided(n.args[0]) is not None for n in walk(expr))

    def _decided(self, condition: sp.Basic) -> bool | None:
        for predicate, holds in self.masked:
            if condition == predicate:
                return holds
            if condition == sp.Not(predicate):
                return not holds
        return None

    def reduce(self, expr: sp.Basic, state: dict[State, sp.Expr]) -> sp.Basic:
        """The value of an expression of the plan or of the spec, as far as the situation determines it."""
        if isinstance(expr, State) and expr in state:
            return state[expr]
        if isinstance(expr, Size) and expr.name == Size(self.plan.axis.name).name:
            return sp.S.Zero if self.empty else LENGTH
        if isinstance(expr, Where):
            return self._where(expr, state)
        if isinstance(expr, Fold) and expr.axis == self.plan.axis:
            return self._fold(expr, state)
        if not expr.args:
            return expr
        args = [self.reduce(a, state) for a in expr.args]
        if isinstance(expr, sp.log) and args[0] == 0:
            return -sp.oo
        return expr.func(*args)

    def _where(self, expr: Where, state: dict[State, sp.Expr]) -> sp.Basic:
        decided = self._decided(expr.args[0])
        condition = self.reduce(expr.args[0], state) if decided is None else sp.true if decided else sp.false
        if condition in (sp.true, sp.false):
            return self.reduce(expr.args[1 if condition is sp.true else 2], state)
        return Where(condition, *(self.reduce(a, state) for a in expr.args[1:]))

    def _fold(self, fold: Fold, state: dict[State, sp.Expr]) -> sp.Basic:
        """A fold over nothing is the unit; over what is masked, a number; else what its reading says."""
        if self.empty:
            return UNITS[fold.kind]
        body = self.reduce(fold.body, state)
        if body.has(sp.nan) and self.hides(fold.body):
            return UNITS[fold.kind]  # a masked position at which there is no value is no element
        total = _total(fold.kind, body, self.plan)
        if total is not None:
            return total
        reading = next((r for r in self.plan.readings if r.fold == fold), None)
        if reading is None:
            return sp.Dummy("any", real=True)
        return self.reduce(map_folds(reading.expr, self.plan.axis, lambda f: self._fold(f, state)), state)


def _total(reducer: str, body: sp.Basic, plan: Plan) -> sp.Expr | None:
    """The fold of a body that is the same at each of at least one position; None where it is not, or not known."""
    if body is sp.nan or body.has(sp.nan):
        return sp.nan
    if plan.axis in body.free_symbols or body.has(Varying) or isinstance(body, Boolean) or body.has(sp.zoo):
        return None
    match reducer:
        case "sum" | "count":
            return sp.S.Zero if body == 0 else LENGTH * body
        case "max" | "min" | "any" | "all":
            return body
        case "prod":
            return body if body in (0, 1) else None
    return None


def situations(plan: Plan) -> tuple[Situation, ...]:
    """That of nothing, and one for every set of predicates that may mask everything."""
    predicates = dict.fromkeys(p for e in plan.elements for p in _masks(e.expr))
    sets = [s for n in range(1, len(predicates) + 1) for s in combinations(predicates, n)]
    return (Situation(plan, ()), *(Situation(plan, s) for s in sets))


def _masks(expr: sp.Basic) -> Iterator[tuple[sp.Basic, bool]]:
    """The predicates of an element with the truth value at which it is infinite, or 0 where it else is 1."""
    for node in walk(expr):
        if isinstance(node, Where):
            condition, then, other = node.args
            if other in (sp.oo, -sp.oo) or (then, other) == (1, 0):
                yield condition, False
            elif then in (sp.oo, -sp.oo) or (then, other) == (0, 1):
                yield condition, True


def uncovered(plan: Plan) -> tuple[str, ...]:
    """Why there may be other irregular states than those of `situations`; empty where there are none.

    An anchor is irregular where a maximum is -oo, a minimum +oo or a count 0. If the elements of that accumulator
    are so at the mask of one predicate alone, all of them are where the predicate masks every position.
    """
    found = []
    for anchor in plan.anchors:
        for condition in sp.And.make_args(anchor.regular):
            if condition is not sp.true and not _by_masks(plan, condition):
                found.append(f"{text(condition)} may fail for other reasons than an empty axis or a mask")
    return tuple(dict.fromkeys(found))


def _by_masks(plan: Plan, condition: sp.Basic) -> bool:
    if not isinstance(condition, Relational):
        return False
    symbols = [a for a in plan.accumulators if a.symbol in condition.free_symbols]
    if len(symbols) != 1 or symbols[0].symbol != condition.lhs or symbols[0].anchors:
        return False
    (a,) = symbols
    limits = {"max": (sp.Gt, -sp.oo), "min": (sp.Lt, sp.oo), "count": (sp.Ne, sp.S.Zero)}
    kind, limit = limits.get(a.reducer, (None, None))
    if not (kind is not None and isinstance(condition, kind) and condition.rhs == limit):
        return False
    written = a.element.xreplace({e.symbol: e.expr for e in plan.elements})
    masks = list(_masks(written))
    if not masks:
        return True  # only an empty axis
    alone = Situation(plan, tuple(masks[:1]))
    return len(set(masks)) == 1 and alone.reduce(written, {}) == (0 if limit == 0 else limit)


def outputs(plan: Plan, reach: Reach) -> Iterator[Obligation]:
    """In each situation, every output is what the spec says: its value where it has one, else the value stated."""
    for situation in situations(plan):
        state = situation.state()
        known = tuple(f.xreplace(state) for f in reach.state({a.symbol: a.symbol for a in plan.accumulators}))
        for f, output in zip(plan.finish, plan.spec.outputs, strict=True):
            if situation.empty and plan.axis in f.axes:
                continue
            for assumed, wanted in _cases(situation.reduce(output.expr, state)):
                yield from _output(situation, f, wanted, state, known, assumed)


def _cases(wanted: sp.Basic) -> Iterator[tuple[tuple[sp.Basic, ...], sp.Basic]]:
    """What is wanted, by cases where it has a value in some of them alone."""
    if not (isinstance(wanted, Where) and wanted.has(sp.nan)):
        yield (), wanted
        return
    condition, then, other = wanted.args
    for case, value in ((condition, then), (sp.Not(condition), other)):
        for assumed, found in _cases(value):
            yield (case, *assumed), found


def _output(
    situation: Situation,
    f: Finish,
    wanted: sp.Basic,
    state: dict[State, sp.Expr],
    known: tuple[sp.Basic, ...],
    case: tuple[sp.Basic, ...],
) -> Iterator[Obligation]:
    plan = situation.plan
    name = f"empty {f.name}: {'nothing' if situation.empty else text(sp.And(*(p for p, _ in situation.masked)))}"
    guard = situation.reduce(f.guard, state)
    where = f" where {text(sp.And(*case))}" if case else ""
    if wanted.has(sp.nan):
        if plan.spec.empty is sp.nan:
            return
        claim = f"{f.name} has no value of {situation.shown}{where}, and is {text(plan.spec.empty)} as stated"
        goals = (sp.Not(guard), eq(f.empty, plan.spec.empty))
        yield Obligation(name, claim, (*known, *case), goals)
        return
    if wanted.has(sp.zoo):
        return
    claim = f"{f.name} = {text(wanted)} of {situation.shown}{where}"
    written = f.expr.xreplace({e.symbol: e.expr for e in plan.elements})
    for condition, value in ((guard, written), (sp.Not(guard), f.empty)):
        if sp.And(condition, *case) is not sp.false:
            got = situation.reduce(value, state)
            assumed = () if condition is sp.true else (condition,)
            yield Obligation(name, claim, (*known, *case, *assumed, Defined(wanted)), (eq(got, wanted),))
