"""The obligation that a kernel visits the tiles of its ranges, read off its loops and calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import sympy as sp

from refold.algebra.tiles import (
    BLOCK_N,
    CHUNK,
    FIRST_ROW,
    FREE_HI,
    FREE_LO,
    HI,
    LAST_ROW,
    LO,
    PART,
    SPLIT,
    Down,
    RowMax,
    RowMin,
    Up,
    whole,
)  # fmt: skip
from refold.schedule import integers
from refold.schedule.conditions import TRUE, both, either, negate, nonnegative, select
from refold.schedule.helpers import LAST_POSITION
from refold.schedule.integers import add, multiply, quotient, quotient_up, subtract
from refold.schedule.launch import Launch
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.masks import plain
from refold.schedule.outcome import Called
from refold.schedule.terms import Term, make, symbol
from refold.schedule.tiles import NoMeaning, Tile, cast
from refold.schedule.wholes import whole as term_of
from refold.spec import Index, Read, Size
from refold.verify.kernel.asked import Asked
from refold.verify.kernel.lane import TILES_OF_A_CHUNK, Lane, Lanes, length, program_of
from refold.verify.kernel.launched import blocks_of, held, iteration_of, launch_facts
from refold.verify.kernel.lemmas import at_most, less
from refold.verify.kernel.multiples import cofactor, simplified
from refold.verify.kernel.questions import IndexQuestion, IndexQuestions

# A tile, by its number, and where it begins.
TILE, BLOCK = symbol("tile", "int"), symbol("BLOCK_N", "int")
BEGIN = multiply(TILE, BLOCK)
SCHEDULES = {"rolling": "rolling", "parts": "split"}
# The kernel of the same schedule that writes what varies along the axis.
WRITERS = {"rolling": "rolling", "parts": "finish"}


@dataclass(frozen=True, slots=True)
class Visit:
    """The tiles that one call is of: when a tile is one of them, and whether the call asks the masks."""

    here: Term
    masked: bool


def visit_questions(made: Kernels, how: Launch, read: Lanes, asked: Asked) -> Iterator[IndexQuestions]:
    """What is asked of the loops of the kernels that go over the axis."""
    claim = "the loops visit every tile in [lo, hi), none twice, and without masks in [free_lo, free_hi) alone"
    if _ends_of_rows(made):
        claim += "; every row of a program is between its first_row and its last_row"
    writes = any(f.name == "_write" for f in made.functions)
    if writes:
        claim += "; every tile is written"
    for stage, schedule in SCHEDULES.items():
        parts: list[IndexQuestion] = []
        unread = read.unread.get(stage, "")
        try:
            for lane in read.stages.get(stage, ()):
                parts += [_question(made, stage, how, lane, asked), *_rows(made, how, lane, asked)]
            if writes:
                unread = unread or read.unread.get(WRITERS[stage], "")
                for lane in read.stages.get(WRITERS[stage], ()):
                    parts += _written(made, WRITERS[stage], how, lane, asked)
        except NoMeaning as error:
            unread = f"{stage}: {error}"
        yield IndexQuestions(f"index loops: {schedule}", claim, tuple(parts), unread)


def _question(made: Kernels, stage: str, how: Launch, lane: Lane, asked: Asked) -> IndexQuestion:
    ends = ends_of(made, stage, lane)
    visits = [_visit(lane, call) for call in lane.calls if call.name == "_step"]
    chosen = both(at_most(ends[LO], BEGIN), less(BEGIN, ends[HI]))
    goals = [either(negate(chosen), *(v.here for v in visits))]
    goals += (negate(both(a.here, b.here)) for a, b in combinations(visits, 2))
    bare = both(at_most(ends.get(FREE_LO, ends[LO]), BEGIN), less(BEGIN, ends[FREE_HI]))
    goals += (either(negate(v.here), bare) for v in visits if not v.masked)
    return asked.question(held(launch_facts(lane, made, how), lane), simplified(goals, blocks_of(lane)))


def _ends_of_rows(made: Kernels) -> set[sp.Symbol]:
    """Those of a program's first and last row that the ends of ranges are made of."""
    found = (c.expr.free_symbols for c in made.ranges.choices(made.roles, *whole(made.roles.fold)))
    return {FIRST_ROW, LAST_ROW}.intersection(set[sp.Basic]().union(*found))


def _rows(made: Kernels, how: Launch, lane: Lane, asked: Asked) -> Iterator[IndexQuestion]:
    """What the formulas take for granted of the rows of a program: each is between a first and a last on their axis."""
    rows, ends = made.roles.rows, _ends_of_rows(made)
    if rows is None or not ends:
        return
    row, goals = name_in(lane, rows.name), list[Term]()
    if FIRST_ROW in ends:
        first = name_in(lane, FIRST_ROW.name)
        goals += [nonnegative(first), at_most(first, row)]
    if LAST_ROW in ends:
        last = name_in(lane, LAST_ROW.name)
        goals += [at_most(row, last), less(last, length(rows, made))]
    facts = held([*launch_facts(lane, made, how), name_in(lane, f"in_{rows.name}")], lane)
    left = [g for g in simplified(goals, blocks_of(lane)) if g is not TRUE]
    if left:
        yield asked.question(facts, left)


