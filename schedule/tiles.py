"""Tiles: a term for every lane, their dtypes, and how two of them meet.

A Python number is what the compiler knows; it takes the dtype of the tile that it meets, as in the language.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from refold.schedule import conditions, integers
from refold.schedule.dtypes import (
    bits,
    is_integer,
    is_pointer,
    kind,
    literal_dtype,
    promoted,
    sort_of,
)  # fmt: skip
from refold.schedule.terms import Term, make, real

Lanes: TypeAlias = NDArray[np.object_]
Number: TypeAlias = float | bool


class NoMeaning(Exception):
    """A kernel does what the executor has no meaning for."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Terms of one dtype in an array of the tile's shape; a number of the program has no axes.

    `narrow` is the dtype of integers that were widened, so that they are the same again when they are narrowed.
    """

    dtype: str
    lanes: Lanes
    narrow: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.lanes.shape


Operand: TypeAlias = Tile | Number


def each(function: Callable[..., Term], *lanes: Lanes) -> Lanes:
    """The function of every lane; axes of one position are repeated."""
    if len(lanes) == 1 and lanes[0].ndim:
        # A tile that repeats itself is computed once for each term that is in it.
        flat = terms(lanes[0])
        known = {t: function(t) for t in dict.fromkeys(flat)}
        return filled(lanes[0].shape, [known[t] for t in flat])
    result = np.frompyfunc(function, len(lanes), 1)(*lanes)
    return result if isinstance(result, np.ndarray) else filled((), [result])


def terms(lanes: Lanes) -> list[Term]:
    """The terms of all lanes, the last axis the fastest."""
    return list(lanes.ravel().tolist())


def filled(shape: tuple[int, ...], values: list[Term]) -> Lanes:
    flat = np.empty(len(values), dtype=object)
    flat[:] = values
    return flat.reshape(shape)


def number(value: Number, dtype: str) -> Term:
    """A literal as a term of the dtype."""
    match sort_of(dtype):
        case "bool":
            return conditions.truth(bool(value))
        case "int":
            return integers.whole(int(value))
        case sort:
            return real(rounded(float(value), dtype), sort)


def rounded(value: float, dtype: str) -> float:
    """A double as the nearest number of the dtype."""
    match dtype:
        case "fp16" | "fp32":
            with np.errstate(over="ignore"):
                return float(np.float16(value) if dtype == "fp16" else np.float32(value))
        case "bf16":
            word = int(np.float32(value).view(np.uint32))
            if value != value or abs(value) == float("inf"):
                return value
            word += 0x7FFF + (word >> 16 & 1)
            return float(np.uint32(word & 0xFFFF0000).view(np.float32))
    return value


def constant(value: Number, dtype: str = "", shape: tuple[int, ...] = ()) -> Tile:
    dtype = dtype or literal_dtype(value)
    return Tile(dtype, filled(shape, [number(value, dtype)] * int(np.prod(shape))))


def tile_of(x: Operand) -> Tile:
    return x if isinstance(x, Tile) else constant(x)


def cast(x: Tile, dtype: str) -> Tile:
    """The same numbers in another dtype: widening keeps integers as they are, any other change is an operation."""
    if x.dtype == dtype:
        return x
    if is_pointer(x.dtype) or is_pointer(dtype):
        raise NoMeaning(f"a cast of {x.dtype} to {dtype}")
    if x.dtype == "int1":
        one, none = number(1, dtype), number(0, dtype)
        return Tile(dtype, each(lambda c: conditions.select(c, one, none), x.lanes))
    if dtype == "int1":
        return Tile(dtype, each(_differs_from_zero, x.lanes))
    if is_integer(x.dtype) and is_integer(dtype):
        if bits(dtype) >= bits(x.dtype):
            return Tile(dtype, x.lanes, x.narrow or x.dtype)
        if x.narrow and bits(dtype) >= bits(x.narrow):
            return Tile(dtype, x.lanes, "" if dtype == x.narrow else x.narrow)
        return Tile(dtype, each(lambda n: _narrowed(n, dtype), x.lanes))
    sort = sort_of(dtype)
    op = "to_integer" if is_integer(dtype) else "of_integer" if is_integer(x.dtype) else "cast"
    return Tile(dtype, each(lambda t: _converted(op, t, dtype), x.lanes)) if sort else x


def _differs_from_zero(t: Term) -> Term:
    if t.sort == "int":
        return conditions.compare_integers("!=", t, integers.whole(0))
    return conditions.compare_floats("!=", t, real(0.0, t.sort))


def _narrowed(n: Term, dtype: str) -> Term:
    end = 2 ** (bits(dtype) - 1)
    if integers.bounded(n, "greatest", -end) and integers.bounded(n, "least", end - 1):
        return n
    return make("narrow", "int", (n,), dtype)


def _converted(op: str, t: Term, dtype: str) -> Term:
    return make(op, sort_of(dtype), (t,), dtype)


def meet(a: Operand, b: Operand, *, divides: bool = False) -> tuple[Tile, Tile]:
    """Two operands in the dtype in which they meet."""
    if not isinstance(a, Tile) and not isinstance(b, Tile):
        return meet(constant(a), constant(b), divides=divides)
    left, right = (x.dtype if isinstance(x, Tile) else literal_dtype(x) for x in (a, b))
    if not isinstance(a, Tile) and kind(left) <= kind(right):
        left = right
    if not isinstance(b, Tile) and kind(right) <= kind(left):
        right = left
    dtype = promoted(left, right, divides=divides)
    x, y = (cast(t, dtype) if isinstance(t, Tile) else constant(t, dtype) for t in (a, b))
    return x, y
