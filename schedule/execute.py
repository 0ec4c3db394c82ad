"""Executes a kernel on terms: its text decides the shape of every tile, and nothing decides the numbers in them.

Compile-time constants are given, so that tiles may be as small as 2 lanes. Sizes, strides and numbers of the program
are integers of which nothing is known; what memory holds is a term of where and when it is read. A loop whose trip
count is not known is executed once, from a state of which nothing is known (`loops.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from refold.schedule import ir, loops, memory, values
from refold.schedule.conditions import FALSE, TRUE, both, negate, select
from refold.schedule.dtypes import dtype_named, is_pointer, sort_of
from refold.schedule.helpers import HELPERS
from refold.schedule.integers import value_of, whole
from refold.schedule.operations import binary
from refold.schedule.outcome import Effect, Event, Outcome, Written
from refold.schedule.terms import Term, pointer, symbol
from refold.schedule.tiles import NoMeaning, Tile, cast, each, filled, tile_of


class Foreign:
    """Something of the target's language that is no number: a layout, a buffer, a product that is under way."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Descriptor(Foreign):
    """A tensor that tiles are fetched from by their corner."""

    name: str
    dtype: str


# What a name may stand for; a string is a dtype, or a word to the compiler.
Object: TypeAlias = Tile | Foreign | float | bool | str | None


@dataclass(slots=True)
class Machine:
    """The state of an execution: names, the conditions on the way here, and what has happened."""

    functions: Mapping[str, ir.Function]
    names: dict[str, Object] = field(default_factory=dict)
    path: Term = TRUE
    inside: tuple[int, ...] = ()
    events: list[Event] = field(default_factory=list)
    loops: int = 0
    # What every kernel may call: in the operations of its text, or as what it stands for.
    helpers: Mapping[str, ir.Function] = field(default_factory=lambda: HELPERS)

    # --- what a reading of one lane for all has otherwise ---------------------------------------------------------

    def lanes(self, node: ir.Lanes) -> Tile:
        """0, 1, ..., as many as the compiler knows."""
        count = self.extent(values.value(self, node.block))
        return Tile("int32", filled((count,), [whole(k) for k in range(count)]))

    def extent(self, length: Object) -> int:
        """The length of an axis of a tile."""
        known = value_of(length.lanes.item()) if isinstance(length, Tile) else length
        if not isinstance(known, int):
            raise NoMeaning(f"a tile of {known} lanes")
        return known

    def folded(self, result: Tile, by: str) -> Tile:
        """What a fold of lanes gives: of a reducer, a product or a function, by its name."""
        return result

    def touches(self, node: ir.Load | ir.Store, place: Tile, mask: Tile | None, value: Tile | None = None) -> None:
        """Takes note of an access to memory, of a store with what it writes."""

    def chooses(self, node: ir.Choice) -> None:
        """Takes note of two values of which one is taken."""

    def descriptor(self, name: ir.Name) -> Descriptor:
        found = self.names.get(name.text)
        if not isinstance(found, Descriptor):
            raise NoMeaning(f"a tile of {name.text}, which is no descriptor")
        return found

    def word(self, node: ir.Call | ir.Method) -> tuple[Object, ...]:
        """What a word of the target's language gives, of which the language itself knows nothing."""
        what = f"the helper {node.function}" if isinstance(node, ir.Call) else f"the method {node.name}"
        raise NoMeaning(what)

    def side_by_side(self, node: ir.Specialise) -> None:
        """Starts functions that wait for each other by barriers."""
        raise NoMeaning("functions side by side, which wait for each other by barriers")

    def computed(self, node: ir.Value, result: Tile) -> Tile:
        """What an operation gives."""
        return result

    def moved(self, place: Tile, op: str, by: ir.Value) -> Tile:
        """Pointers, so many elements further."""
        return binary(op, place, values.operand(self, by))

    def combined(self, function: ir.Function, tiles: list[Tile]) -> None:
        """Takes note of a fold of lanes by a function."""

    @property
    def epoch(self) -> int:
        """How many writes stand before this moment: a read sees what they left."""
        return sum(isinstance(e, Written | Effect) for e in self.events)

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
                self.assign(target, values.value(self, value))
            case ir.Unpack(targets, value):
                results = values.results(self, value)
                if len(results) != len(targets):
                    raise NoMeaning(f"{len(targets)} names for {len(results)} values")
                for target, result in zip(targets, results, strict=True):
                    self.assign(target, result)
            case ir.Evaluate(value):
                values.results(self, value)
            case ir.Note():
                pass
            case ir.Store(place, value, mask):
                held = None if mask is None else values.tile(self, mask)
                at, what = values.tile(self, place), values.tile(self, value)
                self.touches(statement, at, held, what)
                memory.write(self, at, what, held)
            case ir.If(condition, body, other):
                return self.branch(condition, body, other)
            case ir.For():
                loops.loop(self, statement)
            case ir.Specialise():
                self.side_by_side(statement)
            case ir.Return(results):
                return tuple(values.value(self, v) for v in results)
            case _:
                assert_never(statement)
        return None

    def assign(self, target: ir.Name, value: Object) -> None:
        """A name for a value; a number becomes one of the program, unless it is a constant."""
        if target.kind != "constant" and isinstance(value, bool | int | float):
            value = tile_of(value)
        self.names[target.text] = value

    def call(self, function: ir.Function, args: tuple[Object, ...]) -> tuple[Object, ...]:
        """What a function returns; it has names of its own."""
        outer, self.names = self.names, {}
        for parameter, argument in zip(function.parameters, args, strict=True):
            self.names[parameter.text] = argument
        result = self.run(function.body)
        self.names = outer
        return result or ()

    def decided(self, condition: Term) -> bool | None:
        """Whether a condition holds or fails, where that is known: one body is run then, and no path parts."""
        return None if condition not in (TRUE, FALSE) else condition is TRUE

    def branch(
        self, condition: ir.Value, body: tuple[ir.Statement, ...], other: tuple[ir.Statement, ...]
    ) -> tuple[Object, ...] | None:
        """One of two bodies, or both with their conditions on the path."""
        chosen = values.value(self, condition)
        if not isinstance(chosen, Tile):
            return self.run(body if chosen else other)
        term = cast(chosen, "int1").lanes.item()
        known = self.decided(term)
        if known is not None:
            return self.run(body if known else other)
        before, path = self.names, self.path
        sides = []
        for holds, statements in ((term, body), (negate(term), other)):
            self.names, self.path = dict(before), both(path, holds)
            if self.run(statements) is not None:
                raise NoMeaning("a return where a number of the program decides")
            sides.append(self.names)
        self.names, self.path = {}, path
        for name in sides[0].keys() & sides[1].keys():
            self.names[name] = _merged(term, sides[0][name], sides[1][name])
        return None

    def effect(self, name: str) -> None:
        self.events.append(Effect(name, self.path, self.inside))


