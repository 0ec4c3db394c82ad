"""The obligations about parts and rounds: parts make the axis, and each piece of work is done once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refold.algebra.roles import Roles
from refold.verify.kernel.questions import IndexQuestion
from refold.verify.smt import formulas as z3


def program_questions(roles: Roles) -> Iterator[IndexQuestion]:
    """All that is asked of how parts and rounds share the work."""
    yield from _parts()
    yield _digits()
    if roles.contracts and roles.rows is not None and roles.group is None:
        yield _rounds()


def product(a: Any, b: Any) -> Any:
    """The product of two that are not negative is not: an instance of a fact, for solvers weak in products."""
    return z3.Implies(z3.And(a >= 0, b >= 0), a * b >= 0)


def unique(q: Any, base: Any, r: Any, q2: Any, _: Any, r2: Any) -> Any:
    """Equal numbers have equal digits: an instance of `index digits`."""
    digits = z3.And(r >= 0, r < base, r2 >= 0, r2 < base)
    return z3.Implies(z3.And(digits, q * base + r == q2 * base + r2), z3.And(q == q2, r == r2))


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
