"""What every value of the kernel language is in a run: one entry for each kind of node."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from refold.schedule import ir
from refold.schedule.dtypes import dtype_named, is_float
from refold.schedule.helpers import EXTREMA, extreme
from refold.schedule.operations import literal
from refold.schedule.tiles import NoMeaning
from refold.verify.rounding import tiles
from refold.verify.rounding.tiles import Tile

if TYPE_CHECKING:
    from refold.verify.rounding.run import Object, Run


def tile(run: Run, node: ir.Value) -> Tile:
    """A value as a tile."""
    return as_tile(run, run.value(node))


def as_tile(run: Run, found: Object) -> Tile:
    if isinstance(found, bool | int | float):
        return tiles.constant(run.tape, found)
    if not isinstance(found, Tile):
        raise NoMeaning(f"{found} where a number is expected")
    return found


def operand(run: Run, node: ir.Value) -> Tile | float | bool:
    """A value as a tile, or as a number that the compiler knows."""
    found = run.value(node)
    return found if isinstance(found, bool | int | float) else as_tile(run, found)


def integer(run: Run, node: ir.Value) -> int:
    return int(tile(run, node).array.item())


def dtype_of(run: Run, dtype: ir.Dtype) -> str:
    match dtype:
        case str():
            return dtype_named(dtype)
        case ir.ElementOf(place):
            return tile(run, place).dtype.removeprefix("*")
        case ir.Name(text):
            return dtype_named(str(run.names[text]))


def results(run: Run, node: ir.Value) -> tuple[Object, ...]:
    """What a value of several values is."""
    match node:
        case ir.Sequence(parts):
            return tuple(run.value(v) for v in parts)
        case ir.Call(function, (x, place)) if function in EXTREMA:
            return run.call(extreme(function, integer(run, place)), (run.value(x),))
        case ir.Call(function, args) if function in run.helpers:
            return run.call(run.helpers[function], tuple(run.value(a) for a in args))
        case ir.Invoke(function, args) if function in run.functions:
            return run.stepped(run.functions[function], tuple(run.value(a) for a in args))
        case ir.Call(function) | ir.Invoke(function):
            raise NoMeaning(f"the function {function}")
    return (run.value(node),)


def _name(run: Run, node: ir.Name) -> Object:
    if node.text not in run.names:
        raise NoMeaning(f"{node.text}, which nothing has assigned")
    return run.names[node.text]


def _lanes(run: Run, node: ir.Lanes) -> Object:
    lanes = np.arange(integer(run, node.block))
    return Tile("int32", node.axes, lanes.reshape(run.shape(node.axes, lanes.shape)))


def _full(run: Run, node: ir.Full) -> Object:
    shape = run.shape(node.axes, tuple(integer(run, n) for n in node.shape))
    one = tiles.cast(run.tape, tile(run, node.value), dtype_of(run, node.dtype))
    data = run.tape.wide(one.node, shape) if is_float(one.dtype) else np.broadcast_to(one.array, shape)
    return Tile(one.dtype, node.axes, data, doubtful=one.doubtful)


def _unary(run: Run, node: ir.Unary) -> Object:
    x = operand(run, node.x)
    if not isinstance(x, Tile):
        return literal(node.op, x)
    run.at(x.axes)
    return tiles.unary(run.tape, node.op, x)


def _binary(run: Run, node: ir.Binary) -> Object:
    a, b = operand(run, node.a), operand(run, node.b)
    if not isinstance(a, Tile) and not isinstance(b, Tile):
        return literal(node.op, a, b)
    run.at(*(x.axes for x in (a, b) if isinstance(x, Tile)))
    return tiles.binary(run.tape, node.op, a, b)


def _select(run: Run, node: ir.Select) -> Object:
    condition, then, other = (operand(run, v) for v in (node.condition, node.then, node.other))
    run.at(*(x.axes for x in (condition, then, other) if isinstance(x, Tile)))
    return tiles.chosen(run.tape, condition, then, other)


def _choice(run: Run, node: ir.Choice) -> Object:
    flag = operand(run, node.flag)
    return run.value(node.then if (flag.array.item() if isinstance(flag, Tile) else flag) else node.other)


def _cast(run: Run, node: ir.Cast) -> Object:
    x, dtype = tile(run, node.x), dtype_of(run, node.dtype)
    if is_float(dtype) and not is_float(x.dtype) and isinstance(node.dtype, ir.ElementOf):
        return x  # a whole number is stored as one
    run.at(x.axes)
    return tiles.cast(run.tape, x, dtype, "store" if isinstance(node.dtype, ir.ElementOf) else "")


def _spread(run: Run, node: ir.Spread) -> Object:
    x = operand(run, node.x)
    return x if not isinstance(x, Tile) else Tile(x.dtype, node.axes, x.data, x.base, x.doubtful)


def _transposed(run: Run, node: ir.Transpose) -> Object:
    x = tile(run, node.x)
    return Tile(x.dtype, tuple(x.axes[k] for k in node.order), x.data, x.base, x.doubtful)


def _repeated(run: Run, node: ir.Repeat) -> Object:
    x = tile(run, node.x)
    shape = run.shape(x.axes, node.shape)
    data = run.tape.wide(x.node, shape) if is_float(x.dtype) else np.broadcast_to(x.data, shape)
    return Tile(x.dtype, x.axes, data, x.base, x.doubtful)


def _load(run: Run, node: ir.Load) -> Object:
    place = tile(run, node.place)
    mask = None if node.mask is None else tile(run, node.mask)
    other = 0 if node.other is None else operand(run, node.other)
    run.at(place.axes)
    return run.memory.load(run.tape, place, mask, other)


def _dot(run: Run, node: ir.Dot) -> Object:
    a, b = tile(run, node.a), tile(run, node.b)
    into = None if node.into is None else tile(run, node.into)
    if a.axes[1] != b.axes[0] or a.dtype != b.dtype or node.precision != "ieee":
        raise NoMeaning(f"a dot of {a.dtype} over {a.axes} and {b.dtype} over {b.axes} by {node.precision}")
    over = a.axes[1]
    run.at(a.axes, b.axes)
    kinds = ("dots", "carried") if run.is_tiled(over) else ("inner sums", "inner sums")
    found = tiles.product(run.tape, a, b, into, run.summed(over, a, b), kinds)
    return Tile("fp32", (a.axes[0], b.axes[1]), found)


def _reduced(run: Run, node: ir.Reduce) -> Object:
    x = tile(run, node.x)
    for axis in x.axes if node.place is None else (x.axes[node.place],):
        run.at(x.axes)
        kind = "tile sums" if run.is_tiled(axis) else "inner sums"
        sums = node.reducer == "sum" and is_float(x.dtype)
        x = tiles.folded(run.tape, node.reducer, x, run.summed(axis, x) if sums else run.order[axis], kind)
        x = Tile(x.dtype, tuple(a for a in x.axes if a != axis), x.data, doubtful=x.doubtful)
    return x


def _extern(run: Run, node: ir.Extern) -> Object:
    (x,) = (tile(run, a) for a in node.args)
    run.at(x.axes)
    return tiles.applied(run.tape, node.function, x)


def _one(run: Run, node: ir.Value) -> Object:
    found = results(run, node)
    if len(found) != 1:
        raise NoMeaning(f"{len(found)} values where one is expected")
    return found[0]


def _nothing(run: Run, node: ir.Value) -> Object:
    raise NoMeaning(f"a {type(node).__name__.lower()}, of whose rounding nothing is known")


VALUES: dict[type[Any], Callable[[Run, Any], Object]] = {
    ir.Name: _name,
    ir.Number: lambda run, node: node.value,
    ir.Text: lambda run, node: node.text,
    ir.Program: lambda run, node: Tile("int32", (), np.asarray((run.grid if node.count else run.program)[node.axis])),
    ir.Lanes: _lanes,
    ir.Full: _full,
    ir.Unary: _unary,
    ir.Binary: _binary,
    ir.Select: _select,
    ir.Choice: _choice,
    ir.Cast: _cast,
    ir.Spread: _spread,
    ir.Transpose: _transposed,
    ir.Reshape: _nothing,
    ir.Repeat: _repeated,
    ir.Load: _load,
    ir.Fetch: _nothing,
    ir.Dot: _dot,
    ir.Reduce: _reduced,
    ir.Combine: _nothing,
    ir.Extern: _extern,
    ir.Atomic: _nothing,
    ir.Call: _one,
    ir.Invoke: _one,
    ir.Method: _nothing,
    ir.Sequence: _one,
}
