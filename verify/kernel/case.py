"""One case of a kernel: what its conditions on integers are there, and its integers once every choice is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from refold.schedule import integers
from refold.schedule.conditions import FALSE, TRUE, negate, nonnegative, zero
from refold.schedule.show import show
from refold.schedule.terms import Term, below
from refold.verify.kernel.cases import Truths, Undecided, Unread
from refold.verify.kernel.small import LANES

_OF_INTEGERS: dict[str, Any] = {
    "polynomial": None, "least": integers.least, "greatest": integers.greatest, "//": integers.quotient,
    "%": integers.remainder,
}  # fmt: skip


@dataclass(slots=True)
class Case:
    """`truths` decides conditions on integers. One that the kernel asks, and that they leave open, parts the case.

    Those of `whole` part it as they stand, and not by the choices and conditions in them. A case may then be one that
    cannot be, of which more is claimed than has to be.
    """

    truths: Truths
    asked: frozenset[Term] = frozenset()
    whole: frozenset[Term] = frozenset()
    choices: dict[Term, Term] = field(default_factory=dict)

    def holds(self, c: Term) -> bool:
        """What a condition is in this case. Raises `Undecided` where the case does not say it."""
        if c in self.truths:
            return self.truths[c]
        if c in self.whole and negate(c) not in self.truths:
            raise Undecided(c)
        stated = c
        if c.op in (">=0", "==0") and negate(c) not in self.truths:
            c = (nonnegative if c.op == ">=0" else zero)(self.settled(c.args[0]))
        if c in (TRUE, FALSE):
            return c is TRUE
        if c in self.truths:
            return self.truths[c]
        if negate(c) in self.truths:
            return not self.truths[negate(c)]
        match c.op:
            case "and":
                return all(map(self.holds, c.args))
            case "or":
                return any(map(self.holds, c.args))
            case "not":
                return not self.holds(c.args[0])
        if not (self.asks(c) or self.asks(stated)):
            raise Unread(f"a condition that the kernel does not ask: {show(c)}")
        raise Undecided(c)

    def asks(self, c: Term) -> bool:
        """Whether the kernel asks a condition, or its negation."""
        return c in self.asked or negate(c) in self.asked

    def settled(self, t: Term) -> Term:
        """An integer of which every choice is made."""
        if t not in self.choices:
            self.choices[t] = self._settled(t)
        return self.choices[t]

    def _settled(self, t: Term) -> Term:
        if t.op == "select" and of_integers(t.args[0]):
            condition, then, other = t.args
            return self.settled(then if self.holds(condition) else other)
        if (pointing := clamped(t)) is not None:
            # Where data points into its tensor, as a claim about gathers says, it is where it points.
            return self.settled(pointing)
        args = tuple(map(self.settled, t.args)) if t.op in _OF_INTEGERS else t.args
        if args == t.args:
            return t
        return integers.evaluate(t, args) if t.op == "polynomial" else _OF_INTEGERS[t.op](*args)


def clamped(t: Term) -> Term | None:
    """What an index that data gives is before it is taken into its axis: `least(greatest(x, 0), size - 1)`."""
    if t.op != "least" or len(t.args) != 2:
        return None
    for inner, end in (t.args, t.args[::-1]):
        size = integers.add(end, integers.whole(1))
        is_size = size is integers.whole(LANES) or (size.op == "symbol" and str(size.data).startswith("size_"))
        if is_size and inner.op == "greatest" and integers.whole(0) in inner.args:
            found = [a for a in inner.args if a is not integers.whole(0)]
            return found[0] if len(found) == 1 and any(b.op == "read" for b in below(found[0])) else None
    return None


def of_integers(condition: Term) -> bool:
    """Whether a condition is one of integers alone, and of no state: a case may say what it is."""
    return not of_state(condition) and all(t.sort in ("int", "bool", "pointer") for t in below(condition))


def of_state(t: Term) -> bool:
    """Whether a term reads the state of a loop."""
    return any(b.op in ("state", "last") for b in below(t))


def conditions(*terms: Term) -> Iterator[Term]:
    """The comparisons of integers below some terms, and what they are once the choices in them are made."""
    asked = (t for t in below(*terms) if t.op in (">=0", "==0") and of_integers(t))
    found = {v for t in asked for v in _made(t)}
    yield from sorted(found - {TRUE, FALSE}, key=lambda t: t.serial)


def _made(c: Term) -> Iterator[Term]:
    """A comparison, and its forms with every choice between integers made one way or the other."""
    yield c
    (p,) = c.args
    chosen = p if p.op == "select" else next((t for t in p.args if t.op == "select" and p.op == "polynomial"), None)
    for side in chosen.args[1:] if chosen is not None else ():
        args = tuple(side if t is chosen else t for t in p.args)
        other = (nonnegative if c.op == ">=0" else zero)(side if chosen is p else integers.evaluate(p, args))
        yield from _made(other) if other.op in (">=0", "==0") else ()
