"""The obligations about memory, read off the kernels: every access is in bounds, every element is written once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

from refold.schedule.conditions import TRUE, either, negate, nonnegative
from refold.schedule.launch import Launch
from refold.schedule.lower.kernels import Kernels
from refold.schedule.outcome import Touched
from refold.schedule.rules import normal
from refold.schedule.terms import Term, below, make, rebuild, symbol
from refold.schedule.tiles import NoMeaning
from refold.spec import Index
from refold.verify.kernel.asked import Asked, conjuncts, near
from refold.verify.kernel.described import described_questions, faults
from refold.verify.kernel.lane import Lane, Lanes, lane_of, program_of, reached
from refold.verify.kernel.launched import (
    Dimension,
    blocks_of,
    dimensions,
    held,
    iteration_of,
    launch_facts,
    loop_facts,
    positions,
)
from refold.verify.kernel.lemmas import at_most, less, same
from refold.verify.kernel.multiples import simplified
from refold.verify.kernel.questions import IndexQuestion, IndexQuestions


@dataclass(frozen=True, slots=True)
class Place:
    """An element that a kernel touches: its position along every dimension, and all that is so where it does."""

    lane: Lane
    touched: Touched
    facts: tuple[Term, ...]
    at: tuple[Term, ...]


def access_questions(made: Kernels, how: Launch, read: Lanes, asked: Asked) -> Iterator[IndexQuestions]:
    """All that is asked of what kernels touch in memory, one obligation a tensor and kind of access."""
    shapes, unread, lanes = dimensions(made, how), [*read.unread.values()], list[list[Place]]()
    every = [lane for cases in read.stages.values() for lane in cases]
    for stage, cases in read.stages.items():
        try:
            lanes += [[*_places(lane, made, how, shapes)] for lane in cases]
        except NoMeaning as error:
            unread.append(f"{stage}: {error}")

    def ask(what: str, claim: str, tensors: Iterable[str], *, bounds: bool, once: bool) -> IndexQuestions:
        parts: list[IndexQuestion] = []
        for tensor in tensors:
            for places in ([p for p in one if p.touched.tensor == tensor] for one in lanes):
                parts += (q for p in places if bounds for q in _inside(p, shapes[tensor], asked))
                writes = [p for p in places if once and p.touched.value is not None]
                parts += _once(writes, asked, made.roles.rows, whole=tensor in outputs)
        return IndexQuestions(f"index {what}", claim, tuple(parts), "; ".join(unread))

    outputs = {f"{f.name}_ptr": made.users.get(f.name, f.name) for f in made.given.finish}
    for tensor, name in outputs.items():
        claim = f"two lanes that write one element of {name} are one lane of one program"
        yield ask(f"write once {name}", claim, [tensor], bounds=False, once=True)
        yield ask(f"stores {name}", f"every store of {name} is inside of it", [tensor], bounds=True, once=False)
    for name in sorted(t.name for t in made.given.tensors):
        shown = made.users.get(name, name)
        claim = f"every load of {shown} is inside of it"
        loads = ask(f"loads {shown}", claim, [f"{name}_ptr"], bounds=True, once=False)
        fault = faults(made, name)
        if name in made.descriptors and not fault:
            more = [q for lane in every for d in lane.described if d.tensor == f"{name}_ptr"
                    for q in described_questions(d, lane, made, how, shapes[d.tensor], asked)]  # fmt: skip
            loads = replace(loads, claim=f"{claim}, and gives what its descriptor does", parts=(*loads.parts, *more))
        yield replace(loads, unread="; ".join(filter(None, [loads.unread, fault])))
    alike: dict[tuple[Dimension, ...], list[str]] = {}
    for state, tensor in made.workspace.items():
        alike.setdefault(shapes[tensor], []).append(state)
    for states in alike.values():
        shown = ", ".join(states)
        claim = f"every part has a place of its own for {shown}, inside of the workspace"
        yield ask(f"workspace {shown}", claim, [made.workspace[s] for s in states], bounds=True, once=True)


def _places(lane: Lane, made: Kernels, how: Launch, shapes: Mapping[str, tuple[Dimension, ...]]) -> Iterator[Place]:
    known = [*launch_facts(lane, made, how)]
    for touched in dict.fromkeys(lane.touches):
        at = positions(touched.offset, shapes[touched.tensor])
        if at is None:
            raise NoMeaning(f"an offset of {touched.tensor} that is no sum of strides times positions")
        facts = held([*known, touched.condition, *loop_facts(lane, touched.loops)], lane)
        yield Place(lane, touched, facts, tuple(simplified(at, blocks_of(lane))))


def _inside(place: Place, shape: tuple[Dimension, ...], asked: Asked) -> Iterator[IndexQuestion]:
    """Every position is at least 0 and less than the length."""
    ends = ((nonnegative(at), less(at, d.length)) for at, d in zip(place.at, shape, strict=True))
    goals = simplified((end for pair in ends for end in pair), blocks_of(place.lane))
    known = {c for f in place.facts for c in conjuncts(f)}
    said = [g for g in goals if g in known]
    if said:
        # The mask says so, or how many lanes there are.
        yield asked.question(said, said)
    left = [g for g in goals if g not in known and g is not TRUE]
    # Where a program is along the axes that it has by itself is the same for every tensor.
    alone = [g for g in left if not _shared(place, g)]
    for some in ([alone] if alone else []) + [[g] for g in left if g not in alone]:
        yield asked.question(near(place.facts, some), some, place.facts)


def _shared(place: Place, goal: Term) -> bool:
    """Whether a goal speaks of a lane or an iteration."""
    lanes = {lane_of(a) for a in place.lane.blocks}
    return any(t in lanes or t.op == "iteration" for t in below(goal))


def _once(places: list[Place], asked: Asked, rows: Index | None, *, whole: bool) -> Iterator[IndexQuestion]:
    """Two lanes, iterations and programs that write one element are the same.

    If not `whole`, of one part alone: a state in which nothing depends on the program is the same for all of them.
    """
    for a, b in combinations_with_replacement(places, 2):
        own, others = _own(a), _own(b)
        twins = {t: _primed(t) for t in {*own, *others}}
        known: dict[Term, Term] = dict(twins)
        other = [rebuild(t, normal, known) for t in (*b.facts, *b.at)]
        equal = [same(x, y) for x, y in zip(a.at, other[len(b.facts) :], strict=True)]
        facts = [*a.facts, *other[: len(b.facts)]]
        if a is b:
            value = a.touched.value
            # Where both write, the positions are equal: a value without rows may depend on them.
            given = () if rows in a.touched.axes else a.at
            told = own if whole or value is None else [t for t in own if t in reached(a.lane, value, given)]
            # Not equations, of which the door to the solver would look for cofactors.
            goals = [end for t in told for end in (at_most(t, twins[t]), at_most(twins[t], t))]
            if goals:
                yield asked.question([*facts, *equal], goals, twins=known)
        else:
            yield asked.question(facts, [either(*map(negate, equal))], twins=known)


def _own(place: Place) -> list[Term]:
    """What tells one write from another: the program, the lane, and the iteration."""
    return [*(program_of(n) for n in range(len(place.lane.grid))), *(lane_of(a) for a in place.touched.axes),
            *(iteration_of(n) for n in place.touched.loops)]  # fmt: skip


def _primed(t: Term) -> Term:
    if t.op == "symbol":
        return symbol(f"{t.data}′", "int")
    return make(t.op, "int", (), (t.data, "′"))
