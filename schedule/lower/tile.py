"""Writes the body of one tile: what it adds to every component."""

from __future__ import annotations

from dataclasses import dataclass, field

import sympy as sp

from refold.algebra import Plan, State
from refold.algebra.monoid import Component, Let, Monoid, Shared, key_of
from refold.algebra.plan import Fresh
from refold.algebra.roles import expand_elements
from refold.schedule import ir
from refold.schedule.lower.definitions import (
    NOWHERE,
    UNITS,
    Definitions,
    apart,
    first_of,
    share,
    state_name,
)  # fmt: skip
from refold.schedule.lower.dots import reduced
from refold.schedule.lower.elements import Elements, Mask
from refold.schedule.lower.masks import discarded_gathers, summed_gathers
from refold.schedule.lower.padding import finite
from refold.schedule.lower.scope import Data, Scope
from refold.schedule.lower.words import BLOCK_N, INDEX, MASKED, NAN, scalar, within
from refold.spec import Fold, Index, Read


@dataclass(frozen=True, slots=True)
class Step:
    """Writes the body of one tile."""

    plan: Plan
    scope: Scope
    definitions: Definitions
    elements: Elements
    # Of the keys of positions, the tile and its extremum.
    tops: dict[State, tuple[ir.Value, ir.Value]] = field(default_factory=dict)

    @property
    def fold(self) -> Index:
        return self.plan.axis

    @property
    def state(self) -> dict[State, State]:
        return {a.symbol: a.symbol for a in self.plan.accumulators}

    def define(self, let: Let) -> None:
        """Names what one line of the update defines."""
        match let.symbol:
            case Fresh():
                self.definitions.anchor(let)
            case Shared():
                self.scope.bind(let.symbol, self.added(let.symbol, let.expr, self.elements.mask(let.expr)))
            case _:
                self.definitions.component(let, self.after(let))

    def after(self, let: Let) -> ir.Value:
        """The value of a component after the tile: what it was, corrected, joined with what the tile adds."""
        component = self.definitions.components[let.symbol]
        if component.reducer == "argmax":
            return self.position(component)
        self.definitions.name_left(component.symbol, self.state)
        old, new = apart(let.expr, component.reducer, self.adds)
        if isinstance(new, Fold):
            return self.contribute(let.symbol, old, new)
        return self.definitions.joined(let.symbol, self.scope.value(old), share(self.scope, new))

    def adds(self, expr: sp.Expr) -> bool:
        """Whether an expression is a part of what the tile adds."""
        return expr.has(Shared) or any(f.axis == self.fold for f in expr.atoms(Fold))

    def contribute(self, symbol: sp.Symbol, old: sp.Expr, fold: Fold) -> ir.Value:
        """A component, which is `old` at the fresh anchors, joined with the fold of the tile."""
        scope = self.scope
        mask = self.elements.mask(fold)
        if fold.kind == "sum":
            plain = (e for e in self.plan.elements if not self.elements.keys(e))
            products = {e.symbol: e.expr for e in plain if isinstance(e.expr, sp.Mul | Read)}
            factors = [g for f in sp.Mul.make_args(fold.body) for g in sp.Mul.make_args(products.get(f, f))]
            self.elements.need(sp.Mul(*factors, evaluate=False))
            if not mask.always:
                base = scope.value(old)
                total = scope.dot(factors, self.fold, base, mask.lanes)
                if total is not None:
                    return self.undefined(fold, total)
        self.elements.need(fold.body)
        if fold.body in self.elements.scaled and fold.kind in ("max", "min") and mask.lanes is None:
            core, factor = self.elements.scaled[fold.body]
            top = self.definitions.reduced(symbol, fold.kind, core)
            return self.definitions.joined(symbol, scope.value(old), scope.join("*", [top, factor]))
        val = self.added(symbol, fold, mask)
        return self.undefined(fold, self.definitions.joined(symbol, scope.value(old), val))

    def added(self, symbol: sp.Symbol, fold: Fold, mask: Mask) -> ir.Value:
        """The fold of the tile by itself."""
        self.elements.need(fold.body)
        tile = self.tile(fold.body, mask, UNITS[fold.kind])
        val = self.definitions.reduced(symbol, fold.kind, tile)
        component = self.definitions.components.get(symbol)
        if component is not None and any(a.key == component.symbol for a in self.plan.accumulators):
            val = self.scope.name(f"{component.symbol}_tile", val)
            self.tops[component.symbol] = (tile, val)
        return val

    def undefined(self, fold: Fold, total: ir.Value) -> ir.Value:
        """A sum, which is NaN where a position that counts reads off an axis."""
        scope = self.scope
        reads = expand_elements(self.plan, fold.body).atoms(Read)
        for read in sorted(reads & {*scope.nowhere}, key=str):
            outside = reduced("any", ir.Cast(scope.nowhere[read], "int32"), self.fold, scope.host)
            total = scope.where(ir.Binary(">", outside, ir.Number(0)), NAN, total)
        return total

    def tile(self, element: sp.Expr, mask: Mask, unit: ir.Value) -> ir.Value:
        """The contributions of a tile, the unit where they do not count."""
        scope = self.scope
        val = scope.value(element)
        axes = scope.union(val, self.elements.inside)
        if mask.lanes is None and val.axes == axes:
            return val
        chosen = mask.lanes or self.elements.inside
        if mask.always or val.axes != axes:
            return scope.where(chosen, val, unit)
        name = scope.name("c", val)
        scope.fill(name, chosen, unit)
        return name

    def position(self, component: Component) -> ir.Value:
        """The lowest position at which the key is largest, of the state's and the tile's."""
        scope = self.scope
        key = key_of(self.plan, component)
        values, top = self.tops[key.symbol]
        first = scope.join("|", [scope.join("==", [values, top]), scope.join("!=", [values, values])])
        equal = scope.join("&", [first, self.elements.inside])
        places = ir.Cast(scope.spread(ir.Name(self.fold.name, (self.fold,)), values.axes), "int32")
        lowest = scope.where(equal, places, NOWHERE)
        here = scope.name(f"{component.symbol}_tile", reduced("min", lowest, self.fold, scope.host))
        old, there = (self.definitions.left(s, self.state) for s in (key.symbol, component.symbol))
        return first_of(scope.host, old, there, top, here)


