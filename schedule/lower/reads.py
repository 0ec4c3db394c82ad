"""A read of a tensor: where its elements are, which of them there are, and what is read off an axis."""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp

from refold.algebra.roles import access, is_selected
from refold.schedule import ir
from refold.schedule.lower.scope import Scope, chain
from refold.schedule.lower.words import EVICT, INDEX, NAN, ZERO, block_of, pointer, size, within
from refold.spec import Index, Read


def read(scope: Scope, expr: Read) -> ir.Value:
    """A load, widened to float32 at once."""
    if expr in scope.raw:
        return ir.Cast(scope.raw[expr], "float32")
    scope.memo[expr] = scope.name(expr.name, ir.Cast(address(scope, expr), "float32"))
    return scope.memo[expr]


def load(scope: Scope, expr: Read) -> ir.Value:
    """A load in the dtype that the tensor has."""
    if expr in scope.raw or expr in scope.memo:
        return scope.raw.get(expr) or scope.memo[expr]
    scope.raw[expr] = scope.name(expr.name, address(scope, expr))
    return scope.raw[expr]


def address(scope: Scope, expr: Read) -> ir.Value:
    tensor = expr.tensor
    offsets: list[tuple[ir.Value, ir.Name]] = []
    masks: list[ir.Value] = []
    gathered: list[ir.Value] = []
    for axis, index in zip(tensor.axes, expr.indices, strict=True):
        val = scope.integer(index)
        stride = scope.stride(tensor.name, axis)
        kept = access(index, scope.roles)
        if isinstance(index, Index):
            if index in scope.roles.tiles:
                masks.append(within(index))
        elif kept in ("masked", "clamped"):
            val = scope.named("at", val)
            ends = [ir.Binary(">=", val, ir.Number(0)), ir.Binary("<", val, size(axis, scope.roles))]
            bounds = chain("&", *ends)
            if not (isinstance(index, sp.Mod) and index.args[1] == axis.size):
                gathered.append(bounds := scope.name("inside", bounds))
            if kept == "masked":
                masks.append(bounds)
        if kept == "clamped":
            # Never a scalar in a block's mask: the interpreter of Triton 3.9 refuses it.
            last = ir.Binary("-", size(axis, scope.roles), ir.Number(1))
            val = ir.Binary("minimum", ir.Binary("maximum", val, ir.Number(0)), last)
        if index.has(Read) or is_selected(index):
            val = ir.Cast(val, INDEX)
        offsets.append((val, stride))
    axes = scope.union(*(val for val, _ in offsets))
    terms = [ir.Binary("*", scope.spread(val, axes), stride) for val, stride in offsets]
    place = chain("+", pointer(tensor.name), *terms)
    other = ir.Number(0) if tensor.is_integer else ZERO
    masks = [everywhere(scope, m, axes) for m in masks]
    loaded: ir.Value = ir.Load(
        place, chain("&", *masks) if masks else None, other if masks else None, eviction(scope, expr.indices)
    )
    if not gathered or scope.data.discarded.get(expr, sp.false) is sp.true:
        return loaded
    return on_its_axes(scope, expr, loaded, gathered)


def everywhere(scope: Scope, mask: ir.Value, axes: ir.Axes) -> ir.Value:
    """A mask over a tile: never a scalar in that of a block, which the interpreter of Triton 3.9 refuses."""
    if mask.axes or not axes:
        return scope.spread(mask, axes)
    return ir.Full(tuple(block_of(a, scope.roles) for a in scope.roles.tiles if a in axes), mask, "int1", axes)


def on_its_axes(scope: Scope, expr: Read, loaded: ir.Value, bounds: list[ir.Value]) -> ir.Value:
    """What was gathered; off its axis NaN, and -1 of integers, which is off every axis.

    Not where a mask discards the position, since 0 times NaN is NaN, nor beyond the end of the fold's axis. Where
    the mask has axes that the tile lacks, the sums that read it are NaN instead: the tile goes on to be a dot's. A
    score is NaN even there, since the mask takes another value for it. What varies within a piece of an axis is NaN
    there.
    """
    inside = scope.join("&", bounds)
    lanes = [within(a) for a in scope.union(loaded) if a in inside.axes or a == scope.roles.fold]
    hidden = scope.data.discarded.get(expr, sp.false)
    live = [scope.condition(sp.to_nnf(sp.Not(hidden), simplify=False))] if hidden is not sp.false else []
    off = ir.Binary("==", inside, ir.Number(0))
    outside = scope.join("&", [*lanes, *live, off])
    apart = {*outside.axes} - {*loaded.axes} and not {*outside.axes} & {*scope.roles.pieces}
    if expr in scope.data.summed and apart:
        scope.nowhere[expr] = scope.name("outside", outside)
        return loaded
    if apart:
        outside = scope.join("&", [*lanes, off])
    return scope.where(outside, ir.Number(-1) if expr.tensor.is_integer else NAN, loaded)


def eviction(scope: Scope, indices: Iterable[sp.Basic]) -> ir.Name | None:
    """How long the caches are to keep what belongs to one row alone: until it is read again."""
    axes = {s for i in indices for s in i.free_symbols}
    own = axes & {scope.roles.rows, *scope.roles.batch}
    return EVICT if scope.data.rereads and own and scope.roles.fold in axes else None
