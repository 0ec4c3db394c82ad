"""Where elements of tensors are, and integers of a plan at a position, as the terms that its kernels compute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import sympy as sp
from sympy.core.relational import Relational

from refold.schedule import integers
from refold.schedule.conditions import both, compare_integers, either, negate, truth
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.words import GROUP
from refold.schedule.terms import Term, make, symbol
from refold.schedule.wholes import whole
from refold.spec import Index, Read, Size
from refold.spec.heads import TensorName
from refold.verify.kernel.cases import Unread
from refold.verify.kernel.small import LANES, Small

# The position of every axis.
At: TypeAlias = Mapping[Index, Term]
# The group of the rows of a program, in the place of `floor(row / rows of a group)`.
_SHARED = sp.Dummy("group", integer=True, nonnegative=True)


@dataclass(frozen=True, slots=True)
class Places:
    """The places of one kernel, which are the same in every case."""

    made: Kernels
    small: Small
    known: dict[tuple[Any, ...], Term] = field(default_factory=dict)

    def offset(self, tensor: str, axes: Iterable[Index], at: Iterable[Term]) -> Term:
        """How far an element is from the first one of its tensor; leading dimensions are those of the program."""
        keys = (*axes, "lead0", "lead1")
        positions = (*at, *map(self.leading, ("lead0", "lead1")))
        strides = (self.stride(tensor, key) for key in keys)
        return integers.add(*(integers.multiply(i, s) for i, s in zip(positions, strides, strict=True)))

    def leading(self, key: str) -> Term:
        """The position of the program along a leading dimension."""
        return self.small.lanes(key)[0]

    def stride(self, tensor: str, key: Any) -> Term:
        return symbol(self.made.strides[tensor, key], "int")

    def element(self, tensor: TensorName, at: Iterable[Term]) -> Term:
        """What memory holds at a place of a tensor before the kernel has written anything."""
        kind = "int32" if tensor.is_integer else "fp32"
        offset = self.offset(tensor.name, tensor.axes, at)
        return make("read", "int" if tensor.is_integer else "fp32", (offset,), (f"{tensor.name}_ptr", 0, kind))

    def read(self, read: Read, where: At) -> Term:
        """The same for a read of the plan."""
        return self.element(read.tensor, [self.integer(i, where) for i in read.indices])

    def integer(self, expr: Any, where: At) -> Term:
        """An integer expression of positions, sizes and integer data, as the kernel computes it."""
        key = (expr, *where.items())
        if key not in self.known:
            packed = self.made.roles.packed
            shared = expr.xreplace({packed: _SHARED}) if packed is not None else expr
            self.known[key] = whole(shared, lambda x: self._leaf(x, where))
        return self.known[key]

    def _leaf(self, expr: Any, where: At) -> Term:
        """A position, a length, or a whole number in memory."""
        match expr:
            case Index():
                return where[expr]
            case Size():
                axis = Index(expr.name)
                return integers.whole(LANES) if axis in self.made.roles.inner else symbol(f"size_{expr.name}", "int")
            case _ if expr == _SHARED:
                # (g n + r) // n = g for 0 <= r < n: the rows of a program are r of those that share its group g.
                return self.small.lanes(GROUP.text)[0]
            case Read():
                return self.read(expr, where)
        raise Unread(f"the integer {expr}")

    def condition(self, condition: Any, where: At) -> Term:
        """A predicate of positions and integer data, as the kernel asks it."""
        match condition:
            case sp.And():
                return both(*(self.condition(c, where) for c in condition.args))
            case sp.Or():
                return either(*(self.condition(c, where) for c in condition.args))
            case sp.Not():
                return negate(self.condition(condition.args[0], where))
            case Relational():
                return self.comparison(condition, where)
        return truth(bool(condition))

    def comparison(self, relation: Relational, where: At) -> Term:
        """A relation of integers at a position, as the kernel asks it."""
        key = (relation, *where.items())
        if key not in self.known:
            sides = (self.integer(relation.lhs, where), self.integer(relation.rhs, where))
            self.known[key] = compare_integers(relation.rel_op, *sides)
        return self.known[key]
