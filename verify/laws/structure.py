"""What the obligations take for granted of a plan's shape: who may read what, and which reducer stands for which."""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from refold.algebra import Accumulator, Fresh, Plan, State, Varying
from refold.algebra.extended import infinities
from refold.algebra.ranking import ranking_of
from refold.algebra.rewrite import folds
from refold.spec import Fold, Index, Where

LINEAR = {"sum", "count"}


def faults(plan: Plan) -> list[str]:
    """Every way in which a plan is not of the shape that the obligations are about; none for a derived one."""
    names = [a.symbol for a in plan.accumulators]
    if len(set(names)) < len(names):
        return ["two accumulators have one name"]
    checks = (_elements, _anchors, _accumulators, _families, _readings, _finish)
    return [fault for check in checks for fault in check(plan)]


def _elements(plan: Plan) -> Iterator[str]:
    if len({e.symbol for e in plan.elements}) < len(plan.elements):
        yield "two elements have one name"
    for e in plan.elements:
        if folds(e.expr, plan.axis):
            yield f"element {e.symbol} waits for a fold"
        if not infinities(e.expr) <= {e.infinite}:
            yield f"element {e.symbol} may be infinite, and is not marked so"


def _anchors(plan: Plan) -> Iterator[str]:
    known = {a.symbol for a in plan.accumulators}
    for x in plan.anchors:
        for part in (x.expr, x.regular):
            if not _states(part) <= known or plan.axis in part.free_symbols or part.has(Varying, Fresh):
                yield f"anchor {x.stale} is not over accumulators and constants: {part}"
            if folds(part, plan.axis):
                yield f"anchor {x.stale} waits for a fold"
        if not x.default.is_Rational:
            yield f"the default of anchor {x.stale} is no number"


def _accumulators(plan: Plan) -> Iterator[str]:
    before: set[State] = set()
    varying = {e.symbol for e in plan.elements}
    known = {a.symbol for a in plan.accumulators}
    for a in plan.accumulators:
        anchors = [plan.anchor(s) for s in a.anchors if any(x.stale == s for x in plan.anchors)]
        if len(anchors) < len(a.anchors):
            yield f"{a.symbol} reads an anchor that the plan lacks"
        stale, fresh = {x.stale for x in anchors}, {x.fresh for x in anchors}
        if any(not _states(x.expr) | _states(x.regular) <= before for x in anchors):
            yield f"{a.symbol} is updated before an anchor that it reads"
        before.add(a.symbol)
        if not _symbols(a.element) <= varying | fresh or folds(a.element, plan.axis):
            yield f"the element of {a.symbol} reads more than elements and its own anchors: {a.element}"
        if not _symbols(a.correction) <= known | stale | fresh or plan.axis in a.correction.free_symbols:
            yield f"the correction of {a.symbol} reads more than states and its own anchors: {a.correction}"
        if not a.anchors and a.correction != a.symbol:
            yield f"{a.symbol} has no anchor and is corrected: {a.correction}"
        yield from _reducer(plan, a)
        wide = _axes(plan, a.element) - {plan.axis}
        if plan.axis in a.axes or not wide <= set(a.axes):
            yield f"{a.symbol} varies over {', '.join(sorted(map(str, wide)))}, and is kept over {a.axes}"


def _reducer(plan: Plan, a: Accumulator) -> Iterator[str]:
    """What a reducer asks of its accumulator besides the correction law."""
    if a.reducer in ("any", "all", "count") and not _zero_one(_written(plan, a.element)):
        yield f"{a.symbol} is a {a.reducer} of what is not 0 or 1: {a.element}"
    if a.reducer in ("any", "all") and a.anchors:
        yield f"{a.symbol} is a {a.reducer} and has anchors"
    if a.reducer == "argmax":
        key = next((k for k in plan.accumulators if k.symbol == a.key), None)
        if key is None or key.reducer != "max" or key.anchors != a.anchors:
            yield f"{a.symbol} has no key with its anchors"
        if _written(plan, a.element) != plan.axis or (a.correction != a.symbol and ranking_of(plan, a) is None):
            yield f"{a.symbol} is a position and is no index"
    if a.reducer == "prod" and a.anchors:
        counts = {k.symbol for k in plan.accumulators if k.reducer == "count" and k.element == 1}
        if not _states(a.correction) - set(a.anchors) <= counts | {a.symbol}:
            yield f"the correction of {a.symbol} reads more than the number of its factors: {a.correction}"
    if (
        a.reducer in LINEAR
        and a.family is None
        and sp.expand(a.correction - a.correction.coeff(a.symbol) * a.symbol) != 0
    ):
        yield f"the correction of {a.symbol} is not linear: {a.correction}"


