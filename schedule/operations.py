"""What the operations of the language are on tiles, lane by lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refold.schedule import conditions, integers
from refold.schedule.dtypes import is_float, is_integer, is_pointer, sort_of
from refold.schedule.terms import Term, make
from refold.schedule.tiles import NoMeaning, Number, Operand, Tile, cast, each, meet, tile_of

_INTEGERS: dict[str, Callable[[Term, Term], Term]] = {
    "+": integers.add,
    "-": integers.subtract,
    "*": integers.multiply,
    "//": integers.quotient,
    "%": integers.remainder,
    "cdiv": integers.quotient_up,
    "minimum": integers.least,
    "maximum": integers.greatest,
    "smaller": integers.least,
    "larger": integers.greatest,
}
_TRUTHS: dict[str, Callable[[Term, Term], Term]] = {
    "&": conditions.both,
    "|": conditions.either,
    "^": conditions.different,
    "!=": conditions.different,
    "==": lambda a, b: conditions.negate(conditions.different(a, b)),
    "*": conditions.both,
}
_FLOATS = ("+", "-", "*", "/", "minimum", "maximum", "smaller", "larger")
_BITS = ("&", "|", "^")
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


def compared(op: str, a: Operand, b: Operand) -> Tile:
    """Whether something holds, lane by lane."""
    x, y = meet(a, b)
    if x.dtype == "int1":
        if op not in _TRUTHS:
            raise NoMeaning(f"{op} of two truth values")
        return Tile("int1", each(_TRUTHS[op], x.lanes, y.lanes))
    compare = conditions.compare_floats if is_float(x.dtype) else conditions.compare_integers
    return Tile("int1", each(lambda s, t: compare(op, s, t), x.lanes, y.lanes))


def binary(op: str, a: Operand, b: Operand) -> Tile:
    """An operation on two tiles, or a tile and a number."""
    if isinstance(a, Tile) and is_pointer(a.dtype):
        return advanced(a, b if op == "+" else binary("*", b, -1))
    if isinstance(b, Tile) and is_pointer(b.dtype):
        return advanced(b, a)
    if op in COMPARISONS:
        return compared(op, a, b)
    x, y = meet(a, b, divides=op in ("/", "//", "%", "cdiv"))
    if op == "/" and not is_float(x.dtype):
        x, y = cast(x, "fp32"), cast(y, "fp32")
    dtype = x.dtype
    if is_float(dtype) and op in _FLOATS:
        sort = sort_of(dtype)
        return Tile(dtype, each(lambda s, t: make(op, sort, (s, t)), x.lanes, y.lanes))
    if dtype == "int1" and op in _TRUTHS:
        return Tile(dtype, each(_TRUTHS[op], x.lanes, y.lanes))
    if is_integer(dtype) and dtype != "int1":
        if op in _INTEGERS:
            return Tile(dtype, each(_INTEGERS[op], x.lanes, y.lanes))
        if op in _BITS:
            return Tile(dtype, each(lambda s, t: make(op, "int", (s, t)), x.lanes, y.lanes))
    raise NoMeaning(f"{op} of {dtype}")


def advanced(place: Tile, offset: Operand) -> Tile:
    """Pointers, so many elements further."""
    steps = tile_of(offset)
    if not is_integer(steps.dtype):
        raise NoMeaning(f"a pointer plus {steps.dtype}")
    return Tile(place.dtype, each(_advanced, place.lanes, steps.lanes))


def _advanced(place: Term, offset: Term) -> Term:
    if place.op != "pointer":
        raise NoMeaning(f"arithmetic on a pointer that is a {place.op}")
    return make("pointer", "pointer", (integers.add(place.args[0], offset),), place.data)


def unary(op: str, x: Tile) -> Tile:
    if op == "~" and x.dtype == "int1":
        return Tile(x.dtype, each(conditions.negate, x.lanes))
    if is_integer(x.dtype) and x.dtype != "int1":
        match op:
            case "-":
                return Tile(x.dtype, each(lambda n: integers.scale(n, -1), x.lanes))
            case "abs":
                return Tile(x.dtype, each(lambda n: make("abs", "int", (n,)), x.lanes))
            case "~":  # -1 - n, as integers are written
                return Tile(x.dtype, each(lambda n: integers.subtract(integers.whole(-1), n), x.lanes))
    if is_float(x.dtype) and op != "~":
        sort, name = sort_of(x.dtype), "negative" if op == "-" else op
        return Tile(x.dtype, each(lambda t: make(name, sort, (t,)), x.lanes))
    raise NoMeaning(f"{op} of {x.dtype}")


def chosen(condition: Operand, then: Operand, other: Operand) -> Tile:
    """One of two, lane by lane."""
    which = cast(tile_of(condition), "int1")
    if isinstance(then, Tile) and isinstance(other, Tile) and then.dtype == other.dtype:
        a, b = then, other
    else:
        a, b = meet(then, other)
    return Tile(a.dtype, each(conditions.select, which.lanes, a.lanes, b.lanes))


def literal(op: str, *values: Any) -> Number:
    """An operation on numbers that the compiler knows: Python's own."""
    match op, values:
        case "-", (x,):
            return -x
        case "not", (x,):
            return not x
        case "~", (x,):
            return ~x if not isinstance(x, bool) else not x
        case "not", (x,):
            return not x
        case "+", (a, b):
            return a + b
        case "-", (a, b):
            return a - b
        case "*", (a, b):
            return a * b
        case "/", (a, b):
            return a / b
        case "//", (a, b):
            return a // b
        case "%", (a, b):
            return a % b
        case "cdiv", (a, b):
            return (a + b - 1) // b
        case "==", (a, b):
            return a == b
        case "!=", (a, b):
            return a != b
        case "<", (a, b):
            return a < b
        case "<=", (a, b):
            return a <= b
        case ">", (a, b):
            return a > b
        case ">=", (a, b):
            return a >= b
        case (("minimum" | "smaller"), (a, b)):
            return min(a, b)
        case (("maximum" | "larger"), (a, b)):
            return max(a, b)
        case "&", (a, b):
            return a & b
        case "|", (a, b):
            return a | b
    raise NoMeaning(f"{op} of {', '.join(map(str, values))}")
