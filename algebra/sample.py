"""A part of the fold axis with numbers for all data, and the exact values of expressions there."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from refold.algebra.interval import middle
from refold.spec import Fold, Index, Param, Read, Size, Spec, TensorName, Where
from refold.spec.heads import UNITS


def room(count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where the elements of a part are, and where others may be added: after, before and between them."""
    between = [3 * n + 2 for n in range(count)]
    ends = [between.pop(-1 if n % 2 == 0 else 0) for n in range(count)]
    return tuple(3 * n + 1 for n in range(count)), (*ends, 0)


class NoValue(Exception):
    """An expression is no real number there, or is not known to be one."""


def rank(tensor: TensorName) -> tuple[int, str]:
    """Which of several tensors comes first: the one of most axes, then by name."""
    return -len(tensor.axes), str(tensor.name)


def leading(spec: Spec, axis: Index) -> TensorName | None:
    """The tensor whose values along an axis a sample is given."""
    return min((t for t in spec.tensors if axis in t.axes and not t.is_integer), key=rank, default=None)


@contextmanager
def ordered() -> Iterator[None]:
    """Raises `NoValue` where SymPy cannot order the two sides of a maximum, as 1 and tanh(163) at its precision."""
    try:
        yield
    except ValueError as error:
        if "not comparable" not in str(error):
            raise
        raise NoValue from error


