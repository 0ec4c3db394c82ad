"""What reads and writes memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from refold.schedule.ir.leaves import Axes, Name

if TYPE_CHECKING:
    from refold.schedule.ir import Value


@dataclass(frozen=True, slots=True)
class Load:
    """What is at `place`, a pointer in each lane; `other` in the lanes that the mask leaves out."""

    place: Value
    mask: Value | None = None
    other: Value | None = None
    eviction: Value | None = None

    @property
    def axes(self) -> Axes:
        return self.place.axes


@dataclass(frozen=True, slots=True)
class Fetch:
    """The tile of a tensor descriptor that begins at `corner`; 0 beyond the ends of the tensor."""

    descriptor: Name
    corner: tuple[Value, ...]
    shape: tuple[Value, ...]
    axes: Axes


@dataclass(frozen=True, slots=True)
class Atomic:
    """Replaces what is at `place` by `op` of it and the value, as one step; it gives what was there."""

    op: str
    place: Value
    value: Value
    mask: Value | None = None

    @property
    def axes(self) -> Axes:
        return self.place.axes


@dataclass(frozen=True, slots=True)
class Store:
    place: Value
    value: Value
    mask: Value | None = None
    eviction: Value | None = None
