"""The obligations of a plan: what has to hold so that every schedule of it computes the spec (docs/theory.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import sympy as sp

from refold.algebra import UNITS, Accumulator, Anchor, Plan, State
from refold.algebra.bounds import conjuncts
from refold.algebra.display import short
from refold.algebra.monoid import at_fresh, at_stale, corrected, guarded, joined
from refold.algebra.ranking import ranking_of
from refold.algebra.rewrite import denominators
from refold.algebra.situation import divisors_in_choices, fails_when_empty
from refold.algebra.tiles import live_where
from refold.spec import Size, Where
from refold.spec.mathematics import text
from refold.verify.laws import rankings
from refold.verify.laws.reach import Reach, at_the_end, eq, put_elements, written
from refold.verify.laws.readings import Readings, regular
from refold.verify.obligation import Alternatives, Defined, Obligation

LINEAR = ("sum", "count")


def corrections(plan: Plan, reach: Reach) -> Iterator[Obligation]:
    """`phi(r', c) = T(r, r') phi(r, c)` for an element of a part inside of a whole, and what T has to be besides."""
    part, whole = reach.monoid.marked("₁"), reach.monoid.marked("₂")
    known = (*reach.member(part), *reach.inside(part, whole), *reach.state(part), *reach.state(whole))
    for a in plan.accumulators:
        if not a.anchors:
            continue
        if (order := ranking_of(plan, a)) is not None:
            yield from rankings.corrections(plan, a, order, reach)
            continue
        if a.reducer in ("max", "min", "prod"):
            yield from _monotone(plan, a, part, whole, known)
            continue
        if a.reducer not in LINEAR:
            continue
        basis, matrix = (
            (a.family.basis, a.family.matrix)
            if a.family
            else ((a.element,), sp.Matrix([[a.correction.coeff(a.symbol)]]))
        )
        row = a.family.row if a.family else 0
        old = [at_fresh(plan, phi, a, part) for phi in basis]
        new = at_fresh(plan, basis[row], a, whole)
        image = sp.Add(*(_between(plan, a, matrix[row, k], part, whole) * old[k] for k in range(len(basis))))
        shown = " + ".join(_product(matrix[row, k], basis[k], plan) for k in range(len(basis)) if matrix[row, k] != 0)
        yield Obligation(f"correction {a.symbol}", f"{text(basis[row])} = {shown}", known, (eq(new, image),))
        for k, terms in a.family.dropped if a.family else ():
            if row != 0 and k != row:
                continue
            parts = [
                _drop_term(plan, c, part)
                * at_fresh(plan, plan_accumulator(plan, s).element, plan_accumulator(plan, s), part)
                for s, c in terms
            ]
            shown = f"{text(basis[k])} is given by {', '.join(str(s) for s, _ in terms) or 'nothing'}"
            yield Obligation(f"dropped {a.symbol}.{k}", shown, known, (eq(old[k], sp.Add(*parts)),))
        if a.family:
            total = sp.Add(*(matrix[row, k] * v for k, v in enumerate(a.family.values)))
            yield Obligation(
                f"update {a.symbol}",
                f"{text(a.correction)} is its row of T",
                (),
                (eq(a.correction, total),),
                partial=True,
            )
            for k, terms in a.family.dropped:
                value = sp.Add(*(c * s for s, c in terms))
                both = [_between(plan, a, e, part, whole) for e in (a.family.values[k], value)]
                yield Obligation(
                    f"dropped {a.symbol}.{k}: value", f"{text(a.family.values[k])} = {text(value)}", known, (eq(*both),)
                )
        yield from _cocycle(plan, a, matrix, row, reach)


def plan_accumulator(plan: Plan, symbol: State) -> Accumulator:
    """The accumulator of a symbol."""
    return next(a for a in plan.accumulators if a.symbol == symbol)


def _drop_term(plan: Plan, coefficient: sp.Expr, state: dict[State, sp.Expr]) -> sp.Expr:
    return coefficient.xreplace({x.stale: guarded(x, state) for x in plan.anchors})


def _product(entry: sp.Expr, phi: sp.Expr, plan: Plan) -> str:
    back = phi.xreplace({x.fresh: x.stale for x in plan.anchors})
    return text(sp.Mul(entry, back, evaluate=False)) if entry != 1 else text(back)


def _between(
    plan: Plan, a: Accumulator, entry: sp.Expr, part: dict[State, sp.Expr], whole: dict[State, sp.Expr]
) -> sp.Expr:
    """An entry of T from the anchors of one state to those of another."""
    return at_fresh(plan, at_stale(plan, sp.sympify(entry), a.anchors, part), a, whole)


def _monotone(
    plan: Plan, a: Accumulator, part: dict[State, sp.Expr], whole: dict[State, sp.Expr], known: tuple[sp.Basic, ...]
) -> Iterator[Obligation]:
    """The correction of an extreme takes an element to its new value and keeps the order."""
    if a.reducer == "prod":
        old = {**part, a.symbol: at_fresh(plan, a.element, a, part)}
        count = next((b.symbol for b in plan.accumulators if b.reducer == "count"), None)
        one = {**old, count: sp.S.One} if count is not None else old
        yield Obligation(f"correction {a.symbol}", f"{text(a.element)} = {text(a.correction)} of one element", known,
                         (eq(at_fresh(plan, a.element, a, whole), _at_whole(plan, a, one, whole)),))  # fmt: skip
        return
    element = at_fresh(plan, a.element, a, part)
    image = _at_whole(plan, a, {**part, a.symbol: element}, whole)
    yield Obligation(f"correction {a.symbol}", f"{text(a.element)} = {text(a.correction)} at the element", known,
                     (eq(at_fresh(plan, a.element, a, whole), image),))  # fmt: skip
    x, y = State("x"), State("y")
    below = sp.Lt(x, y, evaluate=False)
    images = [_at_whole(plan, a, {**part, a.symbol: v}, whole) for v in (x, y)]
    yield Obligation(f"monotone {a.symbol}", f"{text(a.correction)} is strictly increasing in {a.symbol}",
                     (*known, below), (sp.Lt(*images, evaluate=False),))  # fmt: skip


def _at_whole(plan: Plan, a: Accumulator, part: dict[State, sp.Expr], whole: dict[State, sp.Expr]) -> sp.Expr:
    """An accumulator of a part at the anchors of the whole."""
    return at_fresh(plan, corrected(plan, a, part), a, whole)


def _cocycle(plan: Plan, a: Accumulator, matrix: sp.Matrix, row: int, reach: Reach) -> Iterator[Obligation]:
    """`T(r, r) = 1` and `T(r', r'') T(r, r') = T(r, r'')`, on states that hold something."""
    one, two, three = (reach.monoid.marked(mark) for mark in ("₁", "₂", "₃"))
    regular = [
        x.regular.xreplace(dict(s))
        for s in (one, two, three)
        for x in plan.anchors
        if x.stale in a.anchors and x.regular is not sp.true
    ]
    known = (
        *regular,
        *reach.state(one),
        *reach.state(two),
        *reach.state(three),
        *reach.inside(one, two),
        *reach.inside(two, three),
    )
    size = matrix.rows
    goals = [eq(_between(plan, a, matrix[row, k], one, one), sp.Integer(k == row)) for k in range(size)]
    yield Obligation(f"correction {a.symbol}: identity", "T(r, r) = 1", known, tuple(goals))
    goals = []
    for k in range(size):
        through = sp.Add(
            *(
                _between(plan, a, matrix[row, n], two, three) * _between(plan, a, matrix[n, k], one, two)
                for n in range(size)
            )
        )
        goals.append(eq(through, _between(plan, a, matrix[row, k], one, three)))
    yield Obligation(f"correction {a.symbol}: composition", "T(r′, r″)·T(r, r′) = T(r, r″)", known, tuple(goals))


def units(plan: Plan, reach: Reach) -> Iterator[Obligation]:
    """The empty state changes no state, from either side, and is that of the empty fold."""
    form, x = reach.monoid, reach.monoid.marked("₁")
    both = [form.combined(*pair) for pair in ((form.units(), x), (x, form.units()))]
    for a in plan.accumulators:
        order = ranking_of(plan, a)
        goals = tuple(eq(state[a.symbol], x[a.symbol]) for state in both)
        if order is not None:
            goals = rankings.units(plan, a, order, reach)
        shown = f"merge(unit, {a.symbol}) = {a.symbol} = merge({a.symbol}, unit), unit {text(UNITS[a.reducer])}"
        yield Obligation(f"unit {a.symbol}", shown, reach.state(x), goals)


def lifts(plan: Plan, reach: Reach) -> Iterator[Obligation]:
    """One step from the empty state is the state of one element: `phi(r_c, c)` at its own anchors."""
    state, empty = reach.monoid.lifted(), reach.monoid.units()
    for a in plan.accumulators:
        key = None if a.key is None else (empty[a.key], state[a.key])
        stepped = joined(a.reducer, _at_whole(plan, a, empty, state), at_fresh(plan, a.element, a, state), key)
        shown = f"step(unit, c).{a.symbol} = {text(a.element)} at its own anchors"
        yield Obligation(f"lift {a.symbol}", shown, reach.definitions(), (eq(stepped, state[a.symbol]),))


def masked(plan: Plan, reach: Reach) -> Iterator[Obligation]:
    """Where a condition fails outside of which no tile is visited, an element adds nothing: it is the unit."""
    whole = reach.monoid.marked("₂")
    for a in plan.accumulators:
        found: dict[tuple[sp.Basic, ...], list[sp.Basic]] = {}
        for condition in sorted(live_where(plan, a), key=sp.default_sort_key):
            hidden = [e for e in plan.elements if isinstance(e.expr, Where) and condition in conjuncts(e.expr.args[0])]
            values = tuple(eq(e.symbol, e.expr.args[2]) for e in hidden if e.symbol in a.element.free_symbols)
            found.setdefault(values, []).append(condition)
        for values, conditions in found.items():
            shown = f"{text(a.element)} = {text(a.unit)} where {text(sp.And(*conditions))} fails"
            goal = eq(at_fresh(plan, a.element, a, whole), a.unit)
            yield Obligation(f"masked {a.symbol}", shown, (*reach.state(whole), *values), (goal,))


def merges(plan: Plan, reach: Reach) -> Iterator[Alternatives]:
    """Merging is associative and commutative on reachable states.

    Accumulators are taken in the order of their updates, so that both sides have the same fresh anchors by what was
    shown of the earlier ones; the claim is made for any value of those.
    """
    one, two, three = (reach.monoid.marked(mark) for mark in ("₁", "₂", "₃"))
    known = (*reach.state(one), *reach.state(two), *reach.state(three))
    form = reach.monoid
    left, right = form.combined(one, two), form.combined(two, three)
    # At fresh anchors of any value.
    first, second = form.joined(left, three), form.joined(one, right)
    there, back = form.joined(one, two), form.joined(two, one)
    for a in plan.accumulators:
        if ranking_of(plan, a) is not None:
            yield from rankings.merges(a)
            continue
        divided = tuple(
            sp.Ne(x.fresh, 0, evaluate=False) for x in plan.anchors if x.stale in a.anchors and x.default != 0
        )
        shown = f"(x ⊕ y) ⊕ z = x ⊕ (y ⊕ z) in {a.symbol}"
        pair = (*reach.state(one), *reach.state(two), *divided)
        if a.anchors and a.reducer in ("max", "min"):
            facts, goals = pair, _distributed(plan, a, one, two, left)
        else:
            facts = (*known, *divided)
            goals = (eq(first[a.symbol], second[a.symbol]),)
        exact = Obligation(f"merge {a.symbol}: associative", shown, facts, goals, partial=True)
        anywhere = {guarded(x, s): value for x, s, value in _anchors_of_states(plan, one, two, three, left, right)}
        general = replace(exact, goals=tuple(goal.xreplace(anywhere) for goal in goals))
        yield (general, exact) if general != exact else (exact,)
        goal = eq(there[a.symbol], back[a.symbol])
        yield (
            Obligation(f"merge {a.symbol}: commutative", f"x ⊕ y = y ⊕ x in {a.symbol}", pair, (goal,), partial=True),
        )


def _anchors_of_states(
    plan: Plan, *states: dict[State, sp.Expr]
) -> Iterator[tuple[Anchor, dict[State, sp.Expr], sp.Symbol]]:
    """A number for every anchor of a state that is computed from accumulators: what it is need not matter.

    A guarded anchor is finite: where what it is computed from is not, it is its default.
    """
    for x in plan.anchors:
        if x.expr != x.stale:
            for n, state in enumerate(states, 1):
                yield x, state, sp.Symbol(f"{x.stale} of {n}", real=True)


def _distributed(
    plan: Plan, a: Accumulator, one: dict[State, sp.Expr], two: dict[State, sp.Expr], both: dict[State, sp.Expr]
) -> tuple[sp.Basic, ...]:
    """Why an extreme with a correction is associative: two corrections in turn are one, and each keeps the order.

    So `M(max(M x, M y)) = max(M x, M y)`, from the parts themselves on the right side, and both ways to merge three
    parts are the extreme of the same three values. No maximum of products is compared with another.
    """
    found: list[sp.Basic] = []
    for part in (one, two):
        between = {**both, a.symbol: _at_whole(plan, a, part, both)}
        found.append(eq(corrected(plan, a, between), corrected(plan, a, part)))
    x, y = State("x"), State("y")
    lower, upper = (corrected(plan, a, {**both, a.symbol: v}) for v in (x, y))
    return (*found, sp.Or(sp.Gt(x, y, evaluate=False), sp.Le(lower, upper, evaluate=False), evaluate=False))


def finishes(plan: Plan, reach: Reach) -> Iterator[Obligation]:
    """Every fold of the spec is what its reading says, and the outputs are those of the spec."""
    state = {a.symbol: a.symbol for a in plan.accumulators}
    readings = Readings(plan)
    known = (*written(plan, reach.member(state)), *reach.state(state))
    for n, reading in enumerate(plan.readings, 1):
        fold = reading.fold
        body = readings.written(fold.body)
        images = []
        for symbol, coefficient in reading.terms:
            a = plan_accumulator(plan, symbol)
            if a.key is not None:
                a = plan_accumulator(plan, a.key)
            images.append(readings.put(coefficient) * put_elements(plan, at_fresh(plan, a.element, a, state)))
        # Where what left the sum has no value the sum may have one, which is for `empty` to look at.
        divided = any(True for _ in divisors_in_choices(plan, reading))
        left = tuple(Defined(readings.put(c)) for _, c in reading.terms) if divided else ()
        yield Obligation(
            f"reading {n}",
            f"{short(plan, fold)} = {short(plan, reading.expr)}",
            (
                *regular(plan, sp.Tuple(body, reading.expr, *reading.accumulators)),
                *known,
                *readings.bounds(),
                Defined(body),
                *left,
            ),
            (eq(body, sp.Add(*images)),),
        )
    for f in plan.finish:
        wanted = readings.output(f)
        member = written(plan, reach.member(state)) if plan.axis in f.axes else ()
        guard = (f.guard,) if f.guard is not sp.true else ()
        needed = regular(plan, sp.Tuple(f.expr, wanted))
        # Where the spec has no value, an output may be anything.
        end = at_the_end(plan, f.expr, wanted)
        assumptions = (*needed, *reach.state(state), *end, *member, *guard, Defined(wanted))
        yield Obligation(f"finish {f.name}", f"{f.name} = {text(f.expr)}", assumptions, _outputs(f.expr, wanted))
        if guard:
            # The value of no element is not to be seen anywhere else; `empty` runs what remains.
            zero = [eq(d, sp.S.Zero) for d in denominators(wanted) if d.has(State)]
            empty = [c for c in sp.And.make_args(f.guard) if fails_when_empty(plan, c)]
            excused = sp.Or(f.guard, *(sp.Not(r) for r in (*needed, *empty)), *zero, evaluate=False)
            shown = f"{text(sp.Not(f.guard))} only of no element, or where the output as written divides by 0"
            yield Obligation(f"guard {f.name}", shown, (*reach.state(state), *member), (excused,))


def _outputs(expr: sp.Expr, wanted: sp.Expr) -> tuple[sp.Basic, ...]:
    """An equality of outputs, branch by branch where both are a choice by the same predicate over indices.

    A choice by lengths is arithmetic: what is divided by a length has a value in one of its cases.
    """
    same = isinstance(expr, Where) and isinstance(wanted, Where) and expr.args[0] == wanted.args[0]
    if same and not all(isinstance(s, Size) for s in expr.args[0].free_symbols):
        return (*_outputs(expr.args[1], wanted.args[1]), *_outputs(expr.args[2], wanted.args[2]))
    return (eq(expr, wanted),)
