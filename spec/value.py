"""What a user writes with: axes, tensors, scalars and the expressions made of them, over SymPy."""

from __future__ import annotations

from typing import Any, Literal, TypeGuard
from unicodedata import normalize

import sympy as sp
from sympy.core.relational import Relational

from refold.errors import FoldError, NameTaken, NoSuchFold, PredicateError, RankError, SpecError, within_depth
from refold.spec import places
from refold.spec.heads import REDUCERS, Fold, Index, Param, Read, Size, TensorName, Where, is_integral, nearest
from refold.spec.heads import sigmoid as sigmoid_head

DType = Literal["float", "float16", "bfloat16", "float32", "int32", "int64"]
DTYPES: tuple[DType, ...] = ("float", "float16", "bfloat16", "float32", "int32", "int64")


class Value:
    """A real-valued expression: `expr` is SymPy's, `order` its axes once it is indexed as an output."""

    __slots__ = ("expr", "order")

    def __init__(self, expr: sp.Expr, order: tuple[Index, ...] | None = None) -> None:
        self.expr = expr
        self.order = order

    def _sympy_(self) -> sp.Expr:
        return self.expr

    def __repr__(self) -> str:
        return _text(self.expr)

    def _repr_latex_(self) -> str:
        from refold.spec.mathematics import latex

        return f"${latex(self.expr)}$"

    def __hash__(self) -> int:
        return hash(self.expr)

    def __getitem__(self, order: Any) -> Value:
        """`value[i, e]`: the same value, with the order of its axes as an output."""
        parts = order if isinstance(order, tuple) else (order,)
        for part in parts:
            if not isinstance(part, Axis):
                raise RankError(f"an output is indexed by axes, not by {part!r}: write value[i, e]")
        return Value(self.expr, tuple(part.expr for part in parts))

    def __add__(self, other: Any) -> Value:
        return Value(self.expr + unwrap(other))

    def __radd__(self, other: Any) -> Value:
        return Value(unwrap(other) + self.expr)

    def __sub__(self, other: Any) -> Value:
        return Value(self.expr - unwrap(other))

    def __rsub__(self, other: Any) -> Value:
        return Value(unwrap(other) - self.expr)

    def __mul__(self, other: Any) -> Value:
        return Value(self.expr * unwrap(other))

    def __rmul__(self, other: Any) -> Value:
        return Value(unwrap(other) * self.expr)

    def __truediv__(self, other: Any) -> Value:
        return Value(self.expr / unwrap(other))

    def __rtruediv__(self, other: Any) -> Value:
        return Value(unwrap(other) / self.expr)

    def __pow__(self, other: Any) -> Value:
        return Value(self.expr ** unwrap(other))

    def __rpow__(self, other: Any) -> Value:
        return Value(unwrap(other) ** self.expr)

    # Python reads `-x[b]` as `-(x[b])`: it is an output like `x[b]`.
    def __neg__(self) -> Value:
        return Value(-self.expr, self.order)

    def __pos__(self) -> Value:
        return Value(self.expr, self.order)

    def __abs__(self) -> Value:
        return Value(sp.Abs(self.expr))

    def __floor__(self) -> Value:
        return Value(sp.floor(self.expr))

    def __ceil__(self) -> Value:
        return Value(-sp.floor(-self.expr))

    def __round__(self, digits: int | None = None) -> Value:
        if digits is not None:
            raise SpecError(f"round({self!r}, {digits}) rounds to digits: write round(x * 10**{digits}) / 10**{digits}")
        return Value(nearest(self.expr))

    def __floordiv__(self, other: Any) -> Value:
        return Value(sp.floor(_integer(self.expr, "//") / _integer(unwrap(other), "//")))

    def __rfloordiv__(self, other: Any) -> Value:
        return Value(unwrap(other)) // self

    def __rmod__(self, other: Any) -> Value:
        return Value(unwrap(other)) % self

    def __mod__(self, other: Any) -> Value:
        return Value(sp.Mod(_integer(self.expr, "%"), _integer(unwrap(other), "%")))

    def __le__(self, other: Any) -> Predicate:
        return _compare(sp.Le, self, other)

    def __lt__(self, other: Any) -> Predicate:
        return _compare(sp.Lt, self, other)

    def __ge__(self, other: Any) -> Predicate:
        return _compare(sp.Ge, self, other)

    def __gt__(self, other: Any) -> Predicate:
        return _compare(sp.Gt, self, other)

    def __eq__(self, other: Any) -> Predicate:  # type: ignore[override]
        return _compare(sp.Eq, self, other)

    def __ne__(self, other: Any) -> Predicate:  # type: ignore[override]
        return _compare(sp.Ne, self, other)

    def __bool__(self) -> bool:
        raise PredicateError("a value is not known while the pipeline is written: use where(condition, a, b)")

    def __iter__(self) -> Any:
        raise SpecError("a value cannot be iterated: index a tensor with axes, as in q[i, d]")


