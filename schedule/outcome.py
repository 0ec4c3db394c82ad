"""What a kernel does, as its execution leaves it: stores, loops and effects in their order, over terms."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from refold.schedule.terms import Term
from refold.schedule.tiles import Lanes


@dataclass(frozen=True, slots=True)
class Written:
    """A store: where, what, and under which condition, lane by lane, within which loops.

    `how` is "=" for a store, or the operation of an atomic one.
    """

    places: Lanes
    values: Lanes
    conditions: Lanes
    loops: tuple[int, ...]
    how: str = "="


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that orders what kernels do: a wait for the kernel before, a barrier."""

    name: str
    condition: Term
    loops: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Carried:
    """A value that a loop carries from one iteration to the next: all as terms, lane by lane.

    An iteration takes `now` to `then`; the first begins with `start`, and `last` is what is left after the loop.
    """

    name: str
    dtype: str
    start: Lanes
    now: Lanes
    then: Lanes
    last: Lanes


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop whose number of iterations is not known: one iteration stands for all, its `index` start + step * n."""

    number: int
    start: Term
    stop: Term
    step: Term
    condition: Term
    carried: tuple[Carried, ...]
    loops: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Touched:
    """An access to one element of a tensor: where, under which condition, in which loops, by a lane of which axes.

    A store has a value. `steps` are the integers that were computed to get there, where they are known. Only a reading
    of one lane for all takes note of these.
    """

    tensor: str
    offset: Term
    condition: Term
    loops: tuple[int, ...]
    axes: tuple[Hashable, ...]
    value: Term | None
    steps: tuple[Computed, ...] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Described:
    """A tile that a descriptor gives in the place of a load: its first position along every dimension, and its shape.

    Of the load, the offset of a lane and its mask. Noted as accesses are.
    """

    tensor: str
    corner: tuple[Term, ...]
    shape: tuple[Term, ...]
    axes: tuple[Hashable, ...]
    offset: Term
    mask: Term
    condition: Term
    loops: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shared:
    """A quotient of a tile's first position in the place of that of every lane. Noted as accesses are."""

    first: Term
    lane: Term
    condition: Term
    loops: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Computed:
    """An integer that an operation gave, which has to fit into its dtype. Noted as accesses are."""

    dtype: str
    value: Term
    loops: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Called:
    """A function of the module that was called: its arguments by name, and what it gave. Noted as accesses are."""

    name: str
    arguments: Mapping[str, object]
    results: tuple[object, ...]
    condition: Term
    loops: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Word:
    """What a word of the target's language did, and to what. Only a reading that knows such words takes note of it."""

    name: str
    about: tuple[object, ...]
    condition: Term
    loops: tuple[int, ...]


Event: TypeAlias = Written | Effect | Loop | Touched | Described | Shared | Called | Computed | Word


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happens, in order. An inner loop stands before what happens in it, as its number in `loops` says."""

    events: tuple[Event, ...]

    @property
    def loops(self) -> tuple[Loop, ...]:
        return tuple(e for e in self.events if isinstance(e, Loop))

    @property
    def stores(self) -> tuple[Written, ...]:
        return tuple(e for e in self.events if isinstance(e, Written))
