"""The obligation that every position is in one part of a program that is launched, read off the kernels of parts."""

from __future__ import annotations

from collections.abc import Iterator

from refold.schedule import integers
from refold.schedule.conditions import TRUE, nonnegative
from refold.schedule.launch import Launch
from refold.schedule.lower.kernels import Kernels
from refold.schedule.terms import Term, symbol
from refold.schedule.tiles import NoMeaning
from refold.verify.kernel.asked import Asked
from refold.verify.kernel.lane import Lane, Lanes, given, host_integer, length, program_of
from refold.verify.kernel.launched import blocks_of, held
from refold.verify.kernel.lemmas import at_most, less
from refold.verify.kernel.multiples import simplified
from refold.verify.kernel.questions import IndexQuestion, IndexQuestions
from refold.verify.kernel.visits import name_in

# A position of the axis, any of them, and the number of a program along the parts.
POSITION, PROGRAM = symbol("position", "int"), program_of(1)


def part_questions(made: Kernels, how: Launch, read: Lanes, asked: Asked) -> Iterator[IndexQuestions]:
    """What is asked of how programs share the axis: those that leave states, and those that write along it."""
    claim = "every position of the axis is in the part of a program that is launched, and of no other"
    stages = ["parts", *(["finish"] if any(f.name == "_write" for f in made.functions) else [])]
    unread, parts = [read.unread[s] for s in stages if s in read.unread], list[IndexQuestion]()
    for stage in stages:
        try:
            for lane in read.stages.get(stage, ()):
                # What is merged is written by chunks, as `index loops` shows.
                part = name_in(lane, "part") if stage == "parts" else PROGRAM
                parts += _questions(made, how, lane, part, asked)
        except NoMeaning as error:
            unread.append(f"{stage}: {error}")
    yield IndexQuestions("index parts", claim, tuple(dict.fromkeys(parts)), "; ".join(unread))


def _questions(made: Kernels, how: Launch, lane: Lane, part: Term, asked: Asked) -> Iterator[IndexQuestion]:
    """Of a position, any: that the program with the number of its chunk is launched and has it, and no other one has.

    By `index loops` the tiles of a program are those of the chunk that its part is.
    """
    chunk = given(made, how)["chunk"].lanes.item()
    start = integers.multiply(part, chunk)
    facts = [nonnegative(POSITION), less(POSITION, length(made.roles.fold, made))]
    if how.cut is not None:
        facts.append(at_most(host_integer(how.cut.length, made, how), host_integer(how.cut.end, made, how)))
    number = integers.quotient(POSITION, chunk)
    here = [at_most(start, POSITION), less(POSITION, integers.add(start, chunk))]
    there = [integers.replaced(t, {PROGRAM: number}) for t in here]
    goals = [nonnegative(number), less(number, lane.grid[1]), *there]
    for goal in simplified(goals, blocks_of(lane)):
        if goal is not TRUE:
            yield asked.question(held(facts, lane), [goal])
    has_it = [*facts, nonnegative(PROGRAM), *here]
    yield asked.question(held(has_it, lane), [at_most(PROGRAM, number), at_most(number, PROGRAM)])
