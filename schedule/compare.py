"""Whether two kernels do the same: the same stores, lane by lane, in the same loops.

Terms are compared in normal form (`rules.py`). What loops carry is matched by what it is, not by its name: two carried
values are one where they begin alike and an iteration makes them alike, given the same of all others. That is found by
refining: all that could be one is taken for one, and parted where it begins or goes on differently, until nothing
parts. Values that are together then are equal in every iteration, by induction over what is executed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from refold.schedule.outcome import (
    Called,
    Carried,
    Computed,
    Described,
    Effect,
    Event,
    Loop,
    Outcome,
    Shared,
    Touched,
    Word,
    Written,
)
from refold.schedule.rules import COMMUTATIVE, normal
from refold.schedule.show import show
from refold.schedule.terms import Term, make, rebuild
from refold.schedule.tiles import Lanes, terms

# A carried value: of the first or the second kernel, of which loop, and its name there.
Item = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first place at which two kernels do not do the same, and what each does there."""

    place: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.place}:\n  {self.first}\n  {self.second}"


def compare(first: Outcome, second: Outcome) -> Divergence | None:
    """None where both kernels do the same."""
    pairs = list(zip(first.events, second.events, strict=False))
    for k, (a, b) in enumerate(pairs):
        if type(a) is not type(b) or a.loops != b.loops:
            return Divergence(f"event {k}", _kind(a), _kind(b))
    comparison = _Comparison(first, second)
    for k, (a, b) in enumerate(pairs):
        divergence = comparison.event(k, a, b)
        if divergence is not None:
            return divergence
    if len(first.events) != len(second.events):
        longer = max(first.events, second.events, key=len)[len(pairs)]
        sides = (_kind(longer), "nothing") if len(first.events) > len(pairs) else ("nothing", _kind(longer))
        return Divergence(f"event {len(pairs)}", *sides)
    return None


def _kind(event: Event) -> str:
    match event:
        case Written(places):
            return f"a store to {terms(places)[0].data} in loops {list(event.loops)}"
        case Effect(name):
            return f"{name} in loops {list(event.loops)}"
        case Loop():
            return f"a loop in loops {list(event.loops)}"
        case Touched(tensor) | Described(tensor):
            return f"an access to {tensor}"
        case Called(name):
            return f"a call of {name}"
        case Word(name):
            return f"the word {name}"
        case Shared():
            return "a quotient of a tile"
        case Computed(dtype):
            return f"an integer of {dtype}"
        case _:
            assert_never(event)


