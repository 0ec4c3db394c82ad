"""The obligation about quotients of which a tile has one: it is the quotient of each of its positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refold.schedule import integers, ir
from refold.schedule.conditions import TRUE, nonnegative
from refold.schedule.launch import Launch
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.words import ALIGNED, BLOCK_N
from refold.schedule.outcome import Shared
from refold.schedule.terms import symbol
from refold.schedule.tiles import NoMeaning
from refold.schedule.walk import every, rewritten
from refold.verify.kernel.asked import Asked
from refold.verify.kernel.lane import Lane, Lanes
from refold.verify.kernel.launched import blocks_of, held, launch_facts, loop_facts
from refold.verify.kernel.lemmas import ONE, less, of_product, positive
from refold.verify.kernel.multiples import cofactor, simplified
from refold.verify.kernel.questions import IndexQuestion, IndexQuestions

BLOCK, TIMES = symbol(BLOCK_N.text, "int"), symbol("tiles of a length", "int")


def aligned_questions(made: Kernels, how: Launch, read: Lanes, asked: Asked) -> Iterator[IndexQuestions]:
    """Asked of kernels that have such quotients: in the cases in which BLOCK_N divides the lengths."""
    if ALIGNED not in dict(how.flags):
        return
    parts: list[IndexQuestion] = []
    unread = [*read.unread.values(), *faults(made)]
    for stage, cases in read.stages.items():
        for lane in cases:
            try:
                parts += (q for found in lane.shared for q in _questions(found, lane, made, how, asked))
            except NoMeaning as error:
                unread.append(f"{stage}: {error}")
    claim = "where BLOCK_N divides the lengths that positions are divided by, a tile's positions have one quotient"
    yield IndexQuestions("index aligned", claim, tuple(parts), "; ".join(unread))


def faults(made: Kernels) -> Iterator[str]:
    """The functions that the flag changes in another way: all other readings of kernels take it to be false."""
    parameters = {f.name: f.parameters for f in made.module}

    def change(node: Any) -> Any:
        match node:
            case ir.Choice(flag, ir.Full((ir.Number(1),)), lanes) if flag == ALIGNED:
                return lanes
            case ir.Invoke(name, args):
                given = zip(parameters[name], args, strict=True)
                return ir.Invoke(name, tuple(a for p, a in given if (p, a) != (ALIGNED, ALIGNED)))
        return node

    for f in made.module:
        if any(n == ALIGNED for s in rewritten(f.body, change) for n in every(s)):
            yield f"{f.name} does another thing where BLOCK_N divides a length"


def _questions(found: Shared, lane: Lane, made: Kernels, how: Launch, asked: Asked) -> Iterator[IndexQuestion]:
    """`first length <= position < first length + length`, which says that it is the quotient of the position.

    A length is some tiles long, and a tile begins at a multiple of BLOCK_N, not below 0.
    """
    if found.first.op != "//" or found.lane.op != "//" or found.first.args[1] is not found.lane.args[1]:
        raise NoMeaning("a quotient of a tile that is none of its positions")
    length = found.first.args[1]
    begin, position = simplified([found.first.args[0], found.lane.args[0]], blocks_of(lane))
    tile = cofactor(begin, (BLOCK,))
    if integers.multiply(tile, BLOCK) is not begin or length.op != "symbol":
        raise NoMeaning("a quotient of a tile that begins at no multiple of BLOCK_N")
    quotient = integers.quotient(tile, TIMES)
    below, above = (
        integers.subtract(tile, integers.multiply(quotient, TIMES)),
        integers.subtract(integers.multiply(integers.add(quotient, ONE), TIMES), integers.add(tile, ONE)),
    )
    whole = integers.multiply(TIMES, BLOCK)
    first = integers.multiply(quotient, whole)
    facts = [*launch_facts(lane, made, how), found.condition, *loop_facts(lane, found.loops), positive(TIMES)]
    facts = [integers.replaced(f, {length: whole}) for f in facts]
    (start,) = simplified([nonnegative(tile)], blocks_of(lane))
    if start is not TRUE:
        yield asked.question(held(facts, lane), [start])
    facts += [start, of_product(below, BLOCK), of_product(above, BLOCK)]
    goals = [nonnegative(integers.subtract(position, first)), less(position, integers.add(first, whole))]
    yield asked.question(held(facts, lane), simplified(goals, blocks_of(lane)))
