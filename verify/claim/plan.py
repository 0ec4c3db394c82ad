"""A claimed form as a plan, from which a kernel is made: each step split into a correction and what an element adds.

A step says what one element does. Taken apart into `correction + element` (a product, a maximum), it says what a
tile does: the correction once, and the fold of what its elements add. Anchors are the components that others read
after the step; they are guarded as derived ones are, so that a part of no position weighs nothing. That all of this
computes the pipeline is not believed: it is verified like a derived plan, by the same obligations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sympy as sp

from refold.algebra import (
    UNITS,
    Accumulator,
    Anchor,
    Finish,
    Fresh,
    Plan,
    Reading,
    Refusal,
    State,
    Step,
    derive,
)
from refold.algebra.monoid import joined
from refold.algebra.names import Names
from refold.algebra.rewrite import denominators
from refold.errors import ClaimError
from refold.spec import Fold, Where
from refold.spec.mathematics import text
from refold.verify.claim.claim import Claim
from refold.verify.claim.form import form_of
from refold.verify.claim.part import Part, expanded, family, moving, split
from refold.verify.claim.simulation import Relation, read_state


def plan_of(claim: Claim) -> Plan:
    """The plan of a claim. Raises a `ClaimError` for a form that takes its elements one by one only."""
    plan = derive(claim.spec)
    if isinstance(plan, Refusal):
        raise ClaimError(
            f"no kernel: what a form computes is told by the derived one, and there is none: {plan.reason}"
        )
    relation = read_state(claim, plan)
    missing = [name for name, s in zip(claim.names, claim.left, strict=True) if s not in relation]
    if missing:
        raise ClaimError(f"no kernel: what {missing[0]} is of the derived state was not found: leave out what finish "
                         "does not need, or carry it in another form")  # fmt: skip
    return _Tiled(claim, plan, relation).plan()


class _Tiled:
    """A claim under the names that its components have in a kernel."""

    def __init__(self, claim: Claim, plan: Plan, relation: Relation) -> None:
        self.claim, self.derived, self.relation, self.form = claim, plan, relation, form_of(claim)
        names = Names(claim.spec)
        names.taken |= {str(s) for s, _ in claim.elements}
        self.own = {s: State(names.take(name)) for s, name in zip(claim.left, claim.names, strict=True)}
        self.fresh = {s: Fresh(str(own)) for s, own in self.own.items()}
        self.stale = {fresh: self.own[s] for s, fresh in self.fresh.items()}
        self.guards: dict[sp.Basic, tuple[sp.Basic, sp.Expr]] = {}
        self.parts = [split(self.own[s], name, self.after(s, claim.step))
                      for s, name in zip(claim.left, claim.names, strict=True)]  # fmt: skip

    def after(self, symbol: State, exprs: tuple[sp.Expr, ...]) -> sp.Expr:
        """What a component becomes, with the new values of others as fresh anchors."""
        new = {e: self.fresh[s] for s, e in zip(self.claim.left, exprs, strict=True) if s != symbol and e.args}
        expr: sp.Expr = exprs[self.claim.left.index(symbol)].xreplace(new).xreplace(self.own)
        return expr.replace(self.is_guard, self.unguarded)

    def is_guard(self, expr: sp.Basic) -> bool:
        return isinstance(expr, Where) and isinstance(expr.args[1], Fresh) and bool(expr.args[2].is_Rational)

    def unguarded(self, expr: Where) -> sp.Expr:
        """`(m' where m' > -oo, else 0) -> m'`, an anchor with a guard of its own."""
        condition, fresh, default = expr.args
        self.guards[fresh] = condition, default
        return fresh

    def plan(self) -> Plan:
        claim, form = self.claim, self.form
        parts = list(self.ordered())
        for part in parts:
            self.check(part)
        anchors = {a.fresh: a for part in parts for a in self.anchors(part)}
        axes = {self.own[c.symbol]: c.axes for c in form.state}
        used = {s for p in parts for s in p.element.free_symbols}
        accumulators = tuple(
            Accumulator(p.symbol, p.reducer, p.element, p.correction, axes[p.symbol], len(moving(p, parts)) or 1,
                        tuple(anchors[f].stale for f in sorted(self.reads(p), key=str)), None, family(p, parts))
            for p in parts
        )  # fmt: skip
        back = self.inverse()
        finish = tuple(
            Finish(f.name, f.expr.xreplace(self.own), f.axes, g.guard.xreplace(back), g.empty.xreplace(back))
            for f, g in zip(form.project, self.derived.finish, strict=True)
        )
        steps = tuple(Step("accumulate", Fold(p.reducer, p.element, form.axis), p.symbol, "as claimed") for p in parts)
        elements = tuple(e for e in form.elements if e.symbol in used)
        return Plan(claim.spec, form.axis, elements, tuple(anchors.values()), accumulators,
                    tuple(self.readings(back)), finish, (), steps)  # fmt: skip

    def ordered(self) -> Iterable[Part]:
        """Each component after those whose new values it reads."""
        left, done = list(self.parts), set[sp.Basic]()
        while left:
            ready = next((p for p in left if self.reads(p) <= done), None)
            if ready is None:
                raise ClaimError(
                    f"step gives {left[0].symbol} and {left[-1].symbol} by each other: give one of them first"
                )
            left.remove(ready)
            done |= {f for f, s in self.stale.items() if s == ready.symbol}
            yield ready

    def reads(self, part: Part) -> set[sp.Basic]:
        return {s for e in (part.correction, part.element) for s in e.free_symbols if isinstance(s, Fresh)}

    def anchors(self, part: Part) -> Iterable[Anchor]:
        """The components that a part reads after the step: each is guarded where it has no value to go by."""
        reducers = {p.symbol: p.reducer for p in self.parts}
        for fresh in sorted(self.reads(part), key=str):
            stale = self.stale[fresh]
            regular, default = self.guards.get(fresh, (sp.true, sp.S.Zero))
            unit = UNITS[reducers[stale]]
            if fresh not in self.guards and unit.is_infinite:
                regular = (sp.Gt if unit == -sp.oo else sp.Lt)(stale, unit, evaluate=False)
            elif fresh not in self.guards and any(d.has(fresh) for p in self.parts for d in _below(p)):
                regular, default = sp.Ne(stale, 0, evaluate=False), sp.S.One
            yield Anchor(stale, fresh, stale, regular.xreplace({fresh: stale}), default)

    def check(self, part: Part) -> None:
        """That merge, if there is one, moves both parts as a step does."""
        claim = self.claim
        if UNITS[part.reducer] != dict(zip(self.own.values(), claim.init, strict=True))[part.symbol]:
            raise ClaimError(f"init gives {part.symbol} another value than the {part.reducer} of no element")
        if claim.merge is None:
            return
        symbol = next(s for s, own in self.own.items() if own == part.symbol)
        right = {self.own[s]: y for s, y in zip(claim.left, claim.right, strict=True)}
        wanted = joined(part.reducer, part.correction, part.correction.xreplace(right))
        got = self.after(symbol, claim.merge)
        if got != wanted and expanded(got - wanted) != 0:
            raise ClaimError(
                f"merge gives {part.symbol} by {text(got)}, and step moves two parts to {text(wanted)}: a kernel has "
                "one law for both: write merge like that"
            )

    def inverse(self) -> Mapping[Any, sp.Expr]:
        """The derived state over the claimed one, as far as the relation of each component tells one more of it."""
        apart = {a.symbol: sp.Dummy(str(a.symbol)) for a in self.derived.accumulators}
        known: dict[sp.Basic, sp.Expr] = {}
        self.owners: dict[sp.Basic, State] = {}
        for _ in self.relation:
            for symbol, meant in self.relation.items():
                expr = meant.xreplace(apart).xreplace(known)
                open_ = [d for d in apart.values() if d in expr.free_symbols]
                if len(open_) == 1 and (slope := sp.diff(expr, open_[0])).free_symbols.isdisjoint(open_):
                    rest = expr.xreplace({open_[0]: sp.S.Zero})
                    known[open_[0]] = (self.own[symbol] - rest) / slope
                    self.owners[open_[0]] = self.own[symbol]
        self.owners = {s: self.owners[d] for s, d in apart.items() if d in self.owners}
        return {s: known[d] for s, d in apart.items() if d in known}

    def readings(self, back: Mapping[Any, sp.Expr]) -> Iterable[Reading]:
        for r in self.derived.readings:
            read = {s for s in r.expr.free_symbols if isinstance(s, State)}
            if read <= set(back) and len(r.terms) == 1 and r.accumulators[0] in self.owners:
                expr, owner = r.expr.xreplace(dict(back)), self.owners[r.accumulators[0]]
                yield Reading(r.fold, expr, ((owner, expr / owner),))


def _below(part: Part) -> list[sp.Expr]:
    return [*denominators(part.correction), *denominators(part.element)]
