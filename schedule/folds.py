"""Folds of tiles along an axis on terms: products of matrices, reductions, and scans.

The order in which the hardware sums floats is not the language's: a sum is one operation on all that is summed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from refold.schedule import integers, ir
from refold.schedule.dtypes import bits, is_float, sort_of
from refold.schedule.terms import Term, make
from refold.schedule.tiles import Lanes, NoMeaning, Tile, cast, constant, each, filled


def dot(a: Tile, b: Tile, into: Tile | None, precision: str) -> Tile:
    if a.dtype != b.dtype or not is_float(a.dtype):
        raise NoMeaning(f"a dot of {a.dtype} and {b.dtype}")
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[0]:
        raise NoMeaning(f"a dot of {a.shape} and {b.shape}")
    into = into or constant(0.0, "fp32")
    rows, columns = a.shape[0], b.shape[1]
    start = np.broadcast_to(into.lanes, (rows, columns))
    lanes = []
    for i, j in product(range(rows), range(columns)):
        pairs = (x for k in range(a.shape[1]) for x in (a.lanes[i, k], b.lanes[k, j]))
        # Only of float32 operands anything may be left out.
        lanes.append(make("dot", sort_of(into.dtype), (start[i, j], *pairs), precision if a.dtype == "fp32" else ""))
    return Tile(into.dtype, filled((rows, columns), lanes))


_INTEGERS: dict[ir.Reducer, Callable[..., Term]] = {
    "sum": integers.add,
    "max": integers.greatest,
    "min": integers.least,
    "prod": integers.product,
}


def reduce(reducer: ir.Reducer, x: Tile, place: int) -> Tile:
    """As the language has it: narrow integers, and the extrema of narrow floats, become wider ones first."""
    if bits(x.dtype) < 32 and (reducer in ("max", "min") or not is_float(x.dtype)):
        x = cast(x, "fp32" if is_float(x.dtype) else "int32")
    sort = sort_of(x.dtype)

    def fold(*terms: Term) -> Term:
        return _INTEGERS[reducer](*terms) if sort == "int" else make(f"reduce {reducer}", sort, terms)

    return Tile(x.dtype, each(fold, *map(_array, np.moveaxis(x.lanes, place, 0))))


def combine(
    call: Callable[[tuple[Tile, ...]], tuple[Tile, ...]], tiles: list[Tile], place: int, *, scan: bool, reverse: bool
) -> tuple[Tile, ...]:
    """Tiles folded by a function of two elements of each, from the left; as a scan every result on the way."""
    parts = [np.moveaxis(t.lanes, place, 0) for t in tiles]
    order = range(len(parts[0]))
    running: list[tuple[Lanes, ...]] = []
    for k in reversed(order) if reverse else order:
        here = tuple(_array(p[k]) for p in parts)
        if running:
            sides = zip((*running[-1], *here), [t.dtype for t in tiles] * 2, strict=True)
            here = tuple(r.lanes for r in call(tuple(Tile(dtype, lanes) for lanes, dtype in sides)))
        running.append(here)
    if not scan:
        return tuple(Tile(t.dtype, lanes) for t, lanes in zip(tiles, running[-1], strict=True))
    if reverse:
        running.reverse()
    return tuple(Tile(t.dtype, np.stack([r[n] for r in running], place)) for n, t in enumerate(tiles))


def _array(x: Any) -> Lanes:
    return x if isinstance(x, np.ndarray) else filled((), [x])
