"""Text over tensors of torch whose last dimensions are axes: values that broadcast, joined, named and folded."""

from __future__ import annotations

from dataclasses import dataclass, field

from refold.emit.text import Val, call, infix
from refold.schedule.lower.names import Names
from refold.spec import Index

# A fold of a tensor along a dimension: a method, or a helper, which knows an axis of no positions.
_REDUCED = {"sum": "sum", "count": "sum", "prod": "prod", "max": "rt.largest", "min": "rt.smallest", "any": "rt.any_of",
            "all": "rt.all_of", "argmax": "rt.argmax"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plain(Val):
    """A number or a truth value of Python, which has no dimensions to index."""


@dataclass(frozen=True, slots=True)
class Tensors:
    """The lines of a function over tensors whose last dimensions are axes in one order, after leading ones."""

    order: tuple[Index, ...]
    names: Names
    lines: list[str] = field(default_factory=list)
    named: dict[str, Val] = field(default_factory=dict)

    def union(self, *vals: Val) -> tuple[Index, ...]:
        """The axes of all together."""
        return tuple(a for a in self.order if any(a in v.axes for v in vals))

    def spread(self, val: Val, axes: tuple[Index, ...]) -> Val:
        """A value, indexed so that it broadcasts over the axes."""
        if isinstance(val, Plain) or val.axes == axes:
            return val
        return val.indexed(f"..., {', '.join(':' if a in val.axes else 'None' for a in axes)}", axes)

    def join(self, sign: str, *vals: Val) -> Val:
        axes = self.union(*vals)
        joined = infix(sign, *(self.spread(v, axes) for v in vals), axes=axes)
        return Plain(joined.text, (), joined.binds) if all(isinstance(v, Plain) for v in vals) else joined

    def apply(self, form: str, *vals: Val) -> Val:
        axes = self.union(*vals)
        return call(form, *(self.spread(v, axes) for v in vals), axes=axes)

    def once(self, wish: str, val: Val) -> Val:
        """The name of a text that may be wanted again."""
        if val.text not in self.named:
            self.named[val.text] = self.name(wish, val)
        return self.named[val.text]

    def name(self, wish: str, val: Val) -> Val:
        """Assigns a val to a name of its own."""
        name = self.names.fresh(wish)
        self.lines.append(f"{name} = {val.text}")
        return Plain(name) if isinstance(val, Plain) else Val(name, val.axes)


def reduced(kind: str, body: Val, axis: Index) -> Val:
    """A tensor folded along one of its dimensions."""
    place, rest = place_of(body, axis)
    if _REDUCED[kind].startswith("rt."):
        return Val(f"{_REDUCED[kind]}({body.text}, {place})", rest)
    return Val(body.method(f"{_REDUCED[kind]}({place})").text, rest)


def place_of(val: Val, axis: Index) -> tuple[int, tuple[Index, ...]]:
    """The dimension of an axis, from the last one, and the other axes."""
    return val.axes.index(axis) - len(val.axes), tuple(a for a in val.axes if a != axis)
