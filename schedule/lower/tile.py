"""Writes the body of one tile: its elements with their masks, and what it adds to every component."""

from __future__ import annotations

from dataclasses import dataclass, field

import sympy as sp

from refold.algebra import Element, Plan, State
from refold.algebra.base2 import exp2
from refold.algebra.monoid import Component, Let, Monoid, Shared, corrected, key_of
from refold.algebra.plan import Fresh
from refold.algebra.roles import expand_elements
from refold.schedule import ir
from refold.schedule.lower.definitions import (
    INFINITY,
    NOWHERE,
    UNITS,
    Definitions,
    apart,
    first_of,
    share,
    state_name,
)  # fmt: skip
from refold.schedule.lower.dots import reduced
from refold.schedule.lower.host import is_host
from refold.schedule.lower.masks import discarded_gathers, split_condition, summed_gathers
from refold.schedule.lower.padding import finite
from refold.schedule.lower.scope import Data, Scope
from refold.schedule.lower.words import BLOCK_N, INDEX, MASKED, NAN, scalar, within
from refold.spec import Fold, Index, Read, Where
from refold.spec.heads import UNITS as REDUCERS
from refold.spec.heads import at_an_element


@dataclass(slots=True)
class Step:
    """Writes the body of one tile."""

    plan: Plan
    scope: Scope
    definitions: Definitions
    # What stands for a key beyond the end of the axis, or masked: elements that are -oo (oo) there.
    filled: dict[sp.Symbol, sp.Expr] = field(default_factory=dict)
    tops: dict[State, tuple[ir.Value, ir.Value]] = field(default_factory=dict)
    # Keys of extrema that are `core * factor`, the factor positive: the extremum of the core is taken, and then scaled.
    scaled: dict[sp.Symbol, tuple[ir.Value, ir.Value]] = field(default_factory=dict)

    @property
    def fold(self) -> Index:
        return self.plan.axis

    @property
    def inside(self) -> ir.Value:
        return within(self.fold)

    def element(self, e: Element) -> None:
        """Loads or computes an element, with its masks."""
        scope, roles = self.scope, self.scope.roles
        keys = self.keys(e)
        core, masks, other = e.expr, [], None
        if isinstance(e.expr, Where):
            cond, then, other = e.expr.args
            seen, rest = split_condition(cond, roles)
            inner = Where(sp.And(*rest), then, other) if rest else then
            if {a for x in seen for a in scope.axes(x)} <= scope.axes(inner) and self.fold in scope.axes(inner):
                core, masks = inner, [scope.condition(x) for x in seen]
        if e.expr == self.fold:
            return
        factor = None
        if not masks or other in (sp.oo, -sp.oo):  # the other side of a mask would need the factor as well
            factor, core = self.factored(e, core, keys)
        if keys == {other} or (len(keys) == 1 and not masks):
            (other,) = keys
            self.filled[e.symbol] = other
            masks = [self.inside, *masks]
        elif len(keys) == 1:
            self.filled[e.symbol] = next(iter(keys))
        seen_before = scope.lookup(core) is not None
        val = scope.value(core)
        own = (isinstance(core, Read) or factor is not None) and not seen_before and core in scope.memo
        if masks and own:
            scope.memo.pop(core)  # what was read is overwritten where it is masked
        elif masks or not isinstance(val, ir.Name):
            val = scope.name(str(e.symbol), val)
        # An element that is masked has a name by now: its own.
        name = scope.named(str(e.symbol), val)
        if masks:
            scope.fill(name, scope.join("&", masks), scope.value(other))
        if self.filled.get(e.symbol) not in (None, other):
            scope.fill(name, self.inside, scope.value(self.filled[e.symbol]))
        val = name
        if factor is not None:
            self.scaled[e.symbol] = val, scope.value(factor)
            val = scope.join("*", [*self.scaled[e.symbol]])
        scope.bind(e.symbol, val)
        scope.bind(e.expr, val)

    def factored(self, e: Element, core: sp.Expr, keys: set[sp.Expr]) -> tuple[sp.Expr | None, sp.Expr]:
        """The positive factor of a score that is the key of a maximum alone, and what it multiplies.

            s = c x, m' = max(m, max s), exp(s - m')   ->   m' = max(m, max(x) c), exp(x c - m')

        c max(x) = max(c x) for c > 0, bit by bit as rounding is monotone, so that scaling waits for the difference in
        the exponent, where a product and a sum are one instruction. What is masked is infinite, and stays so.
        Obligations `refinement`: the step is the update, whose maximum is that of the scores.
        """
        lone = [a for a in self.plan.accumulators if a.element == e.symbol and a.reducer in ("max", "min")]
        positions = {a.key for a in self.plan.accumulators if a.key is not None}
        if not lone or any(a.symbol in positions for a in lone) or len(keys) != 1 or not keys <= {sp.oo, -sp.oo}:
            return None, core
        factors = sp.Mul.make_args(core)
        host = [f for f in factors if is_host(f)]
        rest = sp.Mul(*(f for f in factors if f not in host))
        factor = sp.Mul(*host)
        if factor == 1 or not at_an_element(factor).is_positive or not self.scope.varies(rest):
            return None, core
        return factor, rest

    def keys(self, e: Element) -> set[sp.Expr]:
        """The units of the extrema that an element is a key of: what it is where it does not count."""
        extrema = [a for a in self.plan.accumulators if a.reducer in ("max", "min")]
        return {a.unit for a in extrema if e.symbol in sp.Add.make_args(a.element)} | (
            {-sp.oo} if e.infinite < 0 else set()
        )

    def need(self, expr: sp.Expr) -> None:
        for e in self.plan.elements:
            if e.symbol in expr.free_symbols and e.symbol not in self.scope.memo:
                self.element(e)

    def define(self, let: Let) -> None:
        """Names what one line of the update defines."""
        match let.symbol:
            case Fresh():
                self.definitions.anchor(let)
            case Shared():
                self.scope.bind(let.symbol, self.added(let.symbol, let.expr, *self.mask(let.expr)))
            case _:
                self.definitions.component(let, self.after(let))

    def after(self, let: Let) -> ir.Value:
        """The value of a component after the tile: what it was, corrected, joined with what the tile adds."""
        component = self.definitions.components[let.symbol]
        if component.reducer == "argmax":
            return self.position(component)
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
        mask, always = self.mask(fold)
        if fold.kind == "sum":
            products = {
                e.symbol: e.expr for e in self.plan.elements if isinstance(e.expr, sp.Mul | Read) and not self.keys(e)
            }
            factors = [g for f in sp.Mul.make_args(fold.body) for g in sp.Mul.make_args(products.get(f, f))]
            self.need(sp.Mul(*factors, evaluate=False))
            if not always:
                base = scope.value(old)
                total = scope.dot(factors, self.fold, base, mask)
                if total is not None:
                    return self.undefined(fold, total)
        self.need(fold.body)
        if fold.body in self.scaled and fold.kind in ("max", "min") and mask is None:
            core, factor = self.scaled[fold.body]
            top = self.definitions.reduced(symbol, fold.kind, core)
            return self.definitions.joined(symbol, scope.value(old), scope.join("*", [top, factor]))
        val = self.added(symbol, fold, mask, always)
        return self.undefined(fold, self.definitions.joined(symbol, scope.value(old), val))

    def added(self, symbol: sp.Symbol, fold: Fold, mask: ir.Value | None, always: bool) -> ir.Value:
        """The fold of the tile by itself."""
        self.need(fold.body)
        tile = self.tile(fold.body, mask, UNITS[fold.kind], always)
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

    def mask(self, fold: Fold) -> tuple[ir.Value | None, bool]:
        """The lanes that count, None where the others contribute the unit by themselves; whether always to be asked."""
        scope, unit = self.scope, REDUCERS[fold.kind]
        self.need(
            sp.Add(*(e.symbol for e in self.plan.elements if e.symbol in fold.body.free_symbols and self.keys(e)))
        )
        if fold.kind in ("max", "min"):
            terms = sp.Add.make_args(fold.body)
            return (None, False) if any(self.filled.get(t) == unit for t in terms) else (self.inside, False)
        factors = sp.Mul.make_args(fold.body)
        exponents = [f.args[0] for f in factors if isinstance(f, sp.exp | exp2)]
        others = {s for f in factors if not isinstance(f, sp.exp | exp2) for s in f.free_symbols}
        infinite = [e.symbol for e in self.plan.elements if e.symbol in others and self.reads_filled(e)]
        if infinite:
            if all(not e.infinite for e in self.plan.elements if e.symbol in infinite):
                return self.inside, False
            return self.elements_of(fold), True
        terms = [t for x in exponents for t in sp.Add.make_args(x)]
        gone = [t for t in terms if self.filled.get(t) == -sp.oo]
        # The weight 0 of what is masked leaves 0 of whatever is finite.
        rest = [t for t in terms if t not in gone] + [f for f in factors if not isinstance(f, sp.exp | exp2)]
        harmless = bool(gone) and all(scope.finite(x, self.fold) for x in rest)
        return (None, False) if harmless and fold.kind == "sum" else (self.inside, False)

    def elements_of(self, fold: Fold) -> ir.Value:
        """The lanes of a sum that are elements of it: a masked one is none where it has no value, like 0 * oo."""
        scope = self.scope
        self.need(fold.body)
        c = scope.value(fold.body)
        if not isinstance(c, ir.Name):
            c = scope.memo[fold.body] = scope.name("c", c)
        masked = [e.symbol for e in self.plan.elements if e.infinite and e.symbol in fold.body.free_symbols]
        sizes = [ir.Unary("abs", scope.value(s)) for s in masked]
        shown = scope.join("&", [scope.join("!=", [size, INFINITY]) for size in sizes])
        return scope.join("&", [self.inside, scope.join("|", [scope.join("==", [c, c]), shown])])

    def reads_filled(self, e: Element) -> bool:
        """Whether an element is infinite on masked lanes, or made of one that is: -oo - (-oo) is no number."""
        filled = {x.expr for x in self.plan.elements if x.symbol in self.filled}
        return any(node in filled for node in sp.preorder_traversal(e.expr))

    def tile(self, element: sp.Expr, mask: ir.Value | None, unit: ir.Value, always: bool) -> ir.Value:
        """The contributions of a tile, the unit where they do not count."""
        scope = self.scope
        val = scope.value(element)
        axes = scope.union(val, self.inside)
        if mask is None and val.axes == axes:
            return val
        chosen = mask or self.inside
        if always or val.axes != axes:
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
        equal = scope.join("&", [first, self.inside])
        places = ir.Cast(scope.spread(ir.Name(self.fold.name, (self.fold,)), values.axes), "int32")
        lowest = scope.where(equal, places, NOWHERE)
        here = scope.name(f"{component.symbol}_tile", reduced("min", lowest, self.fold, scope.host))
        old = scope.value(corrected(self.plan, key, {a.symbol: a.symbol for a in self.plan.accumulators}))
        return first_of(scope.host, old, ir.Name(str(component.symbol), top.axes), top, here)


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
    scope.body += positions(fold, layout)
    scope.whole[fold] = ir.Name(fold.name, (fold,))
    for c in form.state:
        scope.bind(c.symbol, state_name(c, prologue.roles))
    assert form.update is not None
    definitions = Definitions.of(plan, scope, form.update, form.state)
    definitions.reads({s: s for s in form.symbols})
    return Step(plan, scope, definitions)
