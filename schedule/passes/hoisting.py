"""A rewrite of what a loop does: what does not change in it is computed once, before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from refold.schedule import ir
from refold.schedule.lower.words import EVICT, MASKED
from refold.schedule.walk import assigned, every, names, reads

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
    lines write, stays.

    Obligations `refinement`: an iteration is executed from a state of which nothing is known, after what stands before
    the loop, so that what was hoisted has the value there that the plan asks of every iteration; `index loads` and
    `index overflow` read the accesses where they stand. That it is computed once, no obligation says.
    """
    times = Counter(assigned(lines))
    changes = {n.text for n in (*changing, MASKED, EVICT)} | {n for n, count in times.items() if count > 1}
    places = [n.place for s in lines for n in every(s) if isinstance(n, ir.Store | ir.Atomic)]
    changes |= {n.text for place in places for n in names(place) if n.kind == "pointer"}
    before: list[ir.Statement] = []
    inside: list[ir.Statement] = []
    for line in lines:
        if isinstance(line, ir.Let) and line.target.text not in changes and _is_still(line, changes):
            before.append(line)
        else:
            inside.append(line)
            changes |= {*assigned([line])}
    return before, inside


def _is_still(line: ir.Let, changes: set[str]) -> bool:
    """Whether a line gives the same in every iteration."""
    return not reads(line) & changes and not any(isinstance(n, EFFECTS) for n in every(line.value))