def _written(made: Kernels, stage: str, how: Launch, lane: Lane, asked: Asked) -> Iterator[IndexQuestion]:
    """What varies along the axis is written of every tile: of the axis, or of the chunk that a program has.

    Nothing is asked where that is so by calculation: of the question whether true is true there is no certificate.
    """
    start, stop = integers.whole(0), length(made.roles.fold, made)
    if stage == "finish":
        chunk = multiply(BLOCK, TILES_OF_A_CHUNK)
        start = multiply(program_of(1), chunk)
        stop = integers.least(add(start, chunk), stop)
    visits = [_visit(lane, call) for call in lane.calls if call.name == "_write"]
    chosen = both(at_most(start, BEGIN), less(BEGIN, stop))
    goal = either(negate(chosen), *(v.here for v in visits))
    goals = [g for g in simplified([goal], blocks_of(lane)) if g is not TRUE]
    if goals:
        yield asked.question(held(launch_facts(lane, made, how), lane), goals)


def _visit(lane: Lane, call: Called) -> Visit:
    """When a call is of a tile: where it is the call's own, or in a loop that comes to it, up or down."""
    begin, masked = call.arguments["j0"], call.arguments.get("MASKED", True)
    if not isinstance(begin, Tile) or not isinstance(masked, bool):
        raise NoMeaning("a step whose tile or masks are not known")
    at = begin.lanes.item()
    if call.condition not in (TRUE, *_live(lane, at)):
        raise NoMeaning("a step under a condition that is not the summary of its tile")
    if not call.loops:
        return Visit(both(at_most(at, BEGIN), at_most(BEGIN, at)), masked)
    if len(call.loops) > 1:
        raise NoMeaning("a step in a loop within a loop")
    (number,) = call.loops
    loop, gone = lane.loops[number], multiply(BLOCK, iteration_of(number))
    (first,) = simplified([integers.replaced(at, {iteration_of(number): integers.whole(0)})], blocks_of(lane))
    up, down = at is add(loop.start, gone), at is subtract(first, gone)
    if loop.condition is not TRUE or loop.step is not BLOCK or not (up or down):
        raise NoMeaning("a loop that does not go from tile to tile")
    if multiply(cofactor(first, (BLOCK,)), BLOCK) is not first:
        raise NoMeaning("a loop that does not begin with a tile")
    if up:
        return Visit(both(at_most(first, BEGIN), less(BEGIN, loop.stop)), masked)
    return Visit(both(at_most(BEGIN, first), less(subtract(first, BEGIN), subtract(loop.stop, loop.start))), masked)


def _live(lane: Lane, at: Term) -> Iterator[Term]:
    """What the summary of a tile says."""
    for call in lane.calls:
        begin = call.arguments.get("j0")
        if call.name == "_live" and isinstance(begin, Tile) and begin.lanes.item() is at:
            (result,) = call.results
            if isinstance(result, Tile):
                yield cast(result, "int1").lanes.item()


def ends_of(made: Kernels, stage: str, lane: Lane) -> dict[sp.Symbol, Term]:
    """The ends of ranges by their formulas, which `index visit`, `skipped` and `unmasked` are about."""
    start, stop = whole(made.roles.fold) if stage == "rolling" else SPLIT
    env: dict[sp.Symbol, Term] = {}

    def leaf(expr: sp.Expr) -> Term:
        match expr:
            case Down():
                return multiply(quotient(value(expr.args[0]), BLOCK), BLOCK)
            case Up():
                return multiply(quotient_up(value(expr.args[0]), BLOCK), BLOCK)
            case RowMax() | RowMin():
                rows = name_in(lane, f"in_{made.roles.rows}")
                by, limit = ("max", -(2**31)) if isinstance(expr, RowMax) else ("min", 2**31 - 1)
                return make("fold of lanes", "int", (select(rows, value(expr.args[0]), integers.whole(limit)),), by)
            case Size():
                return length(Index(expr.name), made)
            case Read():
                return _read(expr, made, lane, value)
            case sp.Symbol() if expr in env:
                return env[expr]
            case sp.Symbol() if expr == BLOCK_N:
                return BLOCK
            case sp.Symbol() if expr == CHUNK:
                return multiply(BLOCK, TILES_OF_A_CHUNK)
            case sp.Symbol():
                return name_in(lane, "part" if expr == PART else expr.name)
        raise NoMeaning(f"the end {expr} of a range")

    def value(expr: sp.Expr) -> Term:
        return term_of(expr, leaf)

    for choice in made.ranges.choices(made.roles, start, stop):
        new = value(choice.expr)
        if choice.kind:
            if not plain(choice.expr):
                new = integers.least(integers.greatest(new, integers.whole(0)), integers.whole(LAST_POSITION))
            new = (integers.greatest if choice.kind == "max" else integers.least)(env[choice.name], new)
        env[choice.name] = new
    return env


def name_in(lane: Lane, name: str) -> Term:
    """What a name of the kernel stands for at its one lane."""
    value = lane.names.get(name)
    if not isinstance(value, Tile):
        raise NoMeaning(f"no value of {name}")
    (term,) = value.lanes.ravel().tolist()
    assert isinstance(term, Term)
    return term


def _read(read: Read, made: Kernels, lane: Lane, value: Callable[[sp.Expr], Term]) -> Term:
    """What memory holds at a place of an integer tensor."""
    keys = ("lead0", "lead1", *read.tensor.axes)
    at = [name_in(lane, "lead0"), name_in(lane, "lead1"), *(value(i) for i in read.indices)]
    strides = (symbol(made.strides[read.tensor.name, key], "int") for key in keys)
    offset = add(*(multiply(i, s) for i, s in zip(at, strides, strict=True)))
    return make("read", "int", (offset,), (f"{read.tensor.name}_ptr", 0, read.tensor.dtype))
