"""What every value of the kernel language is on terms: one case for each kind of node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from refold.schedule import folds, ir, memory
from refold.schedule.dtypes import dtype_named, is_pointer, sort_of
from refold.schedule.helpers import EXTREMA, extreme
from refold.schedule.operations import binary, chosen, literal, unary
from refold.schedule.terms import make, symbol
from refold.schedule.tiles import NoMeaning, Tile, cast, constant, each, filled  # fmt: skip

if TYPE_CHECKING:
    from refold.schedule.execute import Machine, Object

# Calls that order what kernels do, and compute nothing.
EFFECTS = ("gdc_wait", "gdc_launch_dependents")


def tile(machine: Machine, node: ir.Value) -> Tile:
    """A value as a tile."""
    return as_tile(value(machine, node))


def as_tile(result: Object) -> Tile:
    if isinstance(result, bool | int | float):
        return constant(result)
    if not isinstance(result, Tile):
        raise NoMeaning(f"{result} where a number is expected")
    return result


def operand(machine: Machine, node: ir.Value) -> Tile | float | bool:
    """A value as a tile, or as a number that the compiler knows."""
    result = value(machine, node)
    return result if isinstance(result, bool | int | float) else tile(machine, node)


def value(machine: Machine, node: ir.Value) -> Object:
    """What a value is here and now."""
    match node:
        case ir.Name(text):
            if text not in machine.names:
                raise NoMeaning(f"{text}, which nothing has assigned")
            return machine.names[text]
        case ir.Number(number):
            return number
        case ir.Text(word):
            return word
        case ir.Program(axis, count):
            return Tile("int32", filled((), [symbol(f"{'programs' if count else 'program'} {axis}", "int")]))
        case ir.Lanes():
            return machine.lanes(node)
        case ir.Full(shape, number, dtype):
            full = cast_to(machine, operand(machine, number), dtype)
            return Tile(full.dtype, np.broadcast_to(full.lanes, [size(machine, n) for n in shape]))
        case ir.Unary() | ir.Binary() | ir.Select() | ir.Choice() | ir.Cast():
            return computed(machine, node)
        case ir.Spread() | ir.Transpose() | ir.Reshape() | ir.Repeat():
            return arranged(machine, node)
        case ir.Load() | ir.Fetch() | ir.Atomic():
            return read(machine, node)
        case ir.Dot(a, b, into, precision):
            start = None if into is None else tile(machine, into)
            return machine.folded(folds.dot(tile(machine, a), tile(machine, b), start, precision), "dot")
        case ir.Reduce(reducer, x, place):
            whole = tile(machine, x)
            if place is None:
                whole = Tile(whole.dtype, whole.lanes.reshape(-1), whole.narrow)
            return machine.computed(node, machine.folded(folds.reduce(reducer, whole, place or 0), reducer))
        case ir.Extern(function, args, dtype):
            tiles = [tile(machine, a) for a in args]
            named = dtype_of(machine, dtype)
            return Tile(named, each(lambda *t: make("extern", sort_of(named), t, function), *(t.lanes for t in tiles)))
        case ir.Combine() | ir.Call() | ir.Invoke() | ir.Method() | ir.Sequence():
            found = results(machine, node)
            if len(found) != 1:
                raise NoMeaning(f"{len(found)} values where one is expected")
            return found[0]
        case _:
            assert_never(node)


def computed(machine: Machine, node: ir.Unary | ir.Binary | ir.Select | ir.Choice | ir.Cast) -> Object:
    """What an operation gives, lane by lane."""
    match node:
        case ir.Unary(op, x):
            x_value = operand(machine, x)
            return machine.computed(node, unary(op, x_value)) if isinstance(x_value, Tile) else literal(op, x_value)
        case ir.Binary(op, a, b):
            left = operand(machine, a)
            if isinstance(left, Tile) and is_pointer(left.dtype):
                return machine.moved(left, op, b)
            right = operand(machine, b)
            if not isinstance(left, Tile) and not isinstance(right, Tile):
                return literal(op, left, right)
            return machine.computed(node, binary(op, left, right))
        case ir.Select(condition, then, other):
            return chosen(operand(machine, condition), operand(machine, then), operand(machine, other))
        case ir.Choice(flag, then, other):
            machine.chooses(node)
            holds = value(machine, flag)
            if isinstance(holds, Tile):
                return chosen(holds, operand(machine, then), operand(machine, other))
            return value(machine, then if holds else other)
        case ir.Cast(x, dtype):
            return machine.computed(node, cast_to(machine, operand(machine, x), dtype))
        case _:
            assert_never(node)


def arranged(machine: Machine, node: ir.Spread | ir.Transpose | ir.Reshape | ir.Repeat) -> Object:
    """The lanes of a tile in another order or shape."""
    match node:
        case ir.Spread(x, axes):
            return spread(operand(machine, x), x.axes, axes)
        case ir.Transpose(x, order):
            moved = tile(machine, x)
            return Tile(moved.dtype, np.transpose(moved.lanes, order), moved.narrow)
        case ir.Reshape(x, shape):
            shaped = tile(machine, x)
            return Tile(shaped.dtype, shaped.lanes.reshape(shape), shaped.narrow)
        case ir.Repeat(x, shape):
            repeated = tile(machine, x)
            return Tile(repeated.dtype, np.broadcast_to(repeated.lanes, shape), repeated.narrow)
        case _:
            assert_never(node)


def read(machine: Machine, node: ir.Load | ir.Fetch | ir.Atomic) -> Tile:
    """What memory holds."""
    match node:
        case ir.Load(place, mask, other):
            to, held, rest = tile(machine, place), *(None if p is None else tile(machine, p) for p in (mask, other))
            machine.touches(node, to, held)
            return memory.load(machine, to, held, rest)
        case ir.Fetch(descriptor, corner, shape):
            at = [tile(machine, c).lanes.item() for c in corner]
            return memory.fetch(machine, machine.descriptor(descriptor), at, tuple(size(machine, n) for n in shape))
        case ir.Atomic(op, place, what, mask):
            held = None if mask is None else tile(machine, mask)
            return memory.atomic(machine, op, tile(machine, place), tile(machine, what), held)
        case _:
            assert_never(node)


def results(machine: Machine, node: ir.Value) -> tuple[Object, ...]:
    """What a value of several values is."""
    match node:
        case ir.Sequence(parts):
            return tuple(value(machine, v) for v in parts)
        case ir.Call(function, (x, place)) if function in EXTREMA:
            return machine.call(extreme(function, known(machine, place)), (value(machine, x),))
        case ir.Call(function, args) if function in machine.helpers:
            return machine.call(machine.helpers[function], tuple(value(machine, a) for a in args))
        case ir.Invoke(function, args):
            if function not in machine.functions:
                raise NoMeaning(f"the function {function}")
            return machine.call(machine.functions[function], tuple(value(machine, a) for a in args))
        case ir.Combine():
            tiles = [tile(machine, x) for x in node.xs]
            folding = machine.functions[node.function]
            machine.combined(folding, tiles)
            found = folds.combine(
                lambda args: tuple(as_tile(r) for r in machine.call(folding, args)),
                tiles,
                node.place,
                scan=node.scan,
                reverse=node.reverse,
            )
            return tuple(machine.folded(tile, node.function) for tile in found)
        case ir.Method(_, name) if name in EFFECTS:
            machine.effect(name)
            return ()
        case ir.Call() | ir.Method():
            return machine.word(node)
    return (value(machine, node),)


def known(machine: Machine, node: ir.Value) -> Any:
    """A value that the compiler knows."""
    result = value(machine, node)
    if isinstance(result, Tile):
        raise NoMeaning("a number of the program where the compiler has to know it")
    return result


def size(machine: Machine, node: ir.Value) -> int:
    """The length of an axis."""
    return machine.extent(value(machine, node))


def dtype_of(machine: Machine, dtype: ir.Dtype) -> str:
    match dtype:
        case str():
            return dtype_named(dtype)
        case ir.ElementOf(place):
            place_value = value(machine, place)
            if isinstance(place_value, Tile) and is_pointer(place_value.dtype):
                return place_value.dtype[1:]
            raise NoMeaning(f"the dtype of what {place.text} points to")
        case ir.Name(text):
            return dtype_named(str(machine.names[text]))
        case _:
            assert_never(dtype)


def cast_to(machine: Machine, x: Tile | float | bool, dtype: ir.Dtype) -> Tile:
    named = dtype_of(machine, dtype)
    return cast(x, named) if isinstance(x, Tile) else constant(x, named)


def spread(x: Tile | float | bool, own: ir.Axes, axes: ir.Axes) -> Object:
    """A tile as one of more axes: one position along each that it lacks."""
    if not isinstance(x, Tile) or not x.shape:
        return x
    lengths = dict(zip(own, x.shape, strict=True))
    if [a for a in axes if a in lengths] != [*own]:
        raise NoMeaning(f"a tile of {own} as one of {axes}")
    return Tile(x.dtype, x.lanes.reshape([lengths.get(a, 1) for a in axes]), x.narrow)
