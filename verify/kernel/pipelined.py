"""The state of a pipelined loop: what the names that it carries stand for, and that it is that of the tiles before.

The loop over the tiles is pipelined: at its head the product of one tile is still to come. What the carried names stand
for there is read off the kernel: a name that the first product of an iteration goes *into* stands for itself plus that
product, each other one for itself.

    (m, l, acc, weights)   stands for   (m, l, acc + weights @ v of the tile before)

Of this state the obligations are those of a plain loop: the first tile takes the unit to it, an iteration takes it to
its update by one more tile, and what the products after the loop leave is the state of all tiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from refold.schedule import integers
from refold.schedule.integers import add, replaced, subtract, whole
from refold.schedule.outcome import Carried, Loop
from refold.schedule.terms import Term, below
from refold.schedule.tiles import Lanes, NoMeaning, filled, terms
from refold.verify.kernel.group import Group
from refold.verify.kernel.induction import iterated
from refold.verify.kernel.launched import iteration_of
from refold.verify.kernel.lemmas import same
from refold.verify.kernel.order import tiles, trips
from refold.verify.kernel.piece import BEGIN, END, Run, integer, state
from refold.verify.kernel.prover import Finding, named
from refold.verify.kernel.roles import Piece
from refold.verify.kernel.steps import ORDER, STAGE
from refold.verify.kernel.stored import stored
from refold.verify.kernel.turns import ONE, ZERO, Product, normal

# What an iteration of a loop begins with has the number of that loop and this one.
WITHIN = 3000
# A component by its name, lane by lane.
State: TypeAlias = dict[str, list[Term]]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the names that a loop carries stand for at its head, as terms over them: one for each component."""

    loop: Loop
    lanes: Mapping[str, Lanes]

    def at(self, now: Mapping[str, Lanes], iteration: Term) -> State:
        """What they stand for where they have some values, at the head of an iteration."""
        start = {self.loop.start: normal(self.loop.start)}
        table = {iteration_of(self.loop.number): iteration}
        for c in self.loop.carried:
            table |= zip(terms(c.now), (replaced(t, start) for t in terms(now[c.name])), strict=True)
        return {n: [replaced(replaced(t, start), table) for t in terms(lanes)] for n, lanes in self.lanes.items()}

    def at_start(self, iteration: Term) -> State:
        return self.at({c.name: c.start for c in self.loop.carried}, iteration)

    def at_end(self, iteration: Term) -> State:
        return self.at({c.name: c.last for c in self.loop.carried}, iteration)


def meaning(loop: Loop, machine: Piece, components: Mapping[str, Any]) -> Meaning:
    """Each component is what the first product of an iteration adds to it, or itself where none does."""
    products = [e.about[0] for e in machine.noted("product") if e.loops == (loop.number,)]
    lanes = {}
    for c in loop.carried:
        if c.name in components:
            mine = [p for p in products if isinstance(p, Product) and terms(p.into.lanes) == terms(c.now)]
            lanes[c.name] = mine[0].tile.lanes if mine else c.now
    if lanes.keys() != components.keys():
        raise NoMeaning(f"a loop that does not carry {', '.join(sorted(components.keys() - lanes.keys()))}")
    return Meaning(loop, lanes)


def even(some: list[Term]) -> list[Term]:
    """Terms with their integers in normal form."""
    found = []
    for t in some:
        table = {x: y for x in below(t) if x.sort == "int" and x.op == "polynomial" and (y := normal(x)) is not x}
        found.append(replaced(t, table) if table else t)
    return found


def folded(group: Group, runs: list[Run]) -> Iterator[Finding]:
    """That a group's piece of work begins at the unit, folds its tiles, and stores the finish of what they leave."""
    yield from begins(group, runs[0])
    visits = [r for r in runs if r.loops]
    if len(visits) != 1 or len(runs) > 2:
        raise NoMeaning("a role that does not go over tiles, or in several ways")
    (run,) = visits
    yield from loops(group, run)
    yield none(group, runs, run)
    last = Loop(END, whole(0), whole(0), whole(0), run.loops[-1].condition, (), ())
    for found in stored(group.subject(run), last):
        yield replace(found, step=f"group {group.number}, {found.step}")


def begins(group: Group, run: Run) -> Iterator[Finding]:
    """Every component begins at its unit, in every piece of work anew."""
    subject = group.subject(run)
    for name, tile in run.begun.items():
        found = group.begin(
            named(STAGE, name), "before the first tile", f"{name} begins at its unit in every piece of work"
        )
        found.require(all(subject.is_unit(name, t) for t in terms(tile.lanes)), "it begins at another value")
        yield found


