"""The obligations about programs: parts make the axis, every output is written once, every access is in bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sympy as sp

from refold.algebra import Plan
from refold.algebra.roles import Roles, access
from refold.algebra.tiles import TileRanges
from refold.spec import Index, Read
from refold.verify.kernel.integers import Integers
from refold.verify.kernel.questions import IndexQuestion
from refold.verify.smt import formulas as z3


def program_questions(plan: Plan, roles: Roles, ranges: TileRanges) -> Iterator[IndexQuestion]:
    """All that is asked of how programs, lanes and parts share the work, and of what they touch."""
    yield from _parts()
    yield _digits()
    yield _grid()
    if ranges.rises(roles):
        yield _order()
    if roles.contracts and roles.rows is not None and roles.group is None:
        yield _rounds()
    for f in plan.finish:
        yield _written_once(f.name, f.axes, roles, any(roles.fold in g.axes for g in plan.finish))
        yield _stores(f.name, f.axes, roles)
    yield from _loads(plan, roles)
    yield from _workspace(plan, roles)


def product(a: Any, b: Any) -> Any:
    """The product of two that are not negative is not: an instance of a fact, for solvers weak in products."""
    return z3.Implies(z3.And(a >= 0, b >= 0), a * b >= 0)


def unique(q: Any, base: Any, r: Any, q2: Any, _: Any, r2: Any) -> Any:
    """Equal numbers have equal digits: an instance of `index digits`."""
    digits = z3.And(r >= 0, r < base, r2 >= 0, r2 < base)
    return z3.Implies(z3.And(digits, q * base + r == q2 * base + r2), z3.And(q == q2, r == r2))


def within(q: Any, base: Any, r: Any, count: Any) -> Any:
    """A number is below a multiple of its base where its quotient is below the factor: of `index digits`."""
    return z3.Implies(z3.And(r >= 0, r < base, q >= 0), (q < count) == (q * base + r < count * base))


def divides_up(above: Any, below: Any, result: Any) -> list[Any]:
    """`result = cdiv(above, below)` of what is not negative."""
    return [result * below >= above, (result - 1) * below < above, result >= 0]


def _parts() -> Iterator[IndexQuestion]:
    size, block, parts, tiles, count, one, two, j = z3.Ints("size BLOCK_N parts tiles count part part2 j")
    chunk = z3.Int("chunk")
    least = z3.Int("least")
    launcher = [size >= 0, block >= 1, parts >= 1, *divides_up(size, block, least), tiles >= 1, tiles >= least,
                count >= 1, count * parts >= tiles, chunk == block * count]  # fmt: skip
    inside = [j >= 0, j < size, one >= 0, one * chunk <= j, j < one * chunk + chunk]
    covered = [
        product(count * parts - tiles, block),
        product(tiles - least, block),
        product(one - parts, block * count),
        *inside,
    ]
    yield IndexQuestion(
        "index parts: cover",
        "the part ⌊j / chunk⌋ of a position is one of the parts, for chunk = BLOCK_N ⌈⌈size / BLOCK_N⌉ / parts⌉",
        (*launcher, *covered),
        one < parts,
    )
    other = [two * chunk <= j, j < two * chunk + chunk, product(two - one - 1, chunk), product(one - two - 1, chunk)]
    yield IndexQuestion(
        "index parts: disjoint", "no position is in two parts", (*inside, *other, chunk >= 1), one == two
    )


def _digits() -> IndexQuestion:
    """Position, lane and program are digits of one number: what every `//` and `%` of the kernels rests on."""
    number, base, count = z3.Ints("number base count")
    q, r, q2, r2 = z3.Ints("quotient digit quotient2 digit2")
    facts = [base >= 1, q >= 0, r >= 0, r < base, q2 >= 0, r2 >= 0, r2 < base, number == q * base + r]
    pairs = ((q, q2 + 1), (q2, q + 1), (q, count), (count, q + 1))
    hints = [product(a - b, base) for a, b in pairs]
    unique = z3.Implies(number == q2 * base + r2, z3.And(q == q2, r == r2))
    within = (q < count) == (number < count * base)
    return IndexQuestion(
        "index digits",
        "number = quotient · base + digit, 0 ≤ digit < base, is unique; quotient < count iff number < count · base",
        (*facts, *hints),
        z3.And(unique, within),
    )


def _grid() -> IndexQuestion:
    size, block, tiles, q, i = z3.Ints("size block tiles tile i")
    facts = [size >= 0, block >= 1, *divides_up(size, block, tiles), i >= 0, i < size, q * block <= i]
    return IndexQuestion(
        "index grid",
        "the tile ⌊i / block⌋ of a position is one of the ⌈size / block⌉ that are launched",
        (*facts, i < q * block + block, product(q - tiles, block)),
        q < tiles,
    )


def _order() -> IndexQuestion:
    """Programs in an order of their own, heaviest rows first: each has a tile of a batch, and no two have the same."""
    tiles, batches, side = z3.Ints("tiles size_batch side")
    facts: list[Any] = [tiles >= 1, side >= 1]
    found = []
    for mark in ("", "′"):
        pid, turn, place, row, column = (z3.Int(f"{n}{mark}") for n in ("pid", "turn", "place", "row", "column"))
        before = turn * side
        beside = z3.If(batches - before <= side, batches - before, side)
        facts += [pid >= 0, pid < batches * tiles, turn >= 0, place >= 0, place < tiles * side]
        facts += [pid == turn * (tiles * side) + place, row >= 0, column >= 0]
        # `place` in base `beside`, which is positive as the batches before are fewer than all.
        facts += [z3.Implies(beside >= 1, z3.And(column < beside, place == row * beside + column))]
        facts += [product(before - batches, tiles), product(row - tiles, beside)]
        found.append((pid, turn, place, row, column, before, beside))
    (pid, turn, place, row, column, before, beside), (pid2, turn2, _, row2, column2, before2, _) = found
    facts += [unique(turn, side, column, turn2, side, column2)]
    inside = [row < tiles, column < beside, before + column < batches]
    same = z3.Implies(z3.And(row == row2, before + column == before2 + column2), pid == pid2)
    return IndexQuestion(
        "index order",
        "heaviest rows first: a program's tile ⌈size / block⌉ - 1 - row and batch exist, and are no other program's",
        tuple(facts),
        z3.And(*inside, same),
    )


def _rounds() -> IndexQuestion:
    """Fewer programs than pieces of work, as in the kernel for Hopper, in rounds that go up and down by turns."""
    works, programs, rounds = z3.Ints("works programs rounds")

    def turned(seen: Any, n: Any) -> Any:
        return z3.If(seen % 2 == 0, n, programs - 1 - n)

    facts: list[Any] = [programs >= 1, works >= 0, *divides_up(works, programs, rounds)]
    found = []
    for mark in ("", "′"):
        pid, seen, work = (z3.Int(f"{n}{mark}") for n in ("pid", "seen", "work"))
        digit = turned(seen, pid)
        facts += [pid >= 0, pid < programs, seen >= 0, work == seen * programs + digit]
        found.append((pid, seen, work, digit))
    (pid, seen, work, digit), (pid2, seen2, work2, digit2) = found
    quotient, rest = z3.Ints("quotient rest")
    facts += [quotient >= 0, rest >= 0, rest < programs, quotient * programs + rest < works]
    facts += [product(quotient - rounds, programs), unique(seen, programs, digit, seen2, programs, digit2)]
    whose = turned(quotient, rest)
    covered = z3.And(quotient < rounds, whose >= 0, whose < programs, turned(quotient, whose) == rest)
    once = z3.Implies(work == work2, z3.And(pid == pid2, seen == seen2))
    return IndexQuestion(
        "index rounds",
        "pieces of work in rounds, up and down by turns: each piece is some program's in some round, and in one alone",
        tuple(facts),
        z3.And(covered, once),
    )


def _written_once(name: str, axes: tuple[Index, ...], roles: Roles, chunked: bool) -> IndexQuestion:
    """Two lanes of two programs that write the same element of an output are the same lane of one program."""
    facts: list[Any] = []
    first, second = (_writer(mark, roles, axes, chunked, facts) for mark in ("", "′"))
    facts += [first[a].position == second[a].position for a in first if a in axes or a is None]
    same: list[Any] = []
    for axis in first:
        same += [a == b for a, b in zip(first[axis].digits, second[axis].digits, strict=True)]
        facts += [unique(*a, *b) for a, b in zip(first[axis].steps, second[axis].steps, strict=True)]
    return IndexQuestion(
        f"index write once {name}",
        f"two lanes that write one element of {name} are one lane of one program",
        tuple(facts),
        z3.And(*same),
        note="for an `out` whose elements are distinct in memory",
    )


def _stores(name: str, axes: tuple[Index, ...], roles: Roles) -> IndexQuestion:
    """Every store of an output is inside of it, with what the masks of the store and the digits of programs say."""
    facts: list[Any] = []
    places = _writer("", roles, axes, False, facts)
    goals = []
    for axis, place in places.items():
        facts += [z3.Implies(z3.And(q >= 0, base >= 0), q * base >= 0) for q, base, _ in place.steps]
        if axis in axes:
            size = z3.Int(f"SIZE_{axis.name}" if axis in roles.inner else f"size_{axis.name}")
            goals += [place.position >= 0, place.position < size]
    return IndexQuestion(f"index stores {name}", f"every store of {name} is inside of it", tuple(facts), z3.And(*goals))


def _workspace(plan: Plan, roles: Roles) -> Iterator[IndexQuestion]:
    """The state of a part is kept at the number whose digits are part, batch, row and lanes."""
    layouts: dict[tuple[Index, ...], list[str]] = {}
    for a in plan.accumulators:
        layouts.setdefault(tuple(x for x in roles.tiles if x in a.axes), []).append(str(a.symbol))
    for axes, names in layouts.items():
        sizes = [z3.Int("parts"), z3.Int("size_batch")]
        sizes += [z3.Int(f"SIZE_{a.name}" if a in roles.inner else f"size_{a.name}") for a in axes]
        facts: list[Any] = []
        digits = [[z3.Int(f"{n}{mark}") for n in ("part", "batch", *(a.name for a in axes))] for mark in ("", "′")]
        for d in (d for one in zip(*digits, strict=True) for d in one):
            facts.append(d >= 0)
        for size, *pair in zip(sizes, *digits, strict=True):
            facts += [d < size for d in pair]
        (first, *_), (second, *_), total = *digits, sizes[0]
        for size, d, d2 in zip(sizes[1:], digits[0][1:], digits[1][1:], strict=True):
            facts += [unique(first, size, d, second, size, d2), within(first, size, d, total)]
            facts.append(z3.Implies(z3.And(first >= 0, size >= 0), first * size >= 0))
            first, second, total = first * size + d, second * size + d2, total * size
        goals = [first >= 0, first < total]
        goals += [z3.Implies(first == second, a == b) for a, b in zip(*digits, strict=True)]
        shown = ", ".join(names)
        yield IndexQuestion(
            f"index workspace {shown}", f"every part has a place of its own for {shown}, inside of the workspace",
            tuple(facts), z3.And(*goals),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A position, the numbers of program, tile and lane that make it, and the (quotient, base, digit) of every `//`."""

    position: Any
    digits: tuple[Any, ...]
    steps: tuple[tuple[Any, Any, Any], ...] = ()