def _merged(condition: Term, then: Object, other: Object) -> Object:
    """What a name stands for after a branch."""
    if not isinstance(then, Tile) or not isinstance(other, Tile):
        if then != other:
            raise NoMeaning(f"{then} or {other}, as a number of the program decides")
        return then
    if then is other:
        return then
    if then.dtype != other.dtype:
        raise NoMeaning(f"a value that is {then.dtype} or {other.dtype}, as a number of the program decides")
    return Tile(then.dtype, each(lambda a, b: select(condition, a, b), then.lanes, other.lanes))


def execute(
    kernel: ir.Function,
    types: Mapping[str, str],
    constants: Mapping[str, float | bool | str],
    functions: Mapping[str, ir.Function] | None = None,
) -> Outcome:
    """What a kernel does, given the types of its arguments in Triton's spelling and its compile-time constants.

    An integer among the constants may also stand for an argument. Raises `NoMeaning` where the kernel does something
    of which no meaning is known.
    """
    machine = Machine(functions or {})
    for parameter in kernel.parameters:
        machine.names[parameter.text] = argument(parameter.text, types, constants)
    machine.run(kernel.body)
    return Outcome(tuple(machine.events))


def argument(name: str, types: Mapping[str, str], constants: Mapping[str, float | bool | str]) -> Object:
    if name in constants:
        return constants[name]
    if name not in types:
        raise NoMeaning(f"the argument {name}, of which neither the type nor the value is given")
    spelling = types[name]
    if spelling.startswith("tensordesc"):
        return Descriptor(name, dtype_named(spelling.partition("<")[2].partition("[")[0]))
    dtype = dtype_named(spelling)
    lane = pointer(name, whole(0)) if is_pointer(dtype) else symbol(name, sort_of(dtype))
    return Tile(dtype, filled((), [lane]))
