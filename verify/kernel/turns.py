"""The buffers of the kernel for Hopper, and whose turn it is at each: what a copy brings, and what waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from refold.schedule import integers
from refold.schedule.conditions import TRUE, both, compare_integers, select
from refold.schedule.execute import Foreign
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.words import descriptor, pointer
from refold.schedule.terms import Term, below, make, real, symbol
from refold.schedule.tiles import NoMeaning, Tile, filled
from refold.verify.kernel.launched import iteration_of
from refold.verify.kernel.multiples import simplified
from refold.verify.kernel.small import LANES

BLOCK_N, BLOCK_M, ROW = (symbol(n, "int") for n in ("BLOCK_N", "BLOCK_M", "row of the tile"))
ZERO, ONE = integers.whole(0), integers.whole(1)
# A block by its length: the lanes of its tile. One row stands for all, two positions for those of a tile.
BLOCKS: Mapping[Term, tuple[Term, ...]] = {BLOCK_M: (ROW,), BLOCK_N: tuple(map(integers.whole, range(LANES)))}


@dataclass(frozen=True, slots=True)
class Opaque(Foreign):
    """A word that says how something is held or called, not what it is: a layout, a dtype, a size in bytes."""

    what: str


@dataclass(frozen=True, slots=True)
class Buffer(Foreign):
    """Shared memory: so many barriers, or tiles of a shape."""

    number: int
    count: Term
    shape: tuple[tuple[Term, ...], ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Stage(Foreign):
    """One of the barriers or tiles of a buffer."""

    buffer: Buffer
    at: Term


@dataclass(frozen=True, slots=True)
class Held(Foreign):
    """A tile in shared memory, of the stage that holds it."""

    tile: Tile
    stage: Stage


@dataclass(frozen=True, slots=True)
class Product(Foreign):
    """A product of the tensor cores that was issued: what it will give, to what it adds, the stages that it reads."""

    number: int
    tile: Tile
    into: Tile
    reads: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """The stage `factor * (turn % size) + offset`, and by the same turn how often all stages were filled before."""

    factor: int
    size: Term
    offset: int
    turn: Term

    @property
    def channel(self) -> tuple[int, Term, int]:
        """The stages that turns with the same size, factor and offset share."""
        return self.factor, self.size, self.offset

    @property
    def parity(self) -> Term:
        return make("&", "int", (integers.quotient(self.turn, self.size), ONE))


def turn_of(at: Term) -> Turn:
    """The turn that a stage is for. Raises `NoMeaning` where it says none."""
    parts = dict(integers.products(at))
    offset = parts.pop((), 0)
    if len(parts) == 1:
        ((factors, factor),) = parts.items()
        if len(factors) == 1 and factors[0].op == "%":
            turn, size = factors[0].args
            return Turn(factor, size, offset, turn)
    raise NoMeaning("a stage that is of no turn")


@dataclass(frozen=True, slots=True)
class Fill:
    """A copy into a stage: by which barriers it is known, and the tile of which tensor it brings, from which corner."""

    full: Buffer
    empty: Buffer
    buffers: Buffer
    turn: Turn
    tensor: str
    corner: tuple[Term, ...]
    loops: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.buffers.name if self.turn.factor == 1 else f"{self.buffers.name} {self.turn.offset}"

    @property
    def first(self) -> Term:
        """The turn of the first copy."""
        begin = self.turn.turn
        if self.loops:
            begin = integers.subtract(begin, iteration_of(self.loops[-1]))
        if len(self.loops) > 1 or any(t.op in ("iteration", "trips", "state", "last") for t in below(begin)):
            raise NoMeaning(f"{self.buffers.name}: copies that are not one for each iteration")
        return begin

    def at(self, turn: Term) -> tuple[Term, ...]:
        """The corner of the tile that the copy of a turn brings."""
        number = normal(integers.subtract(turn, self.first))
        if not self.loops:
            if number is not integers.whole(0):
                raise NoMeaning(f"{self.buffers.name}: a turn of which there is no copy")
            return self.corner
        return tuple(normal(integers.replaced(c, {iteration_of(self.loops[-1]): number})) for c in self.corner)


def brought(made: Kernels, fill: Fill, corner: tuple[Term, ...]) -> Tile:
    """A tile of a tensor that begins at a corner: 0 beyond the ends of an axis along which it goes."""
    tensor = next(t for t in made.plan.spec.tensors if descriptor(t.name).text == fill.tensor)
    axes = tensor.axes
    keys = ("lead0", "lead1", *axes)
    if len(keys) != len(corner) or len(corner) != len(fill.buffers.shape):
        raise NoMeaning("a copy to a buffer of another shape")
    strides = [symbol(made.strides[tensor.name, k], "int") for k in keys]
    lanes = []
    for steps in product(*fill.buffers.shape):
        at = [integers.add(c, s) for c, s in zip(corner, steps, strict=True)]
        there = TRUE
        for n, axis in enumerate(axes, 2):
            if len(fill.buffers.shape[n]) > 1 or fill.buffers.shape[n] == (ROW,):
                whole = axis in made.roles.inner
                length = integers.whole(LANES) if whole else symbol(f"size_{axis.name}", "int")
                there = both(there, compare_integers("<", at[n], length))
        offset = integers.add(*(integers.multiply(i, s) for i, s in zip(at, strides, strict=True)))
        lanes.append(
            select(there, make("read", "fp32", (offset,), (pointer(tensor.name).text, 0, "fp32")), real(0.0, "fp32"))
        )
    return Tile("fp32", filled(tuple(map(len, fill.buffers.shape)), lanes))


def normal(t: Term) -> Term:
    """An integer with multiples of BLOCK_N in the order of their factors, and extremes of what is a number apart."""
    (found,) = simplified([t], (BLOCK_N,))
    return integers.replaced(found, {x: y for x in below(found) if (y := _nearest(x)) is not x})


def _nearest(t: Term) -> Term:
    """greatest(x, x + 1)   ->   x + 1."""
    if t.op not in ("least", "greatest"):
        return t
    kept: list[Term] = []
    for a in t.args:
        apart = [integers.value_of(integers.subtract(a, b)) for b in kept]
        known = next((n for n, d in enumerate(apart) if d is not None), None)
        if known is None:
            kept.append(a)
        elif (apart[known] > 0) == (t.op == "greatest"):  # type: ignore[operator]
            kept[known] = a
    return (integers.least if t.op == "least" else integers.greatest)(*kept)
