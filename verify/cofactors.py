"""Equations from facts: `left - right = sum_k cofactor_k * fact_k` over polynomials, found by division."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import z3
from sympy.polys.domains import QQ
from sympy.polys.orderings import lex
from sympy.polys.rings import PolyElement, ring

from refold.verify.certificate import Equation

# Beyond these an expanded polynomial is nothing that anyone wants to look at, or to wait for.
LARGEST_TEXT = 2_000
MAX_TERMS = 20_000


def is_equation(formula: Any) -> bool:
    """Whether a formula says that two reals are equal."""
    return bool(z3.is_eq(formula) and z3.is_arith(formula.arg(0)))


def conjuncts(formulas: Iterable[Any]) -> list[Any]:
    """Formulas with their conjunctions taken apart."""
    found: list[Any] = []
    for f in formulas:
        found += conjuncts(f.children()) if z3.is_and(f) else [] if z3.is_true(f) else [f]
    return found


def prove(goal: Any, facts: Sequence[Any]) -> Equation | None:
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
            return Equation(_equation(goal, target), ())
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
    used = tuple((_text(q), _equation(f, p)) for q, (f, p) in zip(quotients, pairs, strict=True) if q)
    return Equation(_equation(goal, target), used)


def formula_text(formula: Any) -> str:
    """A formula for readers; equations that hold together stand in the language of the checker, joined by `and`."""
    if z3.is_and(formula):
        return " and ".join(formula_text(f) for f in formula.children())
    if is_equation(formula):
        symbols = variables([formula]) or {"x": None}
        R, *gens = ring(list(symbols), QQ, lex)
        by_name = dict(zip(symbols, gens, strict=True))
        memo: dict[int, Any] = {}
        try:
            left, right = (_polynomial(side, by_name, R, memo) for side in formula.children())
            return _equation(formula, left - right)
        except Unsuitable:
            pass
    return _formula(formula)


def _formula(formula: Any) -> str:
    """A formula in which no equation is taken for granted: they have two signs."""
    args = formula.children()
    if z3.is_not(formula):
        return f"not ({_formula(args[0])})"
    if z3.is_and(formula) or z3.is_or(formula):
        return f"({(' and ' if z3.is_and(formula) else ' or ').join(map(_formula, args))})"
    if z3.is_implies(formula):
        return f"({_formula(args[0])} implies {_formula(args[1])})"
    if not args:
        return str(formula)
    sign = _RELATIONS.get(formula.decl().kind())
    if sign is None:
        return " ".join(str(formula).split())
    if z3.is_bool(args[0]):
        return f"({_formula(args[0])}) {sign} ({_formula(args[1])})"
    sides = [_written(side, 1) or " ".join(str(side).split()) for side in args]
    return f"{sides[0]} {sign} {sides[1]}"


_RELATIONS = {z3.Z3_OP_LE: "<=", z3.Z3_OP_GE: ">=", z3.Z3_OP_LT: "<", z3.Z3_OP_GT: ">", z3.Z3_OP_EQ: "==",
              z3.Z3_OP_DISTINCT: "!="}  # fmt: skip


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
    return {side.decl().name() for f in facts for side in f.children() if z3.is_const(side) and not _is_number(side)}


def _is_number(term: Any) -> bool:
    return bool(z3.is_rational_value(term) or z3.is_int_value(term))


def variables(terms: Iterable[Any]) -> dict[str, None]:
    """The names of the reals that occur in terms."""
    found: dict[str, None] = {}
    seen: set[int] = set()
    stack = list(terms)[::-1]
    while stack:
        term = stack.pop()
        if term.get_id() in seen:
            continue
        seen.add(term.get_id())
        if z3.is_const(term):
            if not _is_number(term) and z3.is_arith(term):
                found[term.decl().name()] = None
        else:
            stack += term.children()[::-1]
    return found


def _polynomial(term: Any, by_name: dict[str, PolyElement], R: Any, memo: dict[int, Any]) -> PolyElement:
    key = term.get_id()
    if key not in memo:
        memo[key] = _expanded(term, by_name, R, memo)
        if len(memo[key]) > MAX_TERMS:
            raise Unsuitable
    return memo[key]


def _expanded(term: Any, by_name: dict[str, PolyElement], R: Any, memo: dict[int, Any]) -> PolyElement:
    if _is_number(term):
        value = term.as_fraction() if z3.is_rational_value(term) else term.as_long()
        return R(QQ(value.numerator, value.denominator))
    if z3.is_const(term):
        return by_name[term.decl().name()]
    kind = term.decl().kind()
    if kind == z3.Z3_OP_POWER and _is_number(term.arg(1)):
        return _polynomial(term.arg(0), by_name, R, memo) ** int(str(term.arg(1)))
    args = [_polynomial(a, by_name, R, memo) for a in term.children()]
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


def _equation(formula: Any, difference: PolyElement) -> str:
    """As written where that is short, else multiplied out."""
    left, right = (_written(side, 1) for side in formula.children())
    if left is not None and right is not None and len(left) + len(right) <= LARGEST_TEXT:
        return f"{left} = {right}"
    return f"{_text(difference)} = 0"


def _written(term: Any, above: int) -> str | None:
    """A term in infix; `above` is how tightly what surrounds it binds: 1 a sum, 2 a product, 3 a power."""
    if _is_number(term):
        text, level = str(term.as_fraction() if z3.is_rational_value(term) else term), 1
        return f"({text})" if above > 1 and not text.isdigit() else text
    if z3.is_const(term):
        return term.decl().name()
    kind = term.decl().kind()
    sign, level = {
        z3.Z3_OP_ADD: (" + ", 1), z3.Z3_OP_SUB: (" - ", 1), z3.Z3_OP_UMINUS: ("-", 1),
        z3.Z3_OP_MUL: ("*", 2), z3.Z3_OP_POWER: ("**", 3),
    }.get(kind, ("", 0))  # fmt: skip
    if not sign:
        return None
    parts = []
    length = 0
    for n, a in enumerate(term.children()):
        # A subtrahend, and what stands under a minus or a power, is put in brackets if it is a sum.
        part = _written(a, level + (n > 0 and level == 1) + (level == 1 and sign == "-"))
        length += len(part or "") + 3
        if part is None or length > LARGEST_TEXT:
            return None
        parts.append(part)
    text = f"-{parts[0]}" if kind == z3.Z3_OP_UMINUS else sign.join(parts)
    return f"({text})" if level < above or (level == above == 3) else text


def _text(p: PolyElement) -> str:
    """A polynomial, multiplied out, in the language of the checker."""
    parts: list[str] = []
    for monomial, c in p.terms():
        factors = [f"{s}**{n}" if n > 1 else str(s) for s, n in zip(p.ring.symbols, monomial, strict=True) if n]
        size = f"{abs(c.numerator)}" if c.denominator == 1 else f"{abs(c.numerator)}/{c.denominator}"
        body = "*".join(factors if factors and abs(c) == 1 else [size, *factors])
        parts += [("-" if c < 0 else "") + body] if not parts else [" - " if c < 0 else " + ", body]
    return "".join(parts) or "0"
