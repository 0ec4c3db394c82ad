"""Which tensors a tensor descriptor can read: one box of consecutive positions a tile, beyond the ends of it zeros."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from refold.algebra import Plan
from refold.algebra.roles import Roles, axes_of
from refold.spec import Index, Read


@dataclass(frozen=True, slots=True)
class Box:
    """For every axis of a tensor, the name of its block and of the first position; None where it is one position."""

    blocks: tuple[str | None, ...]
    starts: tuple[str | None, ...]

    @property
    def tile(self) -> tuple[str, ...]:
        """The blocks of the two axes of the tile."""
        return tuple(b for b in self.blocks if b is not None)


def boxes(plan: Plan, roles: Roles) -> dict[str, Box]:
    """The boxes of the tensors that a kernel with dots reads at one place alone, and there as a tile of two axes.

    A masked load gives 0 where an axis ends, and so does a descriptor: both read the same tile. Every other mask of
    a tile is laid over what was read.
    """
    if not roles.contracts:
        return {}
    reads = {n for e in plan.elements for n in sp.preorder_traversal(e.expr) if isinstance(n, Read)}
    reads |= {n for a in plan.accumulators for n in sp.preorder_traversal(a.element) if isinstance(n, Read)}
    last = {n.name for f in plan.finish for n in sp.preorder_traversal(f.expr) if isinstance(n, Read)}
    found = {}
    for name in sorted({r.name for r in reads} - last):
        (read, *others) = (r for r in reads if r.name == name)
        box = None if others else _box(read, roles)
        if box is not None:
            found[name] = box
    return found


def _box(read: Read, roles: Roles) -> Box | None:
    """The box of a read, where tile axes index it in the order of the tile and all else is one position."""
    if read.tensor.is_integer:
        return None
    starts = {roles.fold: ("BLOCK_N", "j0")} | {a: (f"BLOCK_{a.name}", "0") for a in roles.inner}
    if roles.rows is not None and roles.group is None:
        starts[roles.rows] = ("BLOCK_M", "i0")
    places: list[tuple[str | None, str | None]] = []
    tile: list[Index] = []
    for index in read.indices:
        if isinstance(index, Index) and index in starts:
            tile.append(index)
            places.append(starts[index])
        elif axes_of(index) and not roles.across(index):
            places.append((None, None))
        else:
            return None
    if len(tile) != 2 or tile != [a for a in roles.tiles if a in tile]:
        return None
    return Box(*(tuple(part) for part in zip(*places, strict=True)))
