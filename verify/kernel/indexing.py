"""The obligations about tiles: visited and skipped ones make the axis, skipped are masked, unmasked ones are not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy as sp

from refold.algebra import Plan
from refold.algebra.roles import Roles, assign, axes_of
from refold.algebra.tiles import (
    BLOCK_N,
    CHUNK,
    FIRST_ROW,
    FULL_LO,
    HI,
    LAST_ROW,
    LO,
    SPLIT,
    TileRanges,
    tile_ranges,
    whole,
)
from refold.schedule.launch import Launch, launch
from refold.schedule.lower.kernels import Kernels
from refold.verify.kernel.accesses import access_questions
from refold.verify.kernel.asked import Asked
from refold.verify.kernel.cover import cover_questions
from refold.verify.kernel.emitted import kernels_of
from refold.verify.kernel.integers import Integers
from refold.verify.kernel.lane import lanes_of
from refold.verify.kernel.merged import merge_questions
from refold.verify.kernel.overflow import overflow
from refold.verify.kernel.parts import part_questions
from refold.verify.kernel.questions import IndexQuestion, IndexQuestions
from refold.verify.kernel.visits import visit_questions
from refold.verify.result import Result
from refold.verify.smt import formulas as z3
from refold.verify.smt.monomials import linear


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
    yield from visit_questions(made, how, read, asked)
    yield from part_questions(made, how, read, asked)
    yield from merge_questions(made, how, read, asked)
    yield from cover_questions(made, how, read, asked)
    yield overflow(made, how, read)


def tile_questions(roles: Roles, ranges: TileRanges) -> Iterator[IndexQuestion]:
    """All that is asked of the choice of tiles, for the rolling kernel and for one part of the split one."""
    k, n, block = z3.Ints("k n BLOCK_N")
    apart = z3.Implies(z3.And(block >= 1, k < n), k * block + block <= n * block)
    # n - k - 1 >= 0 and BLOCK_N >= 1: the product of what is not negative is not.
    hint = z3.Implies(z3.And(n - k - 1 >= 0, block >= 0), (n - k - 1) * block >= 0)
    yield IndexQuestion(
        "index multiples", "two multiples of a positive number are equal or that number apart", (hint,), apart
    )
    for schedule, (start, stop) in (("rolling", whole(roles.fold)), ("split", SPLIT)):
        yield from _schedule(schedule, roles, ranges, start, stop)


def _schedule(
    schedule: str, roles: Roles, ranges: TileRanges, start: sp.Expr, stop: sp.Expr
) -> Iterator[IndexQuestion]:
    ints = Integers()
    block, size = ints.number(BLOCK_N), ints.number(roles.fold.size)
    first, last = ints.number(sp.expand(start)), ints.number(sp.expand(stop))
    tile = z3.Int("tile")
    zero = z3.IntVal(0)
    ints.aligned += [zero, tile, *([first, last] if schedule == "split" else [])]
    if schedule == "split":
        # What the launcher has checked of a chunk.
        ints.facts += [first >= 0, last == first + ints.number(CHUNK), last >= first + block]
    facts = [size >= 0, block >= 1]
    known = {start: first, stop: last}
    for choice in ranges.choices(roles, start, stop):
        value = known[choice.expr] if choice.expr in known else ints.number(sp.expand(choice.expr))
        old = ints.env.get(choice.name)
        match choice.kind:
            case "max":
                value = z3.If(old >= value, old, value)
            case "min":
                value = z3.If(old <= value, old, value)
        ints.env[choice.name] = value
    env = ints.env
    lo, hi, full_hi, full_lo = env[LO], env[HI], env[ranges.spans[-1][0]], env.get(FULL_LO, env[LO])
    # The position and the row in question, any in their ranges.
    position = ints.number(roles.fold)
    inside = [tile <= position, position < tile + block]
    rows: list[Any] = []
    if roles.rows is not None:
        row, top, end = ints.number(roles.rows), ints.number(FIRST_ROW), ints.number(LAST_ROW)
        rows = [top >= 0, top <= row, row <= end, end < ints.number(roles.rows.size)]
    taken = ({}, {roles.rows: FIRST_ROW}, {roles.rows: LAST_ROW}) if roles.rows is not None else ({},)
    facts += [fact for c in (*ranges.skip, *ranges.seen) for fact in ints.compared(c, taken)]
    wanted = z3.And(*(ints.holds(c) for c in ranges.skip))
    seen = z3.And(*(ints.holds(c) for c in ranges.seen))
    for axis in sorted({a for c in (*ranges.skip, *ranges.seen) for a in axes_of(c)}, key=str):
        rows += [ints.number(axis) >= 0]
        if axis not in (roles.fold, roles.rows):
            rows += [ints.number(axis) < ints.number(axis.size)]
    base = (*facts, *rows, *ints.facts, *ints.apart())
    multiples = tuple(ints.aligned)

    def ask(what: str, claim: str, hypotheses: list[Any], goal: Any) -> IndexQuestion:
        monomials: list[Any] = []
        wanted, *known = linear([goal, *base, *hypotheses], monomials)
        exact = (*ints.exact, *monomials)
        return IndexQuestion(f"index {what}: {schedule}", claim, tuple(known), wanted, multiples, block, exact)

    order = [first <= lo, lo <= full_lo, full_lo <= full_hi, full_hi <= hi]
    for end in (lo, full_lo, full_hi):
        if not ints.is_aligned(end):
            order.append(end % block == 0)
    on_axis = [first <= tile, tile < last, tile < size]
    visited = z3.And(lo <= tile, tile < hi)
    once = z3.Implies(visited, z3.And(*on_axis))
    yield ask(
        "visit",
        "start ≤ lo ≤ full_lo ≤ full_hi ≤ hi, all multiples of BLOCK_N: every tile once or skipped, no other",
        [],
        z3.And(*order, once),
    )
    yield ask(
        "skipped",
        "a position of a tile that is not visited adds nothing, whatever the row",
        [*inside, position < size],
        z3.Implies(z3.And(*on_axis, z3.Not(visited)), z3.Not(wanted)),
    )
    if ranges.asked:
        some = z3.Bool("some_position_of_the_tile_is_live")
        # `some` is a maximum over all lanes that are on their axes: at least what it is at this one.
        asked = z3.And(*(ints.holds(c) for c in ranges.asked))
        yield ask(
            "summary",
            "a tile of which the summary says that no position is live adds nothing, whatever the row",
            [*inside, position < size, z3.Implies(asked, some)],
            z3.Implies(z3.Not(some), z3.Not(wanted)),
        )
    yield ask(
        "unmasked",
        "every position of a tile run without masks is on the axis and unmasked in every row",
        inside,
        z3.Implies(z3.And(full_lo <= tile, tile < full_hi), z3.And(position < size, position < last, seen)),
    )


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
