"""Whether two modules are one and the same up to names: of values, functions and axes.

Parameters stand in the order of their names, so an argument is found by the parameter that it is for. Comments speak to
a reader and are not compared.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from refold.schedule import ir

Module = tuple[ir.Function, ...]


@dataclass(slots=True)
class Pairs:
    """Which name of one module is which of the other: one to one."""

    there: dict[Hashable, Hashable] = field(default_factory=dict)
    back: dict[Hashable, Hashable] = field(default_factory=dict)

    def join(self, a: Hashable, b: Hashable) -> bool:
        return self.there.setdefault(a, b) == b and self.back.setdefault(b, a) == a


class Comparison:
    """Two modules, function after function: each comes after those that it calls."""

    def __init__(self) -> None:
        self.axes, self.functions = Pairs(), Pairs()
        self.parameters: dict[str, tuple[list[str], list[str], Pairs]] = {}
        self.names = Pairs()

    def function(self, a: ir.Function, b: ir.Function) -> str | None:
        """What differs first in two functions."""
        self.names = Pairs()
        if not self.functions.join(a.name, b.name):
            return f"{a.name} and {b.name} are called as other functions are"
        difference = self.difference(a.body, b.body)
        if difference is not None:
            return f"{a.name}: {difference}"
        mine, others = ([p.text for p in f.parameters] for f in (a, b))
        if {self.names.there.get(p) for p in mine} != {*others} or len(mine) != len(others):
            return f"{a.name}: the parameters {mine} and {others}"
        self.parameters[a.name] = mine, others, self.names
        return None

    def difference(self, a: Any, b: Any) -> str | None:
        """What differs first in two nodes."""
        match a, b:
            case ir.Note(), ir.Note():
                return None
            case ir.Name(), ir.Name() if not self.names.join(a.text, b.text):
                return f"{a.text} stands for {self.names.there[a.text]} and not for {b.text}"
            case (ir.Name(), ir.Name()) if a.kind == b.kind:
                return self.of_axes(a.axes, b.axes)
            case ir.Invoke(), ir.Invoke():
                return self.invocation(a, b)
            case tuple(), tuple() if len(a) == len(b):
                return next((d for pair in zip(a, b, strict=True) if (d := self.difference(*pair)) is not None), None)
        if type(a) is not type(b):
            return f"{a} and {b}"
        if is_dataclass(a):
            for f in fields(a):
                of_field = self.of_axes if f.name == "axes" else self.difference
                found = None if f.name == "comment" else of_field(getattr(a, f.name), getattr(b, f.name))
                if found is not None:
                    return found
            return None
        # By their text, since NaN is not itself.
        return None if repr(a) == repr(b) else f"{a!r} and {b!r}"

    def of_axes(self, a: ir.Axes, b: ir.Axes) -> str | None:
        same = len(a) == len(b) and all(self.axes.join(*pair) for pair in zip(a, b, strict=True))
        return None if same else f"the axes {a} and {b}"

    def invocation(self, a: ir.Invoke, b: ir.Invoke) -> str | None:
        if not self.functions.join(a.function, b.function):
            return f"a call of {a.function} and one of {b.function}"
        mine, others, names = self.parameters[a.function]
        theirs = dict(zip(others, b.args, strict=True))
        for parameter, argument in zip(mine, a.args, strict=True):
            found = self.difference(argument, theirs[str(names.there[parameter])])
            if found is not None:
                return found
        return None


def difference(first: Module, second: Module) -> str | None:
    """What differs first in two modules but for names; None where they are the same."""
    if len(first) != len(second):
        return f"{len(first)} and {len(second)} functions"
    comparison = Comparison()
    return next((d for a, b in zip(first, second, strict=True) if (d := comparison.function(a, b)) is not None), None)
