"""How sums and quotients are read: the terms in the order in which they stand, a quotient by its two sides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sympy as sp


def signed(terms: Iterable[sp.Expr]) -> Iterator[tuple[str, sp.Expr]]:
    """The terms of a sum, each with the operator before it: what is subtracted stands last, and numbers after that."""
    first, *others = sorted(terms, key=lambda t: (bool(t.could_extract_minus_sign()), t.is_number))
    yield "+", first
    for term in others:
        yield ("-", -term) if term.could_extract_minus_sign() else ("+", term)


def quotient_of(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """The dividend and the divisor of a `floor`."""
    above, below = sp.fraction(sp.together(expr.args[0]))
    return above, below
