"""Values to which many elements go: a product of two tiles, or a tile reduced over one of its axes."""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp

from refold.algebra.roles import Roles
from refold.errors import EmitError
from refold.schedule import ir
from refold.schedule.lower.host import Host
from refold.schedule.lower.padding import vanishes
from refold.schedule.lower.reads import load
from refold.schedule.lower.scope import Scope
from refold.schedule.lower.words import OPERAND, ZERO, within
from refold.spec import Index, Read

_REDUCE: dict[str, ir.Reducer] = {
    "sum": "sum", "count": "sum", "max": "max", "any": "max", "min": "min", "all": "min", "prod": "prod",
}  # fmt: skip


def dot(
    scope: Scope, factors: list[sp.Expr], axis: Index, into: ir.Value | None = None, masked: ir.Value | None = None
) -> ir.Value | None:
    """The dot of the factors that share `axis`, times the others; None where there are not two such groups.

    `masked`: the lanes of the left operand that count in a tile with masks; the others are set to 0.
    """
    if not scope.roles.contracts:
        return None
    along = [f for f in factors if axis in scope.axes(f)]
    outside = [f for f in factors if f not in along]
    wide = sorted({scope.axes(f) for f in along if len(scope.axes(f)) == 2}, key=lambda axes: places(axes, scope.roles))
    if (
        len(wide) != 2
        or wide[0] & wide[1] != {axis}
        or any(not scope.axes(f) <= wide[0] and not scope.axes(f) <= wide[1] for f in along)
    ):
        return None
    if into is not None and outside:
        return None
    left = [f for f in along if scope.axes(f) <= wide[0]]
    right = [f for f in along if f not in left]
    (row,), (column,) = wide[0] - {axis}, wide[1] - {axis}
    inside = within(axis)
    wild = [not all(scope.finite(f, axis) for f in side) for side in (left, right)]
    if axis in scope.roles.inner:
        a, b = operand(scope, left, (row, axis), masked), operand(scope, right, (axis, column), None)
        if wild[0] or not (vanishes(left, axis) or vanishes(right, axis) or wild[1]):
            a = ir.Cast(ir.Select(ir.Spread(inside, (row, axis)), a, ZERO), OPERAND)
        if wild[1]:
            b = ir.Cast(ir.Select(ir.Spread(inside, (axis, column)), b, ZERO), OPERAND)
    else:
        a = operand(scope, left, (row, axis), masked)
        b = operand(scope, right, (axis, column), inside if wild[1] else None)
    val = ir.Dot(a, b, into)
    return scope.join("*", [val, scope.value(sp.Mul(*outside))]) if outside else val


def places(axes: Iterable[Index], roles: Roles) -> list[int]:
    """Where the axes stand among those of a tile."""
    return sorted(roles.tiles.index(a) for a in axes)


def operand(scope: Scope, factors: list[sp.Expr], order: tuple[Index, Index], masked: ir.Value | None) -> ir.Value:
    """One side of a dot in the dtype of the inputs, transposed where its canonical order is the other one."""
    reads = len(factors) == 1 and isinstance(factors[0], Read)
    if reads and scope.lookup(factors[0]) is None:
        home = scope
        while home.outer is not None and not home.varies(factors[0]):
            home = home.outer
        val = load(home, factors[0])
    else:
        val = scope.named("a", scope.value(sp.Mul(*factors)))
        if masked is not None:
            scope.fill(val, masked, ZERO)
    cast = ir.Cast(val, OPERAND)
    return cast if val.axes == order else ir.Transpose(cast)


def extremum(kind: str, tile: ir.Value, axis: Index, host: Host) -> ir.Value:
    """The maximum or minimum of a tile over one of its axes, NaN where an element is."""
    place = tile.axes.index(axis)
    rest = (*tile.axes[:place], *tile.axes[place + 1 :])
    return ir.Call(host.helper("_largest" if kind == "max" else "_smallest"), (tile, ir.Number(place)), rest)


def reduced(kind: str, tile: ir.Value, axis: Index, host: Host) -> ir.Value:
    """A tile reduced over one of its axes; a maximum or minimum passes over what is no number."""
    if kind not in _REDUCE:
        raise EmitError(f"no Triton text for a fold by {kind}: use sum, max, min, prod, any, all, count or argmax")
    if kind == "prod":
        host.helper("_multiply")
    return ir.Reduce(_REDUCE[kind], tile, tile.axes.index(axis))
