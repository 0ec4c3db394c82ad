"""Tiles of a run, and what the operations of the kernel language are on them.

Floats are nodes of the tape; integers, truth values and pointers are exact arrays. A tile has one dimension for each
axis of the pipeline, of one position along those that it does not vary with, or none at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from refold.errors import SpecError
from refold.schedule.dtypes import is_float, is_pointer, kind, literal_dtype, promoted
from refold.schedule.ir import Axes
from refold.schedule.tiles import NoMeaning
from refold.spec.walk import Array
from refold.verify.rounding.functions import FUNCTIONS
from refold.verify.rounding.kinds import NARROW
from refold.verify.rounding.tape import UNIT, Node, Tape, U

# What a dtype of the language is called on a tape.
NAMES = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}
POSITION = "a position is a step function of the scores, which are rounded and may tie"


@dataclass(frozen=True, slots=True)
class Tile:
    """Numbers of one dtype; of a pointer the offsets into what it is the `base` of.

    Integers and truth values are `doubtful` where rounded numbers decided them.
    """

    dtype: str
    axes: Axes
    data: Any
    base: str = ""
    doubtful: bool = False

    @property
    def node(self) -> Node:
        if not isinstance(self.data, Node):
            raise NoMeaning(f"a float where there is {self.dtype}")
        return self.data

    @property
    def array(self) -> Array:
        """The values over the reals."""
        return self.data.exact if isinstance(self.data, Node) else self.data

    @property
    def decided(self) -> bool:
        """Whether rounding may have changed it by more than a little."""
        return self.data.rounded if isinstance(self.data, Node) else self.doubtful


Operand: TypeAlias = Tile | float | bool


def constant(tape: Tape, value: float | bool, dtype: str = "") -> Tile:
    dtype = dtype or literal_dtype(value)
    if is_float(dtype):
        return Tile(dtype, (), narrowed(tape, tape.constant(float(value), exact=False), dtype))
    return Tile(dtype, (), np.asarray(bool(value) if dtype == "int1" else int(value)))


def narrowed(tape: Tape, node: Node, dtype: str, kind: str = "") -> Node:
    """What was computed in float32, in the dtype that it has."""
    return tape.cast(node, NAMES[dtype], kind or NARROW.get(tape.kind, tape.kind))


def cast(tape: Tape, x: Tile, dtype: str, kind: str = "") -> Tile:
    """The same numbers in another dtype."""
    if x.dtype == dtype:
        return x
    if is_pointer(x.dtype) or is_pointer(dtype) or "fp64" in (x.dtype, dtype):
        raise NoMeaning(f"a cast of {x.dtype} to {dtype}")
    if is_float(dtype):
        if is_float(x.dtype):
            wider = dtype == "fp32"
            return replace(x, dtype=dtype, data=x.node if wider else narrowed(tape, x.node, dtype, kind))
        if x.doubtful and x.dtype != "int1":
            raise SpecError(POSITION)
        return Tile(dtype, x.axes, narrowed(tape, tape.constant(x.data, exact=False), dtype, kind))
    values = x.array != 0 if dtype == "int1" else np.nan_to_num(np.trunc(x.array)).astype(np.int64)
    return Tile(dtype, x.axes, values, doubtful=x.decided)


def meet(tape: Tape, a: Operand, b: Operand, *, divides: bool = False) -> tuple[Tile, Tile]:
    """Two operands in the dtype in which they meet; a number that the compiler knows takes that of the other."""
    left, right = (x.dtype if isinstance(x, Tile) else literal_dtype(x) for x in (a, b))
    if not isinstance(a, Tile) and kind(left) <= kind(right):
        left = right
    if not isinstance(b, Tile) and kind(right) <= kind(left):
        right = left
    dtype = promoted(left, right, divides=divides)
    x, y = (cast(tape, t, dtype) if isinstance(t, Tile) else constant(tape, t, dtype) for t in (a, b))
    return x, y


def _quotient(a: Array, b: Array) -> Array:
    """Rounded toward zero; of no meaning where the divisor is 0."""
    size = np.abs(a) // np.where(b == 0, 1, np.abs(b))
    return np.where((a < 0) != (b < 0), -size, size)


_WHOLE: dict[str, Callable[[Array, Array], Array]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "//": _quotient, "%": lambda a, b: a - b * _quotient(a, b),
    "cdiv": lambda a, b: -(-a // b), "minimum": np.minimum, "maximum": np.maximum, "smaller": np.minimum,
    "larger": np.maximum, "&": np.bitwise_and, "|": np.bitwise_or, "^": np.bitwise_xor,
}  # fmt: skip
_COMPARED: dict[str, Callable[[Array, Array], Array]] = {
    "==": np.equal, "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal,
}  # fmt: skip
_FLOATS: dict[str, Callable[[Tape, Node, Node], Node]] = {
    "+": Tape.plus,
    "-": lambda tape, a, b: tape.plus(a, b, -1.0),
    "*": Tape.times,
    "/": Tape.over,
    "maximum": Tape.larger,
    "larger": Tape.larger,
    "minimum": Tape.smaller,
    "smaller": Tape.smaller,
}


def binary(tape: Tape, op: str, a: Operand, b: Operand) -> Tile:
    """An operation on two tiles, or a tile and a number; comparisons are decided over the reals."""
    for place, offset in ((a, b), (b, a)):
        if isinstance(place, Tile) and is_pointer(place.dtype):
            return advanced(place, offset)
    x, y = meet(tape, a, b, divides=op in ("/", "//", "%", "cdiv"))
    axes, doubtful = x.axes or y.axes, x.decided or y.decided
    if op in _COMPARED:
        return Tile("int1", axes, _COMPARED[op](x.array, y.array), doubtful=doubtful)
    if op == "/" and not is_float(x.dtype):
        x, y = cast(tape, x, "fp32"), cast(tape, y, "fp32")
    if is_float(x.dtype):
        if op not in _FLOATS:
            raise SpecError(f"{op} of floats is a step function of what is rounded")
        return Tile(x.dtype, axes, narrowed(tape, _FLOATS[op](tape, x.node, y.node), x.dtype))
    if op not in _WHOLE:
        raise NoMeaning(f"{op} of {x.dtype}")
    return Tile(x.dtype, axes, _WHOLE[op](x.data, y.data), doubtful=doubtful)


def advanced(place: Tile, offset: Operand) -> Tile:
    steps, doubtful = (offset.array, offset.decided) if isinstance(offset, Tile) else (np.asarray(offset), False)
    axes = place.axes or (offset.axes if isinstance(offset, Tile) else ())
    return Tile(place.dtype, axes, place.data + steps, place.base, place.doubtful or doubtful)


def unary(tape: Tape, op: str, x: Tile) -> Tile:
    if is_float(x.dtype):
        if op == "-":
            return replace(x, data=tape.times(x.node, tape.constant(-1.0)))
        return applied(tape, op, x)
    match op:
        case "-":
            return replace(x, data=-x.data)
        case "abs":
            return replace(x, data=np.abs(x.data))
        case "~" | "not":
            return replace(x, data=~x.data)
    raise NoMeaning(f"{op} of {x.dtype}")


def applied(tape: Tape, function: str, x: Tile) -> Tile:
    """A function of every element, off by what is documented of it."""
    if function in ("floor", "ceil", "round") and not x.node.rounded:
        return replace(x, data=tape.constant(FUNCTIONS[function].value(x.array)))
    if function not in FUNCTIONS:
        raise SpecError(f"{function} has no error that refold knows: use the functions of refold.spec")
    kind = "exponentials" if tape.kind == "elements" and function in ("exp", "exp2") else ""
    return replace(x, data=narrowed(tape, tape.apply(FUNCTIONS[function], x.node, kind), x.dtype))


def chosen(tape: Tape, condition: Operand, then: Operand, other: Operand) -> Tile:
    """One of two, element by element, as is decided over the reals."""
    which = condition if isinstance(condition, Tile) else constant(tape, bool(condition))
    a, b = meet(tape, then, other)
    axes = which.axes or a.axes or b.axes
    if is_float(a.dtype):
        return Tile(a.dtype, axes, tape.choose(which.array != 0, a.node, b.node))
    doubtful = which.doubtful or a.doubtful or b.doubtful
    return Tile(a.dtype, axes, np.where(which.array != 0, a.data, b.data), doubtful=doubtful)


def folded(tape: Tape, reducer: str, x: Tile, axis: int, kind: str) -> Tile:
    """A tile folded along an axis, of which one position is left."""
    if x.array.ndim == 0:
        return x
    if not is_float(x.dtype):
        how: Any = {"sum": np.sum, "max": np.max, "min": np.min, "prod": np.prod}[reducer]
        values = np.asarray(x.data if x.dtype != "int1" else x.data.astype(np.int64))
        dtype = "int32" if x.dtype == "int1" else x.dtype
        return replace(x, dtype=dtype, data=how(values, axis=axis, keepdims=True))
    if reducer == "prod":
        raise SpecError("a fold by prod multiplies as many roundings as the axis is long: sum logarithms instead")
    if reducer == "sum":
        return replace(x, data=tape.total(x.node, axis, kind, UNIT[NAMES[x.dtype]] / U))
    return replace(x, data=tape.extreme(x.node, axis, largest=reducer == "max"))


def product(tape: Tape, a: Tile, b: Tile, into: Tile | None, axis: int, kinds: tuple[str, str]) -> Node:
    """The matrix product along an axis, added to what it goes on from; a matrix unit may chop its additions."""
    scale = 1.0 if a.dtype == "fp32" else 2.0
    terms = tape.times(a.node, b.node)
    added = tape.total(terms, axis, kinds[0], scale)
    if into is None:
        return added
    # The additions of a dot go on from the accumulator: each rounds that too.
    carried = tape.extra(into.node, scale * U, kinds[1], tape.terms(terms, axis))
    return tape.plus(carried, added, exact=True)
