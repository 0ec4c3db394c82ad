"""The functions that every kernel may call, in the operations of their text (`emit/heads.py`)."""

from __future__ import annotations

from refold.schedule.ir import (
    Binary,
    BinaryOp,
    Cast,
    Extern,
    Function,
    If,
    Let,
    Name,
    Number,
    Reduce,
    Reducer,
    Return,
    Select,
    Statement,
    Unary,
    UnaryOp,
    Value,
)  # fmt: skip

_NAN = Number(float("nan"))


def _binary(op: BinaryOp, a: Value | float, b: Value | float) -> Binary:
    return Binary(op, _value(a), _value(b))


def _unary(op: UnaryOp, x: Value) -> Unary:
    return Unary(op, x)


def _value(x: Value | float) -> Value:
    return Number(x) if isinstance(x, int | float) else x


def _where(condition: Value, then: Value | float, other: Value | float) -> Select:
    return Select(condition, _value(then), _value(other))


def _function(name: str, parameters: str, lines: tuple[Statement, ...], result: Value) -> Function:
    """A function of values; in capitals its constants."""
    names = tuple(Name(p, (), "constant" if p.isupper() else "value") for p in parameters.split())
    return Function(name, names, (*lines, Return((result,))))


X, A, B, N = (Name(n) for n in "xabn")


def _exp() -> Function:
    return _function("_exp", "x", (), _unary("exp2", _binary("*", X, 1.4426950408889634)))


def _tanh() -> Function:
    a, t, b, p, r = (Name(n) for n in "atbpr")
    fast = Extern("tanh.approx.f32 $0, $1;", (X,), "float32")
    inner = _binary("+", -0.0539682540, _binary("*", b, 0.0218694885))
    for coefficient in (0.1333333333, -0.3333333333, 1.0):
        inner = _binary("+", coefficient, _binary("*", b, inner))
    far = _binary("/", _binary("-", 1.0, t), _binary("+", 1.0, t))
    lines = (
        If(Name("FAST", (), "constant"), (Return((fast,)),)),
        Let(a, _unary("abs", X)),
        Let(t, _unary("exp2", _binary("*", -2.8853900817779268, a))),
        Let(b, _binary("*", a, a)),
        Let(p, inner),
        Let(r, _where(_binary("<", a, 0.25), _binary("*", a, p), far)),
    )
    return _function("_tanh", "x FAST", lines, _where(_binary("<", X, 0.0), _binary("*", r, -1.0), r))


def _sigmoid() -> Function:
    t, r = Name("t"), Name("r")
    lines = (
        Let(t, _unary("exp2", _binary("*", -1.4426950408889634, _unary("abs", X)))),
        Let(r, _binary("/", 1.0, _binary("+", 1.0, t))),
    )
    return _function("_sigmoid", "x", lines, _where(_binary("<", X, 0.0), _binary("*", t, r), r))


def _extreme(name: str, reducer: Reducer, place: int) -> Function:
    undefined = Name("undefined")
    lines = (Let(undefined, _binary(">", Reduce("max", Cast(_binary("!=", X, X), "int32"), place), 0)),)
    return _function(name, "x", lines, _where(undefined, _NAN, Reduce(reducer, X, place)))


def _over() -> Function:
    only = _binary("&", _binary("!=", A, A), _binary("==", B, B))
    return _function("_over", "a b", (), _binary("|", _binary(">", A, B), only))


def _floordiv() -> Function:
    q, r = Name("q"), Name("r")
    apart = _binary("!=", _binary("<", r, 0), _binary("<", B, 0))
    lines = (Let(q, _binary("//", A, B)), Let(r, _binary("-", A, _binary("*", q, B))))
    down = _where(_binary("&", _binary("!=", r, 0), apart), _binary("-", q, 1), q)
    return _function("_floordiv", "a b", lines, down)


def _power() -> Function:
    size, half, even, whole = (Name(n) for n in ("size", "half", "even", "whole"))
    power = _unary("exp2", _binary("*", _unary("log2", _unary("abs", X)), N))
    negative = _where(whole, _binary("*", size, -1.0), _NAN)
    lines = (
        Let(X, Cast(X, "float32")),
        Let(N, Cast(N, "float32")),
        Let(size, _where(_binary("==", N, 0.0), 1.0, power)),
        Let(half, _binary("*", 0.5, N)),
        Let(even, _binary("==", _unary("floor", half), half)),
        Let(whole, _binary("==", _unary("floor", N), N)),
    )
    odd = _binary("&", _binary("<", X, 0.0), _binary("==", even, 0))
    return _function("_power", "x n", lines, _where(odd, negative, size))


def _round() -> Function:
    half, far, odd = (Name(n) for n in ("half", "far", "odd"))
    rest = _binary("-", X, N)
    lines = (
        Let(N, _unary("floor", X)),
        Let(half, _binary("*", 0.5, N)),
        Let(far, _binary(">", rest, 0.5)),
        Let(odd, _binary("!=", _unary("floor", half), half)),
    )
    up = _binary("|", far, _binary("&", _binary("==", rest, 0.5), odd))
    return _function("_round", "x", lines, _where(up, _binary("+", N, 1.0), N))


# Where `_position` ends: beyond every axis that a launcher admits, and so that 32 bits hold a few tiles more.
LAST_POSITION = 2**31 - 2**22


def _position() -> Function:
    clamped = _binary("minimum", _binary("maximum", X, 0), LAST_POSITION)
    return _function("_position", "x", (), Cast(clamped, "int32"))


_PLAIN = (_exp, _tanh, _sigmoid, _over, _floordiv, _power, _round, _position)
_SHORT: dict[str, BinaryOp] = {"_multiply": "*", "_larger": "larger", "_smaller": "smaller"}
HELPERS = {f.name: f for f in (make() for make in _PLAIN)} | {
    name: _function(name, "a b", (), _binary(op, A, B)) for name, op in _SHORT.items()
}
# Those that fold a tile take the axis, which the kernel language knows when a kernel is written.
EXTREMA: dict[str, Reducer] = {"_largest": "max", "_smallest": "min"}


def extreme(name: str, place: int) -> Function:
    """`_largest` or `_smallest` along an axis."""
    return _extreme(name, EXTREMA[name], place)
