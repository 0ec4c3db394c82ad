"""Numbers that a launcher admits at which an integer of a kernel is out of a range: found by trying ends of ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, islice, product
from math import prod

from refold.schedule.integers import products, truncated, value_of
from refold.schedule.outcome import Loop
from refold.schedule.terms import Term, below

Numbers = Mapping[Term, int]
# So many choices of numbers are tried at most.
TRIES = 50_000
# What is tried of a length, a block, a stride, a scalar, or data, as far as it is in its range, and the width asked.
TRIED = (2, 2**20, 2**30 - 1, 2**31 - 1, 2**31, 2**60, -(2**31))


class Unread(Exception):
    """A term is no number, whatever its symbols are."""


def value(t: Term, numbers: Numbers) -> int:
    """What an integer or a condition (1 or 0) is; raises `Unread`, or `ZeroDivisionError` where it is none."""
    if t in numbers:
        return numbers[t]
    match t.op:
        case "polynomial":
            return sum(c * prod(value(a, numbers) for a in m) for m, c in products(t).items())
        case "//" | "%":
            a, b = (value(x, numbers) for x in t.args)
            return truncated(a, b) if t.op == "//" else a - truncated(a, b) * b
        case "least" | "greatest":
            return (min if t.op == "least" else max)(value(a, numbers) for a in t.args)
        case "select":
            condition, then, other = t.args
            return value(then if value(condition, numbers) else other, numbers)
        case "abs":
            return abs(value(t.args[0], numbers))
        case "narrow":
            return value(t.args[0], numbers)
        case "true" | "false":
            return int(t.op == "true")
        case ">=0" | "==0":
            x = value(t.args[0], numbers)
            return int(x >= 0 if t.op == ">=0" else x == 0)
        case "and" | "or":
            return int((all if t.op == "and" else any)(value(a, numbers) for a in t.args))
        case "not":
            return 1 - value(t.args[0], numbers)
    raise Unread(t.op)


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a launcher admits: `ends` of lengths and data, terms between which others move, loops, and `checks`.

    A check is a term with what it does not exceed.
    """

    ends: Callable[[Term], tuple[int, int] | None]
    moving: Mapping[Term, tuple[Term | None, Term | None]]
    loops: Mapping[int, Loop]
    checks: tuple[tuple[Term, int], ...]

    def example(self, asked: Term, held: int, conditions: tuple[Term, ...] = ()) -> dict[str, int] | None:
        """Numbers at which so many bits do not hold what is asked, by name; all checks and conditions hold there."""
        end, named, checked = 2 ** (held - 1), {*below(asked)}, [t for t, _ in self.checks]
        others = self.closed((*conditions, *checked))
        try:
            # An argument beyond 32 bits has 64, and so has what is computed with it: what is cast is it itself.
            most = end - 1 if asked.args else 2**62
            for numbers in islice(self.chosen(asked, most), TRIES):
                here = value(asked, numbers)
                if not -end <= here < end and self.hold(numbers, others, conditions):
                    names = {str(t.data): n for t, n in numbers.items() if t.op == "symbol" and t in named}
                    return {**dict(sorted(names.items())), "the integer": here}
        except Unread:
            pass
        return None

    def hold(self, numbers: dict[Term, int], others: list[Term], conditions: tuple[Term, ...]) -> bool:
        """Whether all checks and conditions hold, where what stands in them alone is 1."""
        ones = {t: self.nearest(t) for t in others if self.stands(t) and t not in numbers}
        try:
            there = self.moved(numbers | ones, [t for t in others if self.moves(t) and t not in numbers], last=False)
            return all(value(c, there) for c in conditions) and all(value(t, there) <= n for t, n in self.checks)
        except (ZeroDivisionError, ValueError):
            return False

    def chosen(self, asked: Term, most: int) -> Iterator[dict[Term, int]]:
        """Numbers for all that is asked: three of the lengths and scalars are not 1, at most."""
        inside = self.closed([asked])
        still, moves = [t for t in inside if self.stands(t)], [t for t in inside if self.moves(t)]
        ones = {t: self.nearest(t) for t in still}
        for last, count in product((True, False), range(4)):
            for some in combinations(still, count):
                tried = [[n for n in TRIED if -most - 1 <= n <= most and self.within(n, t)] for t in some]
                for chosen in product(*tried):
                    numbers = ones | dict(zip(some, chosen, strict=True))
                    try:
                        yield self.moved(numbers, moves, last=last)
                    except (ZeroDivisionError, ValueError):
                        continue

    def moves(self, t: Term) -> bool:
        """Whether it is a lane, a program or an iteration."""
        return t.op == "iteration" or (t.op == "symbol" and not self.stands(t))

    def stands(self, t: Term) -> bool:
        """Whether it is a length, a scalar or data."""
        ends = [end for end in self.moving.get(t, ()) if end is not None and value_of(end) is None]
        moves = any(t not in {*below(end)} for end in ends)
        return t.op == "read" or (t.op == "symbol" and not moves)

    def nearest(self, t: Term) -> int:
        return next(n for n in (1, 0, *TRIED) if self.within(n, t))

    def within(self, n: int, t: Term) -> bool:
        ends = self.ends(t)
        return ends is None or ends[0] <= n <= ends[1]

    def closed(self, terms: Iterable[Term]) -> list[Term]:
        """All terms in some, and in the ends of what moves; those of the first term first."""
        found: dict[Term, None] = {}
        left = list(terms)
        while left:
            t = left.pop(0)
            if t not in found:
                found[t] = None
                left += t.args if t.op != "read" else ()
                left += [end for end in self.moving.get(t, ()) if end is not None]
                left += self.turns(t)
        return [*found]

    def turns(self, t: Term) -> tuple[Term, ...]:
        """Where the loop of an iteration begins and ends."""
        if t.op != "iteration":
            return ()
        loop = self.loops[t.data]  # type: ignore[index]
        return loop.start, loop.stop, loop.step

    def moved(self, numbers: dict[Term, int], moves: list[Term], *, last: bool) -> dict[Term, int]:
        """Lanes, programs and iterations at their last, or at their first; ValueError where there is none."""
        left = moves
        while left:
            waiting = []
            for t in left:
                try:
                    low, high = self.moving.get(t, (None, None))
                    first = 0 if low is None else value(low, numbers)
                    if t.op == "iteration":
                        start, stop, step = (value(x, numbers) for x in self.turns(t))
                        end = (stop - start - 1) // step
                    else:
                        end = first if high is None else value(high, numbers)
                except Unread:
                    waiting.append(t)
                    continue
                if first > end:
                    raise ValueError
                numbers[t] = end if last else first
            if len(waiting) == len(left):
                raise Unread("ends that depend on each other")
            left = waiting
        return numbers
