"""The kernels of `front_end_kernels.py` as data, in the kernel language, and what the front end is told of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from refold.schedule.capture import Wanted, capture
from refold.schedule.ir import (
    Atomic,
    Binary,
    BinaryOp,
    Cast,
    Combine,
    Dot,
    ElementOf,
    Evaluate,
    Fetch,
    For,
    Function,
    If,
    Lanes,
    Let,
    Load,
    Method,
    Name,
    Number,
    Program,
    Reduce,
    Return,
    Select,
    Spread,
    Statement,
    Store,
    Transpose,
    Unary,
    Unpack,
    Value,
)
from refold.schedule.reader import Read, read

FILE = Path(__file__).with_name("front_end_kernels.py")
BLOCK = 4
# Up to 3.7, Triton takes -x of a float for 0 - x, which of 0 is 0 and not -0.
MINUS_SUBTRACTS = tuple(map(int, version("triton").split(".")[:2])) < (3, 8)


@dataclass(frozen=True, slots=True)
class Case:
    """A kernel as data, and the types of the arguments of its text."""

    kernel: Function
    types: Mapping[str, str]
    functions: Mapping[str, Function]


def op(sign: BinaryOp, a: Value | float, b: Value | float) -> Binary:
    return Binary(sign, value(a), value(b))


def value(x: Value | float) -> Value:
    return Number(x) if isinstance(x, int | float) else x


I, J = ("i",), ("j",)
SIZE = Name("BLOCK", (), "constant")
i, x, y, n = Name("i", I), Name("x", I), Name("y", I), Name("n")
X, Y = Name("x_ptr", (), "pointer"), Name("y_ptr", (), "pointer")
ROW = Program(0)
LANES = Lanes(SIZE, I)


def _affine() -> tuple[Statement, ...]:
    inside = op("<", i, n)
    line = op("+", op("*", x, Name("scale")), 1.0)
    return (
        Let(i, op("+", op("*", ROW, SIZE), LANES)),
        Let(x, Load(op("+", X, op("*", i, Name("stride"))), inside, Number(0.0))),
        Let(y, op("maximum", line, op("*", x, -1.0))),
        Store(op("+", Y, i), Cast(y, ElementOf(Y)), inside),
    )


def _negated() -> tuple[Statement, ...]:
    minus = op("-", 0.0, x) if MINUS_SUBTRACTS else Unary("-", x)
    return (Let(i, LANES), Let(x, Load(op("+", X, i))), Store(op("+", Y, i), op("/", 1.0, minus)))


def _softmax_row() -> tuple[Statement, ...]:
    j, p = Name("j", J), Name("p", J)
    at, inside = op("+", op("+", X, op("*", ROW, n)), j), op("<", j, n)
    centred = op("-", Name("x", J), Reduce("max", Name("x", J), 0))
    return (
        Let(j, Lanes(SIZE, J)),
        Let(Name("x", J), Load(at, inside, Number(-float("inf")))),
        Let(p, Unary("exp2", op("*", centred, 1.4426950408889634))),
        Store(op("+", op("+", Y, op("*", ROW, n)), j), op("/", p, Reduce("sum", p, 0)), inside),
    )


def _logsumexp_row() -> tuple[Statement, ...]:
    m, l, m_new, place, j0 = Name("m"), Name("l"), Name("m_new"), Name("place", I), Name("j0")
    weights = Unary("exp", op("-", x, m_new))
    body = (
        Let(x, Load(place, op("<", op("+", j0, LANES), n), Number(-float("inf")))),
        Let(m_new, op("maximum", m, Reduce("max", x, 0))),
        Let(l, op("+", op("*", l, Unary("exp", op("-", m, m_new))), Reduce("sum", weights, 0))),
        Let(m, m_new),
        Let(place, op("+", place, SIZE)),
    )
    return (
        Let(m, Number(-float("inf"))),
        Let(l, Number(0.0)),
        Let(place, op("+", op("+", X, op("*", ROW, n)), LANES)),
        For(j0, Number(0), n, SIZE, body),
        Store(op("+", Y, ROW), op("+", m, Unary("log", l))),
    )


def _quotients() -> tuple[Statement, ...]:
    c, at = Name("c"), Name("at", I)
    return (
        Let(i, op("-", LANES, n)),
        Let(at, op("+", op("*", c, op("//", i, c)), op("%", i, c))),
        Store(op("+", Y, i), Load(op("+", X, at))),
    )


def _folds() -> tuple[Statement, ...]:
    top, at = Name("top"), Name("at")
    return (
        Let(i, LANES),
        Let(x, Load(op("+", X, i))),
        Unpack((top, at), Combine("later", (x, i), 0)),
        Store(op("+", Y, i), op("-", Combine("plus", (x,), 0, scan=True), top)),
        Store(Name("at_ptr"), at),
    )


def _branches() -> tuple[Statement, ...]:
    then = (Let(x, Unary("sqrt", x)), Store(op("+", Y, i), x))
    return (
        Let(i, LANES),
        Let(x, Load(op("+", X, i))),
        If(op("<", ROW, n), then, (Let(x, op("*", x, x)),)),
        Store(op("+", op("+", Y, SIZE), i), x),
    )


def _products() -> tuple[Statement, ...]:
    k, j = Name("k", ("k",)), Name("j", J)
    a, b, y = Name("a", ("i", "k")), Name("b", ("j", "k")), Name("y", ("i", "j"))

    def at(rows: Name, axes: tuple[str, str]) -> Value:
        return op("+", op("*", Spread(rows, axes), SIZE), Spread(k, axes))

    return (
        Let(i, LANES),
        Let(j, Lanes(SIZE, J)),
        Let(k, Lanes(SIZE, ("k",))),
        Let(a, Load(op("+", Name("a_ptr"), at(i, ("i", "k"))))),
        Let(b, Load(op("+", Name("b_ptr"), at(j, ("j", "k"))))),
        Let(y, Dot(a, Transpose(Cast(b, "tl.float16")))),
        Let(Name("_", I), Atomic("fadd", op("+", Y, i), Reduce("sum", y, 1))),
    )


def _fetches() -> tuple[Statement, ...]:
    k, both = Name("k", ("k",)), ("i", "k")
    row = Cast(Name("row"), "int32")
    corner = (row, op("*", row, SIZE), Number(0))
    place = op("+", op("+", Y, op("*", Spread(i, both), 2)), Spread(k, both))
    return (
        Evaluate(Method(Name("tl", kind="global"), "gdc_wait")),
        Let(i, LANES),
        Let(k, Lanes(Number(2), ("k",))),
        Let(Name("x", both), Fetch(X, corner, (SIZE, Number(2)), both)),
        Store(place, Cast(Name("x", both), "float32")),
    )


def _later() -> Function:
    a, k, b, m, more = (Name(t) for t in ("a", "k", "b", "m", "more"))
    return Function(
        "later",
        (a, k, b, m),
        (Let(more, op(">", b, a)), Return((Select(more, b, a), Select(more, m, k)))),
    )


_PLUS = Function("plus", (Name("a"), Name("b")), (Return((op("+", Name("a"), Name("b")),)),))
_IN_OUT = {"x_ptr": "*fp32", "y_ptr": "*fp32"}


def _case(name: str, body: tuple[Statement, ...], types: dict[str, str]) -> Case:
    parameters = tuple(Name(t) for t in (*types, "BLOCK"))
    return Case(Function(name, parameters, body), types, {"later": _later(), "plus": _PLUS})


CASES = {
    name: _case(name, body(), types)
    for name, body, types in (
        ("affine", _affine, {"x_ptr": "*fp32", "y_ptr": "*fp16", "stride": "i32", "scale": "fp32", "n": "i32"}),
        ("negated", _negated, _IN_OUT),
        ("softmax_row", _softmax_row, {**_IN_OUT, "n": "i32"}),
        ("logsumexp_row", _logsumexp_row, {**_IN_OUT, "n": "i32"}),
        ("quotients", _quotients, {**_IN_OUT, "c": "i32", "n": "i32"}),
        ("folds", _folds, {**_IN_OUT, "at_ptr": "*i32"}),
        ("branches", _branches, {**_IN_OUT, "n": "i64"}),
        ("fetches", _fetches, {"x_ptr": f"tensordesc<fp16[1,{BLOCK},2]>", "y_ptr": "*fp32", "row": "i64"}),
        ("products", _products, {"a_ptr": "*fp16", "b_ptr": "*fp16", "y_ptr": "*fp32"}),
    )
}
OTHERS = {"quotients_unparenthesised": CASES["quotients"].types, "waits": {"x_ptr": "*i32"}}


@cache
def texts() -> dict[str, str]:
    """What the front end makes of every kernel of the file."""
    types = {name: case.types for name, case in CASES.items()} | OTHERS
    wanted = [Wanted(str(FILE), name, dict(of), {"BLOCK": BLOCK}) for name, of in types.items()]
    return {c.kernel: c.text for c in capture(wanted)}


@cache
def parsed(name: str) -> Read:
    return read(texts()[name])