@dataclass(frozen=True, slots=True)
class Sample:
    """A part of the axis: `positions`, and by `values` what the first tensor that varies along it is at each.

    `elements` of them are those of the part that others are added to. Of all other axes that are folded there is one
    position.

    What other tensors hold follows from the place that is read and from `seed`, so that one place has one value.
    """

    spec: Spec
    axis: Index
    positions: tuple[int, ...]
    values: tuple[sp.Expr, ...]
    constants: dict[sp.Basic, sp.Expr]
    seed: int
    elements: int

    @classmethod
    def of(cls, spec: Spec, axis: Index, values: tuple[sp.Expr, ...], seed: int, *, far: bool) -> Sample:
        """The first positions, with these values; `far` puts the other axes at their last position, else the first."""
        rng, length = random.Random(seed), 3 * len(values) + 2
        constants: dict[sp.Basic, sp.Expr] = {axis.size: sp.Integer(length)}
        folded = {n.axis for o in spec.outputs for n in sp.preorder_traversal(o.expr) if isinstance(n, Fold)}
        for other in spec.axes:
            if other != axis:
                constants[other.size] = sp.S.One if other in folded else sp.Integer(length)
                constants[other] = sp.S.Zero if other in folded or not far else sp.Integer(length - 1)
        for param in spec.params:
            whole = rng.choice((1, 2, 3)) if far else rng.choice((5, 7))
            constants[param] = sp.Integer(whole) if param.is_integer else sp.Rational(2 * whole + 1, 4)
        return cls(spec, axis, room(len(values))[0], values, constants, seed, len(values))

    def with_added(self, values: tuple[sp.Expr, ...], gap: int) -> Sample:
        """The same part with further elements, from a gap on."""
        gaps = room(self.elements)[1]
        more = tuple(gaps[(gap + n) % len(gaps)] for n in range(len(values)))
        return replace(self, positions=self.positions + more, values=self.values + values)

    def value(self, expr: sp.Basic, position: int | None = None) -> Any:
        """The exact value of an expression, at a position of the axis where it varies with it."""
        at = self.constants if position is None else self.constants | {self.axis: sp.Integer(position)}
        with ordered():
            return self.number(self._value(expr, at))

    def number(self, expr: sp.Expr) -> sp.Expr:
        """A finite real number as it is; raises `NoValue` for anything else."""
        if expr.is_Rational or middle(expr) is not None:
            return expr
        near = expr.evalf(30)
        if not (near.is_Float or near.is_Rational):
            raise NoValue
        return expr

    def leaves(self, expr: sp.Basic) -> set[sp.Basic]:
        """The scalars, lengths, indices and data of an expression."""
        if isinstance(expr, Read | Fold | Param | Size | Index):
            return {expr}
        return {leaf for arg in expr.args for leaf in self.leaves(arg)}

    def _value(self, expr: sp.Basic, at: dict[sp.Basic, sp.Expr]) -> Any:
        if expr in at:
            return at[expr]
        match expr:
            case Fold():
                return self._fold(expr, at)
            case Read():
                return self._read(expr.tensor, tuple(self._value(i, at) for i in expr.indices))
            case Where():
                holds = self._value(expr.args[0], at)
                if holds not in (sp.true, sp.false):
                    raise NoValue
                return self._value(expr.args[1 if holds == sp.true else 2], at)
        if not expr.args:
            return expr
        args = [self._value(a, at) for a in expr.args]
        if any(a in (sp.nan, sp.zoo) for a in args):
            raise NoValue
        return expr.func(*args)

    def _fold(self, fold: Fold, at: dict[sp.Basic, sp.Expr]) -> Any:
        if fold.axis == self.axis:
            positions: tuple[int, ...] = self.positions
        else:
            positions = tuple(range(int(self.constants[fold.axis.size])))
        bodies = [self._value(fold.body, at | {fold.axis: sp.Integer(p)}) for p in positions]
        match fold.kind:
            case "sum" | "count":
                return sp.Add(*bodies)
            case "prod":
                return sp.Mul(*bodies)
            case "max" | "any":
                return sp.Max(UNITS[fold.kind], *bodies)
            case "min" | "all":
                return sp.Min(UNITS[fold.kind], *bodies)
        largest = sp.Max(*bodies)
        return next(sp.Integer(p) for p, body in zip(positions, bodies, strict=True) if body == largest)

    def _read(self, tensor: TensorName, place: tuple[sp.Expr, ...]) -> sp.Expr:
        numbers = [int(n) for n in place if n.is_Integer]
        lengths = [int(self.constants[a.size]) for a in tensor.axes]
        if len(numbers) < len(place) or not all(0 <= n < length for n, length in zip(numbers, lengths, strict=True)):
            raise NoValue
        position = numbers[tensor.axes.index(self.axis)] if self.axis in tensor.axes else None
        beside = dict(zip(self.positions, self.values, strict=True)).get(position) if position is not None else None
        value = self._number(tensor, numbers, position, beside)
        if (tensor.sign and value < 0) or (tensor.sign == "positive" and value == 0):
            raise NoValue
        return value

    def _number(self, tensor: TensorName, numbers: list[int], position: int | None, beside: sp.Expr | None) -> sp.Expr:
        if beside is not None and self._leads(tensor, numbers):
            return beside
        rng = random.Random(f"{self.seed} {tensor.name} {numbers}")
        if tensor.is_integer:
            return sp.Integer(rng.randint(0, 3))
        own = self.positions[: self.elements]
        if beside is not None and position not in own:
            # Where an element is added, the other tensors differ with it, so that their folds do.
            return beside + sp.Rational(1 + sorted(self.spec.tensors, key=rank).index(tensor), 2)
        size = rng.randint(1, 9)
        if position in own and beside is not None:
            # Along the axis no two are equal: equal columns have no determinant.
            others = [n for n, axis in zip(numbers, tensor.axes, strict=True) if axis != self.axis]
            sizes = random.Random(f"{self.seed} {tensor.name} {others}").sample(
                range(1, max(10, 2 * len(own))), len(own)
            )
            size = sizes[own.index(position)]
        return sp.Rational(size * rng.choice((1, 1 if tensor.sign else -1)), 2)

    def _leads(self, tensor: TensorName, numbers: list[int]) -> bool:
        """Whether a place is one of the first tensor that varies along the axis, at the other axes' positions."""
        first = leading(self.spec, self.axis)
        at = zip(tensor.axes, numbers, strict=True)
        return tensor == first and all(a == self.axis or self.constants[a] == n for a, n in at)
