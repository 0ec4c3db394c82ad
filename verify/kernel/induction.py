"""A kernel by induction on the iterations of its loops: how its state begins, what one iteration does, what is stored.

A loop begins at the unit; one iteration, from any state that can be reached, makes of the state of the positions before
that of those and the tile; what is stored is the finish. So the kernel computes the state of all positions that its
loops visit, which the index obligations say are those that count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from refold.algebra import State
from refold.schedule.integers import add, multiply, replaced, whole
from refold.schedule.outcome import Carried, Loop
from refold.schedule.terms import Term, below, symbol
from refold.schedule.tiles import terms
from refold.spec import Index
from refold.verify.kernel.case import Case
from refold.verify.kernel.cases import Truths, Unread, cases
from refold.verify.kernel.launched import iteration_of
from refold.verify.kernel.prover import Finding
from refold.verify.kernel.small import LANES, executed
from refold.verify.kernel.stored import output_of, stored
from refold.verify.kernel.subject import LAST_TILE, Subject, last_tile, naming


def of_kernel(subject: Subject) -> Iterator[Finding]:
    """The steps of one kernel: of its loops, then of its stores."""
    components = subject.prover.components
    loops = [e for e in subject.small.outcome.loops if e.carried]
    if not loops:
        yield from missing(subject, "loop", "a loop carries {}", components)
    last: Loop | None = None
    for loop in loops:
        there = {c.name for c in loop.carried}
        yield from missing(subject, f"loop {loop.number}", "the loop carries {}", components.keys() - there)
        for c in loop.carried:
            if c.name not in components:
                raise Unread(f"{c.name}, which a loop carries and no state has")
            yield begins(subject, loop, c, last)
        combines = subject.function is subject.made.finish
        yield from (combined if combines else iterated)(subject, loop)
        last = loop
    if last is not None and subject.holds_last_tile:
        last = last_tile(subject, last)
        yield from iterated(subject, last)
    yield from stored(subject, last)


def missing(subject: Subject, what: str, claim: str, names: Iterable[str]) -> Iterator[Finding]:
    """What a kernel leaves out is not shown, however right the rest is."""
    for name in sorted(names):
        found = subject.begin(name, what, claim.format(name))
        found.require(False, "the kernel has none")
        yield found


def begins(subject: Subject, loop: Loop, c: Carried, before: Loop | None) -> Finding:
    """A component begins at its unit, or as the loop before has left it."""
    if before is None:
        found = subject.begin(c.name, f"before loop {loop.number}", f"{c.name} begins at its unit")
        begun = all(subject.is_unit(c.name, t) for t in terms(c.start))
        found.require(begun, "it begins at another value")
        return found
    found = subject.begin(c.name, f"before loop {loop.number}", f"{c.name} goes on from the loop before")
    ends = [terms(x.last) for x in before.carried if x.name == c.name]
    goes_on = len(ends) == 1 and all(a is b for a, b in zip(terms(c.start), ends[0], strict=True))
    found.require(goes_on, "it begins at another value")
    return found


def index_of(loop: Loop) -> Term:
    """Where an iteration of a loop is."""
    return add(loop.start, multiply(loop.step, iteration_of(loop.number)))


def iterated(subject: Subject, loop: Loop) -> Iterable[Finding]:
    """An iteration takes each component to its update by those positions of the tile that there are.

    Of conditions that stand alike on both sides nothing matters but whether they hold; where that does not show it,
    what they are made of may.
    """
    try:
        found = _iterated(subject, loop, subject.shared(loop, tile_of(loop)))
    except Unread:
        found = []
    if not found or any(f.fault is not None for f in found):
        found = _iterated(subject, loop, frozenset())
    return found


def tile_of(loop: Loop) -> list[Term]:
    """The positions that an iteration goes over."""
    return [add(index_of(loop), whole(n)) for n in range(LANES)]


def _iterated(subject: Subject, loop: Loop, whole_conditions: frozenset[Term]) -> list[Finding]:
    update = subject.prover.laws.update
    assert update is not None  # a claimed form may be without one, and no kernel is lowered from it
    positions = tile_of(loop)
    what = "last tile" if loop.number == LAST_TILE else f"loop {loop.number}"
    claim = "an iteration takes {} to its update by the positions that there are"
    found = {c.name: subject.begin(c.name, what, claim.format(c.name)) for c in loop.carried}
    asked = subject.asked(t for c in loop.carried for t in terms(c.then))
    used = {*below(*(t for c in loop.carried for t in terms(c.then)))}

    def judge(truths: Truths) -> None:
        both = subject.both(Case(truths, asked, whole_conditions), loop)
        there = subject.there(both.case, positions)
        facts = subject.on_axis(map(both.kernel.number, there))
        updates: dict[tuple[tuple[Index, Term], ...], dict[State, Any]] = {}
        for c in loop.carried:
            component, kept = subject.prover.components[c.name], subject.prover.kept[c.name]
            for n, term in enumerate(terms(c.then)):
                lane = subject.lane(c.name, n)
                key = tuple(lane.items())
                if key not in updates:
                    named = naming(subject, both, loop, lane, found, facts, used)
                    updates[key] = subject.applied(update, both, there, lane, named)
                wanted = updates[key][component.symbol]
                found[c.name].require(subject.own(term, "state", loop, lane), "it reads the state of another lane")
                subject.same(both.kernel.value(term), kept.of(wanted), found[c.name], facts)
                subject.fits(c.name, wanted, found[c.name], facts)

    inside = dict.fromkeys(map(subject.inside, positions), True) if subject.needs_no_mask(loop) else {}
    for _ in cases(judge, subject.fixed() | inside):
        pass
    return [*found.values()]


def kept_places(subject: Subject, loop: Loop) -> Mapping[tuple[str, Term], Mapping[Index, Term]]:
    """The offsets at which the other kernel keeps a part, its number that of an iteration, each with its lane."""
    number = {symbol("program 1", "int"): index_of(loop)}
    found = {}
    for store in executed(subject.made, subject.made.parts).outcome.stores:
        name = output_of(store)
        for n, place in enumerate(terms(store.places)):
            found[f"{name}_ptr", replaced(place.args[0], number)] = subject.lane(name.removeprefix("part_"), n)
    return found


def combined(subject: Subject, loop: Loop) -> Iterable[Finding]:
    """In the kernel that joins parts: an iteration combines the state with that of one part, read where it is kept."""
    laws, combine = subject.prover.laws, subject.prover.laws.combine
    assert combine is not None
    right = {subject.made.workspace[str(c.symbol)]: subject.prover.kept[str(c.symbol)].of(c.right) for c in laws.state}
    kept, ends = kept_places(subject, loop), [c.name for c in loop.carried]
    for c in loop.carried:
        found = subject.begin(c.name, f"loop {loop.number}", f"an iteration combines {c.name} with that of a part")

        def judge(truths: Truths, c: Carried = c, found: Finding = found) -> None:
            both = subject.both(Case(truths, subject.asked(terms(c.then))))
            component, rule = subject.prover.components[c.name], subject.prover.kept[c.name]
            for n, term in enumerate(terms(c.then)):
                lane = subject.lane(c.name, n)
                for t in below(term):
                    if t.op == "read" and isinstance(t.data, tuple) and t.data[0] in right:
                        place = kept.get((str(t.data[0]), t.args[0]))
                        there = place is not None and place.items() <= lane.items()
                        found.require(there, "it reads a part where no other kernel keeps it")
                        subject.data.atoms[both.kernel.place(t)] = right[str(t.data[0])]
                named = naming(subject, both, loop, lane, dict.fromkeys(ends, found), [], {*below(*terms(c.then))})
                wanted = subject.applied(combine, both, [], lane, named)[component.symbol]
                found.require(subject.own(term, "state", loop, lane), "it reads the state of another lane")
                subject.same(both.kernel.value(term), rule.of(wanted), found)
                subject.fits(c.name, wanted, found)

        for _ in cases(judge, subject.fixed()):
            pass
        yield found
