"""The SymPy heads a pipeline is made of: symbols for axes, sizes and scalars, and Read, Fold, Where."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import sympy as sp
from sympy.core.symbol import Str

# So many declared tensors are kept in order.
MOST = 10_000


class Symbol(sp.Symbol):
    """A symbol of a class that sets the assumptions itself; it keeps both where it is pickled or copied.

    `compared` says that a condition may be about its value: that of a state or an element of a claimed form.
    """

    compared = False

    def __reduce__(self) -> tuple[Any, ...]:
        return _symbol, (type(self), self.name, self._assumptions_orig)


def _symbol(kind: type[Symbol], name: str, assumptions: dict[str, bool]) -> Symbol:
    return sp.Symbol.__new__(kind, name, **assumptions)


class Index(Symbol):
    """The running index of an axis, a nonnegative integer."""

    def __new__(cls, name: str) -> Index:
        return sp.Symbol.__new__(cls, name, integer=True, nonnegative=True)

    @property
    def size(self) -> Size:
        """The number of positions of the axis."""
        return Size(self.name)


class Size(Symbol):
    """The length of the axis of the same name, which may be 0: positive only where the axis has an element."""

    def __new__(cls, name: str) -> Size:
        return sp.Symbol.__new__(cls, name, integer=True, nonnegative=True)

    def _sympystr(self, printer: Any) -> str:
        return f"|{self.name}|"

    def _latex(self, printer: Any) -> str:
        return rf"\lvert {self.name} \rvert"


class Param(sp.Symbol):
    """A scalar argument of the pipeline."""


class TensorName(sp.Atom):
    """A tensor as declared: its name, one axis a dimension, its dtype; `ref` where it names another output.

    `sign` is "positive" or "nonnegative" where every element is promised to be so, else "".
    `order` counts declarations, so that a kernel takes its tensors in the order in which the user wrote them down;
    it is no part of what the tensor is. `declared` has that of the last declaration: SymPy keeps the expressions that
    it has made, and may give one of an equal tensor that was declared before.
    """

    __slots__ = ("axes", "dtype", "name", "order", "ref", "sign")
    count = itertools.count()
    declared: ClassVar[dict[TensorName, int]] = {}

    def __new__(cls, name: str, axes: tuple[Index, ...], dtype: str, ref: bool = False, sign: str = "") -> TensorName:
        self = sp.Atom.__new__(cls)
        self.name, self.axes, self.dtype, self.ref, self.sign = name, axes, dtype, ref, sign
        self.order = next(TensorName.count)
        return self

    def declare(self) -> None:
        """Says that the user has written this tensor down now; of more than MOST the first are forgotten."""
        self.declared.pop(self, None)
        self.declared[self] = self.order
        while len(self.declared) > MOST:
            del self.declared[next(iter(self.declared))]

    @property
    def place(self) -> int:
        """Its place among all that was declared."""
        latest = self.declared.get(self)
        return self.order if latest is None else latest

    @property
    def is_integer(self) -> bool:
        return self.dtype.startswith("int")

    def _hashable_content(self) -> tuple[Any, ...]:
        # Strings only, since SymPy puts the arguments of a sum in order by comparing these.
        promise = (self.sign,) if self.sign else ()
        return (self.name, ",".join(a.name for a in self.axes), self.dtype, self.ref, *promise)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.name, self.axes, self.dtype, self.ref, self.sign)

    @property
    def promise(self) -> str:
        """What is promised of every element, as mathematics; "" where nothing is."""
        return {"positive": f"{self.name} > 0", "nonnegative": f"{self.name} ≥ 0"}.get(self.sign, "")

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

    def _eval_is_extended_nonnegative(self) -> bool | None:
        return True if self.tensor.sign else None

    def _eval_is_extended_positive(self) -> bool | None:
        return True if self.tensor.sign == "positive" else None

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
# What joins values of a reducer: an argmax has no head, as it looks at keys.
HEADS: dict[str, Any] = {
    "sum": sp.Add, "count": sp.Add, "prod": sp.Mul, "max": sp.Max, "any": sp.Max, "min": sp.Min, "all": sp.Min,
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
        # Of no positions a sum is 0 and a product 1; a maximum is -oo.
        kept = self.kind in ("sum", "prod") and self.body.is_nonnegative
        return True if kept or self.kind in ("any", "all", "count") else None

    def _sympystr(self, printer: Any) -> str:
        body = printer.doprint(self.body)
        if isinstance(self.body, sp.Add) or body.startswith("-"):
            body = f"({body})"
        return f"{_FOLD_SIGN.get(self.kind, self.kind)}_{self.axis.name} {body}"

    def _latex(self, printer: Any) -> str:
        sign = _FOLD_LATEX.get(self.kind, rf"\operatorname{{{self.kind}}}")
        return rf"{sign}_{{{self.axis.name}}} {{{printer.parenthesize(self.body, 50)}}}"


def outside_folds(expr: sp.Basic) -> Iterator[sp.Basic]:
    """Every node of an expression that is in no fold, its outermost folds among them."""
    yield expr
    if not isinstance(expr, Fold):
        for arg in expr.args:
            yield from outside_folds(arg)


def outermost(expr: sp.Basic) -> list[Fold]:
    """The folds of an expression that are inside of no other."""
    return [node for node in outside_folds(expr) if isinstance(node, Fold)]


def folded(kind: str, values: Sequence[Any]) -> Any:
    """What a reducer makes of values that are written out."""
    return HEADS[kind](*values) if values else UNITS[kind]


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


class nearest(sp.Function):
    """The nearest whole number, of two the even one: IEEE 754's roundTiesToEven, Python's and torch's `round`."""

    nargs = 1

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        if x.is_integer:
            return x
        return sp.Integer(round(Fraction(x.p, x.q))) if x.is_Rational else None

    def _eval_is_extended_real(self) -> bool:
        return True

    def _eval_is_finite(self) -> bool | None:
        return self.args[0].is_finite

    def _eval_is_nonnegative(self) -> bool | None:
        return True if self.args[0].is_nonnegative else None


def is_integral(expr: sp.Basic) -> bool:
    """Whether an expression is an integer wherever it is defined; SymPy asks of `floor(a / b)` that b be not 0."""
    if isinstance(expr, sp.Add | sp.Mul | sp.Max | sp.Min | sp.Mod | sp.Abs):
        return all(is_integral(arg) for arg in expr.args)
    if isinstance(expr, Where):
        return all(is_integral(arg) for arg in expr.args[1:])
    if isinstance(expr, sp.Pow):
        return bool(expr.exp.is_Integer and expr.exp.is_positive) and is_integral(expr.base)
    if isinstance(expr, sp.floor):
        # Of integers a quotient; data rounded down are data, which may be infinite or no number.
        return all(is_integral(arg) for arg in sp.fraction(sp.together(expr.args[0])))
    return bool(expr.is_integer)


def at_an_element(expr: sp.Basic) -> Any:
    """An expression where every axis has a position: its lengths are positive there, and its signs are known so."""
    sizes = [s for s in expr.free_symbols if isinstance(s, Size)]
    return expr.xreplace({s: sp.Symbol(s.name, integer=True, positive=True) for s in sizes})
