"""The monoid of a plan: how a state begins, takes a tile, is combined with another and ends, in closed expressions.

It is built once from the derivation, and is what a schedule runs, what is proved and what a kernel computes. The rule
of anchors stands here and nowhere else: a stale anchor is taken as it is inside of an exponent or a condition, since
exp(-oo - r') = 0 is what a part without a position weighs, and is guarded elsewhere, since 0 (-oo) is undefined.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanFunction

from refold.algebra.base2 import exp2
from refold.algebra.plan import Accumulator, Anchor, Element, Finish, Plan, Reducer, State
from refold.algebra.ranking import taken
from refold.algebra.rewrite import rebuild
from refold.spec import Fold, Index, Spec, Where
from refold.spec.heads import HEADS, Symbol

Values: TypeAlias = Mapping[State, sp.Expr]
Why: TypeAlias = Literal["corrections", "claimed"]


class New(Symbol):
    """The value of a component after an operation, under the component's name."""

    def __new__(cls, name: str) -> New:
        return sp.Symbol.__new__(cls, name, extended_real=True)


class Shared(Symbol):
    """A part of what comes after it, under a name of its own."""

    def __new__(cls, name: str) -> Shared:
        return sp.Symbol.__new__(cls, name, extended_real=True)


@dataclass(frozen=True, slots=True)
class Let:
    """A name and what it stands for: a component after the operation, a fresh anchor, or a shared part of others."""

    symbol: sp.Symbol
    expr: sp.Expr


@dataclass(frozen=True, slots=True)
class Operation:
    """What gives a state: definitions, each of which reads only those before it, and the names of the components."""

    lets: tuple[Let, ...]
    results: tuple[sp.Symbol, ...]

    def at(self, values: Mapping[Any, Any], kept: Collection[sp.Symbol] = ()) -> tuple[sp.Expr, ...]:
        """The components as expressions over what `values` gives for the symbols of states and elements.

        What is `kept` stands there by its name: of its value nothing is said.
        """
        known = dict(values)
        for let in self.lets:
            if let.symbol not in kept:
                known[let.symbol] = put(let.expr, known)
        return tuple(known[result] for result in self.results)


@dataclass(frozen=True, slots=True)
class Component:
    """One component of a state: its symbol, its symbol in the right one of two states, and its axes.

    `reducer` is what `update` folds a tile into it by, None where a tile is not taken at once.
    """

    symbol: State
    right: State
    axes: tuple[Index, ...]
    reducer: Reducer | None = None


@dataclass(frozen=True, slots=True)
class Monoid:
    """A state and its operations, whatever they come from: `why` is evidence for them, and never their meaning.

    `unit` is the state of no position. `lift` gives the state of one element, over the symbols of `elements`. `update`
    takes a state and a tile: what varies with the positions of the tile stands inside of folds over `axis`; `step` is
    the same for a tile of one element. `combine` takes two states of disjoint parts. `project` gives the outputs.
    What nobody claimed is None.
    """

    spec: Spec
    axis: Index
    elements: tuple[Element, ...]
    state: tuple[Component, ...]
    unit: tuple[sp.Expr, ...]
    lift: Operation
    step: Operation
    update: Operation | None
    combine: Operation | None
    project: tuple[Finish, ...]
    commutes: bool
    why: Why
    # The fresh anchors that say which positions of a ranking are taken: written out they would fill a page.
    taken: frozenset[sp.Symbol] = frozenset()

    @property
    def symbols(self) -> tuple[State, ...]:
        return tuple(c.symbol for c in self.state)

    def named(self, values: Iterable[sp.Expr]) -> dict[State, sp.Expr]:
        """The values of a state by the symbols of its components."""
        return dict(zip(self.symbols, values, strict=True))

    def units(self) -> dict[State, sp.Expr]:
        """The state of no position."""
        return self.named(self.unit)

    def lifted(self) -> dict[State, sp.Expr]:
        """The state of one element, over the symbols of elements."""
        return self.named(self.lift.at({}))

    def combined(self, left: Values, right: Values) -> dict[State, sp.Expr]:
        """The state of the union of two disjoint parts; positions that are taken in it stand by their names."""
        assert self.combine is not None
        return self.named(self.combine.at(self.pair(left, right), self.taken))

    def pair(self, left: Values, right: Values) -> dict[sp.Symbol, sp.Expr]:
        """Two states as the values of what `combine` reads."""
        return {c.symbol: left[c.symbol] for c in self.state} | {c.right: right[c.symbol] for c in self.state}

    def joined(self, left: Values, right: Values) -> dict[State, sp.Expr]:
        """The same at fresh anchors of any value."""
        assert self.combine is not None
        own = dict(zip(self.combine.results, self.symbols, strict=True))
        pair = self.pair(left, right)
        return {own[let.symbol]: let.expr.xreplace(pair) for let in self.combine.lets if let.symbol in own}

    def marked(self, mark: str) -> dict[State, sp.Expr]:
        """A state of unknown values, each named after its component and a mark."""
        return {s: State(f"{s}{mark}") for s in self.symbols}


