"""Goes through the ways in which conditions on integers may turn out, as far as they are asked.

    judge(no truths)   ->   judge(c), judge(not c) where it asks for c

A condition that no path asks for parts no case, so that two tiles of masks are not the product of all their masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from refold.schedule.terms import Term

Truths = Mapping[Term, bool]
Found = TypeVar("Found")
MOST = 400


class Unread(Exception):
    """Something that has no reading; the text says what."""


class Undecided(Exception):
    """A condition that a case has to say something of."""

    def __init__(self, condition: Term) -> None:
        super().__init__()
        self.condition = condition


class Excluded(Exception):
    """A case of which nothing is claimed."""


def cases(judge: Callable[[Truths], Found], fixed: Truths) -> Iterator[Found]:
    """What `judge` finds in every case; what is `fixed` is so in all of them. Raises `Unread` where there are many."""
    left: list[dict[Term, bool]] = [dict(fixed)]
    count = 0
    while left:
        truths = left.pop()
        try:
            found = judge(truths)
        except Undecided as met:
            left += [{**truths, met.condition: holds} for holds in (False, True)]
            continue
        except Excluded:
            continue
        count += 1
        if count > MOST:
            raise Unread(f"more than {MOST} cases of one iteration")
        yield found
