"""The arguments that every kernel calls alike: constants of its compilation, pointers, sizes, blocks."""

from __future__ import annotations

import math

from refold.algebra.roles import Roles
from refold.schedule import ir
from refold.spec import Index


def constant(text: str) -> ir.Name:
    """A value that is known when the kernel is compiled."""
    return ir.Name(text, kind="constant")


MASKED, INDEX, OPERAND, STAGES, OVERLAP, DESC, FAST, ONE_TILE, RAGGED, ALIGNED, EVICT, BLOCK_M, BLOCK_N = map(
    constant,
    ("MASKED", "INDEX", "OPERAND", "STAGES", "OVERLAP", "DESC", "FAST", "ONE_TILE", "RAGGED", "ALIGNED", "EVICT",
     "BLOCK_M", "BLOCK_N"),
)  # fmt: skip


GROUP = ir.Name("group")
ZERO, ONE, MINUS_ONE, NAN = ir.Number(0.0), ir.Number(1.0), ir.Number(-1.0), ir.Number(math.nan)


def pointer(tensor: str) -> ir.Name:
    """Where a tensor begins."""
    return ir.Name(f"{tensor}_ptr", kind="pointer")


def descriptor(tensor: str) -> ir.Name:
    """What reads a tensor by tiles, beside its pointer; None where the launcher makes none."""
    return ir.Name(f"{tensor}_desc", kind="pointer")


def scalar(text: str) -> ir.Name:
    """A number that the launcher passes, or that the kernel has made."""
    return ir.Name(text, kind="size" if text.startswith("size_") else "value")


def size(axis: Index, roles: Roles) -> ir.Name:
    """The length of an axis."""
    if axis in roles.inner:
        return constant(f"SIZE_{axis.name}")
    return ir.Name(f"size_{axis.name}", kind="size")


def block_of(axis: Index, roles: Roles) -> ir.Name:
    """How many positions along an axis a tile has."""
    if axis == roles.rows:
        return BLOCK_M
    return BLOCK_N if axis == roles.fold else constant(f"BLOCK_{axis.name}")


def within(axis: Index) -> ir.Name:
    """Which lanes along an axis are positions of it."""
    return ir.Name(f"in_{axis.name}", (axis,))
