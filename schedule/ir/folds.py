"""Values to which many elements of a tile go: products of matrices, and folds along an axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from refold.schedule.ir.leaves import Axes

if TYPE_CHECKING:
    from refold.schedule.ir import Value

Reducer: TypeAlias = Literal["sum", "max", "min", "prod"]


@dataclass(frozen=True, slots=True)
class Dot:
    """The matrix product of two tiles, added to `into`; the operands in their dtype, the sum in float32.

    `precision` is what is left of float32 operands.
    """

    a: Value
    b: Value
    into: Value | None = None
    precision: str = "ieee"

    @property
    def axes(self) -> Axes:
        return (self.a.axes[0], self.b.axes[1])


@dataclass(frozen=True, slots=True)
class Reduce:
    """A tile folded along one of its axes, or along all; a maximum or minimum passes over NaN."""

    reducer: Reducer
    x: Value
    place: int | None

    @property
    def axes(self) -> Axes:
        if self.place is None:
            return ()
        return (*self.x.axes[: self.place], *self.x.axes[self.place + 1 :])


@dataclass(frozen=True, slots=True)
class Combine:
    """Tiles folded together along one of their axes by a function of the module, which takes two elements of each.

    As a scan it gives the running results. It gives as many tiles as it takes.
    """

    function: str
    xs: tuple[Value, ...]
    place: int
    scan: bool = False
    reverse: bool = False

    @property
    def axes(self) -> Axes:
        axes = self.xs[0].axes
        return axes if self.scan else (*axes[: self.place], *axes[self.place + 1 :])
