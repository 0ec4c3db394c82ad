"""A rewrite of quotients: one for all positions of a tile, where tiles end where the quotient grows."""

from __future__ import annotations

from typing import Any

from refold.algebra.roles import Roles
from refold.schedule import ir
from refold.schedule.lower.words import ALIGNED, INDEX
from refold.spec import Index, Param


def is_digit(above: Any, below: Any, roles: Roles) -> bool:
    """Whether a quotient is the outer one of two positions for which one of the fold's axis stands."""
    return above == roles.fold and isinstance(below, Param) and roles.row_reduction


def aligned(lanes: ir.Value, first: ir.Value, fold: Index) -> ir.Choice:
    """The quotient of a tile is that of its first position, so that what is read there is read once.

        j // length     ->     full([1], j0 // length) if ALIGNED else j // length

    Obligation `index aligned`: where tiles are parts of `length` positions, both are the same in every lane.
    """
    return ir.Choice(ALIGNED, ir.Full((ir.Number(1),), first, INDEX, (fold,)), lanes)
