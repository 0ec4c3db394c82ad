"""Derives the fused form of a pipeline: from folds that wait for each other to accumulators that move together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import sympy as sp

from refold.algebra.law import Law, express, solve
from refold.algebra.plan import (
    UNITS,
    Accumulator,
    Anchor,
    Condition,
    Element,
    Family,
    Finish,
    Fresh,
    Plan,
    Reading,
    Refusal,
    State,
    Step,
    Varying,
)
from refold.algebra.refuse import evidence
from refold.algebra.rewrite import expand_logs, factor_scales, folds, map_folds, push_masks, replace_size, walk
from refold.algebra.stabilise import shift
from refold.errors import UnsupportedSpec
from refold.spec import Fold, Index, Output, Param, Read, Size, Spec, Where

SUMLIKE = ("sum", "count", "any", "all", "prod", "argmax")


class _Refused(Exception):
    """Carries a refusal out of the recursion."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


def derive(spec: Spec) -> Plan | Refusal:
    """The `Plan` of a pipeline, or a `Refusal` with its reason and evidence.

    Raises `UnsupportedSpec` where the pipeline has no fold, or folds over several axes that wait for each other.
    """
    axis = fold_axis(spec)
    floors: frozenset[sp.Expr] = frozenset()
    try:
        while True:
            derivation = _Derivation(spec, axis, floors=floors)
            plan = derivation.run()
            more = floors | derivation.rising_exponents(plan)
            if more == floors:
                return plan
            floors = more
    except _Refused as refused:
        return refused.refusal


def fold_axis(spec: Spec) -> Index:
    """The axis that is fused: of the outermost folds, the one over which folds wait for each other."""
    depth: dict[Index, int] = {}
    for output in spec.outputs:
        for node in _outermost(output.expr):
            depth[node.axis] = max(depth.get(node.axis, 0), _chain(node))
    if not depth:
        raise UnsupportedSpec("the pipeline has no fold: there is nothing to fuse; write at least one fold over an axis")
    longest = max(depth.values())
    best = [axis for axis, length in depth.items() if length == longest]
    if len(best) > 1:
        names = ", ".join(sorted(a.name for a in best))
        raise UnsupportedSpec(f"folds over {names} stand side by side: split the pipeline into one for each axis")
    return best[0]


def _outermost(expr: sp.Basic) -> list[Fold]:
    if isinstance(expr, Fold):
        return [expr]
    return [f for arg in expr.args for f in _outermost(arg)]


def _chain(fold: Fold) -> int:
    inner = folds(fold.body, fold.axis)
    return 1 + max((_chain(f) for f in inner), default=0)