def monoid(plan: Plan) -> Monoid:
    """The monoid that a plan's accumulators and corrections are the derivation of."""
    state = tuple(Component(a.symbol, State(f"{a.symbol}₂"), a.axes, a.reducer) for a in plan.accumulators)
    left: Values = {c.symbol: c.symbol for c in state}
    right: Values = {c.symbol: c.right for c in state}

    def lifted(a: Accumulator) -> sp.Expr:
        return a.element

    def updated(a: Accumulator) -> sp.Expr:
        return joined(a.reducer, corrected(plan, a, left), _tile(plan, a), _keys(plan, a, left, None))

    def combined(a: Accumulator) -> sp.Expr:
        return joined(a.reducer, corrected(plan, a, left), corrected(plan, a, right), _keys(plan, a, left, right))

    lift, update, combine = (
        _operation(plan, {a.symbol: form(a) for a in plan.accumulators}) for form in (lifted, updated, combined)
    )
    units = tuple(a.unit for a in plan.accumulators)
    return Monoid(plan.spec, plan.axis, plan.elements, state, units, lift, of_one(update, plan.axis), update, combine,
                  plan.finish, True, "corrections", taken(plan))  # fmt: skip


def definition(plan: Plan) -> Operation:
    """The state of a part as it is defined: each fold over its elements in turn, at the anchors of the whole part."""
    return _operation(plan, {a.symbol: _tile(plan, a) for a in plan.accumulators})


def _operation(plan: Plan, values: Values) -> Operation:
    """The new components in order, each after the fresh anchors that it reads."""
    new = {s: New(str(s)) for s in values}
    lets: dict[sp.Symbol, sp.Expr] = {}
    for a in plan.accumulators:
        for x in (plan.anchor(s) for s in a.anchors):
            lets.setdefault(x.fresh, guarded(x, new))
        lets[new[a.symbol]] = values[a.symbol]
    return Operation(tuple(Let(*pair) for pair in lets.items()), tuple(new.values()))


def _tile(plan: Plan, a: Accumulator) -> sp.Expr:
    """What a tile adds to an accumulator: the fold of its elements, and to a position the one of the largest key."""
    if a.key is None:
        return Fold(a.reducer, a.element, plan.axis)
    place = Fold("argmax", key_of(plan, a).element, plan.axis)
    return a.element.xreplace({e.symbol: e.expr for e in plan.elements}).xreplace({plan.axis: place})


def key_of(plan: Plan, a: Accumulator | Component) -> Accumulator:
    """The accumulator of the largest value, whose position an argmax is."""
    own = next(b for b in plan.accumulators if b.symbol == a.symbol)
    return next(k for k in plan.accumulators if k.symbol == own.key)


