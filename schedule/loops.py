"""Loops on terms: one iteration from a state of which nothing is known stands for all.

What a loop carries are the names that its body assigns and that have a value before it. An integer or a pointer that
grows by the same number in every iteration is known at each: where it began, and the number times how many came
before. What an iteration leaves as it is, the loop does not carry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from refold.schedule import integers, ir, values
from refold.schedule.dtypes import is_pointer, sort_of
from refold.schedule.outcome import Carried, Loop
from refold.schedule.terms import Term, below, make
from refold.schedule.tiles import Lanes, NoMeaning, Tile, cast, each, filled, meet, terms, tile_of
from refold.schedule.walk import assigned

if TYPE_CHECKING:
    from refold.schedule.execute import Machine, Object

# The compiler's constant loops of at most so many iterations are written out.
WRITTEN_OUT = 2


def loop(machine: Machine, node: ir.For) -> None:
    bounds = [values.operand(machine, v) for v in (node.start, node.stop, node.step or ir.Number(1))]
    low, _ = meet(bounds[0], bounds[1])
    start, stop, step = (cast(tile_of(b), low.dtype) for b in bounds)
    trips = _constant_trips(*(t.lanes.item() for t in (start, stop, step)))
    if trips is not None and (node.unrolled or len(trips) <= WRITTEN_OUT):
        before = set(machine.names)
        for k in trips:
            machine.names[node.index.text] = Tile(low.dtype, filled((), [integers.whole(k)]))
            _body(machine, node)
        machine.names = {n: v for n, v in machine.names.items() if n in before}
        return
    _symbolic(machine, node, start, stop, step)


def _constant_trips(start: Term, stop: Term, step: Term) -> range | None:
    """The indices, where the compiler knows them; a loop that begins at its end has none."""
    if start is stop:
        return range(0)
    first, last, by = (integers.value_of(t) for t in (start, stop, step))
    return None if first is None or last is None or not by else range(first, last, by)


def _body(machine: Machine, node: ir.For) -> None:
    if machine.run(node.body) is not None:
        raise NoMeaning("a return in a loop")


def _symbolic(machine: Machine, node: ir.For, start: Tile, stop: Tile, step: Tile) -> None:
    number, outer = machine.loops, machine.names
    first, by = start.lanes.item(), step.lanes.item()
    iteration, trips = (make(op, "int", (), number) for op in ("iteration", "trips"))
    names = [n for n in dict.fromkeys(assigned(node.body)) if n in outer]
    begin = {n: _tile(outer[n]) for n in names}
    now = {n: _state("state", number, n, begin[n]) for n in names}
    index = integers.add(first, integers.multiply(by, iteration))
    marks = len(machine.events), machine.loops
    machine.inside = (*machine.inside, number)

    def iterate(state: dict[str, Tile]) -> dict[str, Tile]:
        """One iteration; what the names of the state stand for after it."""
        del machine.events[marks[0] :]
        machine.loops = marks[1] + 1
        machine.names = {**outer, **state, node.index.text: Tile(start.dtype, filled((), [index]))}
        _body(machine, node)
        return {n: _tile(machine.names[n]) for n in names}

    then = iterate(now)
    # A number that became a tile is a tile from the beginning.
    wider = {n: then[n].shape for n in names if then[n].shape != now[n].shape}
    if wider:
        raise NoMeaning(f"{', '.join(wider)}: a value whose shape changes in a loop")
    steady = _steady(number, now, then)
    if steady:
        known = {n: _moved(begin[n], steady[n], iteration) for n in steady}
        then = iterate(now | known)
    last = {n: _state("last", number, n, begin[n]) for n in names}
    last |= {n: _moved(begin[n], steady[n], trips) for n in steady}
    machine.inside = machine.inside[:-1]
    machine.names = {**outer, **last}
    carried = tuple(
        Carried(n, now[n].dtype, begin[n].lanes, now[n].lanes, cast(then[n], now[n].dtype).lanes, last[n].lanes)
        for n in names
        if n not in steady
    )
    event = Loop(number, first, stop.lanes.item(), by, machine.path, carried, machine.inside)
    machine.events.insert(marks[0], event)


def _tile(x: Object) -> Tile:
    if isinstance(x, bool | int | float):
        return tile_of(x)
    if not isinstance(x, Tile):
        raise NoMeaning(f"{x} as what a loop carries")
    return x


def _state(op: str, number: int, name: str, like: Tile) -> Tile:
    """Lanes of which nothing is known but whose they are."""
    if is_pointer(like.dtype):
        lanes = [
            make("pointer", "pointer", (make(op, "int", (), (number, name, k)),), place.data)
            for k, place in enumerate(terms(like.lanes))
        ]
    else:
        lanes = [make(op, sort_of(like.dtype), (), (number, name, k)) for k in range(like.lanes.size)]
    return Tile(like.dtype, filled(like.shape, lanes))


def _steady(number: int, now: dict[str, Tile], then: dict[str, Tile]) -> dict[str, Lanes]:
    """By how much each iteration moves what moves by the same everywhere; 0 is an integer, or of floats: not at all."""
    found = {}
    for name, tile in now.items():
        growth = [_growth(a, b) for a, b in zip(terms(tile.lanes), terms(then[name].lanes), strict=True)]
        steps = [g for g in growth if g is not None and not _varies(number, g)]
        if len(steps) == len(growth):
            found[name] = filled(tile.shape, steps)
    return found


def _growth(now: Term, then: Term) -> Term | None:
    if now.op == then.op == "pointer" and now.data == then.data:
        now, then = now.args[0], then.args[0]
    if now is then:
        return integers.whole(0)
    return integers.subtract(then, now) if now.sort == then.sort == "int" else None


def _varies(number: int, growth: Term) -> bool:
    """Whether a term may differ between the iterations of a loop, by its state or by what memory holds."""
    for t in below(growth):
        if t.op in ("state", "last") and isinstance(t.data, tuple) and t.data[0] >= number:
            return True
        if t.op in ("iteration", "trips") and isinstance(t.data, int) and t.data >= number:
            return True
        if t.op in ("read", "fetch", "atomic"):
            return True
    return False


def _moved(begin: Tile, steps: Lanes, times: Term) -> Tile:
    """Where something is that began somewhere and moved so many times."""

    def move(at: Term, by: Term) -> Term:
        if integers.value_of(by) == 0:
            return at
        far = integers.multiply(by, times)
        if at.op == "pointer":
            return make("pointer", "pointer", (integers.add(at.args[0], far),), at.data)
        return integers.add(at, far)

    return Tile(begin.dtype, each(move, begin.lanes, np.broadcast_to(steps, begin.shape)))
