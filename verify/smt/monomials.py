"""Formulas with a variable for every product of variables: what is left is linear, which solvers decide."""

from __future__ import annotations

from typing import Any

from refold.verify.smt import formulas as z3


def linear(formulas: list[Any], meanings: list[Any]) -> list[Any]:
    """The formulas, products multiplied out, with one integer for each product of variables; `meanings` says which.

    All that is known of these integers, behind the formulas, is that a product of what is not negative is not: less
    than of products, so that what follows from the result follows.
    """
    names: dict[str, Any] = {}
    signs: list[Any] = []
    # A term stands in many formulas; it is kept, since Z3 gives the number of one that is gone to another.
    known: dict[int, tuple[Any, Any]] = {}

    def monomial(term: Any) -> Any:
        numbers = [f for f in _factors(term) if z3.is_int_value(f)]
        factors = sorted((f for f in _factors(term) if not z3.is_int_value(f)), key=str)
        name = "·".join(str(f) for f in factors)
        if name not in names:
            names[name] = z3.Int(f"{name}!")
            meanings.append(names[name] == z3.Product(factors))
            signs.append(z3.Implies(z3.And(*(f >= 0 for f in factors)), names[name] >= 0))
        return z3.Product([*numbers, names[name]]) if numbers else names[name]

    def visit(term: Any) -> Any:
        if z3.key(term) not in known:
            known[z3.key(term)] = term, visited(term)
        return known[z3.key(term)][1]

    def visited(term: Any) -> Any:
        if _is_product(term):
            whole = z3.simplify(term, som=True)
            terms = z3.children(whole) if z3.is_add(whole) else [whole]
            return z3.Sum([monomial(t) if _is_product(t) else t for t in terms])
        if not z3.children(term):
            return term
        parts = [visit(c) for c in z3.children(term)]
        same = all(new is old for new, old in zip(parts, z3.children(term), strict=True))
        return term if same else term.decl()(*parts)

    return [*(visit(f) for f in formulas), *signs]


def _factors(term: Any) -> list[Any]:
    return [f for c in z3.children(term) for f in _factors(c)] if z3.is_mul(term) else [term]


def _is_product(term: Any) -> bool:
    return sum(not z3.is_int_value(f) for f in _factors(term)) > 1
