"""The obligations about the choice of tiles: visited and skipped ones make the axis, and which of them need no mask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sympy as sp

from refold.algebra.roles import Roles, axes_of
from refold.algebra.tiles import BLOCK_N, CHUNK, FIRST_ROW, FREE_LO, HI, LAST_ROW, LO, SPLIT, TileRanges, whole
from refold.verify.kernel.integers import Integers
from refold.verify.kernel.questions import IndexQuestion
from refold.verify.smt import formulas as z3
from refold.verify.smt.monomials import linear


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
        yield from Chosen.of(schedule, roles, ranges, start, stop).questions()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The ends of the loops of one schedule, beside any tile and any position and row of it.

    `known` is what is so of all of these; `wanted` and `masks`, whether the position counts in the row, and whether it
    does by the conditions that the choice of tiles sees to.
    """

    schedule: str
    ranges: TileRanges
    ints: Integers
    known: tuple[Any, ...]
    first: Any
    last: Any
    size: Any
    tile: Any
    position: Any
    wanted: Any
    masks: Any

    @classmethod
    def of(cls, schedule: str, roles: Roles, ranges: TileRanges, start: sp.Expr, stop: sp.Expr) -> Chosen:
        ints = Integers()
        block, size = ints.number(BLOCK_N), ints.number(roles.fold.size)
        first, last = ints.number(sp.expand(start)), ints.number(sp.expand(stop))
        tile = z3.Int("tile")
        ints.aligned += [z3.IntVal(0), tile, *([first, last] if schedule == "split" else [])]
        if schedule == "split":
            # What the launcher has checked of a chunk.
            ints.facts += [first >= 0, last == first + ints.number(CHUNK), last >= first + block]
        _choose(ints, roles, ranges, {start: first, stop: last})
        position, rows = ints.number(roles.fold), _rows(ints, roles)
        taken = ({}, {roles.rows: FIRST_ROW}, {roles.rows: LAST_ROW}) if roles.rows is not None else ({},)
        facts = [fact for c in (*ranges.skip, *ranges.masks) for fact in ints.compared(c, taken)]
        wanted = z3.And(*(ints.holds(c) for c in ranges.skip))
        masks = z3.And(*(ints.holds(c) for c in ranges.masks))
        rows += _on_axes(ints, roles, ranges)
        known = (size >= 0, block >= 1, *facts, *rows, *ints.facts, *ints.apart())
        return cls(schedule, ranges, ints, known, first, last, size, tile, position, wanted, masks)

    def questions(self) -> Iterator[IndexQuestion]:
        """All that is asked of them."""
        ints, env, block = self.ints, self.ints.env, self.ints.number(BLOCK_N)
        lo, hi, free_hi, free_lo = env[LO], env[HI], env[self.ranges.spans[-1][0]], env.get(FREE_LO, env[LO])
        multiples = tuple(ints.aligned)

        def ask(what: str, claim: str, hypotheses: list[Any], goal: Any) -> IndexQuestion:
            monomials: list[Any] = []
            wanted, *known = linear([goal, *self.known, *hypotheses], monomials)
            exact = (*ints.exact, *monomials)
            return IndexQuestion(f"index {what}: {self.schedule}", claim, tuple(known), wanted, multiples, block, exact)

        tile, position, size = self.tile, self.position, self.size
        inside = [tile <= position, position < tile + block]
        order = [self.first <= lo, lo <= free_lo, free_lo <= free_hi, free_hi <= hi]
        order += [end % block == 0 for end in (lo, free_lo, free_hi) if not ints.is_aligned(end)]
        on_axis = [self.first <= tile, tile < self.last, tile < size]
        visited = z3.And(lo <= tile, tile < hi)
        yield ask(
            "visit",
            "start ≤ lo ≤ free_lo ≤ free_hi ≤ hi, all multiples of BLOCK_N: every tile once or skipped, no other",
            [],
            z3.And(*order, z3.Implies(visited, z3.And(*on_axis))),
        )
        yield ask(
            "skipped",
            "a position of a tile that is not visited adds nothing, whatever the row",
            [*inside, position < size],
            z3.Implies(z3.And(*on_axis, z3.Not(visited)), z3.Not(self.wanted)),
        )
        if self.ranges.asked:
            some = z3.Bool("some_position_of_the_tile_is_live")
            # `some` is a maximum over all lanes that are on their axes: at least what it is at this one.
            asked = z3.And(*(ints.holds(c) for c in self.ranges.asked))
            yield ask(
                "summary",
                "a tile of which the summary says that no position is live adds nothing, whatever the row",
                [*inside, position < size, z3.Implies(asked, some)],
                z3.Implies(z3.Not(some), z3.Not(self.wanted)),
            )
        unmasked = z3.And(free_lo <= tile, tile < free_hi)
        yield ask(
            "unmasked",
            "every position of a tile run without masks is on the axis and unmasked in every row",
            inside,
            z3.Implies(unmasked, z3.And(position < size, position < self.last, self.masks)),
        )


def _choose(ints: Integers, roles: Roles, ranges: TileRanges, ends: dict[sp.Expr, Any]) -> None:
    """Gives the ends of the loops their values, one choice after the other."""
    start, stop = ends
    for choice in ranges.choices(roles, start, stop):
        value = ends[choice.expr] if choice.expr in ends else ints.number(sp.expand(choice.expr))
        old = ints.env.get(choice.name)
        match choice.kind:
            case "max":
                value = z3.If(old >= value, old, value)
            case "min":
                value = z3.If(old <= value, old, value)
        ints.env[choice.name] = value


def _rows(ints: Integers, roles: Roles) -> list[Any]:
    """Any row of the program."""
    if roles.rows is None:
        return []
    row, top, end = ints.number(roles.rows), ints.number(FIRST_ROW), ints.number(LAST_ROW)
    return [top >= 0, top <= row, row <= end, end < ints.number(roles.rows.size)]


def _on_axes(ints: Integers, roles: Roles, ranges: TileRanges) -> list[Any]:
    """That positions in conditions are on their axes."""
    facts: list[Any] = []
    for axis in sorted({a for c in (*ranges.skip, *ranges.masks) for a in axes_of(c)}, key=str):
        facts += [ints.number(axis) >= 0]
        if axis not in (roles.fold, roles.rows):
            facts += [ints.number(axis) < ints.number(axis.size)]
    return facts
