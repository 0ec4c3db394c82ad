"""When two terms of floats are the same number, bit by bit: each rule with the reason why it is sound.

The rules are those that Triton's front end needs: what its canonicalizer does to floats. Integers and truth values need
none: their normal form is built (`integers.py`, `conditions.py`). It takes for granted that integers do not overflow,
which is an obligation of its own. Of a NaN nothing is said but that it is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from refold.schedule import integers
from refold.schedule.conditions import both, either, negate, nonnegative, select, zero
from refold.schedule.terms import Term, make, real, real_of
from refold.schedule.tiles import rounded


@dataclass(frozen=True, slots=True)
class Rule:
    """What a term of one of some operations may be replaced by, or None."""

    ops: tuple[str, ...]
    apply: Callable[[Term], Term | None]


def _commuted(t: Term) -> Term | None:
    a, b = t.args
    return make(t.op, t.sort, (b, a), t.data) if b.serial < a.serial else None


def _cast(t: Term) -> Term | None:
    value = real_of(t.args[0])
    return None if value is None else real(rounded(value, t.sort), t.sort)


COMMUTATIVE = ("+", "*")
RULES = (
    # The canonicalizer writes a literal as the second operand. IEEE 754 has sums and products commute, for zeros with
    # their sign and for infinities too.
    Rule(COMMUTATIVE, _commuted),
    # It casts a literal itself, to the nearest number of the dtype, as a kernel would.
    Rule(("cast",), _cast),
)
_BY_OP = {op: rule for rule in RULES for op in rule.ops}

# How terms with a normal form of their own are built again over other arguments.
_BUILT: dict[str, Callable[..., Term]] = {
    "//": integers.quotient,
    "%": integers.remainder,
    "least": integers.least,
    "greatest": integers.greatest,
    "and": both,
    "or": either,
    "not": negate,
    ">=0": nonnegative,
    "==0": zero,
    "select": select,
}


def normal(term: Term, args: tuple[Term, ...]) -> Term:
    """The term over normal arguments, in normal form itself."""
    if args == term.args and term.sort in ("int", "bool"):
        return term
    if term.op == "polynomial":
        return integers.evaluate(term, args)
    if term.op in _BUILT:
        return _BUILT[term.op](*args)
    term = make(term.op, term.sort, args, term.data)
    rule = _BY_OP.get(term.op)
    return (rule.apply(term) if rule is not None else None) or term