def loops(group: Group, run: Run) -> Iterator[Finding]:
    """The first tile, an iteration of each loop, and that each goes on where the one before has ended."""
    heads = [meaning(loop, run.machine, group.prover.components) for loop in run.loops]
    visits = [e for e in group.load.events if isinstance(e, Loop)]
    if len(visits) != 1 or any(h.loop.loops for h in heads):
        raise NoMeaning("roles that do not go over the tiles in one loop after the other")
    first, end = tiles(visits[0])
    begins = [tiles(h.loop)[0] for h in heads]
    # Of each loop how many tiles are visited until the next one begins; the first tile is visited before them all.
    counts = [subtract(b, a) for a, b in zip(begins, [*begins[1:], end], strict=True)]
    ahead = subtract(add(first, ONE), begins[0])
    once = replace(visits[0], number=BEGIN, step=ZERO)
    yield from iteration(group, run, "first tile", once, heads[0].at_start(ahead))
    for n, (head, count) in enumerate(zip(heads, counts, strict=True), 1):
        yield from from_any_state(group, run, f"loop {n}", head)
        if n < len(heads):
            yield from goes_on(group, f"after loop {n}", head.at_end(count), heads[n].at_start(ZERO))
        else:
            ended = {name: terms(tile.lanes) for name, tile in run.ended.items()}
            yield from goes_on(group, "after the last product", head.at_end(count), ended)
    claim = "the first tile and the loops visit the tiles that are copied, one after the other"
    found = group.begin(ORDER, "tiles", claim)
    goals = [same(ahead, ZERO), *(same(c, trips(h.loop)) for h, c in zip(heads, counts, strict=True))]
    group.questions.require(found, goals, run.facts, "the tiles do not follow each other:")
    yield found


def goes_on(group: Group, what: str, left: State, begun: State) -> Iterator[Finding]:
    """What a loop leaves stands for the state that the next one begins with, or that the last product leaves."""
    for name in group.prover.components:
        found = group.begin(named(STAGE, name), what, f"{name} goes on as the state that the loop has left")
        pairs = zip(even(left[name]), even(begun[name]), strict=True)
        found.require(all(a is b for a, b in pairs), "it is another value")
        yield found


def from_any_state(group: Group, run: Run, what: str, head: Meaning) -> Iterator[Finding]:
    """An iteration from any state: what the names stand for has a name of its own there, and nothing else has."""
    loop, number = head.loop, WITHIN + head.loop.number
    now = head.at({c.name: c.now for c in loop.carried}, iteration_of(loop.number))
    then = head.at({c.name: c.then for c in loop.carried}, add(iteration_of(loop.number), ONE))
    own = {name: terms(state("state", number, name, run.begun[name]).lanes) for name in now}
    named = {t: s for name in now for t, s in zip(now[name], own[name], strict=True)}
    ends = unmasked(group, run, loop) or replace(loop, start=normal(loop.start))
    # Iterations are counted from the beginning of the span, of which a loop may leave out the first tile.
    count = subtract(add(iteration_of(number), tiles(ends)[0]), tiles(loop)[0])
    after = {
        name: [replaced(replaced(t, named), {iteration_of(loop.number): count}) for t in some]
        for name, some in then.items()
    }
    yield from iteration(group, run, what, replace(ends, number=number), after)


def unmasked(group: Group, run: Run, loop: Loop) -> Loop | None:
    """The loop over the whole of the span of tiles without masks that a loop goes over, if there is one."""
    for a, b, masked in group.made.ranges.spans:
        if not masked:
            span = replace(loop, start=integer(run.machine, a.name), stop=integer(run.machine, b.name))
            (begin, end), (first, last) = tiles(span), tiles(loop)
            if end is last and normal(integers.greatest(first, begin)) is first:
                return span
    return None


def iteration(group: Group, run: Run, what: str, loop: Loop, then: State) -> Iterator[Finding]:
    """The obligation of an iteration of a plain loop, about what the names stand for."""
    carried = []
    for name, after in then.items():
        tile = run.begun[name]
        now, last = (state(op, loop.number, name, tile).lanes for op in ("state", "last"))
        carried.append(Carried(name, tile.dtype, now, now, filled(tile.shape, after), last))
    for found in iterated(group.subject(run), replace(loop, carried=tuple(carried))):
        yield replace(found, step=f"group {group.number}, {what}")


def none(group: Group, runs: list[Run], visits: Run) -> Finding:
    """Where there is no tile, the state stays as it began; what is stored then is what is stored of any state."""
    found = group.begin(ORDER, "no tile", "where no tile is visited the state stays at its unit")
    for run in runs:
        if run is visits:
            continue
        for name, tile in run.ended.items():
            began = terms(state("state", BEGIN, name, tile).lanes)
            found.require(terms(tile.lanes) == began, f"{name} changes")
        stores = [
            [(terms(s.places), terms(s.values), terms(s.conditions)) for s in r.small.outcome.stores]
            for r in (run, visits)
        ]
        found.require(stores[0] == stores[1], "what is stored is another value")
    return found
