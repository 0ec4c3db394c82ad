"""A piece of work of Hopper's kernel: which rows of which batch it is, and which tiles it visits."""

from __future__ import annotations

from refold.schedule import ir
from refold.schedule.lower.buffers import GONE, HELD_AT_ONCE, HI, I0, LEAD, LO, NTH, ONE, TILES, TWO, WORK, ZERO
from refold.schedule.lower.hopper import Hopper
from refold.schedule.lower.places import batch_lines
from refold.schedule.lower.words import BLOCK_M, BLOCK_N, scalar, size
from refold.schedule.passes.programs import several_pieces
from refold.schedule.walk import invoke, needed


def slot_of(group: ir.Value) -> ir.Value:
    """Where the rows of a group are kept: the pieces of work take turns."""
    return ir.Binary("+", ir.Binary("*", ir.Binary("%", NTH, HELD_AT_ONCE), TWO), group)


def rows_parity() -> ir.Value:
    """The parity of how often all buffers of rows were filled before."""
    return ir.Binary("&", ir.Binary("//", NTH, HELD_AT_ONCE), ONE)


def visited() -> ir.Value:
    """How many tiles a piece of work visits."""
    return ir.Binary("//", ir.Binary("-", HI, LO), BLOCK_N)


def gone() -> ir.Value:
    """How many tiles were loaded by the end of a piece of work."""
    return ir.Binary("+", GONE, visited())


def located(hopper: Hopper, lines: list[ir.Statement]) -> list[ir.Statement]:
    """The statements, after those that say which rows of which batch they are for."""
    turned = ir.Binary("-", ir.Binary("-", TILES, ONE), ir.Binary("%", WORK, TILES))
    straight: list[ir.Statement] = [
        ir.Let(TILES, ir.Binary("cdiv", size(hopper.row, hopper.roles), ir.Binary("*", TWO, BLOCK_M))),
        ir.Let(I0, ir.Binary("*", ir.Binary("*", turned, TWO), BLOCK_M)),
        ir.Let(LEAD, ir.Binary("//", WORK, TILES)),
        *batch_lines(hopper.roles),
    ]
    return [*needed(straight, lines), *lines]


def tile_range(hopper: Hopper) -> list[ir.Statement]:
    """Sets the first and the last tile of a piece of work."""
    end = ir.Binary("minimum", ir.Binary("+", I0, ir.Binary("*", TWO, BLOCK_M)), size(hopper.row, hopper.roles))
    rows = [ir.Let(scalar("first_row"), I0), ir.Let(scalar("last_row"), ir.Binary("-", end, ONE))]
    return [*needed(rows, hopper.choices), *hopper.choices]


def pieces(hopper: Hopper, work: ir.Function) -> list[ir.Statement]:
    """What a program has to do: its pieces of work, and how many tiles were loaded before each."""
    tiles = ir.Binary("cdiv", size(hopper.row, hopper.roles), ir.Binary("*", TWO, BLOCK_M))
    works = ir.Binary("*", tiles, scalar("size_batch"))
    return several_pieces([ir.Let(GONE, invoke(work))], works, before=[ir.Let(GONE, ZERO)])
