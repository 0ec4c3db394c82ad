"""What is legal in the kernel language: every name has a value, tiles that meet agree, calls fit what they call.

The types of `ir/` say what a node is made of; the rules here say what it may be made of where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from refold.schedule import ir
from refold.schedule.walk import parts


def problems(functions: Iterable[ir.Function]) -> list[str]:
    """What is not legal in the functions of one module, each with the function that it is in; nothing if all is."""
    every = {f.name: f for f in functions}
    return [f"{f.name}: {p}" for f in every.values() for p in _Check(every, f).run()]


@dataclass(slots=True)
class _Check:
    """Goes through one function; `known` holds the axes of every name that has a value by now."""

    functions: Mapping[str, ir.Function]
    function: ir.Function
    known: dict[str, ir.Axes] = field(default_factory=dict)

    def run(self) -> Iterator[str]:
        names = [p.text for p in self.function.parameters]
        if len({*names}) < len(names):
            yield f"two parameters have one name: {', '.join(names)}"
        self.known = {p.text: p.axes for p in self.function.parameters}
        yield from self.body(self.function.body)

    def body(self, statements: Iterable[ir.Statement]) -> Iterator[str]:
        for s in statements:
            for value in _values(s):
                yield from self.value(value)
            yield from self.statement(s)

    def statement(self, s: ir.Statement) -> Iterator[str]:
        match s:
            case ir.Let():
                yield from self.bind(s.target, s.value.axes)
                if isinstance(s.value, ir.Invoke) and self.results(s.value) not in (None, 1):
                    yield f"{s.target.text} is given several results of {s.value.function}"
            case ir.Unpack():
                count = len(s.value.values) if isinstance(s.value, ir.Sequence) else self.results(s.value)
                if count is not None and count != len(s.targets):
                    yield f"{len(s.targets)} names are given {count} values"
                for target in s.targets:
                    yield from self.bind(target, target.axes)
            case ir.Store():
                yield from _meet("a store", s.place.axes, *(v.axes for v in (s.value, s.mask) if v is not None))
            case ir.If():
                if s.condition.axes:
                    yield "a condition of a branch is a tile"
                yield from self.body((*s.body, *s.other))
            case ir.For():
                if any(v is not None and v.axes for v in (s.start, s.stop, s.step)):
                    yield f"an end of the loop over {s.index.text} is a tile"
                yield from self.bind(s.index, ())
                yield from self.body(s.body)

    def bind(self, target: ir.Name, axes: ir.Axes) -> Iterator[str]:
        if target.kind in ("constant", "global"):
            yield f"{target.text} is a {target.kind}, and is assigned"
        if target.axes != axes:
            yield f"{target.text} has the axes {_shown(target.axes)}, and is given {_shown(axes)}"
        if self.known.setdefault(target.text, axes) != axes:
            yield f"{target.text} had the axes {_shown(self.known[target.text])} before, and gets {_shown(axes)}"

    def results(self, value: ir.Value) -> int | None:
        """How many values a call of a function of the module gives; None where nothing says so."""
        if not isinstance(value, ir.Invoke) or value.function not in self.functions:
            return None
        last = self.functions[value.function].body[-1]
        return len(last.values) if isinstance(last, ir.Return) else 0

    def value(self, value: Any) -> Iterator[str]:
        """What is wrong in a value, its parts first."""
        if isinstance(value, ir.Name):
            yield from self.name(value)
            return
        for part in parts(value):
            yield from self.value(part)
        if type(value) in RULES:
            yield from RULES[type(value)](value)
        if isinstance(value, ir.Invoke):
            yield from self.call(value)

    def name(self, name: ir.Name) -> Iterator[str]:
        if name.kind == "global":
            return
        if name.text not in self.known:
            yield f"{name.text} has no value yet"
        elif self.known[name.text] != name.axes:
            yield f"{name.text} is read with the axes {_shown(name.axes)}, and has {_shown(self.known[name.text])}"

    def call(self, value: ir.Invoke) -> Iterator[str]:
        if value.function not in self.functions:
            yield f"there is no function {value.function}"
            return
        wanted = self.functions[value.function].parameters
        if len(wanted) != len(value.args):
            yield f"{value.function} takes {len(wanted)} arguments, and is given {len(value.args)}"
        for parameter, given in zip(wanted, value.args, strict=False):
            if parameter.axes != given.axes:
                yield (
                    f"{parameter.text} of {value.function} has the axes {_shown(parameter.axes)}, and is given "
                    f"{_shown(given.axes)}"
                )


def _values(s: ir.Statement) -> Iterator[ir.Value]:
    """What a statement reads, those in it left out."""
    match s:
        case ir.Let() | ir.Unpack() | ir.Evaluate():
            yield s.value
        case ir.Store():
            yield from (v for v in (s.place, s.value, s.mask, s.eviction) if v is not None)
        case ir.If():
            yield s.condition
        case ir.For():
            yield from (v for v in (s.start, s.stop, s.step) if v is not None)
            yield from (v for _, v in s.options)
        case ir.Specialise():
            yield from s.functions
        case ir.Return():
            yield from s.values


def _shown(axes: ir.Axes) -> str:
    return f"[{', '.join(map(str, axes))}]"


def _meet(what: str, *axes: ir.Axes) -> Iterator[str]:
    """Tiles that meet have the same axes; a number has none."""
    tiles = {a for a in axes if a}
    if len(tiles) > 1:
        yield f"{what} of tiles over {' and '.join(sorted(map(_shown, tiles)))}"


def _spread(v: ir.Spread) -> Iterator[str]:
    if [a for a in v.axes if a in v.x.axes] != [*v.x.axes] or len({*v.axes}) < len(v.axes):
        yield f"a tile over {_shown(v.x.axes)} is spread over {_shown(v.axes)}"


def _dot(v: ir.Dot) -> Iterator[str]:
    if len(v.a.axes) != 2 or len(v.b.axes) != 2 or v.a.axes[1] != v.b.axes[0]:
        yield f"a dot of tiles over {_shown(v.a.axes)} and {_shown(v.b.axes)}"
    elif v.into is not None and v.into.axes != v.axes:
        yield f"a dot over {_shown(v.axes)} is added to a tile over {_shown(v.into.axes)}"


def _reduce(v: ir.Reduce) -> Iterator[str]:
    if v.place is not None and not 0 <= v.place < len(v.x.axes):
        yield f"a tile over {_shown(v.x.axes)} is folded along dimension {v.place}"


def _transpose(v: ir.Transpose) -> Iterator[str]:
    if sorted(v.order) != [*range(len(v.x.axes))]:
        yield f"a tile over {_shown(v.x.axes)} is transposed by {v.order}"


def _load(v: ir.Load) -> Iterator[str]:
    yield from _meet("a load", v.place.axes, *(x.axes for x in (v.mask, v.other) if x is not None))
    if v.mask is not None and v.mask.axes and not v.place.axes:
        yield "a load of one element has the mask of a tile"


def _block(v: ir.Lanes | ir.Full) -> Iterator[str]:
    count = 1 if isinstance(v, ir.Lanes) else len(v.shape)
    if len(v.axes) != count:
        yield f"a tile of {count} dimensions has the axes {_shown(v.axes)}"


# What each kind of value has to be beyond its types; the others may be made of anything.
RULES: dict[type[Any], Callable[[Any], Iterator[str]]] = {
    ir.Binary: lambda v: _meet(f"'{v.op}'", v.a.axes, v.b.axes),
    ir.Select: lambda v: _meet("a choice", v.condition.axes, v.then.axes, v.other.axes),
    ir.Choice: lambda v: _meet("a choice", v.then.axes, v.other.axes),
    ir.Spread: _spread,
    ir.Transpose: _transpose,
    ir.Dot: _dot,
    ir.Reduce: _reduce,
    ir.Load: _load,
    ir.Lanes: _block,
    ir.Full: _block,
}
