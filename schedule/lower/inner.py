"""A fold along an inner axis, inside of the body: of a tile that has all of it, or a piece of it after the other."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import sympy as sp

from refold.errors import EmitError
from refold.schedule import ir
from refold.schedule.lower.definitions import COMBINE, UNITS
from refold.schedule.lower.dots import extremum, reduced
from refold.schedule.lower.padding import vanishes
from refold.schedule.lower.scope import Scope
from refold.schedule.lower.words import INDEX, block_of, size, within
from refold.spec import Fold, Index

_EXTREMA = {"max": "_larger", "min": "_smaller"}


def fold(scope: Scope, expr: Fold) -> ir.Value:
    """A fold along an inner axis by its name."""
    if expr.kind not in COMBINE:
        raise EmitError(
            f"{expr.kind} over {expr.axis.name}, inside of the fused loop: fold {expr.axis.name} by sum, max or min"
        )
    if expr.axis in scope.roles.pieces:
        scope.memo[expr] = by_pieces(scope, expr)
    else:
        scope.memo[expr] = scope.name(*at_once(scope, expr))
    return scope.memo[expr]


def at_once(scope: Scope, expr: Fold) -> tuple[str, ir.Value]:
    """The fold of a tile along one of its axes, and what to call it.

    It is a dot where two groups of factors share the axis alone.
    """
    factors = list(sp.Mul.make_args(expr.body))
    if expr.kind == "sum":
        dot = scope.dot(factors, expr.axis)
        if dot is not None:
            return "dot", dot
    body = scope.value(expr.body)
    axis = expr.axis
    order = scope.union(body, within(axis))
    tile = scope.spread(body, order)
    if not (expr.kind == "sum" and vanishes(factors, axis) and all(scope.finite(f, axis) for f in factors)):
        tile = ir.Select(scope.spread(within(axis), order), tile, UNITS[expr.kind])
    form = extremum if expr.kind in _EXTREMA else reduced
    return "r", form(expr.kind, tile, axis, scope.host)


def by_pieces(scope: Scope, expr: Fold) -> ir.Name:
    """The fold of one piece of the axis after the other, so that the axis may be as long as it likes.

        total = unit
        for d0 in 0, BLOCK_d, ... below SIZE_d: d = d0 + arange(0, BLOCK_d); total = total (+) fold of the tile at d

    An axis around another one is gone through one by one, so that what is folded within may be a dot:

        for a in 0, ... below SIZE_a: total = total (+) fold of the other axis at a

    Obligations `refinement`: with two pieces of one lane, an iteration of the kernel takes the state to its update.
    """
    axis = expr.axis
    outside, along = expr.body.as_independent(axis, as_Add=False) if expr.kind == "sum" else (sp.S.One, expr.body)
    piece = scope.inside({axis})
    single = axis in scope.roles.singles
    index = ir.Name(scope.names.fresh(axis.name if single else f"{axis.name}0"))
    changing = [index, *(() if single else (ir.Name(axis.name, (axis,)), within(axis)))]
    with scope.lines.loop(changing) as lines:
        if single:
            piece.whole[axis] = ir.Cast(index, INDEX, literal=True)
            wish, val = "r", piece.value(along)
        else:
            lines += _lanes(piece, axis, index)
            wish, val = at_once(piece, Fold(expr.kind, along, axis))
        total = ir.Name(scope.names.fresh(wish), val.axes)
        changing.append(total)
        lines.append(ir.Let(total, _joined(scope, expr.kind, total, val)))
    scope.nowhere |= piece.nowhere
    shape = tuple(block_of(a, scope.roles) for a in total.axes if isinstance(a, Index))
    unit = ir.Full(shape, UNITS[expr.kind], "float32", total.axes)
    step = None if single else block_of(axis, scope.roles)
    loop = ir.For(index, ir.Number(0), size(axis, scope.roles), step, tuple(lines))
    scope.lines.current += [ir.Let(total, unit), loop]
    return scope.name(wish, scope.join("*", [total, scope.value(outside)])) if outside != 1 else total


def _lanes(piece: Scope, axis: Index, start: ir.Name) -> list[ir.Statement]:
    """The positions of a piece that begins at `start`, and which of them there are."""
    position = piece.whole[axis] = ir.Name(axis.name, (axis,))
    lanes = ir.Binary("+", start, ir.Lanes(block_of(axis, piece.roles), (axis,)))
    there = ir.Binary("<", position, size(axis, piece.roles))
    return [ir.Let(position, ir.Cast(lanes, INDEX)), ir.Let(within(axis), there)]


def _joined(scope: Scope, kind: str, total: ir.Name, val: ir.Value) -> ir.Value:
    """The total of the pieces before, and that of one more."""
    if isinstance(val, ir.Dot):
        return replace(val, into=total)
    if kind in _EXTREMA:
        return scope.apply(partial(scope.host.call, _EXTREMA[kind]), total, val)
    return ir.Binary(COMBINE[kind], total, val)
