"""Expressions of a plan at a position, over the same data as the terms of its kernels, in one case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp
from sympy.core.relational import Relational

from refold.schedule import integers
from refold.schedule.conditions import compare_integers, nonnegative
from refold.schedule.terms import Term
from refold.spec import Fold, Index, Param, Read, Size, Where
from refold.spec.heads import is_integral
from refold.verify.kernel.case import Case
from refold.verify.kernel.cases import Excluded
from refold.verify.kernel.forms import Data
from refold.verify.kernel.places import At, Places
from refold.verify.kernel.reading import Reading, element
from refold.verify.kernel.scalars import Scalars
from refold.verify.kernel.small import LANES


@dataclass(slots=True)
class Definition:
    """What a plan says of positions. In the tile of a loop that needs no mask those `masks` are taken to hold there.

    That they do is an index obligation. `points`: whether every index is taken to be on its axis. Elsewhere what is
    read off an axis is no number, and a sum with it is none, which no state says.
    """

    places: Places
    case: Case
    data: Data
    scalars: Scalars
    kernel: Reading
    masks: frozenset[Any] = frozenset()
    points: bool = False
    known: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def value(self, expr: Any, where: At) -> Any:
        """An expression of the plan at a position."""
        key = (expr, *where.items())
        if key not in self.known:
            self.known[key] = self._value(expr, where)
        return self.known[key]

    def _value(self, expr: Any, where: At) -> Any:
        scalar = self.scalars.of_launcher(expr)
        if scalar is not None:
            return scalar
        match expr:
            case Read():
                return self._read(expr, where)
            case Index():
                return self.kernel.number(where[expr])
            case Fold():
                parts = [self.value(expr.body, {**where, expr.axis: integers.whole(n)}) for n in range(LANES)]
                return self.data.folded(expr.kind, parts)
            case Where() if of_positions(expr.args[0]):
                return self.value(expr.args[1 if self.holds(expr.args[0], where) else 2], where)
            case Relational() if of_positions(expr):
                return sp.true if self.holds(expr, where) else sp.false
            case Relational():
                return self.data.relation(expr.func, *(self.value(a, where) for a in expr.args))
            case sp.Mul():
                scalar, factors = self.scalars.split(expr)
                return self.data.product(scalar, *(self.value(f, where) for f in factors))
            case Param() if expr.is_integer:
                return self.kernel.number(self.places.integer(expr, where))
            case Param():
                return self.scalars.symbol(expr.name)
            case sp.floor() | sp.Mod() | sp.Max() | sp.Min() if is_integral(expr):
                return self.kernel.number(self.places.integer(expr, where))
            case Size() if expr in self.scalars.lengths.values():
                return self.kernel.number(self.places.integer(expr, where))
        return self.data.built(expr.func, *(self.value(a, where) for a in expr.args)) if expr.args else expr

    def _read(self, read: Read, where: At) -> Any:
        """What memory holds at a place; no value where an index is off its axis, as a pipeline has it."""
        if all(map(self.case.holds, self._inside(read, where))):
            return self.kernel.value(self.places.read(read, where))
        if self.points:
            raise Excluded
        return sp.nan

    def selected(self, read: Read, positions: Sequence[Any], where: At) -> Any:
        """What memory holds at a place that a state says; no value off an axis."""
        keys = (*read.tensor.axes, "lead0", "lead1")
        places = (*positions, *(self.kernel.number(self.places.leading(k)) for k in keys[-2:]))
        strides = (self.kernel.number(self.places.stride(read.name, k)) for k in keys)
        offset = sp.Add(*(place * stride for place, stride in zip(places, strides, strict=True)))
        value = self.data.built(element(f"{read.name}_ptr"), offset)
        for axis, index, position in zip(read.tensor.axes, read.indices, positions, strict=True):
            if not isinstance(index, Index):
                last = self.kernel.number(self.places.integer(axis.size, where)) - 1
                ends = (self.data.relation(sp.Ge, x, sp.S.Zero) for x in (position, last - position))
                value = self.data.choice(sp.And(*ends), value, sp.nan)
        return value

    def _inside(self, read: Read, where: At) -> Iterator[Term]:
        """That every index that is computed is on its axis, those of the data that gives one first."""
        for axis, index in zip(read.tensor.axes, read.indices, strict=True):
            for inner in sp.ordered(index.atoms(Read)):
                yield from self._inside(inner, where)
            if not isinstance(index, Index):
                at, size = self.places.integer(index, where), self.places.integer(axis.size, where)
                always = index.has(Read) and not self.points
                inside = (nonnegative(at), compare_integers("<", at, size))
                yield from (c for c in inside if always or self.case.asks(c))

    def holds(self, condition: Any, where: At) -> bool:
        """A predicate of positions and integer data."""
        if condition in self.masks:
            sides = [self.places.comparison(r, where) for r in condition.atoms(Relational)]
            if all(map(self.case.asks, sides)) and not self._holds(condition, where):
                raise Excluded
            return True
        return self._holds(condition, where)

    def _holds(self, condition: Any, where: At) -> bool:
        if isinstance(condition, sp.And):
            return all(self.holds(c, where) for c in condition.args)
        if isinstance(condition, sp.Or) and any(self.holds(c, where) for c in condition.args if c in self.masks):
            return True
        return self.case.holds(self.places.condition(condition, where))


def of_positions(predicate: Any) -> bool:
    """Whether a predicate is one of integers."""
    return all(is_integral(r.lhs) and is_integral(r.rhs) for r in predicate.atoms(Relational))
