"""A group of warps that computes: it holds its rows, and goes over the tiles as they are loaded."""

from __future__ import annotations

from refold.schedule import ir
from refold.schedule.lower.buffers import (
    FIRST,
    FLOAT,
    GL,
    GONE,
    GROUP,
    HELD,
    HI,
    I0,
    J0,
    LO,
    NTH,
    ONE,
    PHASE,
    PHASE_BEFORE,
    SLOT,
    STAGE,
    STAGE_BEFORE,
    TURN,
    WORK,
    ZERO,
    Place,
    arrive,
    at,
    barrier,
    in_buffers,
    product,
    slice_of,
    tile_layout,
    wait,
)
from refold.schedule.lower.hopper import Hopper
from refold.schedule.lower.words import BLOCK_M, BLOCK_N, INDEX, block_of, pointer, scalar, size, within
from refold.schedule.lower.work import gone, located, pieces, rows_parity, slot_of, tile_range
from refold.schedule.passes.loops import mask_free_tiles
from refold.schedule.walk import function, invoke, needed


def following(hopper: Hopper) -> ir.Function:
    _, k, v = hopper.places
    before = ir.Binary("-", TURN, ONE)
    states = tuple(s for s, _, _ in hopper.states)
    carried = tuple(hopper.following if c == hopper.weights else c for c in hopper.carried)
    lines = [
        ir.Let(TURN, ir.Binary("//", ir.Binary("-", J0, FIRST), BLOCK_N)),
        ir.Unpack((STAGE, PHASE), ir.Sequence(in_buffers(TURN))),
        barrier("wait", "k_full", STAGE, PHASE),
        *issued(hopper, k),
        ir.Unpack((STAGE_BEFORE, PHASE_BEFORE), ir.Sequence(in_buffers(before))),
        barrier("wait", "v_full", STAGE_BEFORE, PHASE_BEFORE),
        product(hopper.weights, v.flat(at("v_buffers", STAGE_BEFORE)), hopper.wide),
        wait(1, hopper.scores),
        arrive("k_empty", STAGE),
        ir.Unpack(carried, invoke(hopper.scored)),
        wait(0, hopper.wide, hopper.weights),
        arrive("v_empty", STAGE_BEFORE),
        ir.Let(hopper.wide, hopper.corrected),
        ir.Return((*states, hopper.following)),
    ]
    comment = "The scores of a tile, while the weights of the one before meet v."
    return function("_next", (*states, hopper.weights, J0, FIRST), lines, comment)


def issued(hopper: Hopper, k: Place) -> list[ir.Statement]:
    """Begins the first product of a tile, whose keys are loaded."""
    shape = ir.Sequence((BLOCK_M, BLOCK_N))
    exchanged = ir.Method(k.flat(at("k_buffers", STAGE)), "permute", (ir.Sequence((ONE, ZERO), tuple=True),))
    return [
        ir.Let(hopper.scores, ir.Method(GL, "zeros", (shape, FLOAT, tile_layout(BLOCK_N)), axes=hopper.scores.axes)),
        product(HELD, exchanged, hopper.scores, use_acc=ir.Number(False)),
    ]


def rows(hopper: Hopper, following: ir.Function) -> ir.Function:
    q, k, v = hopper.places
    r, e = (ir.Name(a.name, (a,)) for a in (hopper.row, hopper.columns))
    wide = block_of(hopper.columns, hopper.roles)
    begin = ir.Binary("+", I0, ir.Binary("*", GROUP, BLOCK_M))
    lanes = ir.Lanes(BLOCK_M, (hopper.row,), slice_of(1, BLOCK_N))
    columns = ir.Lanes(wide, (hopper.columns,), slice_of(0, wide))
    base: list[ir.Statement] = [
        ir.Let(r, ir.Cast(ir.Binary("+", begin, lanes), INDEX)),
        ir.Let(within(hopper.row), ir.Binary("<", r, size(hopper.row, hopper.roles))),
        ir.Let(e, ir.Cast(columns, INDEX)),
        ir.Let(within(hopper.columns), ir.Binary("<", e, size(hopper.columns, hopper.roles))),
    ]
    for t in hopper.pointers:
        lead0, lead1 = (ir.Binary("*", scalar(f"lead{n}"), scalar(f"{t}_lead{n}")) for n in (0, 1))
        base.append(ir.Let(pointer(t), ir.Binary("+", pointer(t), ir.Binary("+", lead0, lead1))))
    base += hopper.prologue
    init: list[ir.Statement] = []
    for s, unit, is_wide in hopper.states:
        shape = ir.Sequence((BLOCK_M, wide) if is_wide else (BLOCK_M,))
        layout = tile_layout(wide) if is_wide else slice_of(1, BLOCK_N)
        init.append(ir.Let(s, ir.Method(GL, "full", (shape, unit, FLOAT, layout), axes=s.axes)))
    stage, phase = in_buffers(GONE)
    # The first tile is run with masks, which are right everywhere.
    first: list[ir.Statement] = [
        ir.Let(STAGE, stage),
        barrier("wait", "k_full", STAGE, phase),
        *issued(hopper, k),
        wait(0, hopper.scores),
        arrive("k_empty", STAGE),
        ir.Unpack(hopper.carried, invoke(hopper.scored, j0=LO, MASKED=ir.Number(True))),
        ir.Let(hopper.wide, hopper.corrected),
        ir.Let(FIRST, ir.Binary("-", LO, ir.Binary("*", GONE, BLOCK_N))),
    ]
    targets = (*(s for s, _, _ in hopper.states), hopper.weights)
    each = ir.For(J0, LO, HI, BLOCK_N, (ir.Unpack(targets, invoke(following)),))
    second = ir.Binary("+", LO, BLOCK_N)
    spans = [(ir.Binary("maximum", scalar(a.name), second), scalar(b.name), masked) for a, b, masked in hopper.spans]
    first += mask_free_tiles(each, spans)
    stage, phase = in_buffers(TURN)
    first += [
        ir.Let(TURN, ir.Binary("-", gone(), ONE)),
        ir.Let(STAGE, stage),
        barrier("wait", "v_full", STAGE, phase),
        product(hopper.weights, v.flat(at("v_buffers", STAGE)), hopper.wide),
        wait(0, hopper.wide, hopper.weights),
        arrive("v_empty", STAGE),
    ]
    lines = [
        *init,
        *tile_range(hopper),
        ir.Let(SLOT, slot_of(GROUP)),
        barrier("wait", "q_full", SLOT, rows_parity()),
        ir.Let(HELD, q.flat(at("q_buffers", SLOT))),
        ir.If(ir.Binary("<", LO, HI), tuple(first)),
        arrive("q_empty", SLOT),
        *hopper.epilogue,
        ir.Return((gone(),), alone=True),
    ]
    lines = located(hopper, [*needed(base, lines), *lines])
    return function("_rows", (WORK, NTH, GONE, GROUP), lines, "One group holds its rows and goes over the tiles.")


def empty(hopper: Hopper, rows: ir.Function) -> ir.Function:
    return function("_empty", (GROUP,), pieces(hopper, rows), "The rows of one group in every piece of work.")