class Axis(Value):
    """A named axis. `j.size` is its length; `j` itself is the position along it."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        super().__init__(Index(name))

    @property
    def name(self) -> str:
        return str(self.expr.name)

    @property
    def size(self) -> Value:
        return Value(Size(self.name))


class Predicate:
    """A condition over indices, sizes, integer scalars and integer tensors; combine with `&`, `|`, `~`."""

    __slots__ = ("cond",)

    def __init__(self, cond: sp.Basic) -> None:
        self.cond = cond

    def __and__(self, other: Any) -> Predicate:
        return Predicate(sp.And(self.cond, predicate(other)))

    def __or__(self, other: Any) -> Predicate:
        return Predicate(sp.Or(self.cond, predicate(other)))

    def __invert__(self) -> Predicate:
        return Predicate(sp.Not(self.cond))

    __rand__, __ror__ = __and__, __or__

    def __repr__(self) -> str:
        return _text(self.cond)

    def __bool__(self) -> bool:
        raise PredicateError(
            f"the condition {self!r} has no truth value while the pipeline is written: "
            "combine conditions with &, | and ~, and select with where(condition, a, b)"
        )


class Tensor:
    """`Tensor("q", i, d)`: an argument of the pipeline, one axis a dimension.

    `dtype` is one of "float" (float16, bfloat16 or float32, as the caller has it), a floating type by name, or
    "int32"/"int64" for tensors of indices. Read it as `q[i, d]`; an index may be any integer expression
    (`k[h // group, j, d]`) and an integer tensor (`x[i, target[i]]`, a gather). `positive` and `nonnegative` are
    promises about every element, on which the derivation and the proof build.
    """

    __slots__ = ("symbol",)

    def __init__(
        self, name: str, *axes: Axis, dtype: DType = "float", nonnegative: bool = False, positive: bool = False
    ) -> None:
        name = named(name, "tensor")
        for axis in axes:
            if not isinstance(axis, Axis):
                raise RankError(f"tensor {name}: its dimensions are axes, not {axis!r}: write Tensor({name!r}, i, j)")
        names = [axis.name for axis in axes]
        for axis_name in names:
            if names.count(axis_name) > 1:
                raise NameTaken(f"tensor {name} has axis {axis_name} twice: give each dimension an axis of its own")
        if dtype not in DTYPES:
            raise SpecError(f"tensor {name} has unknown dtype {dtype!r}: use one of {', '.join(DTYPES)}")
        sign = "positive" if positive else "nonnegative" if nonnegative else ""
        self.symbol = TensorName(name, tuple(axis.expr for axis in axes), dtype, isinstance(self, Ref), sign)
        self.symbol.declare()

    @property
    def name(self) -> str:
        return self.symbol.name

    @property
    def axes(self) -> tuple[Index, ...]:
        return self.symbol.axes

    def __getitem__(self, indices: Any) -> Value:
        parts = indices if isinstance(indices, tuple) else (indices,)
        if len(parts) != len(self.axes):
            shape = ", ".join(a.name for a in self.axes)
            read = f"{len(parts)} {'index' if len(parts) == 1 else 'indices'}"
            raise RankError(f"{self.name}[{shape}] is read with {read}: write {self!r}, one index a dimension")
        exprs = tuple(unwrap(part) for part in parts)
        for expr in exprs:
            if not is_integral(expr):
                raise RankError(
                    f"{self!r} is read at {_text(expr)}, which is no integer: index it with axes or integer tensors"
                )
        return Value(Read(self.symbol, *exprs))

    def __repr__(self) -> str:
        return f"{self.name}[{', '.join(a.name for a in self.axes)}]"

    def _bare(self, *_: Any) -> Any:
        raise RankError(f"tensor {self.name} is used without indices: write {self!r}")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _bare
    __pow__ = __rpow__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __matmul__ = __rmatmul__ = _bare
    __neg__ = __abs__ = __lt__ = __le__ = __gt__ = __ge__ = __iter__ = __bool__ = _bare


class Ref(Tensor):
    """`Ref("m", i)[i]`: a read of another output of the same pipeline, by its name."""

    __slots__ = ()


def axes(names: str) -> tuple[Axis, ...]:
    """`i, j = axes("i j")`: named axes, separated by spaces or commas."""
    parts = [named(name, "axis") for name in names.replace(",", " ").split()]
    for name in parts:
        if parts.count(name) > 1:
            raise NameTaken(f'axes("{names}") names {name} twice: name each axis once')
    return tuple(Axis(name) for name in parts)


def Scalar(name: str, *, integer: bool = False, positive: bool = False) -> Value:
    """A scalar argument: real by default; `positive` and `integer` are promises that the launcher checks."""
    name = named(name, "scalar")
    return Value(Param(name, real=True, integer=integer or None, positive=positive or None))


def unwrap(value: Any) -> sp.Expr:
    """The SymPy expression of a value, a number, or a SymPy expression."""
    if isinstance(value, Value):
        return value.expr
    if isinstance(value, Predicate):
        return Where(value.cond, 1, 0)
    if isinstance(value, Tensor):
        value._bare()
    if isinstance(value, float):
        return sp.Rational(str(value)) if value == value and abs(value) != float("inf") else sp.sympify(value)
    try:
        # Strict, so that a string is not taken for the expression it spells.
        expr = sp.sympify(value, strict=True)
    except sp.SympifyError:
        expr = None
    if not isinstance(expr, sp.Expr):
        raise SpecError(f"{value!r} is no number and no expression: write it with axes, Tensor, Scalar and numbers")
    return expr


def predicate(value: Any) -> sp.Basic:
    """The SymPy condition of a predicate."""
    if isinstance(value, Predicate):
        return value.cond
    if value is True or value is False:
        return sp.true if value else sp.false
    raise PredicateError(f"{value!r} is no condition: compare axes or integers, as in j <= i")


def where(condition: Any, then: Any, other: Any) -> Value:
    """`then` where the condition over indices holds, `other` elsewhere."""
    if isinstance(condition, Value):
        raise PredicateError(
            f"where needs a condition over indices, not the value {condition!r}: compare, as in j <= i"
        )
    return Value(Where(predicate(condition), unwrap(then), unwrap(other)))


def _text(expr: sp.Basic) -> str:
    # Imported late: the printers take a while to load, and most pipelines are not printed.
    from refold.spec.mathematics import text

    return text(expr)


def finite_or(value: Any, default: Any) -> Value:
    """`value` where it is not -oo, `default` elsewhere: the guard of a running maximum, for claimed forms."""
    expr = unwrap(value)
    return Value(Where(sp.Gt(expr, -sp.oo, evaluate=False), expr, unwrap(default)))


def named(name: str, what: str) -> str:
    """A name as Python reads it, to which other forms of the same letters are the same."""
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
        raise SpecError(f"{what} name {name!r}: use a Python identifier that does not start with an underscore")
    return normalize("NFKC", name)


def _negative(expr: sp.Expr) -> sp.Expr:
    """`-expr`, with the minus inside of a mask, where it makes -oo of oo."""
    if isinstance(expr, Where):
        return Where(expr.args[0], *map(_negative, expr.args[1:]))
    return -expr


def _against_largest(expr: sp.Expr) -> sp.Expr:
    """`x - log sum_j exp(u)  ->  x - m - log sum_j exp(u - m),  m = max_j u`, of whose exponentials none overflows.

    SymPy makes `exp(x) / sum_j exp(u)` of the exponential of the former, where both may be infinite, or both 0.
    """
    terms = []
    for term in sp.Add.make_args(expr):
        factor, rest = term.as_coeff_Mul()
        total = rest.args[0] if isinstance(rest, sp.log) else rest
        if isinstance(rest, sp.log) and _is_unshifted(total):
            body, top = total.body.args[0], Fold("max", total.body.args[0], total.axis)
            shifted = Fold("sum", sp.exp(body - top), total.axis)
            for made in (top, shifted):
                places.write(made, places.written(total))
            term = factor * top + factor * sp.log(shifted)
        terms.append(term)
    return sp.Add(*terms)


def _is_unshifted(expr: sp.Basic) -> TypeGuard[Fold]:
    """Whether an expression is a sum of exponentials, none of which has a maximum over the same axis in it."""
    if not (isinstance(expr, Fold) and expr.kind == "sum" and isinstance(expr.body, sp.exp)):
        return False
    return not any(f.kind == "max" and f.axis == expr.axis for f in expr.body.atoms(Fold))


def _integer(expr: sp.Expr, operator: str) -> sp.Expr:
    if not is_integral(expr):
        raise PredicateError(
            f"{operator} is for indices and {_text(expr)} is no integer: use axes, sizes or integer scalars"
        )
    return expr


def _compare(relation: Any, left: Value, right: Any) -> Predicate:
    a, b = left.expr, unwrap(right)
    for side in (a, b):
        if not (is_integral(side) or _is_of_a_claim(side)):
            raise PredicateError(
                f"{_text(side)} is data, and a condition is over indices: compare axes, sizes, integer scalars "
                "or integer tensors; for a choice by value use maximum, minimum or relu"
            )
    return Predicate(_unfolded(relation(a, b)))


def _is_of_a_claim(expr: sp.Expr) -> bool:
    """Whether all data of an expression is that of a claimed form, which may choose by value."""
    return not expr.has(Read, Fold) and all(s.is_integer or getattr(s, "compared", False) for s in expr.free_symbols)


def _unfolded(cond: sp.Basic) -> sp.Basic:
    """`|i - j| <= w` as `i - j <= w and j - i <= w`, which bounds an axis on both sides; and so for `>=`."""
    if not isinstance(cond, Relational):
        return cond
    low, high = (cond.lhs, cond.rhs) if cond.rel_op in ("<=", "<") else (cond.rhs, cond.lhs)
    if cond.rel_op not in ("<=", "<", ">=", ">") or isinstance(low, sp.Abs) == isinstance(high, sp.Abs):
        return cond
    less = sp.Lt if cond.rel_op in ("<", ">") else sp.Le
    if isinstance(low, sp.Abs):
        return sp.And(*(less(side, high) for side in (low.args[0], -low.args[0])))
    return sp.Or(*(less(low, side) for side in (high.args[0], -high.args[0])))


# Words of arrays that are no fold, by what they are.
_ORDERED = frozenset(
    ["cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "scan", "associative_scan", "prefix_sum"]
)
_SORTED = frozenset(["sort", "argsort", "median", "quantile", "percentile", "kthvalue"])


class _Folds:
    """`fold.sum(body, over=j)` and its siblings: commutative reductions over one axis, or several in turn."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in _ORDERED:
            raise NoSuchFold(
                f"fold.{name} is a scan, and there are no ordered folds yet: write fold.sum(where(k <= j, x[k], 0), "
                "over=k) where lengths allow that, or compute it elsewhere and give it as a tensor"
            )
        if name in _SORTED:
            raise NoSuchFold(
                f"fold.{name} orders a whole row by its data, which takes several passes: find the position or the "
                "threshold elsewhere and give it as a tensor, as in x[i, at[i]] or relu(x[i, j] - tau[i])"
            )
        if name in ("mean", "average"):
            raise NoSuchFold(f"there is no fold.{name}: write fold.sum(x, over=j) / j.size")
        raise NoSuchFold(f"there is no fold.{name}: write it with {', '.join(REDUCERS)} or logsumexp")

    def _fold(self, kind: str, body: Any, over: Any) -> Value:
        expr, here = unwrap(body), places.here()
        if isinstance(over, tuple) and not over:
            raise FoldError(f"fold.{kind}: over=() names no axis: write over=j")
        for axis in reversed(over if isinstance(over, tuple) else (over,)):
            if not isinstance(axis, Axis):
                raise FoldError(f"fold.{kind}: over={axis!r} is no axis: write over=j, with j from axes")
            expr = Fold(kind, expr, axis.expr)
            places.write(expr, here)
        return Value(expr)

    def sum(self, body: Any, *, over: Any) -> Value:
        """Sum; 0 over nothing."""
        return self._fold("sum", body, over)

    def max(self, body: Any, *, over: Any) -> Value:
        """Maximum; -oo over nothing."""
        return self._fold("max", body, over)

    def min(self, body: Any, *, over: Any) -> Value:
        """Minimum; +oo over nothing."""
        return self._fold("min", body, over)

    def prod(self, body: Any, *, over: Any) -> Value:
        """Product; 1 over nothing."""
        return self._fold("prod", body, over)

    def any(self, condition: Any, *, over: Any) -> Value:
        """1 if the condition holds anywhere, else 0; 0 over nothing."""
        return self._fold("any", Where(predicate(condition), 1, 0), over)

    def all(self, condition: Any, *, over: Any) -> Value:
        """1 if the condition holds everywhere, else 0; 1 over nothing."""
        return self._fold("all", Where(predicate(condition), 1, 0), over)

    def count(self, condition: Any, *, over: Any) -> Value:
        """How often the condition holds; 0 over nothing."""
        return self._fold("count", Where(predicate(condition), 1, 0), over)

    def argmax(self, body: Any, *, over: Axis) -> Value:
        """The lowest position at which the body is largest; -1 over nothing."""
        return self._fold("argmax", body, over)

    def argmin(self, body: Any, *, over: Axis) -> Value:
        """The lowest position at which the body is smallest; -1 over nothing."""
        return self._fold("argmax", _negative(unwrap(body)), over)

    def topk(self, body: Any, k: int, *, over: Axis) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
        """The k largest values, the largest first, and their positions, of equal ones the lowest first.

        Beyond the positions that there are a value is -oo, and its position says nothing.
        """
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise FoldError(f"fold.topk: k={k!r} is no number of values: write a positive integer that Python knows")
        left, values, positions = Value(unwrap(body)), list[Value](), list[Value]()
        for _ in range(k):
            values.append(self.max(left, over=over))
            positions.append(self.argmax(left, over=over))
            apart = sp.And(*(sp.Ne(over.expr, at.expr) for at in positions))
            left = Value(Where(apart, unwrap(body), -sp.oo))
        return tuple(values), tuple(positions)

    def logsumexp(self, body: Any, *, over: Any) -> Value:
        """`log(sum(exp(body)))`, whose shift by the maximum refold derives; -oo over nothing."""
        return log(self._fold("sum", sp.exp(unwrap(body)), over))


