"""The body of one function as it is written: its lines, its names, and what an expression already has a value for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any, Protocol

import sympy as sp

from refold.algebra.roles import Roles
from refold.schedule import ir
from refold.schedule.lower.host import Host, is_host
from refold.schedule.lower.names import Names
from refold.schedule.lower.padding import finite
from refold.schedule.lower.words import MASKED, scalar
from refold.schedule.passes.hoisting import hoist
from refold.spec import Fold, Index, Read


def chain(op: ir.BinaryOp, first: ir.Value, *others: ir.Value) -> ir.Value:
    """Values joined by one operator from the left; one alone stays as it is."""
    return reduce(partial(ir.Binary, op), others, first)


class Product(Protocol):
    """Writes the dot of the factors that share `axis`, times the others; None where there are not two such groups.

    `into`: what the dot is added to. `masked`: the lanes of the left operand that count in a tile with masks; the
    others are set to 0.
    """

    def __call__(
        self,
        scope: Scope,
        factors: list[sp.Expr],
        axis: Index,
        into: ir.Value | None = None,
        masked: ir.Value | None = None,
    ) -> ir.Value | None: ...


@dataclass(frozen=True, slots=True)
class Forms:
    """How a scope writes what has no value in it yet: an expression as a float32 value, an integer or a condition.

    `quotient` divides two integers rounded down, given the dividend; `spread` gives a value the axes of a tile.
    """

    real: Callable[[Scope, sp.Basic], ir.Value]
    whole: Callable[[Scope, sp.Basic], ir.Value]
    condition: Callable[[Scope, sp.Basic], ir.Value]
    quotient: Callable[[Scope, ir.Value, ir.Value, sp.Expr], ir.Value]
    dot: Product
    spread: Callable[[Scope, ir.Value, ir.Axes], ir.Value]


@dataclass(frozen=True, slots=True)
class Data:
    """What is known of the data that a plan reads.

    `rereads`: the elements of a row are read once to be reduced and again to be written. `wild`: the elements that are
    not finite beyond the end of the fold axis. `discarded`: of every gather, where masks discard what it reads.
    `summed`: the gathers that sums alone read.
    """

    rereads: bool = False
    wild: frozenset[sp.Symbol] = frozenset()
    discarded: Mapping[Read, sp.Basic] = field(default_factory=dict)
    summed: frozenset[Read] = frozenset()


@dataclass(slots=True)
class Lines:
    """Where all scopes of a kernel write: the lines of one loop at a time, or those before all loops."""

    current: list[ir.Statement] = field(default_factory=list)

    @contextmanager
    def loop(self, changing: Iterable[ir.Name]) -> Iterator[list[ir.Statement]]:
        """The lines of what a loop does, which are complete at the end: what does not change then stands before it."""
        outside, inside = self.current, list[ir.Statement]()
        self.current = inside
        yield inside
        self.current = outside
        before, inside[:] = hoist(inside, changing)
        outside += before


@dataclass(slots=True)
class Scope:
    """The values of one function as it is written; what does not vary here has its name in the `outer` scope."""

    forms: Forms
    roles: Roles
    host: Host
    strides: dict[tuple[str, Any], str]
    names: Names
    data: Data = Data()
    outer: Scope | None = None
    bound: set[sp.Symbol] = field(default_factory=set)
    lines: Lines = field(default_factory=Lines)
    memo: dict[sp.Basic, ir.Value] = field(default_factory=dict)
    raw: dict[sp.Basic, ir.Value] = field(default_factory=dict)
    whole: dict[sp.Basic, ir.Value] = field(default_factory=dict)
    late: dict[sp.Basic, Callable[[], ir.Value]] = field(default_factory=dict)
    # Of the gathers that sums alone read, where they are off their axes, if rows differ in that.
    nowhere: dict[Read, ir.Value] = field(default_factory=dict)

    def inside(self, bound: Iterable[sp.Symbol]) -> Scope:
        """A scope within this one, in which `bound` symbols vary."""
        return self.nested(self.names, bound)

    def function(self, bound: Iterable[sp.Symbol]) -> Scope:
        """The scope of a function that is called from this one."""
        return self.nested(self.names.function(), bound)

    def nested(self, names: Names, bound: Iterable[sp.Symbol]) -> Scope:
        same = self.forms, self.roles, self.host, self.strides
        return Scope(*same, names, self.data, self, set(bound), self.lines)

    def varies(self, expr: sp.Basic) -> bool:
        return self.outer is None or bool(expr.free_symbols & self.bound)

    def bind(self, symbol: sp.Basic, val: ir.Value) -> None:
        """Gives a symbol, or a whole expression, its value from here on."""
        self.memo[symbol] = val
        if isinstance(symbol, sp.Symbol):
            self.bound.add(symbol)

    # --- statements ------------------------------------------------------------------------------------------

    def name(self, wish: str, val: ir.Value) -> ir.Name:
        """Assigns a value to a name of its own."""
        name = ir.Name(self.names.fresh(wish), val.axes)
        self.lines.current.append(ir.Let(name, val))
        return name

    def named(self, wish: str, val: ir.Value) -> ir.Name:
        """A value by its name, which it gets if it has none."""
        return val if isinstance(val, ir.Name) else self.name(wish, val)

    def fill(self, name: ir.Name, mask: ir.Value, other: ir.Value) -> None:
        """Puts another value where the mask leaves lanes out, in a tile that has masks."""
        self.lines.current.append(ir.If(MASKED, (ir.Let(name, self.where(mask, name, other)),)))

    def spread(self, val: ir.Value, axes: ir.Axes) -> ir.Value:
        """A value that broadcasts over a tile of `axes`."""
        return val if not val.axes or val.axes == axes else self.forms.spread(self, val, axes)

    def union(self, *values: ir.Value) -> tuple[Index, ...]:
        present = {a for v in values for a in v.axes}
        return tuple(a for a in self.roles.tiles if a in present)

    def apply(self, build: Callable[..., ir.Value], *values: ir.Value) -> ir.Value:
        axes = self.union(*values)
        return build(*(self.spread(v, axes) for v in values))

    def join(self, op: ir.BinaryOp, values: Sequence[ir.Value]) -> ir.Value:
        """The values joined from the left."""
        return self.apply(partial(chain, op), *values)

    def where(self, cond: ir.Value, then: ir.Value, other: ir.Value) -> ir.Value:
        return self.apply(ir.Select, cond, then, other)

    # --- what an expression varies with, before it is written --------------------------------------------------

    def axes(self, expr: sp.Basic) -> frozenset[Index]:
        """The tile axes of an expression."""
        known = self.lookup(expr)
        if known is not None:
            return frozenset(self.union(known))
        if isinstance(expr, Index):
            return frozenset({expr} & set(self.roles.tiles))
        if expr == self.roles.packed:
            return frozenset()
        if isinstance(expr, Fold):
            return self.axes(expr.body) - {expr.axis}
        parts = expr.indices if isinstance(expr, Read) else expr.args
        return frozenset(a for part in parts for a in self.axes(part))

    def lookup(self, expr: sp.Basic) -> ir.Value | None:
        if expr in self.late:
            # Written where it is first wanted, if anywhere.
            self.memo[expr] = self.late.pop(expr)()
        if expr in self.memo:
            return self.memo[expr]
        return self.outer.lookup(expr) if self.outer is not None else None

    # --- values of expressions ---------------------------------------------------------------------------------

    def value(self, expr: sp.Basic) -> ir.Value:
        """An expression as a float32 value."""
        known = self.lookup(expr)
        if known is not None:
            return known
        if expr in (sp.oo, -sp.oo, sp.nan):
            return ir.Number(float(expr))
        if expr.is_number:
            return ir.Number(float(expr))
        if is_host(expr):
            return self.host.scalar(expr)
        if self.outer is not None and not self.varies(expr):
            return self.outer.hoisted(expr)
        return self.forms.real(self, expr)

    def hoisted(self, expr: sp.Basic) -> ir.Value:
        """A value for an inner scope: named here, so that it can be computed once."""
        val = self.value(expr)
        if self.lookup(expr) is None and not isinstance(val, ir.Name) and not expr.is_number:
            val = self.name("still", val)
            self.memo[expr] = val
        return val

    def integer(self, expr: sp.Basic) -> ir.Value:
        """An expression of indices, sizes and integer data as an integer value."""
        return self.whole[expr] if expr in self.whole else self.forms.whole(self, expr)

    def condition(self, cond: sp.Basic) -> ir.Value:
        """A predicate as a boolean value."""
        return self.forms.condition(self, cond)

    def dot(
        self, factors: list[sp.Expr], axis: Index, into: ir.Value | None = None, masked: ir.Value | None = None
    ) -> ir.Value | None:
        """The product of two tiles that share an axis, where the factors are that."""
        return self.forms.dot(self, factors, axis, into, masked)

    def finite(self, expr: sp.Basic, axis: Index) -> bool:
        """Whether an expression is finite beyond the end of an axis, where data is loaded as 0."""
        return finite(expr, axis, self.data.wild)

    def stride(self, tensor: str, axis: Any) -> ir.Name:
        return scalar(self.strides[tensor, axis])
