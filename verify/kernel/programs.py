"""The obligations about parts: they make the axis, and none of them overlap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refold.verify.kernel.questions import IndexQuestion
from refold.verify.smt import formulas as z3


def product(a: Any, b: Any) -> Any:
    """The product of two that are not negative is not: an instance of a fact, for solvers weak in products."""
    return z3.Implies(z3.And(a >= 0, b >= 0), a * b >= 0)


def divides_up(above: Any, below: Any, result: Any) -> list[Any]:
    """`result = cdiv(above, below)` of what is not negative."""
    return [result * below >= above, (result - 1) * below < above, result >= 0]


def part_questions() -> Iterator[IndexQuestion]:
    """All that is asked of how parts share the axis."""
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