fold = _Folds()
oo = Value(sp.oo)
assert set(REDUCERS) <= set(dir(_Folds))


@within_depth()
def exp(x: Any) -> Value:
    """The exponential; less a log-sum-exp, it is a quotient of exponentials against the largest of them."""
    return Value(sp.exp(_against_largest(unwrap(x))))


@within_depth()
def log(x: Any) -> Value:
    """The natural logarithm."""
    return Value(sp.log(unwrap(x)))


@within_depth()
def sqrt(x: Any) -> Value:
    """The square root."""
    return Value(sp.sqrt(unwrap(x)))


@within_depth()
def tanh(x: Any) -> Value:
    """The hyperbolic tangent."""
    return Value(sp.tanh(unwrap(x)))


@within_depth()
def sigmoid(x: Any) -> Value:
    """`1 / (1 + exp(-x))`."""
    return Value(sigmoid_head(unwrap(x)))


@within_depth()
def sin(x: Any) -> Value:
    """The sine."""
    return Value(sp.sin(unwrap(x)))


@within_depth()
def cos(x: Any) -> Value:
    """The cosine."""
    return Value(sp.cos(unwrap(x)))


@within_depth()
def erf(x: Any) -> Value:
    """The error function."""
    return Value(sp.erf(unwrap(x)))


@within_depth()
def absolute(x: Any) -> Value:
    """The absolute value."""
    return Value(sp.Abs(unwrap(x)))


@within_depth()
def maximum(a: Any, b: Any) -> Value:
    """The larger of two values."""
    return Value(sp.Max(unwrap(a), unwrap(b), evaluate=True))


@within_depth()
def minimum(a: Any, b: Any) -> Value:
    """The smaller of two values."""
    return Value(sp.Min(unwrap(a), unwrap(b), evaluate=True))


def relu(x: Any) -> Value:
    """`max(x, 0)`."""
    return maximum(x, 0)
