"""The warp that loads: the rows of both groups, then every tile that is visited, as far as buffers are empty."""

from __future__ import annotations

from refold.schedule import ir
from refold.schedule.lower.buffers import (
    GONE,
    HI,
    I0,
    J0,
    LO,
    NTH,
    ONE,
    PHASE,
    SLOT,
    STAGE,
    TURN,
    WORK,
    barrier,
    in_buffers,
)
from refold.schedule.lower.hopper import Hopper
from refold.schedule.lower.words import BLOCK_M, BLOCK_N
from refold.schedule.lower.work import gone, located, pieces, rows_parity, slot_of, tile_range
from refold.schedule.walk import function, needed


def load(hopper: Hopper) -> ir.Function:
    q, k, v = hopper.places
    lines: list[ir.Statement] = []
    for group in (0, 1):
        number = ir.Number(group)
        phase = ir.Binary("^", rows_parity(), ONE)
        lines += [
            ir.Let(SLOT, slot_of(number)),
            barrier("wait", "q_empty", SLOT, phase),
            *q.copy("q", SLOT, ir.Binary("+", I0, ir.Binary("*", number, BLOCK_M))),
        ]
    steps = ir.Binary("//", ir.Binary("-", J0, LO), BLOCK_N)
    stage, parity = in_buffers(TURN)
    body: list[ir.Statement] = [
        ir.Let(TURN, ir.Binary("+", GONE, steps)),
        ir.Unpack((STAGE, PHASE), ir.Sequence((stage, ir.Binary("^", parity, ONE)))),
    ]
    for letter, p in (("k", k), ("v", v)):
        body += [barrier("wait", f"{letter}_empty", STAGE, PHASE), *p.copy(letter, STAGE)]
    lines += [ir.For(J0, LO, HI, BLOCK_N, tuple(body)), ir.Return((gone(),), alone=True)]
    lines = located(hopper, [*needed(tile_range(hopper), lines), *lines])
    return function(
        "_load", (WORK, NTH, GONE), lines, "Loads the rows of both groups, then every tile that is visited."
    )


def fill(hopper: Hopper, load: ir.Function) -> ir.Function:
    return function("_fill", (), pieces(hopper, load), "The tiles of one piece of work after another.")
