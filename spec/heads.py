"""The SymPy heads a pipeline is made of: symbols for axes, sizes and scalars, and Read, Fold, Where."""

from __future__ import annotations

import itertools
from typing import Any

import sympy as sp
from sympy.core.symbol import Str


class Index(sp.Symbol):
    """The running index of an axis, a nonnegative integer."""

    def __new__(cls, name: str) -> Index:
        return sp.Symbol.__new__(cls, name, integer=True, nonnegative=True)

    @property
    def size(self) -> Size:
        """The number of positions of the axis."""
        return Size(self.name)


class Size(sp.Symbol):
    """The length of the axis of the same name, a positive integer unless a fold over it says what empty means."""

    def __new__(cls, name: str) -> Size:
        return sp.Symbol.__new__(cls, name, integer=True, positive=True)

    def _sympystr(self, printer: Any) -> str:
        return f"|{self.name}|"

    def _latex(self, printer: Any) -> str:
        return rf"\lvert {self.name} \rvert"


class Param(sp.Symbol):
    """A scalar argument of the pipeline."""


class TensorName(sp.Atom):
    """A tensor as declared: its name, one axis a dimension, its dtype; `ref` where it names another output.

    `order` counts declarations, so that a kernel takes its tensors in the order in which the user wrote them down;
    it is no part of what the tensor is.
    """

    __slots__ = ("axes", "dtype", "name", "order", "ref")
    declared = itertools.count()

    def __new__(cls, name: str, axes: tuple[Index, ...], dtype: str, ref: bool = False) -> TensorName:
        self = sp.Atom.__new__(cls)
        self.name, self.axes, self.dtype, self.ref = name, axes, dtype, ref
        self.order = next(TensorName.declared)
        return self

    @property
    def is_integer(self) -> bool:
        return self.dtype.startswith("int")

    def _hashable_content(self) -> tuple[Any, ...]:
        # Strings only, since SymPy puts the arguments of a sum in order by comparing these.
        return (self.name, ",".join(a.name for a in self.axes), self.dtype, self.ref)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.name, self.axes, self.dtype, self.ref)

    def _sympystr(self, printer: Any) -> str:
        return self.name

    def _latex(self, printer: Any) -> str:
        return self.name


class Read(sp.Expr):
    """`Read(name, i, j)`: one element of a tensor."""

    is_commutative = True

    def __new__(cls, name: TensorName, *indices: sp.Expr) -> Read:
        return sp.Expr.__new__(cls, name, *indices)

    @property
    def tensor(self) -> TensorName:
        return self.args[0]

    @property
    def name(self) -> str:
        return self.tensor.name

    @property
    def indices(self) -> tuple[sp.Expr, ...]:
        return self.args[1:]

    @property
    def free_symbols(self) -> set[sp.Basic]:
        return {s for index in self.indices for s in index.free_symbols}

    def _eval_is_extended_real(self) -> bool:
        return True

    def _eval_is_finite(self) -> bool:
        return True

    def _eval_is_integer(self) -> bool | None:
        return True if self.tensor.is_integer else None

    def _sympystr(self, printer: Any) -> str:
        return f"{self.name}[{','.join(printer.doprint(i) for i in self.indices)}]"

    def _latex(self, printer: Any) -> str:
        return f"{self.name}_{{{','.join(printer.doprint(i) for i in self.indices)}}}"


REDUCERS = ("sum", "max", "min", "prod", "any", "all", "count", "argmax")
# The unit of every reducer: the value of a fold over nothing.
UNITS: dict[str, sp.Expr] = {
    "sum": sp.S.Zero, "count": sp.S.Zero, "any": sp.S.Zero, "all": sp.S.One, "prod": sp.S.One,
    "max": -sp.oo, "min": sp.oo, "argmax": sp.S.NegativeOne,
}  # fmt: skip
_FOLD_SIGN = {"sum": "Σ", "prod": "Π"}
_FOLD_LATEX = {"sum": r"\sum", "prod": r"\prod"}


