"""A tile as one of other axes, of another order or of another shape, with the same elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from refold.schedule.ir.leaves import Axes

if TYPE_CHECKING:
    from refold.schedule.ir import Value


@dataclass(frozen=True, slots=True)
class Spread:
    """A tile as one of more axes, in which it does not vary along those that it lacks."""

    x: Value
    axes: Axes


@dataclass(frozen=True, slots=True)
class Transpose:
    """A tile with its axes in another order: exchanged, if no order is given."""

    x: Value
    order: tuple[int, ...] = (1, 0)

    @property
    def axes(self) -> Axes:
        return tuple(self.x.axes[k] for k in self.order)


@dataclass(frozen=True, slots=True)
class Reshape:
    """The elements of a tile, in their order, as one of another shape, or of axes that are called otherwise."""

    x: Value
    shape: tuple[int, ...]
    axes: Axes


@dataclass(frozen=True, slots=True)
class Repeat:
    """A tile repeated along the axes in which it has one position, to the shape."""

    x: Value
    shape: tuple[int, ...]

    @property
    def axes(self) -> Axes:
        return self.x.axes
