"""The obligations about the tiles, programs and accesses of kernels, all together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refold.algebra import Plan
from refold.algebra.roles import assign
from refold.algebra.tiles import tile_ranges
from refold.schedule.launch import Launch, launch
from refold.schedule.lower.kernels import Kernels
from refold.verify.kernel.accesses import access_questions
from refold.verify.kernel.aligned import aligned_questions
from refold.verify.kernel.asked import Asked
from refold.verify.kernel.chosen import tile_questions
from refold.verify.kernel.cover import cover_questions
from refold.verify.kernel.emitted import kernels_of
from refold.verify.kernel.lane import lanes_of
from refold.verify.kernel.merged import merge_questions
from refold.verify.kernel.overflow import overflow
from refold.verify.kernel.parts import part_questions
from refold.verify.kernel.questions import IndexQuestion, IndexQuestions
from refold.verify.kernel.visits import visit_questions
from refold.verify.result import Result
from refold.verify.smt import formulas as z3


def index_questions(plan: Plan) -> Iterator[IndexQuestion | IndexQuestions | Result]:
    """Every question about the tiles, programs and accesses of the kernels of a plan; none where it has none."""
    made = kernels_of(plan)
    if made is None:
        return
    roles = assign(plan)
    ranges = tile_ranges(plan, roles)
    yield from tile_questions(roles, ranges)
    if ranges.held(roles):
        yield from held_questions()
    yield from module_questions(made, launch(made))


def module_questions(made: Kernels, how: Launch) -> Iterator[IndexQuestions | Result]:
    """Those that are read off the kernels themselves."""
    read, asked = lanes_of(made, how), Asked()
    yield from access_questions(made, how, read, asked)
    yield from aligned_questions(made, how, read, asked)
    yield from visit_questions(made, how, read, asked)
    yield from part_questions(made, how, read, asked)
    yield from merge_questions(made, how, read, asked)
    yield from cover_questions(made, how, read, asked)
    yield overflow(made, how, read, asked)


def product(a: Any, b: Any) -> Any:
    """The product of two that are not negative is not: an instance of a fact, for solvers weak in products."""
    return z3.Implies(z3.And(a >= 0, b >= 0), a * b >= 0)


def held_questions() -> Iterator[IndexQuestion]:
    """What the rolling kernel of a row reduction rests on: a loop over the tiles before the last, and the last one."""
    size, block, last, before, tile, j = z3.Ints("size BLOCK_N last before tile j")
    one = z3.And(size <= block, last == 0, before == 0)
    many = z3.And(size > block, last == before * block, (before + 1) * block >= size, before * block < size)
    launcher = [size >= 0, block >= 1, before >= 0, z3.Or(one, many)]
    start = tile * block
    inside = [j >= 0, j < size, tile >= 0, start <= j, j < start + block]
    hints = [product(tile - before, block), product(before - tile - 1, block)]
    back = (before - tile) * block
    looped = z3.And(start < last, start + block <= last, start + block <= size)
    again = z3.And(block <= back, back <= last, last - back == start)
    yield IndexQuestion(
        "index held: cover",
        "a position is in the last tile, or in one of the loop, wholly on the axis, that the loop back finds again",
        (*launcher, *inside, *hints, product(before - tile - 1, block), product(tile, block)),
        z3.Or(z3.And(last <= j, z3.Not(looped)), z3.And(j < last, looped, again)),
    )
    count = z3.Int("tiles")
    whole = [size >= 1, size == count * block]
    hints = [product(count - 2, block), product(-count, block), product(before - count, block)]
    hints += [product(count - before - 1, block), product(count - before - 2, block)]
    yield IndexQuestion(
        "index held: unmasked",
        "the last tile ends with the axis where BLOCK_N divides a length that is not 0",
        (*launcher, *whole, *hints),
        last + block == size,
    )
