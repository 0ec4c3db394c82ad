"""What the kernels of a run read and write: data, the states of parts, outputs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from refold.errors import SpecError
from refold.schedule.dtypes import is_float
from refold.schedule.tiles import NoMeaning
from refold.spec.walk import Array
from refold.verify.rounding import tiles
from refold.verify.rounding.tape import Tape
from refold.verify.rounding.tiles import POSITION, Operand, Tile


@dataclass(frozen=True, slots=True)
class Write:
    """A tile, where its elements went, and which of them."""

    places: Array
    mask: Array
    tile: Tile


@dataclass(slots=True)
class Memory:
    """`data` are the tensors that are given, element by element; `writes` what kernels stored, by the base pointer."""

    data: dict[str, Array]
    writes: dict[str, list[Write]] = field(default_factory=dict)

    def store(self, place: Tile, value: Tile, mask: Tile | None) -> None:
        shape = np.broadcast_shapes(np.shape(place.data), np.shape(value.array))
        held = np.ones(shape, bool) if mask is None else np.broadcast_to(mask.array, shape)
        self.writes.setdefault(place.base, []).append(Write(np.broadcast_to(place.data, shape), held, value))

    def load(self, tape: Tape, place: Tile, mask: Tile | None, other: Operand) -> Tile:
        if place.doubtful:
            raise SpecError(POSITION)
        held = np.ones(np.shape(place.data), bool)
        if mask is not None:
            held = held & mask.array
        found = self._data(tape, place) if place.base in self.data else self._written(place, held)
        if np.all(held):
            return found
        beside = tiles.cast(tape, other, found.dtype) if isinstance(other, Tile) else other
        return tiles.chosen(tape, Tile("int1", place.axes, held), found, beside)

    def _data(self, tape: Tape, place: Tile) -> Tile:
        dtype, values = place.dtype[1:], self.data[place.base]
        # What a mask leaves out may be anywhere.
        found = values[np.clip(place.data, 0, len(values) - 1)] if len(values) else np.zeros(np.shape(place.data))
        return Tile(dtype, place.axes, tape.constant(found) if is_float(dtype) else found.astype(np.int64))

    def _written(self, place: Tile, held: Array) -> Tile:
        """A state, read as it was written."""
        for write in reversed(self.writes.get(place.base, [])):
            if np.array_equal(np.ravel(write.places), np.ravel(place.data)):
                left_out = np.ravel(~write.mask)
                if not np.any(left_out & np.broadcast_to(np.ravel(held), left_out.shape)):
                    return write.tile
        raise NoMeaning(f"{place.base} is read where nothing was written, or otherwise than it was written")
