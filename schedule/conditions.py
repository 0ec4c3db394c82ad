"""Truth values as terms: comparisons in one form, with `and`, `or` and `not` over them.

Comparisons of integers are `p >= 0` and `p == 0` of a polynomial. Comparisons of floats are the ordered ones `<`, `<=`
and `==`, false where a side is NaN; each other one is their negation or has its sides exchanged.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

from refold.schedule.integers import KEPT, add, polynomial, products, scale, subtract, value_of, whole
from refold.schedule.terms import Sort, Term, make

TRUE, FALSE = make("true", "bool"), make("false", "bool")


def truth(value: bool) -> Term:
    return TRUE if value else FALSE


@lru_cache(maxsize=KEPT)
def negate(a: Term) -> Term:
    if a in (TRUE, FALSE):
        return truth(a is FALSE)
    if a.op == "not":
        return a.args[0]
    if a.op == ">=0":  # of integers
        return nonnegative(add(scale(a.args[0], -1), whole(-1)))
    return make("not", "bool", (a,))


def both(*terms: Term) -> Term:
    return _joined("and", TRUE, FALSE, terms)


def either(*terms: Term) -> Term:
    return _joined("or", FALSE, TRUE, terms)


@lru_cache(maxsize=KEPT)
def _joined(op: str, unit: Term, zero: Term, terms: tuple[Term, ...]) -> Term:
    """A conjunction or disjunction: a set of terms. What contradicts another term within one of them is left out."""
    flat = {x for t in terms for x in (t.args if t.op == op else (t,))} - {unit}
    if zero in flat or any(negate(x) in flat for x in flat):
        return zero
    dual = "or" if op == "and" else "and"
    for term in sorted((x for x in flat if x.op == dual), key=lambda t: t.serial):
        rest = tuple(x for x in term.args if negate(x) not in flat)
        if any(x in flat for x in rest):  # a and (a or b)
            return _joined(op, unit, zero, tuple(flat - {term}))
        if len(rest) < len(term.args):  # a and (not a or b)
            shorter = (either if op == "and" else both)(*rest)
            return _joined(op, unit, zero, (*(flat - {term}), shorter))
    if not flat:
        return unit
    ordered = tuple(sorted(flat, key=lambda t: t.serial))
    return ordered[0] if len(ordered) == 1 else make(op, "bool", ordered)


@lru_cache(maxsize=KEPT)
def different(a: Term, b: Term) -> Term:
    """Whether two truth values differ."""
    if a in (TRUE, FALSE):
        return b if a is FALSE else negate(b)
    if b in (TRUE, FALSE):
        return different(b, a)
    return either(both(a, negate(b)), both(negate(a), b))


@lru_cache(maxsize=KEPT)
def nonnegative(p: Term) -> Term:
    """`p >= 0` of an integer."""
    known = value_of(p)
    if known is not None:
        return truth(known >= 0)
    chosen = _by_cases(p)
    if chosen is not None:
        condition, then, other = chosen
        return either(both(condition, nonnegative(then)), both(negate(condition), nonnegative(other)))
    parts = products(p)
    divisor = gcd(*(c for q, c in parts.items() if q))
    if divisor > 1:
        p = _divided(p, divisor)
    return make(">=0", "bool", (p,))


@lru_cache(maxsize=KEPT)
def zero(p: Term) -> Term:
    """`p == 0` of an integer."""
    known = value_of(p)
    if known is not None:
        return truth(known == 0)
    chosen = _by_cases(p)
    if chosen is not None:
        condition, then, other = chosen
        return either(both(condition, zero(then)), both(negate(condition), zero(other)))
    parts = products(p)
    divisor = gcd(*(c for q, c in parts.items() if q))
    if parts.get((), 0) % divisor:
        return FALSE
    # Of p and -p the one whose oldest atom of the highest power is positive.
    first = max(parts, key=lambda q: (len(q), tuple(-a.serial for a in q)))
    return make("==0", "bool", (_divided(p, divisor if parts[first] > 0 else -divisor),))


def _divided(p: Term, divisor: int) -> Term:
    """The coefficients divided by a common divisor; the number beside them rounded down."""
    return polynomial({q: c // divisor for q, c in products(p).items()})


def _by_cases(p: Term) -> tuple[Term, Term, Term] | None:
    """A polynomial over a choice between numbers alone, as is a truth value that became 1 or 0: its two numbers."""
    parts = products(p)
    atoms = {q for q in parts if q}
    if len(atoms) != 1:
        return None
    (product,) = atoms
    if len(product) != 1 or product[0].op != "select":
        return None
    condition, then, other = product[0].args
    if value_of(then) is None or value_of(other) is None:
        return None
    factor, rest = parts[product], whole(parts.get((), 0))
    return condition, add(scale(then, factor), rest), add(scale(other, factor), rest)


def compare_integers(op: str, a: Term, b: Term) -> Term:
    match op:
        case "==" | "!=":
            same = zero(subtract(a, b))
            return same if op == "==" else negate(same)
        case "<" | ">":
            low, high = (a, b) if op == "<" else (b, a)
            return nonnegative(add(subtract(high, low), whole(-1)))
        case "<=" | ">=":
            low, high = (a, b) if op == "<=" else (b, a)
            return nonnegative(subtract(high, low))
    raise ValueError(op)


def compare_floats(op: str, a: Term, b: Term) -> Term:
    """As the language has them: only `!=` is true where a side is NaN."""
    match op:
        case "==" | "<" | "<=":
            return make(op, "bool", (a, b))
        case ">" | ">=":
            return make("<" if op == ">" else "<=", "bool", (b, a))
        case "!=":
            return negate(make("==", "bool", (a, b)))
    raise ValueError(op)


def select(condition: Term, then: Term, other: Term) -> Term:
    """One of two terms, whatever they are: no arithmetic is done, so that floats stay what they are."""
    if condition.op == "not":
        return select(condition.args[0], other, then)
    if then.op == "select" and then.args[0] is condition:
        then = then.args[1]
    if other.op == "select" and other.args[0] is condition:
        other = other.args[2]
    if condition is TRUE or then is other:
        return then
    if condition is FALSE:
        return other
    if then.sort == "bool":
        return either(both(condition, then), both(negate(condition), other))
    if then.op == other.op == "pointer" and then.data == other.data:
        return make("pointer", "pointer", (select(condition, then.args[0], other.args[0]),), then.data)
    sort: Sort = then.sort
    return make("select", sort, (condition, then, other))