def _writer(
    mark: str, roles: Roles, axes: tuple[Index, ...], chunked: bool, facts: list[Any]
) -> dict[Index | None, Place]:
    """Where one lane of one program is along every axis that programs or lanes go along; None: the leading ones."""

    def number(wish: str, below: Any = None) -> Any:
        value = z3.Int(f"{wish}{mark}")
        facts.extend([value >= 0] if below is None else [value >= 0, value < below])
        return value

    lead = number("lead", z3.Int("size_lead"))
    places: dict[Index | None, Place] = {None: Place(lead, (lead,))}
    for axis in roles.batch:
        index = number(axis.name, z3.Int(f"size_{axis.name}"))
        places[axis] = Place(index, (index,))
    rows = roles.rows
    if rows is not None:
        block, size = z3.Int("BLOCK_M"), z3.Int(f"size_{rows.name}")
        tile, lane = number(f"tile_{rows.name}"), number(f"lane_{rows.name}", block)
        position = tile * block + lane
        if roles.group is None:
            places[rows] = Place(position, (tile, lane), ((tile, block, lane),))
        else:
            group, length = number("group"), z3.Int("group_size")
            facts += [position < length, product(tile, block)]
            steps = ((group, length, position), (tile, block, lane))
            position = group * length + position
            places[rows] = Place(position, (group, tile, lane), steps)
        facts.append(position < size)
    for axis in roles.inner:
        if axis in axes:
            lane = number(axis.name, z3.Int(f"SIZE_{axis.name}"))
            places[axis] = Place(lane, (lane,))
    if roles.fold in axes:
        block, count = z3.Int("BLOCK_N"), z3.Int("tiles_of_a_chunk")
        chunk, tile, lane = number("chunk"), number("tile_of_chunk", count), number(f"lane_{roles.fold.name}", block)
        whole = chunk * count + tile
        position = whole * block + lane
        facts.append(position < z3.Int(f"size_{roles.fold.name}"))
        steps = ((whole, block, lane), (chunk, count, tile))
        places[roles.fold] = Place(position, (chunk, tile, lane), steps)
    elif chunked:
        # The finish has a program a chunk, and the first of them writes.
        chunk = number("chunk")
        facts.append(chunk == 0)
        places[roles.fold] = Place(chunk, (chunk,))
    return places


