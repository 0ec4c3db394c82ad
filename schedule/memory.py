"""Reads and writes of memory on terms."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

from refold.schedule import integers
from refold.schedule.conditions import FALSE, TRUE, both, select
from refold.schedule.dtypes import is_pointer, sort_of
from refold.schedule.outcome import Written
from refold.schedule.terms import Term, make
from refold.schedule.tiles import NoMeaning, Tile, cast, each, filled, terms

if TYPE_CHECKING:
    from refold.schedule.execute import Descriptor, Machine


def element(place: Tile) -> str:
    """The dtype of what a tile of pointers points to."""
    if not is_pointer(place.dtype):
        raise NoMeaning(f"{place.dtype} as a pointer")
    return place.dtype[1:]


def load(machine: Machine, place: Tile, mask: Tile | None, other: Tile | None) -> Tile:
    """What memory holds; where the mask leaves a lane out, the other value, or one of which nothing is known."""
    dtype = element(place)
    found = each(lambda p: read(machine.epoch, p, dtype), place.lanes)
    if mask is None:
        return Tile(dtype, found)
    rest = Tile(dtype, filled((), [make("undefined", sort_of(dtype))])) if other is None else cast(other, dtype)
    return Tile(dtype, each(select, cast(mask, "int1").lanes, found, rest.lanes))


def read(epoch: int, place: Term, dtype: str) -> Term:
    """What memory holds after so many writes."""
    if place.op == "select":
        condition, then, other = place.args
        return select(condition, read(epoch, then, dtype), read(epoch, other, dtype))
    if place.op != "pointer":
        raise NoMeaning(f"a load from a pointer that is a {place.op}")
    return make("read", sort_of(dtype), place.args, (place.data, epoch, dtype))


def fetch(machine: Machine, descriptor: Descriptor, corner: Sequence[Term], shape: tuple[int, ...]) -> Tile:
    """A tile of a descriptor: each lane by its indices, as beyond the ends of the tensor it is 0.

    The axes that the shape lacks are the first ones, of one position each.
    """
    block = (1,) * (len(corner) - len(shape)) + shape
    sort, data = sort_of(descriptor.dtype), (descriptor.name, machine.epoch)
    lanes = []
    for steps in product(*(range(n) for n in block)):
        indices = tuple(integers.add(c, integers.whole(k)) for c, k in zip(corner, steps, strict=True))
        lanes.append(make("fetch", sort, indices, data))
    return Tile(descriptor.dtype, filled(shape, lanes))


def write(machine: Machine, place: Tile, what: Tile, mask: Tile | None, how: str = "=") -> None:
    """A store under the conditions of the way here; it is none where no lane has a chance."""
    holds = Tile("int1", filled((), [TRUE])) if mask is None else cast(mask, "int1")
    when = each(lambda _, m: both(machine.path, m), place.lanes, holds.lanes)
    places = each(lambda p, _: p, place.lanes, when)
    values = each(lambda v, _: v, cast(what, element(place)).lanes, when)
    if any(c is not FALSE for c in terms(when)):
        machine.events.append(Written(places, values, when, machine.inside, how))


def atomic(machine: Machine, op: str, place: Tile, what: Tile, mask: Tile | None) -> Tile:
    """One step of read and write; another program may have written between: what was there is a value of its own."""
    dtype, epoch = element(place), machine.epoch
    old = each(lambda p: make("atomic", sort_of(dtype), (p,), (op, epoch)), place.lanes)
    write(machine, place, what, mask, how=op)
    return Tile(dtype, old)