def positions(axis: Index, layout: ir.Value | None = None) -> list[ir.Statement]:
    """The positions along the fold axis of the tile that starts at j0, and which of them there are."""
    lanes = ir.Binary("+", scalar("j0"), ir.Lanes(BLOCK_N, (axis,), layout))
    every = ir.Full((BLOCK_N,), ir.Number(True), "int1", (axis,), layout)
    j = ir.Name(axis.name, (axis,))
    there = ir.Binary("<", j, ir.Name(f"size_{axis.name}", kind="size"))
    return [ir.Let(j, ir.Cast(lanes, INDEX)), ir.Let(within(axis), ir.Choice(MASKED, there, every))]


def begun(plan: Plan, form: Monoid, prologue: Scope, layout: ir.Value | None = None) -> Step:
    """The step over the tile that starts at j0, as far as its positions."""
    fold = plan.axis
    bound = {fold, *form.symbols, *(e.symbol for e in plan.elements)}
    scope = prologue.function(bound | {x for a in plan.anchors for x in (a.stale, a.fresh)})
    wild = frozenset(e.symbol for e in plan.elements if not finite(expand_elements(plan, e.expr), fold))
    scope.data = Data(prologue.data.rereads, wild, discarded_gathers(plan), summed_gathers(plan))
    scope.lines.current += positions(fold, layout)
    scope.whole[fold] = ir.Name(fold.name, (fold,))
    for c in form.state:
        scope.bind(c.symbol, state_name(c, prologue.roles))
    assert form.update is not None
    definitions = Definitions.of(plan, scope, form.update, form.state)
    definitions.reads({s: s for s in form.symbols})
    return Step(plan, scope, definitions, Elements(plan, scope))
