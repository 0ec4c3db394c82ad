"""A kernel from the text of Triton's front end: its statements, in the kernel language."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from refold.schedule import ir
from refold.schedule.dtypes import bits
from refold.schedule.spellings import VALUES, Type, numbered, operand_type, result_type, type_named
from refold.schedule.ttir import Operation, Region, TextError, parse, split_types


@dataclass(frozen=True, slots=True)
class Read:
    """A kernel that was read: the function, the types of its arguments, and the functions that its folds call."""

    kernel: ir.Function
    types: dict[str, str]
    functions: dict[str, ir.Function]


def read(text: str) -> Read:
    """The kernel that a text of Triton's front end says. Raises `TextError` for what has no meaning here."""
    function = parse(text)
    (region,) = function.regions
    reader = _Reader()
    types: dict[str, str] = {}
    for name, spelling in region.arguments:
        descriptor = re.match(r"!tt\.tensordesc<(?:tensor<)?((?:\d+x)+)(\w+)", spelling)
        try:
            types[name] = f"tensordesc<{descriptor[2]}[{descriptor[1]}]>" if descriptor else type_named(spelling).dtype
        except ValueError as reason:
            raise TextError(f"the argument {name} at {function.place}: {reason}") from None
    parameters = tuple(_parameter(n, t) for n, t in types.items())
    body = reader.statements(region)
    return Read(ir.Function(function.results[0], parameters, body), types, reader.functions)


def _parameter(name: str, spelling: str) -> ir.Name:
    return ir.Name(name, (), "pointer" if spelling.startswith(("*", "tensordesc")) else "value")


@dataclass(slots=True)
class _Reader:
    functions: dict[str, ir.Function] = field(default_factory=dict)
    # Names are given anew in every region: one that had other axes elsewhere is another name here.
    axes: dict[str, ir.Axes] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    # Tiles whose elements may stand in any order: only a fold that does not ask for it may take them.
    unordered: set[str] = field(default_factory=set)

    def statements(self, region: Region, results: tuple[ir.Name, ...] = ()) -> tuple[ir.Statement, ...]:
        """The statements of a region; what it yields is given to the results."""
        found: list[ir.Statement] = []
        for o in region.operations:
            o = replace(o, operands=tuple(self.others.get(n, n) for n in o.operands))
            if self.unordered & {*o.operands} and o.kind != "tt.reduce":
                raise o.fail("it takes a tile whose elements may stand in any order")
            if "allow_reorder" in o.body:
                self.unordered |= {*o.results}
            if o.kind in _ENDS:
                if o.operands:
                    ends = tuple(ir.Name(n, r.axes) for n, r in zip(o.operands, results, strict=True))
                    found.append(_given(results, ends))
            elif o.kind in _STATEMENTS:
                found += _STATEMENTS[o.kind](self, o)
            elif o.kind in VALUES:
                try:
                    found.append(self.assigned(o, VALUES[o.kind](o)))
                except ValueError as reason:  # a dtype of which no meaning is known
                    raise o.fail(str(reason)) from None
            else:
                raise o.fail()
        return tuple(found)

    def assigned(self, o: Operation, value: ir.Value) -> ir.Statement:
        if isinstance(value, ir.Method):  # some versions give it a result, which means nothing
            return ir.Evaluate(value)
        return ir.Let(self.target(o.results[0], result_type(o)) if o.results else ir.Name("_", value.axes), value)

    def target(self, name: str, of: Type) -> ir.Name:
        """A name that is given a value."""
        self.others.pop(name, None)
        while self.axes.setdefault(self.others.get(name, name), of.axes) != of.axes:
            self.others[name] = f"{self.others.get(name, name)}'"
        return ir.Name(self.others.get(name, name), of.axes)


_ENDS = ("tt.return", "scf.yield", "tt.reduce.return", "tt.scan.return")


def _given(targets: tuple[ir.Name, ...], values: tuple[ir.Name, ...]) -> ir.Statement:
    return ir.Unpack(targets, ir.Sequence(values, tuple=True))


