"""Runs the functions of a module on a tape: its text decides what is computed, and each operation rounds as it does.

Where an operation stands says whose its rounding is. A call that returns a state takes it over a tile, if anything in
it varies with the axis that tiles are of, or over another state, if nothing does; all else is done once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, assert_never

from refold.schedule import ir
from refold.schedule.helpers import HELPERS
from refold.schedule.tiles import NoMeaning
from refold.schedule.walk import contains, parts
from refold.spec import Index
from refold.verify.rounding import values
from refold.verify.rounding.adjoint import tighten
from refold.verify.rounding.memory import Memory
from refold.verify.rounding.tape import Node, Tape
from refold.verify.rounding.tiles import Tile

# What a name may stand for; a string is a dtype, or a word to the compiler.
Object: TypeAlias = Tile | float | bool | str | None

_X, _FAST = ir.Name("x"), ir.Name("FAST", kind="constant")


def _meant(name: str) -> ir.Return:
    return ir.Return((ir.Extern(name, (_X,), "float32"),))


# Of these the error is known as a whole: a polynomial for a function is off by more than it rounds.
KNOWN = HELPERS | {
    "_tanh": ir.Function("_tanh", (_X, _FAST), (ir.If(_FAST, (_meant("tanh.approx"),)), _meant("tanh"))),
    "_sigmoid": ir.Function("_sigmoid", (_X,), (_meant("sigmoid"),)),
    "_round": ir.Function("_round", (_X,), (_meant("round"),)),
}


@dataclass(slots=True)
class Run:
    """The state of one program of a kernel; `fold` is the axis that tiles are of, `order` the place of every axis.

    `settle` is called with what a call returned, and with the number of operations before it.
    """

    tape: Tape
    memory: Memory
    fold: Index
    order: Mapping[Any, int]
    functions: Mapping[str, ir.Function]
    settle: Callable[[Tape, Node, int], None] = tighten
    helpers: Mapping[str, ir.Function] = field(default_factory=lambda: KNOWN)
    names: dict[str, Object] = field(default_factory=dict)
    program: tuple[int, ...] = (0, 0)
    grid: tuple[int, ...] = (1, 1)
    place: str = "finish"
    steps: int = 0
    longest: int = 1

    # --- where an operation is -------------------------------------------------------------------------------------

    def at(self, *axes: ir.Axes) -> None:
        """Says whose the next roundings are."""
        tiled = self.place == "state" and any(self.fold in a for a in axes)
        self.tape.kind = "elements" if tiled else self.place

    def is_tiled(self, axis: Any) -> bool:
        return axis == self.fold

    def summed(self, axis: Any, *of: Tile) -> int:
        """The dimension along which floats are summed."""
        if axis != self.fold:
            self.longest = max(self.longest, *(t.array.shape[self.order[axis]] for t in of if t.array.ndim))
        return self.order[axis]

    def shape(self, axes: ir.Axes, lengths: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a tile with these axes: one dimension for each axis of the pipeline."""
        found = [1] * len(self.order)
        for axis, length in zip(axes, lengths, strict=True):
            found[self.order[axis]] = length
        return tuple(found)

    # --- values and statements -------------------------------------------------------------------------------------

    def value(self, node: ir.Value) -> Object:
        return values.VALUES[type(node)](self, node)

    def run(self, body: tuple[ir.Statement, ...]) -> tuple[Object, ...] | None:
        """Executes statements; what they return, if they do."""
        for statement in body:
            result = self.step(statement)
            if result is not None:
                return result
        return None

    def step(self, statement: ir.Statement) -> tuple[Object, ...] | None:
        match statement:
            case ir.Let(target, value):
                self.assign(target, self.value(value))
            case ir.Unpack(targets, value):
                for target, result in zip(targets, values.results(self, value), strict=True):
                    self.assign(target, result)
            case ir.Evaluate(value):
                values.results(self, value)
            case ir.Note():
                pass
            case ir.Store(place, value, mask):
                held = None if mask is None else values.tile(self, mask)
                self.memory.store(values.tile(self, place), values.tile(self, value), held)
            case ir.If(condition, body, other):
                holds = values.operand(self, condition)
                return self.run(body if (holds.array.item() if isinstance(holds, Tile) else holds) else other)
            case ir.For(index, start, stop, step, body):
                ends = [values.integer(self, v) for v in (start, stop, step or ir.Number(1))]
                for n in range(*ends):
                    self.names[index.text] = values.as_tile(self, n)
                    if self.run(body) is not None:
                        raise NoMeaning("a return in a loop")
            case ir.Specialise():
                raise NoMeaning("functions side by side, of whose rounding nothing is known")
            case ir.Return(found):
                return tuple(self.value(v) for v in found)
            case _:
                assert_never(statement)
        return None

    def assign(self, target: ir.Name, value: Object) -> None:
        """A name for a value; a number becomes one of the program, unless it is a constant."""
        number = target.kind != "constant" and isinstance(value, bool | int | float)
        self.names[target.text] = values.as_tile(self, value) if number else value

    def call(self, function: ir.Function, args: tuple[Object, ...]) -> tuple[Object, ...]:
        """What a function returns; it has names of its own."""
        outer, self.names = self.names, dict(zip((p.text for p in function.parameters), args, strict=True))
        result = self.run(function.body)
        self.names = outer
        return result or ()

    def stepped(self, function: ir.Function, args: tuple[Object, ...]) -> tuple[Object, ...]:
        """The same of a function of the module: what it returns is a state, moved on by a tile or by another state."""
        if not any(contains(s, ir.Return) for s in function.body):
            return self.call(function, args)
        before, first = (self.place, self.tape.step), len(self.tape.nodes)
        self.place = "state" if varies(function, self.fold) else "merges"
        self.tape.step, self.steps = self.steps, self.steps + 1
        found = self.call(function, args)
        for result in found:
            if isinstance(result, Tile) and isinstance(result.data, Node) and result.data.kind:
                self.settle(self.tape, result.data, first)
        self.place, self.tape.step = before
        return found


def varies(node: Any, axis: Any) -> bool:
    """Whether anything of a function varies with an axis."""
    return axis in getattr(node, "axes", ()) or any(varies(p, axis) for p in parts(node))
