"""Equations from facts: `left - right = sum_k cofactor_k * fact_k` over polynomials, found by division."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sympy.polys.domains import QQ
from sympy.polys.orderings import lex
from sympy.polys.rings import PolyElement, ring

from refold.verify.certificate.certificate import Equation
from refold.verify.smt import formulas as z3
from refold.verify.smt.formula import Texts

# Beyond this an expanded polynomial is nothing that anyone wants to look at, or to wait for.
MAX_TERMS = 20_000


def is_equation(formula: Any) -> bool:
    """Whether a formula says that two reals are equal."""
    return bool(z3.is_eq(formula) and z3.is_arith(formula.arg(0)))


def conjuncts(formulas: Iterable[Any]) -> list[Any]:
    """Formulas with their conjunctions taken apart."""
    found: list[Any] = []
    for f in formulas:
        found += conjuncts(z3.children(f)) if z3.is_and(f) else [] if z3.is_true(f) else [f]
    return found


def prove(goal: Any, facts: Sequence[Any], text: Texts) -> Equation | None:
    """The equation `goal` with cofactors over the equations `facts`; None where division finds none."""
    symbols = variables([goal, *facts])
    if not symbols:
        symbols = {"x": None}
    related = _related(goal, facts)
    first = _solvable(related)
    order = [n for n in symbols if n in first] + [n for n in symbols if n not in first]
    R, *gens = ring(order, QQ, lex)
    by_name = dict(zip(order, gens, strict=True))
    memo: dict[int, Any] = {}
    try:
        target = _polynomial(goal.arg(0), by_name, R, memo) - _polynomial(goal.arg(1), by_name, R, memo)
        if not target:
            return Equation(text(goal), ())
        pairs = [(f, _polynomial(f.arg(0), by_name, R, memo) - _polynomial(f.arg(1), by_name, R, memo))
                 for f in related]  # fmt: skip
    except Unsuitable:
        return None
    pairs = [(f, p) for f, p in pairs if p]
    if not pairs:
        return None
    quotients, remainder = target.div([p for _, p in pairs])
    if remainder:
        return None
    used = tuple((_text(q), text(f)) for q, (f, _) in zip(quotients, pairs, strict=True) if q)
    return Equation(text(goal), used)


class Unsuitable(Exception):
    """No polynomial, or one that is too long."""


def _related(goal: Any, facts: Sequence[Any]) -> list[Any]:
    """The facts that have to do with a goal, by variables that they share with it or with each other."""
    wanted = set(variables([goal]))
    rest = [(f, set(variables([f]))) for f in facts]
    chosen: list[Any] = []
    while found := [(f, v) for f, v in rest if v & wanted]:
        rest = [(f, v) for f, v in rest if not v & wanted]
        chosen += [f for f, _ in found]
        wanted |= {n for _, v in found for n in v}
    return chosen


def _solvable(facts: Sequence[Any]) -> set[str]:
    """Variables that one side of a fact is: they go first, so that division replaces them."""
    return {side.decl().name() for f in facts for side in z3.children(f) if _is_variable(side)}


def _is_variable(term: Any) -> bool:
    return z3.kind(term) == z3.Z3_OP_UNINTERPRETED and not z3.children(term)


def variables(terms: Iterable[Any]) -> dict[str, None]:
    """The names of the reals that occur in terms."""
    found: dict[str, None] = {}
    seen: set[int] = set()
    stack = list(terms)[::-1]
    while stack:
        term = stack.pop()
        if z3.key(term) in seen:
            continue
        seen.add(z3.key(term))
        if _is_variable(term):
            if z3.is_arith(term):
                found[term.decl().name()] = None
        else:
            stack += z3.children(term)[::-1]
    return found


def _polynomial(term: Any, by_name: dict[str, PolyElement], R: Any, memo: dict[int, Any]) -> PolyElement:
    key = z3.key(term)
    if key not in memo:
        memo[key] = _expanded(term, by_name, R, memo)
        if len(memo[key]) > MAX_TERMS:
            raise Unsuitable
    return memo[key]


def _expanded(term: Any, by_name: dict[str, PolyElement], R: Any, memo: dict[int, Any]) -> PolyElement:
    if z3.is_number(term):
        value = term.as_fraction() if z3.is_rational_value(term) else term.as_long()
        return R(QQ(value.numerator, value.denominator))
    if _is_variable(term):
        return by_name[term.decl().name()]
    kind = z3.kind(term)
    if kind == z3.Z3_OP_POWER and z3.is_number(term.arg(1)):
        return _polynomial(term.arg(0), by_name, R, memo) ** int(str(term.arg(1)))
    args = [_polynomial(a, by_name, R, memo) for a in z3.children(term)]
    match kind:
        case z3.Z3_OP_ADD:
            return sum(args[1:], args[0])
        case z3.Z3_OP_SUB:
            return args[0] - sum(args[2:], args[1])
        case z3.Z3_OP_UMINUS:
            return -args[0]
        case z3.Z3_OP_MUL:
            product = args[0]
            for a in args[1:]:
                product = product * a
            return product
    raise Unsuitable


def _text(p: PolyElement) -> str:
    """A polynomial, multiplied out, in the language of the checker."""
    parts: list[str] = []
    for monomial, c in p.terms():
        factors = [f"{s}**{n}" if n > 1 else str(s) for s, n in zip(p.ring.symbols, monomial, strict=True) if n]
        size = f"{abs(c.numerator)}" if c.denominator == 1 else f"{abs(c.numerator)}/{c.denominator}"
        body = "*".join(factors if factors and abs(c) == 1 else [size, *factors])
        parts += [("-" if c < 0 else "") + body] if not parts else [" - " if c < 0 else " + ", body]
    return "".join(parts) or "0"
