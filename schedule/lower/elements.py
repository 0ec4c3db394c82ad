"""Writes the elements of a tile, each with its masks, and which lanes of them count in a fold."""

from __future__ import annotations

from dataclasses import dataclass, field

import sympy as sp

from refold.algebra import Element, Plan
from refold.algebra.base2 import exp2
from refold.schedule import ir
from refold.schedule.lower.definitions import INFINITY
from refold.schedule.lower.host import is_host
from refold.schedule.lower.masks import split_condition
from refold.schedule.lower.scope import Scope
from refold.schedule.lower.words import within
from refold.spec import Fold, Index, Read, Where
from refold.spec.heads import UNITS as REDUCERS
from refold.spec.heads import at_an_element


@dataclass(frozen=True, slots=True)
class Mask:
    """The lanes that count in a fold, None where the others contribute the unit by themselves.

    `always`: they are asked for in a tile that nothing masks too.
    """

    lanes: ir.Value | None
    always: bool = False


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of a tile that are written so far, each where it is first wanted."""

    plan: Plan
    scope: Scope
    # What stands for a key beyond the end of the axis, or masked: elements that are -oo (oo) there.
    filled: dict[sp.Symbol, sp.Expr] = field(default_factory=dict)
    # Keys of extrema that are `core * factor`, the factor positive: the extremum of the core is taken, and then scaled.
    scaled: dict[sp.Symbol, tuple[ir.Value, ir.Value]] = field(default_factory=dict)

    @property
    def fold(self) -> Index:
        return self.plan.axis

    @property
    def inside(self) -> ir.Value:
        return within(self.fold)

    def need(self, expr: sp.Expr) -> None:
        """Writes the elements in an expression that are not yet written."""
        for e in self.plan.elements:
            if e.symbol in expr.free_symbols and e.symbol not in self.scope.memo:
                self.write(e)

    def write(self, e: Element) -> None:
        """Loads or computes an element, with its masks."""
        scope, roles = self.scope, self.scope.roles
        keys = self.keys(e)
        core, masks, other = e.expr, [], None
        if isinstance(e.expr, Where):
            cond, then, other = e.expr.args
            limits, rest = split_condition(cond, roles)
            inner = Where(sp.And(*rest), then, other) if rest else then
            if {a for x in limits for a in scope.axes(x)} <= scope.axes(inner) and self.fold in scope.axes(inner):
                core, masks = inner, [scope.condition(x) for x in limits]
        if e.expr == self.fold:
            # Every position has its number: no mask is asked for. Compared with others it stays an integer.
            scope.whole[e.symbol] = ir.Name(self.fold.name, (self.fold,))
            scope.late[e.symbol] = lambda: scope.name("at", scope.value(e.expr))
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
        stood = scope.lookup(core) is not None
        val = scope.value(core)
        own = (isinstance(core, Read) or factor is not None) and not stood and core in scope.memo
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

    # --- lanes that count --------------------------------------------------------------------------------------

    def mask(self, fold: Fold) -> Mask:
        """The lanes that count in a fold of the tile."""
        scope, unit = self.scope, REDUCERS[fold.kind]
        self.need(
            sp.Add(*(e.symbol for e in self.plan.elements if e.symbol in fold.body.free_symbols and self.keys(e)))
        )
        if fold.kind in ("max", "min"):
            terms = sp.Add.make_args(fold.body)
            return Mask(None if any(self.filled.get(t) == unit for t in terms) else self.inside)
        factors = sp.Mul.make_args(fold.body)
        exponents = [f.args[0] for f in factors if isinstance(f, sp.exp | exp2)]
        others = {s for f in factors if not isinstance(f, sp.exp | exp2) for s in f.free_symbols}
        infinite = [e.symbol for e in self.plan.elements if e.symbol in others and self.reads_filled(e)]
        if infinite:
            if all(not e.infinite for e in self.plan.elements if e.symbol in infinite):
                return Mask(self.inside)
            return Mask(self.elements_of(fold), always=True)
        terms = [t for x in exponents for t in sp.Add.make_args(x)]
        gone = [t for t in terms if self.filled.get(t) == -sp.oo]
        # The weight 0 of what is masked leaves 0 of whatever is finite.
        rest = [t for t in terms if t not in gone] + [f for f in factors if not isinstance(f, sp.exp | exp2)]
        harmless = bool(gone) and all(scope.finite(x, self.fold) for x in rest)
        return Mask(None if harmless and fold.kind == "sum" else self.inside)

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
