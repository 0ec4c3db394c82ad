"""Which group of which program has a row: every row of every batch is in a piece of work that some program takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from refold.schedule import integers
from refold.schedule.conditions import FALSE, TRUE, nonnegative
from refold.schedule.execute import Object
from refold.schedule.integers import add, multiply, subtract, whole
from refold.schedule.lower.kernels import Kernels
from refold.schedule.rules import normal
from refold.schedule.terms import Term, below, rebuild, symbol
from refold.schedule.tiles import Tile
from refold.verify.kernel.lane import LEAD0, LEAD1, length
from refold.verify.kernel.lemmas import less, positive, same
from refold.verify.kernel.multiples import divided
from refold.verify.kernel.prover import Finding
from refold.verify.kernel.roles import Work, iteration
from refold.verify.kernel.steps import PROGRAM, PROGRAMS, Questions, begin
from refold.verify.kernel.turns import BLOCK_M, ONE, ROW, ZERO

ROWS, PLACE, ROUND, DIGIT = (
    symbol(n, "int") for n in ("tile of rows", "place in the batch", "round", "place in the round")
)


def pieces(works: list[Work], questions: Questions) -> Iterator[Finding]:
    """All roles go over the same pieces of work, in one order, and none comes after one that is none."""
    found = begin("pieces of work", "every role takes the same pieces in the same order, with the same numbers")
    found.require(len({w.order for w in works}) == 1, "one takes other pieces")
    yield found
    found = begin(
        "last piece", "numbers of pieces are not negative, and after one that is no piece of work there is none"
    )
    one, loop = works[0], works[0].loop
    found.require(loop.start is ZERO and loop.step is ONE, "the rounds are not numbered")
    later = integers.replaced(one.number, {iteration(loop): add(iteration(loop), ONE)})
    questions.require(found, [less(one.number, later), nonnegative(one.number)], [nonnegative(iteration(loop))])
    yield found


def rows_have_a_piece(made: Kernels, work: Work, group: int, groups: int, names: Mapping[str, Object],
                      questions: Questions, found: Finding) -> None:  # fmt: skip
    """Of a row of a batch, any: the piece of work with the number of its tile has it, and there is that piece."""
    roles = made.roles
    assert roles.rows is not None
    wanted = {n: symbol(f"wanted {n}", "int") for n in ("lead0", "lead1", *(a.name for a in roles.batch))}
    ends = {"lead0": LEAD0, "lead1": LEAD1} | {a.name: length(a, made) for a in roles.batch}
    batch = whole(0)
    for name, at in wanted.items():
        batch = add(multiply(batch, ends[name]), at)
    tall = multiply(whole(groups), BLOCK_M)
    count = length(roles.rows, made)
    tiles = integers.quotient_up(count, tall)
    # The pieces of a batch go from its last rows to its first.
    rows = subtract(subtract(tiles, ONE), PLACE)
    row = add(multiply(rows, tall), multiply(whole(group), BLOCK_M), ROW)
    number = add(multiply(batch, tiles), PLACE)
    there = less(integers.replaced(row, {PLACE: subtract(subtract(tiles, ONE), ROWS)}), count)
    fault = "a row of a batch has no piece of work:"
    questions.require(found, [less(ROWS, tiles)], [nonnegative(ROWS), there, positive(count)], fault)
    facts = [f for n, at in wanted.items() for f in (nonnegative(at), less(at, ends[n]))]
    facts += [nonnegative(PLACE), less(PLACE, tiles)]
    rests: list[tuple[Term, Term]] = []
    table, inside = {symbol(work.name, "int"): number}, {*below(number)}
    change = divided(rests, lambda t: t not in inside)
    for name, at in (wanted | {roles.rows.name: row}).items():
        value = names.get(name)
        if isinstance(value, Tile):
            got = rebuild(value.lanes.ravel().tolist()[0], change, dict(table))
            found.require(got is at, f"another {name} than that of the number of a piece")
    batches = integers.product(*ends.values())
    pieces = integers.replaced(work.count, {symbol("size_batch", "int"): batches})
    goals = [f for r, b in dict.fromkeys(rests) for f in (nonnegative(r), less(r, b))]
    for goal in (*goals, nonnegative(number), less(number, pieces)):
        questions.require(found, [goal], facts, fault)
        facts.append(goal)


def pieces_have_a_program(work: Work, questions: Questions, found: Finding) -> None:
    """Of a piece of work, any: the program whose place in a round it has takes it in that round."""
    number, count, loop = work.number, work.count, work.loop
    place = add(multiply(ROUND, PROGRAMS), DIGIT)
    facts = [nonnegative(ROUND), nonnegative(DIGIT), less(DIGIT, PROGRAMS), less(place, count)]
    asked = [t.args[0] for t in below(number) if t.op == "select"]
    found.require(len({*asked}) <= 1, "a number that depends on several things")
    back = subtract(subtract(PROGRAMS, ONE), DIGIT)
    for holds in (TRUE, FALSE) if asked else (TRUE,):
        # Rounds may go up or down.
        choices = dict.fromkeys(asked, holds)
        here = [rebuild(number, normal, {**choices, PROGRAM: p, iteration(loop): ROUND}) for p in (DIGIT, back)]
        found.require(place in here, "a piece that no program takes")
    questions.require(found, [less(ROUND, loop.stop), same(loop.start, whole(0)), nonnegative(back)], facts,
                      "a piece that no program takes:")  # fmt: skip
