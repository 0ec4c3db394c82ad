"""Rewrites of what each program does: which rows it takes, and whether it takes more than once."""

from __future__ import annotations

from collections.abc import Iterable

from refold.schedule import ir
from refold.schedule.lower.words import BLOCK_M, scalar

PID, TILES, I0, BATCH = (scalar(n) for n in ("pid", "tiles", "i0", "batch"))
WORK, WORKS, NTH, PROGRAMS = (scalar(n) for n in ("work", "works", "nth", "programs"))
BEFORE, BESIDE, PLACE, SIDE = (scalar(n) for n in ("before", "beside", "place", "side"))


def heaviest_first(lines: Iterable[ir.Let]) -> list[ir.Let]:
    """The rows with most tiles start first, and side by side those of `side` batches: what they read fits the cache.

        i0 = pid % tiles * BLOCK_M      ->      before = pid // (tiles * side) * side
        batch = pid // tiles                    beside = min(size_batch - before, side)
                                                place = pid % (tiles * side)
                                                i0 = (tiles - 1 - place // beside) * BLOCK_M
                                                batch = before + place % beside

    Obligations `index grid`: each tile of each batch has a program; `index write once`: no two have the same.
    """
    whole = ir.Binary("*", TILES, SIDE)
    last = ir.Binary("-", TILES, ir.Number(1))
    row = ir.Binary("-", last, ir.Binary("//", PLACE, BESIDE))
    turn = [
        ir.Let(BEFORE, ir.Binary("*", ir.Binary("//", PID, whole), SIDE)),
        ir.Let(BESIDE, ir.Binary("minimum", ir.Binary("-", scalar("size_batch"), BEFORE), SIDE)),
        ir.Let(PLACE, ir.Binary("%", PID, whole)),
        ir.Let(I0, ir.Binary("*", row, BLOCK_M)),
        ir.Let(BATCH, ir.Binary("+", BEFORE, ir.Binary("%", PLACE, BESIDE))),
    ]
    return [new for line in lines for new in {I0: turn, BATCH: []}.get(line.target, [line])]


def several_pieces(body: Iterable[ir.Statement], works: ir.Value, before: Iterable[ir.Statement]) -> list[ir.Statement]:
    """As many programs as run at a time take the pieces of work in rounds, so that one begins while another ends.

        before; work = pid; body    ->     works = ...; before
                                           for nth in 0 ... cdiv(works, programs):
                                               work = nth * programs + (pid, or programs - 1 - pid by turns)
                                               if work < works: body

    Obligation `index copies: hopper`: each piece is some program's in some round; two that took it would write alike.
    """
    down = ir.Binary("-", ir.Binary("-", PROGRAMS, ir.Number(1)), PID)
    turn = ir.Choice(ir.Binary("==", ir.Binary("%", NTH, ir.Number(2)), ir.Number(0)), PID, down)
    each: tuple[ir.Statement, ...] = (
        ir.Note("Rounds go up and down by turns: who had most in one has least in the next."),
        ir.Let(WORK, ir.Binary("+", ir.Binary("*", NTH, PROGRAMS), turn)),
        ir.If(ir.Binary("<", WORK, WORKS), tuple(body)),
    )
    return [
        ir.Unpack((PID, PROGRAMS), ir.Sequence((ir.Program(0), ir.Program(0, count=True)))),
        ir.Let(WORKS, works),
        *before,
        ir.For(NTH, ir.Number(0), ir.Binary("cdiv", WORKS, PROGRAMS), None, each),
    ]
