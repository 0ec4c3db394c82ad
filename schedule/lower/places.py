"""Where a program is: its rows and its batch, the positions along its axes, and where the state of a part is kept."""

from __future__ import annotations

from refold.algebra.monoid import Component
from refold.algebra.roles import Roles
from refold.algebra.tiles import TileRanges
from refold.schedule import ir
from refold.schedule.lower.definitions import UNITS, tile_axes
from refold.schedule.lower.scope import Scope, chain
from refold.schedule.lower.words import BLOCK_M, GROUP, INDEX, block_of, pointer, scalar, size, within
from refold.schedule.passes.programs import heaviest_first
from refold.spec import Index

BATCH, LEAD, PART = (scalar(n) for n in ("batch", "lead", "part"))


def indices(scope: Scope, ranges: TileRanges) -> list[ir.Statement]:
    """Where a program is: its rows, its batch, the positions along axes held in registers, the shifted pointers."""
    roles = scope.roles
    lines: list[ir.Statement] = [ir.Let(scalar("pid"), ir.Program(0)), *_place_of_program(scope, ranges)]
    if roles.rows is not None:
        scope.whole[roles.rows] = ir.Name(roles.rows.name, (roles.rows,))
    lines += [ir.Let(LEAD, BATCH), *batch_lines(roles)]
    scope.whole |= {axis: scalar(axis.name) for axis in roles.batch}
    for axis in roles.inner:
        if axis not in roles.pieces:
            lines += _held_whole(scope, axis)
    return lines + [_shift(tensor) for tensor in dict.fromkeys(t for t, _ in scope.strides)]


def _held_whole(scope: Scope, axis: Index) -> list[ir.Statement]:
    """The positions along an axis that one tile has, and which of them there are."""
    at, block = ir.Name(axis.name, (axis,)), block_of(axis, scope.roles)
    scope.whole[axis] = at
    return [
        ir.Let(at, ir.Cast(ir.Lanes(block, (axis,)), INDEX), f"[{block.text}]"),
        ir.Let(within(axis), ir.Binary("<", at, size(axis, scope.roles))),
    ]


def _shift(tensor: str) -> ir.Statement:
    """A pointer at the leading position of the program."""
    leading = [ir.Binary("*", scalar(f"lead{n}"), scalar(f"{tensor}_lead{n}")) for n in (0, 1)]
    place = pointer(tensor)
    return ir.Let(place, ir.Binary("+", place, chain("+", *leading)))


def _place_of_program(scope: Scope, ranges: TileRanges) -> list[ir.Statement]:
    """The rows and the batch of a program, by its number."""
    roles, rows = scope.roles, scope.roles.rows
    pid, tiles, i0, groups = (scalar(n) for n in ("pid", "tiles", "i0", "groups"))
    group_size, first_row, last_row = (scalar(n) for n in ("group_size", "first_row", "last_row"))
    if rows is None:
        return [ir.Let(BATCH, pid)]
    row, length = ir.Name(rows.name, (rows,)), size(rows, roles)
    lanes = ir.Binary("+", i0, ir.Lanes(BLOCK_M, (rows,)))
    turn = ir.Binary("*", ir.Binary("%", pid, tiles), BLOCK_M)
    if roles.group is None:
        plain = [
            ir.Let(tiles, ir.Binary("cdiv", length, BLOCK_M)),
            ir.Let(i0, turn),
            ir.Let(BATCH, ir.Binary("//", pid, tiles)),
        ]
        lines = heaviest_first(plain) if ranges.rises(roles) else plain
        return [
            *lines,
            ir.Let(row, ir.Cast(lanes, INDEX), "[BLOCK_M]"),
            ir.Let(within(rows), ir.Binary("<", row, length)),
            ir.Let(first_row, i0),
            ir.Let(last_row, _last_of(ir.Binary("minimum", ir.Binary("+", i0, BLOCK_M), length))),
        ]
    begin = ir.Binary("*", GROUP, group_size)
    end = ir.Binary("+", begin, ir.Binary("minimum", ir.Binary("+", i0, BLOCK_M), group_size))
    inside = ir.Name("in_group", (rows,))
    return [
        ir.Let(group_size, scope.integer(roles.group)),
        ir.Let(tiles, ir.Binary("cdiv", group_size, BLOCK_M)),
        ir.Let(groups, ir.Binary("cdiv", length, group_size)),
        ir.Let(i0, turn),
        ir.Let(GROUP, ir.Binary("%", ir.Binary("//", pid, tiles), groups)),
        ir.Let(BATCH, ir.Binary("//", ir.Binary("//", pid, tiles), groups)),
        ir.Let(inside, lanes),
        ir.Let(row, ir.Cast(ir.Binary("+", begin, inside), INDEX),
               "[BLOCK_M], rows that share what is read at `group`"),
        ir.Let(within(rows), ir.Binary("&", ir.Binary("<", inside, group_size), ir.Binary("<", row, length))),
        ir.Let(first_row, ir.Binary("+", begin, i0)),
        ir.Let(last_row, _last_of(ir.Binary("minimum", end, length))),
    ]  # fmt: skip


def _last_of(end: ir.Value) -> ir.Value:
    return ir.Binary("-", end, ir.Number(1))


def batch_lines(roles: Roles) -> list[ir.Statement]:
    """The digits of `lead`: a position along every batch axis, and the two leading ones."""
    lines: list[ir.Statement] = []
    for axis in reversed(roles.batch):
        length = size(axis, roles)
        lines += [
            ir.Let(scalar(axis.name), ir.Cast(ir.Binary("%", LEAD, length), INDEX)),
            ir.Let(LEAD, ir.Binary("//", LEAD, length)),
        ]
    length = scalar("size_lead")
    return [
        *lines,
        ir.Let(scalar("lead0"), ir.Cast(ir.Binary("//", LEAD, length), "int64")),
        ir.Let(scalar("lead1"), ir.Cast(ir.Binary("%", LEAD, length), "int64")),
    ]


def place_of(c: Component, roles: Roles) -> ir.Value:
    """The place of an accumulator in the workspace [parts, batch, rows, inner]."""
    axes = tile_axes(c, roles)
    number = ir.Binary("+", ir.Binary("*", PART, scalar("size_batch")), BATCH)
    at: ir.Value = ir.Cast(number, "int64")
    if roles.rows is not None and roles.rows in axes:
        row = ir.Name(roles.rows.name, (roles.rows,))
        at = ir.Binary("+", ir.Binary("*", at, size(roles.rows, roles)), row)
    for n, x in enumerate(axes):
        if x != roles.rows:
            lane = ir.Name(x.name, (x,))
            before = ir.Spread(at, axes[: n + 1]) if n else at
            at = ir.Binary("+", ir.Binary("*", before, size(x, roles)), ir.Spread(lane, axes[: n + 1]) if n else lane)
    return ir.Binary("+", pointer(f"part_{c.symbol}"), at)


def mask_of(c: Component, roles: Roles) -> ir.Value | None:
    axes = tile_axes(c, roles)
    masks = [ir.Spread(within(x), axes) if len(axes) > 1 else within(x) for x in axes]
    return chain("&", *masks) if masks else None


def saved(c: Component, roles: Roles) -> ir.Load:
    """The state of a part, the unit beyond the ends of its axes."""
    mask = mask_of(c, roles)
    return ir.Load(place_of(c, roles), mask, None if mask is None else UNITS[str(c.reducer)])