class Fold(sp.Expr):
    """`Fold(kind, body, j)`: the commutative reduction of `body` over every position of axis `j`.

    `any`, `all` and `count` fold a 0/1 body; `argmax` yields the lowest index at which the body is largest.
    An empty fold yields the unit of its reducer: 0, 1, -oo, +oo, 0 (any), 1 (all), 0 (count), -1 (argmax).
    """

    is_commutative = True
    precedence = 45  # between a sum and a product: (Σ_j x)/n and Σ_j x/n are two things

    def __new__(cls, kind: str | Str, body: sp.Expr, axis: Index) -> Fold:
        return sp.Expr.__new__(cls, kind if isinstance(kind, Str) else Str(kind), body, axis)

    @property
    def kind(self) -> str:
        return str(self.args[0].name)

    @property
    def body(self) -> sp.Expr:
        return self.args[1]

    @property
    def axis(self) -> Index:
        return self.args[2]

    @property
    def free_symbols(self) -> set[sp.Basic]:
        return self.body.free_symbols - {self.axis}

    @property
    def bound_symbols(self) -> list[sp.Basic]:
        return [self.axis]

    def _eval_is_extended_real(self) -> bool:
        return True

    def _eval_is_integer(self) -> bool | None:
        return True if self.kind in ("any", "all", "count", "argmax") else None

    def _eval_is_nonnegative(self) -> bool | None:
        return True if self.kind in ("any", "all", "count") else None

    def _sympystr(self, printer: Any) -> str:
        body = printer.doprint(self.body)
        if isinstance(self.body, sp.Add) or body.startswith("-"):
            body = f"({body})"
        return f"{_FOLD_SIGN.get(self.kind, self.kind)}_{self.axis.name} {body}"

    def _latex(self, printer: Any) -> str:
        sign = _FOLD_LATEX.get(self.kind, rf"\operatorname{{{self.kind}}}")
        return rf"{sign}_{{{self.axis.name}}} {{{printer.parenthesize(self.body, 50)}}}"


class Where(sp.Expr):
    """`Where(p, a, b)`: `a` where the predicate over indices holds, `b` elsewhere."""

    is_commutative = True

    def __new__(cls, cond: sp.Basic, then: Any, other: Any) -> sp.Expr:
        if cond is sp.true:
            return sp.sympify(then)
        if cond is sp.false:
            return sp.sympify(other)
        return sp.Expr.__new__(cls, cond, sp.sympify(then), sp.sympify(other))

    def _eval_is_extended_real(self) -> bool:
        return True

    def _eval_is_integer(self) -> bool | None:
        return True if self.args[1].is_integer and self.args[2].is_integer else None

    def _eval_is_nonnegative(self) -> bool | None:
        return True if self.args[1].is_nonnegative and self.args[2].is_nonnegative else None

    def _sympystr(self, printer: Any) -> str:
        cond, then, other = (printer.doprint(a) for a in self.args)
        return f"({then} where {cond}, else {other})"

    def _latex(self, printer: Any) -> str:
        cond, then, other = (printer.doprint(a) for a in self.args)
        return rf"\begin{{cases}}{then} & {cond}\\{other} & \text{{else}}\end{{cases}}"


class sigmoid(sp.Function):
    """`1 / (1 + exp(-x))`, in (0, 1)."""

    nargs = 1

    def _eval_is_extended_real(self) -> bool:
        return True

    def _eval_is_positive(self) -> bool:
        return True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return self * (1 - self)


def is_integral(expr: sp.Basic) -> bool:
    """Whether an expression is an integer wherever it is defined; SymPy asks of `floor(a / b)` that b be not 0."""
    if isinstance(expr, sp.Add | sp.Mul | sp.Max | sp.Min | sp.Mod):
        return all(is_integral(arg) for arg in expr.args)
    return isinstance(expr, sp.floor) or bool(expr.is_integer)


def contains(expr: sp.Basic, axis: sp.Basic) -> bool:
    """Whether `axis` occurs free in `expr`."""
    return axis in expr.free_symbols