@dataclass
class _Derivation:
    """The state of one derivation; `run` takes it from the spec to the plan."""

    spec: Spec
    axis: Index
    steps: list[Step] = field(default_factory=list)
    elements: dict[sp.Expr, Element] = field(default_factory=dict)
    anchors: list[Anchor] = field(default_factory=list)
    accumulators: list[Accumulator] = field(default_factory=list)
    normal: dict[Fold, sp.Expr] = field(default_factory=dict)
    results: dict[Fold, Fold] = field(default_factory=dict)
    values: dict[Fold, sp.Expr] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    scales: list[sp.Expr] = field(default_factory=list)
    floors: frozenset[sp.Expr] = frozenset()

    def run(self) -> Plan:
        self.names |= {t.name for t in self.spec.tensors} | {p.name for p in self.spec.params}
        self.names |= {a.name for a in self.spec.axes} | {o.name for o in self.spec.outputs}
        written = [o.expr for o in self.spec.outputs]
        exprs = self.count_positions(written)
        meant = [map_folds(e, self.axis, self.normalise) for e in exprs]
        meant = [expand_logs(factor_scales(e, self.scales)) for e in meant]
        finish = []
        for output, expr in zip(self.spec.outputs, meant, strict=True):
            value = map_folds(expr, self.axis, self.value)
            finish.append(self.finish(output, value))
            self.step("finish", sp.Symbol(output.name), value)
        accumulators = self.drop_unused(finish)
        conditions = self.conditions(finish, accumulators)
        used = {s for a in accumulators for s in a.anchors}
        anchors = tuple(a for a in self.anchors if a.stale in used)
        symbols = {s for a in accumulators for s in a.element.free_symbols}
        elements = tuple(e for e in self.elements.values() if e.symbol in symbols)
        readings = self.readings({a.symbol for a in accumulators})
        return Plan(
            self.spec, self.axis, elements, anchors, accumulators, readings, tuple(finish), conditions,
            tuple(self.steps),
        )  # fmt: skip

    # --- the pipeline in normal form -------------------------------------------------------------------------

    def count_positions(self, exprs: list[sp.Expr]) -> list[sp.Expr]:
        """A length inside of a body is a fold itself: `|j| -> count_j(true)`, so that it has a partial value."""
        size = Size(self.axis.name)
        bodies = [f.body for e in exprs for f in _outermost_over(e, self.axis)]
        count = Fold("count", sp.S.One, self.axis)
        if all(replace_size(body, self.axis, count) == body for body in bodies):
            return exprs
        self.step("count", size, count, "a length that a body reads has a partial value too")
        return [replace_size(e, self.axis, count) for e in exprs]

    def varies(self, expr: sp.Expr) -> bool:
        return self.axis in expr.free_symbols

    def has_fold(self, expr: sp.Basic) -> bool:
        return any(isinstance(n, Fold) and n.axis == self.axis for n in walk(expr))

    def normalise(self, fold: Fold) -> Any:
        """A fold as written -> an expression over folds in normal form: masks inside, constants out, shifted."""
        if fold in self.normal:
            return self.normal[fold]
        body = map_folds(fold.body, self.axis, self.normalise)
        body = sp.powsimp(expand_logs(push_masks(body, self.varies, self.has_fold)), combine="exp")
        scale: sp.Expr = sp.S.One
        if fold.kind == "sum":
            scale, body = self.hoist(body)
            shifted = shift(body, self.axis, self.varies, self.floors)
            if shifted is not None:
                stable, log_scale = shifted
                self.scales.append(log_scale)
                self.step("stabilise", Fold("sum", body, self.axis), sp.exp(log_scale) * Fold("sum", stable, self.axis),
                          "shifted by its maximum, so that every exponent is at most 0")  # fmt: skip
                scale, body = scale * sp.exp(log_scale), stable
        main = Fold(fold.kind, body, self.axis)
        self.normal[fold], self.results[fold] = scale * main, main
        return self.normal[fold]

    def hoist(self, body: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """Constant factors leave a sum; a running maximum stays, since it is there to scale what is summed."""
        out: list[sp.Expr] = []
        kept: list[sp.Expr] = []
        for factor in sp.Mul.make_args(body):
            still = not self.varies(factor) and not isinstance(factor, sp.exp)
            sized = any(f.kind in ("max", "min") for f in folds(factor, self.axis))
            (out if still and not sized else kept).append(factor)
        if out and folds(sp.Mul(*out), self.axis):
            self.step("hoist", Fold("sum", body, self.axis), sp.Mul(*out) * Fold("sum", sp.Mul(*kept), self.axis),
                      "finished factors leave the sum")  # fmt: skip
        return sp.Mul(*out), sp.Mul(*kept)

    # --- from folds to accumulators --------------------------------------------------------------------------

    def value(self, fold: Fold) -> Any:
        """The value of a normal fold over accumulators, deriving them on first sight."""
        if fold not in self.values:
            self.values[fold] = self.correct(fold)
        return self.values[fold]

    def correct(self, fold: Fold) -> sp.Expr:
        """Finds the correction law of one fold and adds its accumulators."""
        body, used = self.abstract(fold.body, fold)
        axes = tuple(sorted((s for s in fold.free_symbols if isinstance(s, Index)), key=lambda a: a.name))
        if fold.kind == "argmax":
            return self.argmax(fold, body, used, axes)
        if not used:
            return self.add(fold, fold.kind, body, None, axes, 1, (), self.base_name(fold, body, axes))
        fresh, stale = tuple(a.fresh for a in used), tuple(a.stale for a in used)
        varying = tuple(e.symbol for e in self.elements.values() if e.symbol in body.free_symbols)
        match fold.kind:
            case "sum":
                return self.correct_sum(fold, body, used, varying, axes)
            case "max" | "min":
                moved = self.correct_extremum(fold, body, fresh, stale, varying)
            case "prod":
                moved = self.correct_product(fold, body, fresh, stale, varying)
            case _:
                moved = None
        if moved is None:
            raise _Refused(self.refusal(fold, body, fresh, varying))
        name = self.base_name(fold, body, axes)
        symbol = State(name)
        return self.add(fold, fold.kind, body, moved(symbol), axes, 1, stale, name)

    def correct_sum(self, fold: Fold, body: sp.Expr, used: list[Anchor], varying: Any, axes: Any) -> sp.Expr:
        fresh, stale = tuple(a.fresh for a in used), tuple(a.stale for a in used)
        law = solve(body, fresh, stale, varying)
        if law is None:
            raise _Refused(self.refusal(fold, body, fresh, varying))
        rank = len(law.basis)
        names = [self.base_name(fold, phi, axes) for phi in law.basis[:1]]
        values: list[sp.Expr | None] = [None] * rank
        states: list[State | None] = [None] * rank
        back: dict[Any, Any] = {a.fresh: a.stale for a in self.anchors}
        dropped: list[tuple[int, tuple[tuple[State, sp.Expr], ...]]] = []
        sources = [a for a in self.accumulators if a.reducer in ("sum", "count")]
        # All elements vary, those of other accumulators too: a coefficient must hold none of them.
        moving = tuple(e.symbol for e in self.elements.values())
        # The name of a guarded anchor stands for its default where there is nothing, and not for the accumulator.
        self.never_zero(law, used)
        guarded = {a.stale for a in used if a.default != 0}
        for k in reversed(range(1, rank)):
            known = express(law.basis[k].xreplace(back), [a.element.xreplace(back) for a in sources], moving)
            if known is not None and not any(c != 0 and a.symbol in guarded for a, c in zip(sources, known, strict=True)):
                terms = tuple((a.symbol, c) for a, c in zip(sources, known, strict=True) if c != 0)
                values[k] = sp.factor(sp.Add(*(c * symbol for symbol, c in terms)))
                dropped.append((k, terms))
        fresh_rows = [k for k in range(rank) if values[k] is None]
        for k in fresh_rows:
            name = names[0] if k == 0 else self.base_name(fold, law.basis[k], axes, names[0])
            states[k] = State(name)
            values[k] = states[k]
            self.names.add(name)
        self.step("law", body, sp.Tuple(*law.basis),
                  f"separable rank {rank}: T = {_matrix_text(law.matrix)}" if rank > 1 else "")  # fmt: skip
        result: sp.Expr = sp.S.Zero
        for k in reversed(range(rank)):
            state = states[k]
            if state is None:
                self.step("drop", Fold("sum", law.basis[k].xreplace(back), self.axis), values[k], "given by the others")
                continue
            moved = sp.Add(*(law.matrix[k, c] * values[c] for c in range(rank)))
            family = Family(law.basis, law.matrix, tuple(sp.sympify(v) for v in values), tuple(dropped), k)
            result = self.add(fold if k == 0 else None, "sum", law.basis[k], moved, axes, rank, stale, str(state), family)
        return result

    def never_zero(self, law: Law, used: list[Anchor]) -> None:
        """An anchor that T divides by has 1 for its default, if it is an exponential, which is never 0 itself."""
        divisors = {d for entry in law.matrix for d in _denominators(entry)}
        for n, anchor in enumerate(used):
            if anchor.default == 0 and isinstance(anchor.expr, sp.exp) and anchor.stale in divisors:
                used[n] = replace(anchor, default=sp.S.One)
                self.anchors[self.anchors.index(anchor)] = used[n]

    def correct_extremum(self, fold: Fold, g: sp.Expr, fresh: Any, stale: Any, varying: Any) -> Any:
        """`t + d(r, r')`, or `t q(r, r')` with q > 0: a strictly monotone map carries over a maximum."""
        old = g.xreplace(dict(zip(fresh, stale, strict=True)))
        difference = sp.simplify(g - old)
        if not difference.has(*varying):
            return lambda t: t + difference
        ratio = sp.simplify(g / old)
        if not ratio.has(*varying) and (ratio.is_positive or isinstance(ratio, sp.exp)):
            return lambda t: t * ratio
        return None

    def correct_product(self, fold: Fold, g: sp.Expr, fresh: Any, stale: Any, varying: Any) -> Any:
        """`t q(r, r')^n` with n the number of factors so far."""
        old = g.xreplace(dict(zip(fresh, stale, strict=True)))
        ratio = sp.simplify(g / old)
        if ratio.has(*varying):
            return None
        count = self.value(Fold("count", sp.S.One, self.axis))
        return lambda t: t * ratio**count

    def argmax(self, fold: Fold, body: sp.Expr, used: list[Anchor], axes: Any) -> sp.Expr:
        """Carries the position beside its key; a strictly monotone correction of the key keeps the position."""
        key = self.value(Fold("max", fold.body, self.axis))
        assert isinstance(key, State)
        position = self.element(self.axis)
        name = self.fresh_name("at")
        symbol = State(name)
        self.names.add(name)
        stale = tuple(a.stale for a in used)
        self.accumulators.append(Accumulator(symbol, "argmax", position, symbol, axes, 1, stale, key))
        self.step("argmax", fold, symbol, "the lowest position at which the key is largest")
        return symbol

    def add(self, fold: Fold | None, kind: str, element: sp.Expr, moved: sp.Expr | None, axes: Any, rank: int, stale: Any,
            name: str, family: Family | None = None) -> sp.Expr:  # fmt: skip
        for known in self.accumulators:
            if known.reducer == kind and known.element == element and known.axes == axes:
                return known.symbol
        symbol = State(name)
        self.names.add(name)
        moved = symbol if moved is None else moved
        accumulator = Accumulator(symbol, kind, element, moved, axes, rank, tuple(stale), family=family)  # type: ignore[arg-type]
        self.accumulators.append(accumulator)
        if fold is not None:
            self.step("accumulate", fold, symbol)
        if moved != symbol:
            self.step("correct", symbol, moved)
        return symbol

    # --- elements and anchors --------------------------------------------------------------------------------

    def abstract(self, body: sp.Expr, fold: Fold) -> tuple[sp.Expr, list[Anchor]]:
        """Names the maximal parts that vary with the axis (elements) and those that wait for a fold (anchors)."""
        used: dict[Anchor, None] = {}

        def visit(expr: sp.Expr, divided: bool) -> sp.Expr:
            waits, moves = self.has_fold(expr), self.varies(expr)
            if not waits:
                return self.element(expr) if moves else expr
            if not moves:
                if isinstance(expr, sp.Pow) and expr.exp.is_number:
                    return visit(expr.base, divided or expr.exp.is_negative) ** expr.exp
                factor, rest = expr.as_coeff_Mul()
                if rest.is_Add and rest.could_extract_minus_sign():
                    factor, rest = -factor, -rest
                anchor = self.anchor(rest, divided)
                used[anchor] = None
                return factor * anchor.fresh
            if isinstance(expr, sp.Add | sp.Mul):
                groups: dict[str, list[sp.Expr]] = {"element": [], "anchor": [], "mixed": [], "number": []}
                for arg in expr.args:
                    w, m = self.has_fold(arg), self.varies(arg)
                    kind = "mixed" if w and m else "anchor" if w else "element" if m else "number"
                    groups[kind].append(arg)
                if groups["element"] and isinstance(expr, sp.Add):
                    groups["element"] += groups.pop("number")
                parts: list[sp.Expr] = []
                if groups["element"]:
                    joined = expr.func(*groups["element"])
                    sign, joined = joined.as_coeff_Mul()
                    parts.append(sign * self.element(joined))
                if groups["anchor"] and isinstance(expr, sp.Mul):
                    parts += [visit(a, divided) for a in groups["anchor"]]
                elif groups["anchor"]:
                    parts.append(visit(expr.func(*groups["anchor"]), divided))
                parts += [visit(a, divided) for a in groups["mixed"]] + groups.get("number", [])
                return expr.func(*parts)
            if isinstance(expr, sp.Pow):
                negative = bool(expr.exp.is_negative)
                return sp.Pow(visit(expr.base, divided or negative), visit(expr.exp, divided))
            return expr.func(*(visit(a, divided) if isinstance(a, sp.Expr) else a for a in expr.args))

        return visit(body, False), list(used)

    def element(self, expr: sp.Expr) -> sp.Expr:
        if expr.is_number:
            return expr
        if expr not in self.elements:
            name = self.element_name(expr)
            self.names.add(name)
            below = any(isinstance(n, Where) and -sp.oo in n.args[1:] for n in walk(expr))
            above = any(isinstance(n, Where) and sp.oo in n.args[1:] for n in walk(expr))
            self.elements[expr] = Element(Varying(name), expr, -1 if below else 1 if above else 0)
        return self.elements[expr].symbol

    def element_name(self, expr: sp.Expr) -> str:
        if isinstance(expr, Read):
            taken = {str(e.symbol) for e in self.elements.values()}
            return expr.name if expr.name not in taken else self.fresh_name(expr.name)
        if expr == self.axis:
            return self.axis.name
        if any(isinstance(n, Where | Fold) for n in walk(expr)):
            return self.fresh_name("s")
        return self.fresh_name("c")

    def anchor(self, expr: sp.Expr, divided: bool) -> Anchor:
        """The anchor of a finished value; a mean `sum b / n` becomes the fold `sum (b/n)`, which is itself anchored."""
        factors = sp.Mul.make_args(expr)
        sums = [f for f in factors if isinstance(f, Fold) and f.kind == "sum"]
        counts = [f for f in factors if isinstance(f, sp.Pow) and f.exp == -1 and isinstance(f.base, Fold) and f.base.kind == "count"]
        if len(factors) == 2 and len(sums) == 1 and len(counts) == 1:
            mean = Fold("sum", sums[0].body * counts[0], self.axis)
            self.step("mean", expr, mean, "a ratio of folds as one fold, so that it is carried as the mean itself")
            value = self.value(mean)
            self.values[sums[0]] = value * self.value(counts[0].base)
        else:
            value = map_folds(expr, self.axis, self.value)
        for known in self.anchors:
            if known.expr == value:
                if divided and known.default == 0:
                    break
                return known
        name = str(value) if isinstance(value, State) else self.fresh_name("r")
        self.names.add(name)
        stale = State(name)
        anchor = Anchor(stale, Fresh(name), value, self.regular(value, divided), sp.S.One if divided else sp.S.Zero)
        self.anchors = [a for a in self.anchors if a.stale != stale] + [anchor]
        return anchor

    def regular(self, value: sp.Expr, divided: bool) -> sp.Basic:
        """Where an anchor is usable: finite, and not 0 where something is divided by it."""
        conditions: list[sp.Basic] = []
        by_symbol = {a.symbol: a for a in self.accumulators}
        if not (isinstance(value, sp.Max | sp.Min) and any(not a.has(State) for a in value.args)):
            for symbol in sorted((s for s in value.free_symbols if s in by_symbol), key=str):
                if by_symbol[symbol].reducer == "max":
                    conditions.append(sp.Gt(symbol, -sp.oo, evaluate=False))
                if by_symbol[symbol].reducer == "min":
                    conditions.append(sp.Lt(symbol, sp.oo, evaluate=False))
        for node in walk(value):
            if isinstance(node, sp.Pow) and node.exp.is_negative and node.base.has(State):
                conditions.append(sp.Ne(node.base, 0, evaluate=False))
        if divided:
            conditions.append(sp.Ne(value, 0, evaluate=False))
        return sp.And(*conditions, evaluate=False) if len(conditions) > 1 else conditions[0] if conditions else sp.true

    # --- the end ---------------------------------------------------------------------------------------------

    def finish(self, output: Output, expr: sp.Expr) -> Finish:
        """Guards an output whose expression is undefined in the state of nothing."""
        empty = self.spec.empty
        guard: sp.Basic = sp.true
        if self.undefined_at_unit(expr):
            zero = [d for d in _denominators(expr) if d.has(State) and self.at_unit(d) in (0.0,)]
            infinite = sorted((s for s in expr.free_symbols if isinstance(s, State) and not np.isfinite(self.unit_of(s))), key=str)
            if zero:
                guard = sp.And(*(sp.Ne(d, 0, evaluate=False) for d in zero))
            elif infinite:
                guard = sp.And(*(sp.Gt(s, -sp.oo, evaluate=False) for s in infinite))
        if guard is not sp.true and self.fails_on_nothing_alone(guard):
            empty = self.over_nothing(output.expr, empty)
        return Finish(output.name, expr, output.axes, guard, empty)

    def fails_on_nothing_alone(self, guard: sp.Basic) -> bool:
        """Whether a guard holds as soon as there is one element: nothing masked, and only counts and sums of exp."""
        tested = [a for a in self.accumulators if a.symbol in guard.free_symbols]
        return not any(e.infinite for e in self.elements.values()) and all(
            isinstance(part.args[0], State) for part in sp.And.make_args(guard)
        ) and all(a.reducer in ("count", "max", "min") or isinstance(a.element, sp.exp) for a in tested)  # fmt: skip

    def over_nothing(self, written: sp.Expr, empty: sp.Expr) -> sp.Expr:
        """What an output says of an empty axis, where that is a number: sum_j p/r is 0, and (sum_j p)/r is 0/0."""
        length = sp.Dummy()
        units: dict[sp.Basic, float] = {length: 0.0}

        def unit(fold: Fold) -> sp.Expr:
            symbol = sp.Dummy()
            units[symbol] = float(UNITS[fold.kind])
            return symbol

        bare = map_folds(written.xreplace({Size(self.axis.name): length}), self.axis, unit)
        value = _ieee(bare, units, {}) if bare.free_symbols <= set(units) else np.nan
        return sp.nsimplify(value) if np.isfinite(value) else empty

    def readings(self, kept: set[State]) -> tuple[Reading, ...]:
        """What every fold of the spec is in the final state."""
        found = []
        for fold, expr in self.normal.items():
            whole = map_folds(expr, self.axis, lambda f: self.values.get(f, f))
            main = self.results.get(fold)
            if main is None or main not in self.values:
                continue
            value = self.values[main]
            symbols = [s for s in sp.Mul.make_args(value) if isinstance(s, State)]
            symbol = next((s for s in symbols if any(a.symbol == s and a.anchors for a in self.accumulators)), symbols[0])
            if {s for s in whole.free_symbols if isinstance(s, State)} <= kept:
                found.append(Reading(fold, whole, symbol, sp.Mul(whole, sp.Pow(symbol, -1))))
        return tuple(found)

    def unit_of(self, symbol: State) -> float:
        unit = next(a.unit for a in self.accumulators if a.symbol == symbol)
        return float(unit)

    def at_unit(self, expr: sp.Expr) -> float:
        """The IEEE value of an expression in the state of nothing, its elements masked and its constants positive."""
        values: dict[sp.Basic, float] = {}
        for s in expr.free_symbols:
            if isinstance(s, State):
                values[s] = self.unit_of(s)
        masked = {e.expr: float(e.infinite) * np.inf for e in self.elements.values() if e.infinite}
        return _ieee(expr, values, masked)

    def undefined_at_unit(self, expr: sp.Expr) -> bool:
        return bool(np.isnan(self.at_unit(expr)))

    def rising_exponents(self, plan: Plan) -> frozenset[sp.Expr]:
        """Constants `z` in an `exp(z - m)` of a finish, m a derived shift: the shift has to be `max(m, z)` instead."""
        shifts = {self.values[f] for s in self.scales for f in folds(s, self.axis) if f in self.values}
        found = set()
        for f in plan.finish:
            for node in walk(f.expr):
                if isinstance(node, sp.exp) and not self.varies(node):
                    taken = [t for t in sp.Add.make_args(node.args[0]) if -t in shifts]
                    rest = node.args[0] - sp.Add(*taken)
                    if taken and rest != 0 and not rest.has(State):
                        found.add(rest)
        return frozenset(found)

    def drop_unused(self, finish: list[Finish]) -> tuple[Accumulator, ...]:
        """The accumulators that an output needs, in the order of their updates."""
        needed = {s for f in finish for s in (f.expr.free_symbols | f.guard.free_symbols) if isinstance(s, State)}
        while True:
            more = set(needed)
            for a in self.accumulators:
                if a.symbol in needed:
                    more |= {s for s in a.moved.free_symbols if isinstance(s, State) and s in {b.symbol for b in self.accumulators}}
                    more |= {a.key} if a.key is not None else set()
                    for stale in a.anchors:
                        anchor = next(x for x in self.anchors if x.stale == stale)
                        more |= {s for s in anchor.expr.free_symbols if isinstance(s, State)}
            if more == needed:
                return tuple(a for a in self.accumulators if a.symbol in needed)
            needed = more

    def conditions(self, finish: list[Finish], accumulators: tuple[Accumulator, ...]) -> tuple[Condition, ...]:
        found: dict[tuple[str, str], Condition] = {}

        def note(claim: sp.Basic, where: str, guarded: bool) -> None:
            found.setdefault((str(claim), where), Condition(claim, where, guarded))

        stales = {s for a in accumulators for s in a.anchors}
        for anchor in self.anchors:
            if anchor.stale in stales and anchor.regular is not sp.true:
                note(anchor.regular, f"anchor {anchor.stale}", True)
        for a in accumulators:
            for d in _denominators(a.moved):
                if not all(self.inverted(factor) for factor in sp.Mul.make_args(d)):
                    note(sp.Ne(d, 0, evaluate=False), f"correction of {a.symbol}", False)
        for f in finish:
            for d in _denominators(f.expr):
                if not d.is_nonzero:
                    guarded = any(sp.Ne(d, 0, evaluate=False) == g for g in sp.And.make_args(f.guard))
                    note(sp.Ne(d, 0, evaluate=False), f"output {f.name}", guarded)
            if f.guard is not sp.true and not any(c.where == f"output {f.name}" and c.guarded for c in found.values()):
                note(f.guard, f"output {f.name}", True)
        return tuple(found.values())

    def inverted(self, factor: sp.Expr) -> bool:
        """Whether a factor of a denominator is a number, or an anchor that its guard or its form keeps from 0."""
        base = factor.base if isinstance(factor, sp.Pow) else factor
        anchor = next((a for a in self.anchors if base in (a.stale, a.fresh)), None)
        if anchor is None:
            return bool(base.is_nonzero)
        apart = sp.Ne(anchor.expr, 0, evaluate=False)
        return isinstance(anchor.expr, sp.exp) or apart in sp.And.make_args(anchor.regular)

    def refusal(self, fold: Fold, body: sp.Expr, fresh: Any, varying: Any) -> Refusal:
        """The evidence that a fold has no small correction, in the names of the law."""
        plain = {f: sp.Symbol(f"r{n + 1}" if len(fresh) > 1 else "r") for n, f in enumerate(fresh)}
        bare = body.xreplace(plain)
        proof = evidence(bare, tuple(plain.values()), tuple(varying)) if fold.kind == "sum" else None
        if fold.kind == "sum":
            reason = "no finite linear correction was found: the body does not separate into functions of r times functions of c"
            advice = ("keep two passes (finish r first, then fold), or change the body so that r enters "
                      "as a factor, a shift of an exponent or a polynomial")  # fmt: skip
            kind = "class 2 (a second pass)"
        else:
            reason = f"the body is neither shifted nor scaled by r alone, so that a stale {fold.kind} can be of another element"
            advice = "keep two passes (finish r first, then fold)"
            kind = "class 2 (a second pass)"
        return Refusal(self.spec, fold, bare, reason, proof, kind, advice)

    def base_name(self, fold: Fold, phi: sp.Expr, axes: Any, family: str = "") -> str:
        if family:
            power = _central_power(phi)
            return self.fresh_name(f"M{power}" if power else family)
        if fold.kind == "sum":
            power = _central_power(phi)
            if power:
                return self.fresh_name(f"M{power}")
            divisors = [f for f in sp.Mul.make_args(fold.body) if isinstance(f, sp.Pow) and f.exp == -1]
            if any(isinstance(d.base, Fold) and d.base.kind == "count" for d in divisors):
                return self.fresh_name("mean")
            if any(not isinstance(f, sp.exp) and f.has(Fresh) for f in sp.Mul.make_args(phi)) or not phi.has(sp.exp):
                return self.fresh_name("t")
            reads = [n for n in walk(fold.body) if isinstance(n, Index)]
            wide = {a for a in axes if any(a == n for n in reads)} - self.exponent_axes(fold)
            return self.fresh_name("acc" if wide else "l")
        return self.fresh_name({"max": "m", "min": "w", "prod": "p", "count": "n"}.get(fold.kind, fold.kind))

    def exponent_axes(self, fold: Fold) -> set[Index]:
        exponents = [n for n in sp.Mul.make_args(fold.body) if isinstance(n, sp.exp)]
        return {s for x in exponents for s in x.free_symbols if isinstance(s, Index)}

    def fresh_name(self, base: str) -> str:
        if base not in self.names:
            return base
        n = 2
        while f"{base}{n}" in self.names or f"{base}_{n}" in self.names:
            n += 1
        return f"{base}_{n}" if base[-1].isdigit() else f"{base}{n}"

    def step(self, rule: str, before: sp.Basic | None, after: sp.Basic | None, note: str = "") -> None:
        step = Step(rule, before, after, note)
        if step not in self.steps:
            self.steps.append(step)


def _outermost_over(expr: sp.Basic, axis: Index) -> list[Fold]:
    return folds(expr, axis)


def _matrix_text(matrix: sp.Basic) -> str:
    from refold.spec.mathematics import text

    rows = ["[" + ", ".join(text(x) for x in matrix.row(n)) + "]" for n in range(matrix.rows)]
    return "[" + ", ".join(rows) + "]"


def _central_power(phi: sp.Expr) -> int:
    """k for `(c - r)^k` with k >= 2, else 0."""
    if isinstance(phi, sp.Pow) and phi.exp.is_Integer and phi.exp >= 2 and phi.base.is_Add and phi.base.has(Varying):
        return int(phi.exp)
    return 0


def _denominators(expr: sp.Basic) -> list[sp.Expr]:
    found = []
    for node in walk(expr):
        if isinstance(node, sp.Pow) and node.exp.is_negative and not node.base.is_number and node.base not in found:
            found.append(node.base)
    return found


def _ieee(expr: sp.Basic, states: dict[sp.Basic, float], masked: dict[sp.Expr, float]) -> float:
    """The IEEE value of an expression with positive stand-ins for whatever is not a state."""
    if expr in states:
        return states[expr]
    if expr in masked:
        return masked[expr]
    if expr.is_number and expr.is_extended_real:
        return float(expr)
    if isinstance(expr, Read | Fold | Index | Size | Param | sp.Symbol):
        return 1.7
    if isinstance(expr, Where):
        return _ieee(expr.args[2] if expr.args[2] in (sp.oo, -sp.oo) else expr.args[1], states, masked)
    args = [np.float64(_ieee(a, states, masked)) for a in expr.args]
    with np.errstate(all="ignore"):
        match expr:
            case sp.Add():
                return float(sum(args[1:], args[0]))
            case sp.Mul():
                return float(np.prod(np.array(args)))
            case sp.Pow():
                return float(np.power(args[0], args[1]))
            case sp.exp():
                return float(np.exp(args[0]))
            case sp.log():
                return float(np.log(args[0]))
            case sp.Max():
                return float(np.max(np.array(args)))
            case sp.Min():
                return float(np.min(np.array(args)))
    return float(args[0]) if np.isfinite(args[0]) else 1.0


def replace_length(plan: Plan, expr: sp.Basic) -> Any:
    """`|j| -> count_j 1` where the plan carries that count: the spec in the form that was derived from."""
    count = Fold("count", sp.S.One, plan.axis)
    counted = any(a.reducer == "count" and a.element == 1 for a in plan.accumulators)
    return replace_size(expr, plan.axis, count) if counted else expr
