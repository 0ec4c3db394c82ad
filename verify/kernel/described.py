"""What tensor descriptors read, read off the kernels beside the masked load that each of them stands for.

A descriptor gives 0 beyond the ends of its tensor. Of the launcher it is taken that it makes the descriptor of the
tensor whose pointer it replaces, with the tensor's own shape and strides, and of the blocks that it is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from refold.schedule import integers, ir
from refold.schedule.conditions import TRUE, nonnegative
from refold.schedule.launch import Launch
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.words import DESC, ZERO, constant, descriptor
from refold.schedule.outcome import Described
from refold.schedule.terms import Term
from refold.schedule.walk import every, reached
from refold.verify.kernel.asked import Asked, conjuncts, near
from refold.verify.kernel.lane import Lane, lane_of
from refold.verify.kernel.launched import Dimension, blocks_of, held, launch_facts, loop_facts, positions
from refold.verify.kernel.lemmas import less, same
from refold.verify.kernel.multiples import simplified
from refold.verify.kernel.questions import IndexQuestion


def faults(made: Kernels, tensor: str) -> str:
    """Why the text of kernels alone shows that a descriptor does not read its tensor as the load beside it does."""
    place, found = descriptor(tensor), made.descriptors.get(tensor)
    nodes = [n for f in made.module for n in every(f)]
    tiles = [n for n in nodes if isinstance(n, ir.Fetch) and n.descriptor == place]
    if found is None:
        return f"a tile of {tensor}, of which the launcher makes no descriptor" if tiles else ""
    shape = tuple(map(constant, found.tile))
    loads = [n for n in nodes if isinstance(n, ir.Choice) and n.flag == DESC and n.then in tiles]
    for choice in loads:
        assert isinstance(choice.then, ir.Fetch)
        if choice.then.shape != shape or len(choice.then.axes) != len(shape):
            return f"a tile of {tensor} of another shape than its descriptor's"
        if len(choice.then.corner) != 2 + len(found.blocks):
            return f"a corner of {tensor} in other dimensions than its own"
        if not isinstance(choice.other, ir.Load) or (choice.other.mask is not None and choice.other.other != ZERO):
            return f"a tile of {tensor} in the place of no load that gives 0 beyond the ends"
    if len(tiles) != len(loads):
        return f"a tile of {tensor} that is read whether there are descriptors or not"
    if any(n.target == place for n in nodes if isinstance(n, ir.Let)):
        return f"the descriptor of {tensor} is moved like a pointer"
    merging = reached(made.finish, made.module)
    if any(n in tiles for f in made.module if f.name in merging for n in every(f)):
        return f"a tile of {tensor} where parts are merged: the launcher may make the tiles there smaller"
    return ""


def described_questions(
    found: Described, lane: Lane, made: Kernels, how: Launch, shape: Sequence[Dimension], asked: Asked
) -> Iterator[IndexQuestion]:
    """A descriptor gives what a load does: the same positions, and 0 in the lanes that the mask leaves out.

    Those in which it holds are inside of the tensor, as is asked of all loads.
    """
    blocks, axes = made.descriptors[found.tensor.removesuffix("_ptr")].blocks, iter(found.axes)
    # Where a tile goes along a dimension is what the launcher tells the descriptor; the lanes go along those in order.
    along = [None if block is None else next(axes, None) for block in (None, None, *blocks)]
    index = [c if a is None else integers.add(c, lane_of(a)) for c, a in zip(found.corner, along, strict=True)]
    at = positions(found.offset, tuple(shape))
    if at is None:
        # What the load asks of that offset is not known either.
        return
    known = held([*launch_facts(lane, made, how), found.condition, *loop_facts(lane, found.loops)], lane)
    wanted = [same(c, block) for c, block in zip(found.shape, map(lane.blocks.__getitem__, found.axes), strict=True)]
    wanted += [same(a, b) for a, b in zip(at, simplified(index, blocks_of(lane)), strict=True)]
    yield from _asked(wanted, known, lane, asked)
    ends = [end for x, d in zip(index, shape, strict=True) for end in (nonnegative(x), less(x, d.length))]
    inside = [e for e in simplified(ends, blocks_of(lane)) if e is not TRUE]
    yield from _asked(conjuncts(found.mask), (*known, *inside), lane, asked)


def _asked(goals: Sequence[Term], known: tuple[Term, ...], lane: Lane, asked: Asked) -> Iterator[IndexQuestion]:
    """Whether goals hold, each by itself; what is known as it stands is asked without the rest."""
    facts = {c for f in known for c in conjuncts(f)}
    for goal in simplified(goals, blocks_of(lane)):
        if goal in facts:
            yield asked.question([goal], [goal])
        elif goal is not TRUE:
            yield asked.question(near(known, [goal]), [goal], known)
