"""How the iterations of a loop give way to their bounds: to how far its counter may come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from refold.schedule import integers
from refold.schedule.integers import add, multiply, subtract
from refold.schedule.outcome import Loop
from refold.schedule.terms import Term
from refold.verify.kernel.bound import Bound, by_end, products
from refold.verify.kernel.divided import ZERO, exactly
from refold.verify.kernel.lemmas import ONE

if TYPE_CHECKING:
    from refold.verify.kernel.intervals import Intervals


def turns(known: Intervals, atom: Term, factor: Term, *, up: bool) -> Iterator[Bound]:
    """How far a loop has come: start + step n < stop. It has come to stop, or a step further, at its end."""
    loop = known.loops[atom.data]  # type: ignore[index]
    if not up:
        yield by_end(atom, factor, ZERO, up=up)
    if not up or not known.positive(loop.step, 1):
        return
    last = subtract(beyond(known, loop.stop, loop.start), add(loop.start, ONE))
    far = passed(loop) if atom.op == "trips" else last
    for step in (loop.step, ONE):
        rest = exactly(factor, step)
        if rest is not None:
            way = by_end(multiply(step, atom), rest, far, up=True)
            yield way.because(lambda: products((atom, subtract(loop.step, ONE)), (atom, loop.step)))
            return


def passed(loop: Loop) -> Term:
    """How far its counter has come from its start at the end of a loop, at most."""
    return integers.greatest(subtract(add(subtract(loop.stop, loop.start), loop.step), ONE), ZERO)


def beyond(known: Intervals, stop: Term, start: Term) -> Term:
    """An end of a range that is not empty: of a maximum, what is not before the range is."""
    if stop.op == "least":
        return integers.least(*(beyond(known, a, start) for a in stop.args))
    if stop.op == "greatest":
        left = [a for a in stop.args if not known.positive(subtract(start, a))]
        return integers.greatest(*left) if left else stop
    return stop