def _keys(plan: Plan, a: Accumulator, left: Values, right: Values | None) -> tuple[sp.Expr, sp.Expr] | None:
    """What the positions of an argmax are compared by: the largest values of both parts, at the same anchors."""
    if a.key is None:
        return None
    key = key_of(plan, a)
    return corrected(plan, key, left), _tile(plan, key) if right is None else corrected(plan, key, right)


def guarded(anchor: Anchor, state: Values) -> sp.Expr:
    """The anchor in a state: its expression where that is regular, its default elsewhere."""
    return Where(put(anchor.regular, state), put(anchor.expr, state), anchor.default)


def corrected(plan: Plan, a: Accumulator, old: Values) -> sp.Expr:
    """An accumulator of the state `old`, taken to the fresh anchors."""
    return at_stale(plan, a.correction, a.anchors, old)


def put(expr: sp.Basic, values: Mapping[Any, Any]) -> Any:
    """An expression with values for its symbols. SymPy takes an exponential for positive, which it is not at -oo."""
    if isinstance(expr, Relational) and any(values[s].has(sp.exp) for s in expr.free_symbols if s in values):
        return expr.func(*(a.xreplace(dict(values)) for a in expr.args), evaluate=False)
    if not expr.has(Relational):
        return expr.xreplace(dict(values))
    return rebuild(expr, [put(a, values) for a in expr.args])


def takes_raw(expr: sp.Basic) -> bool:
    """Whether the stale anchors below are taken as they are: in exponents and in conditions."""
    return isinstance(expr, sp.exp | exp2 | Relational | BooleanFunction)


def at_stale(plan: Plan, expr: sp.Expr, anchors: Iterable[State], old: Values) -> sp.Expr:
    """A correction with the values of the state `old`, and its stale anchors by the rule of this file."""
    used = [plan.anchor(s) for s in anchors]
    raw: Mapping[Any, Any] = {**old, **{x.stale: x.expr.xreplace(dict(old)) for x in used}}
    safe: Mapping[Any, Any] = {**old, **{x.stale: guarded(x, old) for x in used}}

    def visit(expr: sp.Basic, inside: bool) -> sp.Basic:
        if isinstance(expr, State):
            return raw[expr] if inside else safe[expr]
        if not expr.args:
            return expr
        inside = inside or takes_raw(expr)
        return expr.func(*(visit(arg, inside) for arg in expr.args))

    return visit(expr, False)


def at_fresh(plan: Plan, expr: sp.Expr, a: Accumulator, new: Values) -> sp.Expr:
    """An expression with the fresh anchors of an accumulator as the state `new` has them."""
    return expr.xreplace({plan.anchor(s).fresh: guarded(plan.anchor(s), new) for s in a.anchors})


def joined(reducer: Reducer, x: sp.Expr, y: sp.Expr, keys: tuple[sp.Expr, sp.Expr] | None = None) -> sp.Expr:
    """A reducer on two values; argmax looks at the keys, the lower position on a tie.

    Of two positions -1, that of no position, is never the lower.
    """
    if reducer != "argmax":
        joint: sp.Expr = HEADS[reducer](x, y)
        return joint
    assert keys is not None
    kx, ky = keys
    lower = sp.Or(sp.Lt(y, 0), sp.And(sp.Ge(x, 0), sp.Le(x, y)))
    first = sp.Or(sp.Gt(kx, ky), sp.And(sp.Eq(kx, ky), lower))
    return Where(first, x, y)


def of_one(update: Operation, axis: Index) -> Operation:
    """An update as it is for a tile of one element: `fold_j x -> x`, and the position of the largest is `j`."""

    def visit(expr: sp.Basic) -> Any:
        if isinstance(expr, Fold) and expr.axis == axis:
            return axis if expr.kind == "argmax" else expr.body
        if not expr.args or not expr.has(Fold):
            return expr
        return expr.func(*(visit(arg) for arg in expr.args))

    return Operation(tuple(Let(let.symbol, visit(let.expr)) for let in update.lets), update.results)
