"""A rewrite of what a loop does: what does not change in it is computed once, before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from refold.schedule import ir
from refold.schedule.lower.words import EVICT, MASKED
from refold.schedule.walk import assigned, every, free_names, names

# What may be another value, or do something, each time that it is evaluated.
EFFECTS = (ir.Atomic, ir.Invoke, ir.Method)


def hoist(lines: Sequence[ir.Statement], changing: Iterable[ir.Name]) -> tuple[list[ir.Statement], list[ir.Statement]]:
    """What reads nothing that the loop changes is computed once before it: loads of rows, and all that is made of them.

        for j0: w = load(w_ptr + i * w_i)       ->      w = load(w_ptr + i * w_i)
                alpha = exp(w)                          alpha = exp(w)
                x = load(x_ptr + j0)                    for j0: x = load(x_ptr + j0)
                l = l + sum(x * alpha)                          l = l + sum(x * alpha)

    `changing`: what the loop gives its body anew, as `j0` and `l`; so it does `MASKED` and `EVICT`. The lines before
    the loop, and those that stay in it. What is under a condition, is assigned again, or is read from memory that the
    lines write, stays. A loop within goes with the line that begins what it carries.

    Obligations `refinement`: an iteration is executed from a state of which nothing is known, after what stands before
    the loop, so that what was hoisted has the value there that the plan asks of every iteration; `index loads` and
    `index overflow` read the accesses where they stand. That it is computed once, no obligation says.
    """
    changes = {n.text for n in (*changing, MASKED, EVICT)}
    places = [n.place for s in lines for n in every(s) if isinstance(n, ir.Store | ir.Atomic)]
    changes |= {n.text for place in places for n in names(place) if n.kind == "pointer"}
    groups = [*_groups(lines)]
    times = Counter(n for group in groups for n in {*_left_by(group)})
    changes |= {n for n, count in times.items() if count > 1}
    before: list[ir.Statement] = []
    inside: list[ir.Statement] = []
    for group in groups:
        if not changes & {*_left_by(group)} and _is_still(group, changes):
            before += group
        else:
            inside += group
            changes |= {*_left_by(group)}
    return before, inside


def _groups(lines: Sequence[ir.Statement]) -> Iterator[tuple[ir.Statement, ...]]:
    """The lines one by one, but a loop together with the line before it that begins what it carries."""
    left = [*lines]
    while left:
        count = 2 if len(left) > 1 and _begins(left[0], left[1]) else 1
        yield tuple(left[:count])
        del left[:count]


def _begins(line: ir.Statement, loop: ir.Statement) -> bool:
    return isinstance(line, ir.Let) and isinstance(loop, ir.For) and [*_left_by([loop])] == [line.target.text]


def _left_by(lines: Iterable[ir.Statement]) -> Iterator[str]:
    """The names that lines assign, but of a loop only what it carries: the others are its body's own."""
    for line in lines:
        yield from {*assigned([line])} & {*free_names(line.body)} if isinstance(line, ir.For) else assigned([line])


def _is_still(group: Sequence[ir.Statement], changes: set[str]) -> bool:
    """Whether lines give the same in every iteration, and do nothing else."""
    if not isinstance(group[0], ir.Let) or any(isinstance(n, (*EFFECTS, ir.Store)) for s in group for n in every(s)):
        return False
    return not changes & {*free_names(group)}
