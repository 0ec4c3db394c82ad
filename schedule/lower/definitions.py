"""Writes the definitions of an operation in their order: what the step over a tile and the merge share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import sympy as sp

from refold.algebra import Accumulator, Plan, State
from refold.algebra.monoid import Component, Let, Operation, Shared, corrected, guarded
from refold.algebra.plan import Reducer
from refold.algebra.ranking import ranking_of
from refold.algebra.roles import Roles
from refold.schedule import ir
from refold.schedule.lower.dots import extremum, reduced
from refold.schedule.lower.host import Host
from refold.schedule.lower.nan import strict_extrema
from refold.schedule.lower.scope import Scope
from refold.schedule.lower.words import ONE, ZERO, block_of
from refold.spec import Index
from refold.spec.heads import HEADS

NOWHERE = ir.Number(2147483647)  # the position of an argmax over nothing
INFINITY = ir.Number(math.inf)
UNITS = dict.fromkeys(("sum", "count", "any"), ZERO) | dict.fromkeys(("all", "prod"), ONE)
UNITS |= {"max": ir.Number(-math.inf), "min": INFINITY, "argmax": NOWHERE}
# The operator that joins two values of an accumulator.
COMBINE: dict[str, ir.BinaryOp] = {
    "sum": "+", "count": "+", "prod": "*", "max": "maximum", "any": "maximum", "min": "minimum", "all": "minimum",
}  # fmt: skip


def tile_axes(a: Accumulator | Component, roles: Roles) -> tuple[Index, ...]:
    """The axes of an accumulator that are in its tile; batch axes are one value a program."""
    return tuple(x for x in roles.tiles if x in a.axes)


def state_name(a: Accumulator | Component, roles: Roles, mark: str = "") -> ir.Name:
    """An accumulator as the kernels call it."""
    return ir.Name(f"{a.symbol}{mark}", tile_axes(a, roles))


def first_of(host: Host, key: ir.Value, at: ir.Value, key2: ir.Value, at2: ir.Value) -> ir.Value:
    """The position of the larger key, the lower one of equals; the first that is no number where there are any."""
    more, less = host.call("_over", key, key2), host.call("_over", key2, key)
    return ir.Select(more, at, ir.Select(less, at2, ir.Binary("minimum", at, at2)))


@dataclass(slots=True)
class Definitions:
    """Gives the components after an operation, and the fresh anchors, their names in a scope."""

    plan: Plan
    scope: Scope
    components: Mapping[sp.Symbol, Component]
    # The extrema that pass on what is no number.
    strict: frozenset[State]
    names: dict[sp.Symbol, ir.Name] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan, scope: Scope, operation: Operation, state: tuple[Component, ...]) -> Definitions:
        return cls(plan, scope, dict(zip(operation.results, state, strict=True)), strict_extrema(plan))

    @property
    def results(self) -> tuple[ir.Name, ...]:
        """The components after the operation."""
        return tuple(self.names[s] for s in self.components)

    def reads(self, values: Mapping[State, sp.Expr]) -> None:
        """Says that a state is read: its guarded anchors are named where the first of them is wanted, if anywhere."""
        for anchor in self.plan.anchors:
            if anchor.regular is not sp.true:
                expr = guarded(anchor, values)
                value = anchor.expr.xreplace(dict(values))
                wish = f"{value if value.is_Symbol else anchor.stale}_was"
                self.scope.late[expr] = partial(chosen, self.scope, expr, wish)

    def anchor(self, let: Let) -> None:
        """Names a fresh anchor."""
        anchor, scope = self.plan.anchor(let.symbol), self.scope
        wish = f"{anchor.stale}_hat"
        always = anchor.regular is sp.true
        if let.expr in scope.whole:
            scope.whole[let.symbol] = scope.whole[let.expr]
        scope.bind(let.symbol, scope.named(wish, scope.value(let.expr)) if always else chosen(scope, let.expr, wish))

    def left(self, symbol: State, values: Mapping[State, sp.Expr], mark: str = "") -> ir.Value:
        """An accumulator of a part as the whole has it."""
        self.name_left(symbol, values, mark)
        return self.scope.value(corrected(self.plan, self._own(symbol), values))

    def name_left(self, symbol: State, values: Mapping[State, sp.Expr], mark: str = "") -> None:
        """Names that of a ranking, which stands in several places."""
        own = self._own(symbol)
        expr = corrected(self.plan, own, values)
        if ranking_of(self.plan, own) is not None and self.scope.lookup(expr) is None:
            self.scope.memo[expr] = self.scope.name(f"{symbol}{mark}_left", self.scope.value(expr))

    def _own(self, symbol: State) -> Accumulator:
        return next(a for a in self.plan.accumulators if a.symbol == symbol)

    def component(self, let: Let, val: ir.Value) -> None:
        """Names the new value of a component."""
        component = self.components[let.symbol]
        axes = tile_axes(component, self.scope.roles)
        if val.axes != axes:
            shape = tuple(block_of(x, self.scope.roles) for x in axes)
            val = ir.Binary("+", ir.Full(shape, ZERO, "float32", axes), self.scope.spread(val, axes))
        self.names[let.symbol] = self.scope.name(f"{component.symbol}_new", val)
        self.scope.bind(let.symbol, self.names[let.symbol])
        if component.reducer == "argmax":
            self.scope.whole[let.symbol] = self.names[let.symbol]

    def reduced(self, symbol: sp.Symbol, reducer: str, tile: ir.Value) -> ir.Value:
        """What a tile adds to a component."""
        form = extremum if self.is_strict(symbol) else reduced
        return form(reducer, tile, self.plan.axis, self.scope.host)

    def joined(self, symbol: sp.Symbol, old: ir.Value, new: ir.Value) -> ir.Value:
        """Two values of one component as one."""
        reducer = self.components[symbol].reducer
        assert reducer is not None
        if self.is_strict(symbol):
            helper = "_larger" if reducer == "max" else "_smaller"
            return self.scope.apply(partial(self.scope.host.call, helper), old, new)
        return self.scope.join(COMBINE[reducer], [old, new])

    def is_strict(self, symbol: sp.Symbol) -> bool:
        return symbol in self.components and self.components[symbol].symbol in self.strict


def chosen(scope: Scope, expr: sp.Expr, wish: str) -> ir.Name:
    """`where(regular, value, default)` by its name, without a NaN on either side."""
    regular, value, default = expr.args
    val = (scope if value.is_Symbol else harmless(scope, regular)).value(value)
    return scope.name(wish, scope.where(scope.condition(regular), val, scope.value(default)))


def harmless(scope: Scope, guard: sp.Basic) -> Scope:
    """A scope writing to the same lines in which what a guard excludes has a harmless value instead."""
    inner = replace(scope, memo=dict(scope.memo))
    # In the order of the names in the text.
    called = {s: sp.Symbol(name.text, extended_real=True) for s in sp.ordered(guard.free_symbols)
              if isinstance(name := scope.lookup(s), ir.Name)}  # fmt: skip
    for atom in sorted(sp.And.make_args(guard), key=lambda a: sp.default_sort_key(a.xreplace(called))):
        if isinstance(atom, sp.Ne | sp.Gt | sp.Lt) and atom.rhs in (0, sp.oo, -sp.oo):
            other = ONE if atom.rhs == 0 else ZERO
            val = scope.where(scope.condition(atom), scope.value(atom.lhs), other)
            inner.memo[atom.lhs] = scope.name(f"{atom.lhs}_safe" if atom.lhs.is_Symbol else "safe", val)
    return inner


def apart(expr: sp.Expr, reducer: Reducer | None, adds: Callable[[sp.Expr], bool]) -> tuple[sp.Expr, sp.Expr]:
    """`old (+) new` as its two sides: the parts that `adds` holds of are new."""
    head = HEADS[str(reducer)]
    parts = expr.args if isinstance(expr, head) else (expr,)
    return head(*(p for p in parts if not adds(p))), head(*(p for p in parts if adds(p)))


def share(scope: Scope, expr: sp.Expr) -> ir.Value:
    """A value; one that a part of the operation is divided in is divided as it is, by no reciprocal."""
    above, below = sp.fraction(expr) if expr.has(Shared) else (expr, sp.S.One)
    val = scope.value(above)
    return val if below == 1 else scope.join("/", [val, scope.value(below)])
