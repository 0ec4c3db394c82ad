"""Rewrites of the loops over the tiles of an axis.

A body reads three names that a pass gives values: `j0`, where the tile begins; `MASKED`, whether any position of it may
be masked; `EVICT`, what the caches are told of its elements. Every pass leaves the tiles that are visited, and what is
computed of them, as they are, in another order at most where the order does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from refold.schedule import ir
from refold.schedule.lower.words import BLOCK_N, EVICT, MASKED, ONE_TILE, RAGGED, scalar
from refold.schedule.walk import invoke, put

# What the caches are told of the elements of a row of many tiles: to be read again, or not again.
KEPT, LAST_USE = ir.Text("evict_last"), ir.Text("evict_first")
TRUE, FALSE, ZERO = ir.Number(True), ir.Number(False), ir.Number(0)
J0, LAST, BACK, LIVE = (scalar(n) for n in ("j0", "last", "back", "live"))
Body = tuple[ir.Statement, ...]


def skip_tiles(loop: ir.For, live: ir.Function) -> ir.For:
    """A tile that adds nothing is not computed: its summary is asked first.

        for j0: body     ->     for j0: live = _live(j0); if live: body

    Obligations `index summary`: where no row has a live position in a tile, its body leaves the state as it is.
    """
    return replace(loop, body=(ir.Let(LIVE, invoke(live)), ir.If(LIVE, loop.body)))


def mask_free_tiles(loop: ir.For, spans: Iterable[tuple[ir.Value, ir.Value, bool]]) -> list[ir.For]:
    """Tiles that no mask cuts are computed without asking.

        for j0 in lo ... hi: body(MASKED)   ->   for j0 in lo ... free_hi: body(False)
                                                 for j0 in free_hi ... hi: body(True)

    Obligations `index visit`: the loops visit the same tiles; `index unmasked`: each mask holds everywhere in a tile
    that does not ask it.
    """
    return [replace(loop, start=start, stop=stop, body=put(loop.body, {MASKED: ir.Number(masked)}))
            for start, stop, masked in spans]  # fmt: skip


def peel_last_tile(visit: ir.For, write: ir.For | None) -> tuple[Body, Body]:
    """No loop stands between the last visit and what is written of that tile, so that the compiler reads it once.

        for j0 in 0 ... size: body(MASKED)      ->     last = 0 if ONE_TILE else (cdiv(size, BLOCK_N) - 1) * BLOCK_N
                                                       if not ONE_TILE: for j0 in 0 ... last: body(False)
                                                       body(last, RAGGED)
        for j0 in 0 ... size: write(MASKED)     ->     write(last, RAGGED)
                                                       if not ONE_TILE: the tiles before, the latest first

    Tiles before the last are read again, which the caches were told to keep: with one tile the loops would cost
    registers. Only for an axis whose end alone masks a tile. Obligations `index held`: the same tiles are visited, and
    those before the last are whole.
    """
    several, once = ir.Unary("not", ONE_TILE), ir.Choice(ONE_TILE, ir.Text(""), LAST_USE)
    tiles = ir.Binary("cdiv", visit.stop, BLOCK_N)
    start = ir.Binary("*", ir.Binary("-", tiles, ir.Number(1)), BLOCK_N)
    before = replace(visit, stop=LAST, body=put(visit.body, {MASKED: FALSE, EVICT: KEPT}))
    last: dict[ir.Name, ir.Value] = {J0: LAST, MASKED: RAGGED, EVICT: once}
    visits: Body = (ir.Let(LAST, ir.Choice(ONE_TILE, ZERO, start)), ir.If(several, (before,)), *put(visit.body, last))
    if write is None:
        return visits, ()
    turn: dict[ir.Name, ir.Value] = {J0: ir.Binary("-", LAST, BACK), MASKED: FALSE, EVICT: LAST_USE}
    back = ir.For(BACK, BLOCK_N, ir.Binary("+", LAST, BLOCK_N), BLOCK_N, put(write.body, turn))
    return visits, (*put(write.body, last), ir.If(several, (back,)))
