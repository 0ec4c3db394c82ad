"""The obligation that every row of every batch is some program's, read off what a kernel makes of its number."""

from __future__ import annotations

from collections.abc import Iterator

from refold.schedule import integers
from refold.schedule.conditions import TRUE, nonnegative
from refold.schedule.integers import add, multiply, quotient, subtract
from refold.schedule.launch import Launch
from refold.schedule.lower.kernels import Kernels
from refold.schedule.terms import Term, below, rebuild, symbol
from refold.schedule.tiles import NoMeaning, Tile
from refold.verify.kernel.asked import Asked, near
from refold.verify.kernel.lane import LEAD0, LEAD1, Lane, Lanes, given, lane_of, length, program_of
from refold.verify.kernel.launched import blocks_of, held, launch_facts
from refold.verify.kernel.lemmas import ONE, less
from refold.verify.kernel.multiples import divided, simplified
from refold.verify.kernel.questions import IndexQuestion, IndexQuestions

ROW_TILE, ROW_GROUP = symbol("tile of rows", "int"), symbol("group of rows", "int")


def cover_questions(made: Kernels, how: Launch, read: Lanes, asked: Asked) -> Iterator[IndexQuestions]:
    """What is asked of the numbers of programs, of every kernel."""
    claim = "every row of every batch is in the tile of a program that is launched"
    parts: list[IndexQuestion] = []
    unread = [*read.unread.values()]
    for stage, lanes in read.stages.items():
        try:
            for lane in lanes:
                parts += _questions(made, how, lane, asked)
        except NoMeaning as error:
            unread.append(f"{stage}: {error}")
    yield IndexQuestions("index grid", claim, tuple(parts), "; ".join(unread))


def _questions(made: Kernels, how: Launch, lane: Lane, asked: Asked) -> Iterator[IndexQuestion]:
    """For a row of a batch, any: that the program with the number of its tile is launched, and has the row."""
    roles = made.roles
    wanted = {"lead0": symbol("wanted lead0", "int"), "lead1": symbol("wanted lead1", "int")}
    wanted |= {a.name: symbol(f"wanted {a.name}", "int") for a in roles.batch}
    ends = {"lead0": LEAD0, "lead1": LEAD1} | {a.name: length(a, made) for a in roles.batch}
    facts = [f for n, at in wanted.items() for f in (nonnegative(at), less(at, ends[n]))]
    batch = wanted["lead0"]
    for name in ("lead1", *(a.name for a in roles.batch)):
        batch = add(multiply(batch, ends[name]), wanted[name])
    number = batch
    if roles.rows is not None:
        passed = {n: t.lanes.item() for n, t in given(made, how).items()}
        count, block = length(roles.rows, made), passed["BLOCK_M"]
        row = add(multiply(ROW_TILE, block), lane_of(roles.rows))
        # A kernel whose state is the same for all rows has no lanes of them.
        facts += [nonnegative(ROW_TILE), nonnegative(lane_of(roles.rows)), less(lane_of(roles.rows), block)]
        if how.group is not None:
            facts += [less(row, passed["group_size"]), nonnegative(ROW_GROUP), less(ROW_GROUP, passed["groups"])]
            row = add(multiply(ROW_GROUP, passed["group_size"]), row)
            number = add(multiply(number, passed["groups"]), ROW_GROUP)
            tiles = integers.quotient_up(passed["group_size"], block)
        else:
            tiles = integers.quotient_up(count, block)
        facts.append(less(row, count))
        wanted[roles.rows.name] = row
        number = _number(number, batch, tiles, made, passed)
    known: dict[Term, Term] = {program_of(0): number}
    rests: list[tuple[Term, Term]] = []
    change = divided(rests, lambda t: program_of(0) in {*below(t)})
    for name, at in wanted.items():
        value = lane.names.get(name)
        if isinstance(value, Tile) and rebuild(value.lanes.ravel().tolist()[0], change, known) is not at:
            raise NoMeaning(f"another {name} than that of the number of a program")
    plain = [f for f in launch_facts(lane, made, how) if program_of(0) not in {*below(f)}]
    goals = [f for r, b in dict.fromkeys(rests) for f in (nonnegative(r), less(r, b))]
    goals += [nonnegative(number), less(number, lane.grid[0])]
    hypotheses = [*held([*plain, *facts], lane)]
    for goal in dict.fromkeys(simplified(goals, blocks_of(lane))):
        if goal is not TRUE:
            yield asked.question(near(hypotheses, [goal]), [goal], hypotheses)
            # The obligation is all of them: the later ones may rest on the earlier ones.
            hypotheses.append(goal)


def _number(number: Term, batch: Term, tiles: Term, made: Kernels, passed: dict[str, Term]) -> Term:
    """The program that has a tile: a claim of which nothing is taken for granted, as the kernel undoes it."""
    if not made.ranges.rises(made.roles):
        return add(multiply(number, tiles), ROW_TILE)
    side = passed["side"]
    turn = quotient(batch, side)
    before = multiply(turn, side)
    beside = integers.least(subtract(passed["size_batch"], before), side)
    row = subtract(subtract(tiles, ONE), ROW_TILE)
    return add(multiply(before, tiles), multiply(row, beside), subtract(batch, before))
