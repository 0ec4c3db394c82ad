"""Values that are computed element by element, and numbers as a tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from refold.schedule.ir.leaves import Axes, Dtype

if TYPE_CHECKING:
    from refold.schedule.ir import Value

UnaryOp: TypeAlias = Literal[
    "-", "~", "not", "exp2", "log", "sin", "cos", "erf", "abs", "sqrt", "floor", "exp", "log2", "rsqrt", "ceil"
]
BinaryOp: TypeAlias = Literal[
    "+", "-", "*", "/", "//", "%", "&", "|", "^", "==", "!=", "<", "<=", ">", ">=", "minimum", "maximum", "cdiv",
    "smaller", "larger",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lanes:
    """0, 1, ..., block - 1."""

    block: Value
    axes: Axes
    layout: Value | None = None


@dataclass(frozen=True, slots=True)
class Full:
    """A tile of one number."""

    shape: tuple[Value, ...]
    value: Value
    dtype: Dtype
    axes: Axes
    layout: Value | None = None


@dataclass(frozen=True, slots=True)
class Unary:
    op: UnaryOp
    x: Value

    @property
    def axes(self) -> Axes:
        return self.x.axes


@dataclass(frozen=True, slots=True)
class Binary:
    """`cdiv` is a quotient of integers that are not negative, rounded up; a pointer plus an integer is a pointer.

    `minimum` and `maximum` give the number where the other side is NaN, `smaller` and `larger` give NaN.
    """

    op: BinaryOp
    a: Value
    b: Value

    @property
    def axes(self) -> Axes:
        return self.a.axes or self.b.axes


@dataclass(frozen=True, slots=True)
class Select:
    """`then` in the lanes where the condition holds, `other` in the rest."""

    condition: Value
    then: Value
    other: Value

    @property
    def axes(self) -> Axes:
        return self.condition.axes or self.then.axes or self.other.axes


@dataclass(frozen=True, slots=True)
class Choice:
    """One of two values, by a constant of the compilation or a number of the program."""

    flag: Value
    then: Value
    other: Value

    @property
    def axes(self) -> Axes:
        return self.other.axes


@dataclass(frozen=True, slots=True)
class Cast:
    """The same number in another dtype; `literal` where it may be one that Python knows, as a size is."""

    x: Value
    dtype: Dtype
    literal: bool = False

    @property
    def axes(self) -> Axes:
        return self.x.axes