class _Comparison:
    """The classes of what the loops of two kernels carry, and normal terms over them."""

    def __init__(self, first: Outcome, second: Outcome) -> None:
        self.items: dict[Item, Carried] = {
            (side, loop.number, c.name): c
            for side, outcome in enumerate((first, second))
            for loop in outcome.loops
            for c in loop.carried
        }
        self.classes = _numbered({i: (i[1], c.dtype, c.start.shape) for i, c in self.items.items()})
        self.known: tuple[dict[Term, Term], ...] = ({}, {})
        while True:
            begins = {i: (self.lanes(i[0], c.start), self.lanes(i[0], c.then)) for i, c in self.items.items()}
            finer = _numbered({i: (self.classes[i], begins[i]) for i in self.items})
            if len({*finer.values()}) == len({*self.classes.values()}):
                return
            self.classes, self.known = finer, ({}, {})

    def lanes(self, side: int, lanes: Lanes) -> tuple[Term, ...]:
        return tuple(self.normal(side, t) for t in terms(lanes))

    def normal(self, side: int, term: Term) -> Term:
        """A term with the classes of carried values in the place of their names."""

        def change(t: Term, args: tuple[Term, ...]) -> Term:
            if t.op in ("state", "last"):
                assert isinstance(t.data, tuple)
                number, name, lane = t.data
                return make(t.op, t.sort, (), (number, self.classes[side, number, name], lane))
            return normal(t, args)

        return rebuild(term, change, self.known[side])

    def event(self, k: int, a: Event, b: Event) -> Divergence | None:
        for what, lane, x, y in _parts(a, b):
            if not self.same(x, y):
                place = f"event {k}, {what}{'' if lane is None else f', lane {lane}'}"
                return self.explained(place, x, y, set())
        if isinstance(a, Written) and isinstance(b, Written) and (a.how, a.places.size) != (b.how, b.places.size):
            return Divergence(f"event {k}", f"{a.how} of {a.places.shape}", f"{b.how} of {b.places.shape}")
        if isinstance(a, Effect) and isinstance(b, Effect) and a.name != b.name:
            return Divergence(f"event {k}", a.name, b.name)
        return None

    def explained(self, place: str, x: Term, y: Term, seen: set[tuple[Item, Item]]) -> Divergence:
        """The first terms that differ in the same operation; of what loops carry, how it begins or goes on."""
        while (apart := self.apart(x, y)) is not None:
            x, y = apart
        if x.op == y.op and x.op in ("state", "last"):
            left, right = ((side, *t.data[:2]) for side, t in ((0, x), (1, y)) if isinstance(t.data, tuple))
            if left[1] == right[1] and (left, right) not in seen:
                return self.carried(place, left, right, seen | {(left, right)})
        return Divergence(place, show(x), show(y))

    def apart(self, x: Term, y: Term) -> tuple[Term, Term] | None:
        """The first arguments that differ, where the operation is the same."""
        if x.op == y.op == "polynomial":
            # Atoms have no places that say what stands for what: one of each side does, else all of it is told.
            mine = [a for a in x.args if not any(self.same(a, b) for b in y.args)]
            others = [b for b in y.args if not any(self.same(a, b) for a in x.args)]
            return (mine[0], others[0]) if len(mine) == len(others) == 1 else None
        if x.op != y.op or x.data != y.data or len(x.args) != len(y.args):
            return None
        # The sides of a sum may stand in another order: in the one that leaves fewer of them different.
        orders = [y.args, y.args[::-1]] if x.op in COMMUTATIVE else [y.args]
        pairs = [[p for p in zip(x.args, o, strict=True) if not self.same(*p)] for o in orders]
        nearest = min(pairs, key=lambda ps: sum(1 + (a.op != b.op) for a, b in ps))
        return nearest[0] if nearest else None

    def same(self, x: Term, y: Term) -> bool:
        return self.normal(0, x) is self.normal(1, y)

    def carried(self, place: str, left: Item, right: Item, seen: set[tuple[Item, Item]]) -> Divergence:
        """How two carried values differ, taken for one."""
        a, b = self.items[left], self.items[right]
        where = f"{place}, carried by loop {left[1]} as {a.name} and {b.name}"
        if (a.dtype, a.start.shape) != (b.dtype, b.start.shape):
            return Divergence(where, f"{a.dtype} {a.start.shape}", f"{b.dtype} {b.start.shape}")
        merged = {i: -1 if i in {x for pair in seen for x in pair} else c for i, c in self.classes.items()}
        before = self.classes, self.known
        self.classes, self.known = merged, ({}, {})
        for when, xs, ys in (("at the start", a.start, b.start), ("after an iteration", a.then, b.then)):
            for lane, (x, y) in enumerate(zip(terms(xs), terms(ys), strict=True)):
                if not self.same(x, y):
                    found = self.explained(f"{where}, {when}, lane {lane}", x, y, seen)
                    self.classes, self.known = before
                    return found
        self.classes, self.known = before
        return Divergence(where, a.name, b.name)


def _numbered(keys: dict[Item, object]) -> dict[Item, int]:
    numbers: dict[object, int] = {}
    return {i: numbers.setdefault(key, len(numbers)) for i, key in keys.items()}


def _parts(a: Event, b: Event) -> Iterator[tuple[str, int | None, Term, Term]]:
    """What two events of one kind are made of, pair by pair, with its name and lane."""
    match a, b:
        case Written(), Written():
            for what, xs, ys in (
                ("place", a.places, b.places),
                ("mask", a.conditions, b.conditions),
                ("value", a.values, b.values),
            ):
                for lane, (x, y) in enumerate(zip(terms(xs), terms(ys), strict=False)):
                    yield f"store to {terms(a.places)[0].data}, {what}", lane, x, y
        case Effect(), Effect():
            yield "condition", None, a.condition, b.condition
        case Loop(), Loop():
            for what in ("start", "stop", "step", "condition"):
                yield f"loop {a.number}, {what}", None, getattr(a, what), getattr(b, what)