def _for(reader: _Reader, o: Operation) -> list[ir.Statement]:
    (region,) = o.regions
    types = [type_named(t) for _, t in region.arguments]
    start, stop, step, *begin = o.operands
    bounds = [ir.Name(n) for n in (start, stop, step)]
    names = tuple(reader.target(n, t) for (n, _), t in zip(region.arguments, types, strict=True))
    index = reader.target(o.body, type_named(o.types))
    loop = ir.For(index, bounds[0], bounds[1], bounds[2], reader.statements(region, names))
    if not names:
        return [loop]
    first = _given(names, tuple(ir.Name(n, t.axes) for n, t in zip(begin, types, strict=True)))
    results = tuple(reader.target(r, t) for r, t in zip(o.results, types, strict=False))
    return [first, loop, *([_given(results, names)] if results else [])]


def _if(reader: _Reader, o: Operation) -> list[ir.Statement]:
    types = [type_named(t) for t in split_types(o.types)]
    results = tuple(reader.target(r, t) for r, t in zip(o.results, types, strict=False))
    sides = [reader.statements(r, results) for r in o.regions]
    return [ir.If(ir.Name(o.operands[0]), sides[0], sides[1] if len(sides) > 1 else ())]


# Of a fold along an axis, what its only operation makes of it.
_REDUCERS: dict[str, ir.Reducer] = {
    "arith.addf": "sum", "arith.addi": "sum", "arith.mulf": "prod", "arith.muli": "prod",
    "arith.maxnumf": "max", "arith.maxsi": "max", "arith.minnumf": "min", "arith.minsi": "min",
}  # fmt: skip


def _fold(reader: _Reader, o: Operation) -> list[ir.Statement]:
    (region,) = o.regions
    place, xs = o.integer("axis"), tuple(ir.Name(n, operand_type(o).axes) for n in o.operands)
    after = o.types.rpartition("->")[2].strip().removeprefix("(").removesuffix(")")
    types = [type_named(t) for t in split_types(after)]
    names = tuple(n for n, _ in region.arguments)
    first = region.operations[0]
    plain = len(region.operations) == 2 and first.operands == names and first.results == region.operations[1].operands
    if o.kind == "tt.reduce" and plain and first.kind in _REDUCERS and bits(types[0].dtype) >= 32:
        target = reader.target(o.results[0], types[0])
        return [ir.Let(target, numbered(ir.Reduce(_REDUCERS[first.kind], xs[0], place), types[0]))]
    if reader.unordered & {*o.operands}:
        raise o.fail("it takes a tile whose elements may stand in any order")
    function = f"fold {len(reader.functions)}"
    reader.functions[function] = _function(function, names, region)
    scan = o.kind == "tt.scan"
    value = ir.Combine(function, xs, place, scan, scan and "reverse = true" in o.body)
    targets = tuple(reader.target(r, t) for r, t in zip(o.results, types, strict=True))
    if len(targets) == 1:
        return [ir.Let(targets[0], numbered(value, types[0]))]
    return [ir.Unpack(targets, value)]


def _function(name: str, parameters: tuple[str, ...], region: Region) -> ir.Function:
    """What a fold does of two elements: a function of its own, of numbers."""
    *operations, last = region.operations
    body = _Reader().statements(Region(tuple(operations)))
    result = ir.Return(tuple(ir.Name(n) for n in last.operands))
    return ir.Function(name, tuple(ir.Name(p) for p in parameters), (*body, result))


def _store(_: _Reader, o: Operation) -> list[ir.Statement]:
    axes = type_named(split_types(o.types)[0]).axes
    place, value, *mask = (ir.Name(n, axes) for n in o.operands)
    return [ir.Store(place, value, mask[0] if mask else None)]


def _nothing(_: _Reader, o: Operation) -> list[ir.Statement]:
    """Claims to the compiler or for a debugger: they change no number."""
    return []


_STATEMENTS: dict[str, Callable[[_Reader, Operation], list[ir.Statement]]] = {
    "scf.for": _for,
    "scf.if": _if,
    "tt.reduce": _fold,
    "tt.scan": _fold,
    "tt.store": _store,
    "tt.assert": _nothing,
    "llvm.intr.assume": _nothing,
}
