"""The obligation that the kernel that joins parts takes every part once, read off its loop and what it reads there."""

from __future__ import annotations

from collections.abc import Iterator

from refold.schedule.conditions import TRUE, nonnegative
from refold.schedule.integers import add, multiply, subtract
from refold.schedule.launch import Launch
from refold.schedule.lower.kernels import Kernels
from refold.schedule.terms import symbol
from refold.schedule.tiles import NoMeaning
from refold.verify.kernel.asked import Asked
from refold.verify.kernel.lane import Lane, Lanes
from refold.verify.kernel.launched import blocks_of, dimensions, held, iteration_of, launch_facts, positions
from refold.verify.kernel.lemmas import ONE, less
from refold.verify.kernel.multiples import simplified
from refold.verify.kernel.questions import IndexQuestion, IndexQuestions

# A part, any of those that were launched.
PART, PARTS = symbol("part", "int"), symbol("parts", "int")


def merge_questions(made: Kernels, how: Launch, read: Lanes, asked: Asked) -> Iterator[IndexQuestions]:
    """What is asked of the kernel that joins parts."""
    claim = "the state of every part is merged, and none twice"
    unread, parts = read.unread.get("finish", ""), list[IndexQuestion]()
    try:
        parts += (_question(made, how, lane, asked) for lane in read.stages.get("finish", ()))
    except NoMeaning as error:
        unread = f"finish: {error}"
    yield IndexQuestions("index merge", claim, tuple(parts), unread)


def _question(made: Kernels, how: Launch, lane: Lane, asked: Asked) -> IndexQuestion:
    """One loop merges in every iteration, the part at start + n in the n-th: each is that of one iteration."""
    merges = [call for call in lane.calls if call.name == "_merge"]
    if len(merges) != 1 or len(merges[0].loops) != 1 or merges[0].condition is not TRUE:
        raise NoMeaning("parts that are not merged by one loop")
    (number,) = merges[0].loops
    loop = lane.loops[number]
    if loop.condition is not TRUE or loop.step is not ONE:
        raise NoMeaning("a loop that does not go from part to part")
    here = add(loop.start, multiply(loop.step, iteration_of(number)))
    shapes, kept = dimensions(made, how), {*made.workspace.values()}
    loads = [t for t in lane.touches if t.tensor in kept]
    for touched in loads:
        at = positions(touched.offset, shapes[touched.tensor])
        if at is None or at[0] is not here or touched.loops != (number,) or touched.value is not None:
            raise NoMeaning(f"a state of {touched.tensor} that is not that of the part")
    if {t.tensor for t in loads} != kept:
        raise NoMeaning("a state that is not read")
    facts = [*launch_facts(lane, made, how), nonnegative(PART), less(PART, PARTS)]
    goals = [nonnegative(subtract(PART, loop.start)), less(PART, loop.stop)]
    return asked.question(held(facts, lane), simplified(goals, blocks_of(lane)))