def _loads(plan: Plan, roles: Roles) -> Iterator[IndexQuestion]:
    """Every read of a tensor is inside of it, with what its mask, the launcher or a clamp says of the index."""
    written = [o.expr for o in plan.spec.outputs]
    reads = {n for x in written for n in sp.preorder_traversal(x) if isinstance(n, Read) and not n.tensor.ref}
    for name in sorted({r.name for r in reads}):
        ints, goals, notes = Integers(), [], set()
        for n, read in enumerate(sorted((r for r in reads if r.name == name), key=sp.default_sort_key)):
            for axis, index in zip(read.tensor.axes, read.indices, strict=True):
                size, guard = ints.number(axis.size), access(index, roles)
                if guard == "own":
                    # A mask or a digit says so of the axis that indexes it, and the launcher that both are as long.
                    at = ints.number(index)
                    assert isinstance(index, Index)
                    ints.facts += [at >= 0, at < ints.number(index.size)]
                    if index != axis:
                        ints.facts.append(ints.number(index.size) == size)
                        notes.add(f"the launcher checks that {index.name} and {axis.name} are equally long")
                    goals += [at >= 0, at < size]
                    continue
                at = z3.Int(f"{name}_{axis.name}_{n}")
                if guard == "clamped":
                    raw = z3.Int(f"raw_{name}_{axis.name}_{n}")
                    ints.facts += [at == _least(_most(raw, z3.IntVal(0)), size - 1), size >= 1]
                    notes.add(f"the index {index} is clamped, and taken to be in range by the spec")
                elif guard == "masked":
                    ints.facts += [at >= 0, at < size]
                    notes.add(f"{index} is compared with its bounds in the mask")
                else:
                    ints.facts += [at >= 0, at < size]
                    notes.add(f"the launcher checks {index} at every position")
                goals += [at >= 0, at < size]
        yield IndexQuestion(
            f"index loads {name}", f"every load of {name} is inside of it", tuple(ints.facts),
            z3.And(*goals), note="; ".join(sorted(notes)),
        )  # fmt: skip


def _least(a: Any, b: Any) -> Any:
    return z3.If(a <= b, a, b)


def _most(a: Any, b: Any) -> Any:
    return z3.If(a >= b, a, b)
