"""What a solver is told of integers whose bounds were found: all that is known of their atoms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from refold.schedule.conditions import nonnegative
from refold.schedule.integers import add, multiply, subtract, whole
from refold.schedule.terms import Term, below
from refold.verify.kernel.intervals import Intervals
from refold.verify.kernel.iterated import passed
from refold.verify.kernel.lemmas import implies, less, positive, same


def premises(known: Intervals, terms: Iterable[Term]) -> Iterator[Term]:
    """What the launcher checks, and what is so of every atom in the terms and in what is so of others."""
    checks = [nonnegative(subtract(whole(number), term)) for term, number in known.at_most]
    yield from checks
    seen: set[Term] = set()
    left = [*terms, *checks]
    while left:
        t = left.pop()
        if t not in seen:
            seen.add(t)
            facts = [*_facts(known, t)] if t.sort == "int" else []
            yield from facts
            left += [*t.args, *facts]


def _facts(known: Intervals, atom: Term) -> Iterator[Term]:
    """What is so of one atom, beside what its operation means."""
    for low, high in known.ends(atom):
        yield from (nonnegative(subtract(atom, end)) for end in (low,) if end is not None)
        yield from (nonnegative(subtract(end, atom)) for end in (high,) if end is not None)
    match atom.op:
        case "narrow":
            # That it fits is asked of it by itself.
            yield same(atom, atom.args[0])
        case "fold of lanes" if atom.data in ("max", "min"):
            yield same(atom, known.some(atom))
        case "iteration":
            loop = known.loops[atom.data]  # type: ignore[index]
            yield less(add(loop.start, multiply(loop.step, atom)), loop.stop)
        case "trips":
            loop = known.loops[atom.data]  # type: ignore[index]
            yield nonnegative(atom)
            yield implies(positive(loop.step), nonnegative(subtract(passed(loop), multiply(loop.step, atom))))


def iterations(known: Intervals, terms: Iterable[Term]) -> frozenset[Term]:
    """The iterations that terms speak of, with those of the loops around them."""
    found: set[Term] = set()
    left = [*terms]
    while left:
        here = {t for t in below(*left) if t.op == "iteration"} - found
        found |= here
        left = [end for t in here for end in known.rests_on(t)]
    return frozenset(found)