def _families(plan: Plan) -> Iterator[str]:
    """Every sum that a family speaks of is an accumulator of that element, or given by others with constant factors."""
    for a in plan.accumulators:
        if a.family is None:
            continue
        family, dropped = a.family, dict(a.family.dropped)
        if a.element != family.basis[family.row]:
            yield f"the element of {a.symbol} is not its row of the basis"
        if any(isinstance(s, Varying) for entry in family.matrix for s in entry.free_symbols):
            yield f"the matrix of {a.symbol} varies"
        for k, value in enumerate(family.values):
            if k in dropped:
                if any(_symbols(c) - {x.stale for x in plan.anchors} or c.has(plan.axis) for _, c in dropped[k]):
                    yield f"what gives sum {k} of {a.symbol} has factors that vary"
                given = [b for b in plan.accumulators for s, _ in dropped[k] if b.symbol == s]
                if len(given) < len(dropped[k]) or any(b.reducer not in LINEAR for b in given):
                    yield f"what gives sum {k} of {a.symbol} is no sum"
                continue
            of = next((b for b in plan.accumulators if b.symbol == value), None)
            # A family may name sums that no output needs: the plan does without.
            needed = family.matrix[family.row, k] != 0
            if needed and (
                of is None or of.element != family.basis[k] or of.anchors != a.anchors or of.reducer != "sum"
            ):
                yield f"{value} is not sum {k} of {a.symbol}"


def _readings(plan: Plan) -> Iterator[str]:
    known = {a.symbol: a for a in plan.accumulators}
    for r in plan.readings:
        if not isinstance(r.fold, Fold) or r.fold.axis != plan.axis or not known.keys() >= {*r.accumulators}:
            yield f"no accumulator stands for {r.fold}"
            continue
        for symbol, coefficient in r.terms:
            of = known[symbol]
            if r.fold.kind != of.reducer and not {r.fold.kind, of.reducer} <= LINEAR:
                yield f"{r.fold} is a {r.fold.kind} and {symbol} a {of.reducer}"
            if plan.axis in coefficient.free_symbols or coefficient.has(Varying, Fresh):
                yield f"the coefficient of {symbol} in {r.fold} varies"
            if of.reducer not in LINEAR and coefficient != 1:
                yield f"{r.fold} is {coefficient} times a {of.reducer}"
        if r.fold.kind not in LINEAR and len(r.terms) != 1:
            yield f"{r.fold} is no sum, and has {len(r.terms)} accumulators"
        if sp.expand(r.expr - sp.Add(*(c * s for s, c in r.terms))) != 0:
            yield f"the reading of {r.fold} is not the sum of its accumulators, each times its coefficient"


def _finish(plan: Plan) -> Iterator[str]:
    if [(f.name, f.axes) for f in plan.finish] != [(o.name, o.axes) for o in plan.spec.outputs]:
        yield "the outputs are not those of the spec"
    known = {a.symbol for a in plan.accumulators}
    for f in plan.finish:
        for part in (f.expr, f.guard):
            if not _symbols(part) <= known:
                yield f"output {f.name} reads more than the final state: {part}"
            if folds(part, plan.axis):
                yield f"output {f.name} waits for a fold"
            if not _axes(plan, part) <= set(f.axes):
                yield f"output {f.name} varies over more than its axes"


def _symbols(expr: sp.Basic) -> set[sp.Basic]:
    return {s for s in expr.free_symbols if isinstance(s, State | Fresh | Varying)}


def _states(expr: sp.Basic) -> set[sp.Basic]:
    return {s for s in expr.free_symbols if isinstance(s, State)}


def _written(plan: Plan, expr: sp.Expr) -> sp.Expr:
    return expr.xreplace({e.symbol: e.expr for e in plan.elements})


def _zero_one(expr: sp.Basic) -> bool:
    return expr in (0, 1) or (isinstance(expr, Where) and all(_zero_one(a) for a in expr.args[1:]))


def _axes(plan: Plan, expr: sp.Basic, seen: frozenset[sp.Basic] = frozenset()) -> set[sp.Basic]:
    """The axes over which an expression varies, through its elements, anchors and accumulators; bound ones are not."""
    found = {s for s in _written(plan, expr).free_symbols if isinstance(s, Index)}
    for s in _symbols(expr) - seen:
        for x in plan.anchors:
            if s in (x.stale, x.fresh):
                found |= _axes(plan, x.expr, seen | {s})
        found |= {i for a in plan.accumulators if a.symbol == s for i in a.axes}
    return found - {f.axis for f in expr.atoms(Fold)}
