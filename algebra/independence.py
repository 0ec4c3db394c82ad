"""How many rows of exact numbers are independent, in 60 digits and whatever their scale."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp
from mpmath import mp, workdps

from refold.algebra.interval import middle


def beyond(row: Sequence[sp.Expr], basis: Sequence[mp.matrix]) -> mp.matrix | None:
    """What of a row is orthogonal to a basis of length 1 each, of length 1 too; None where that is nothing."""
    with workdps(60):
        whole = mp.matrix([_number(entry) for entry in row])
        rest = whole
        for unit in basis:
            rest = rest - unit * mp.fdot(rest, unit, conjugate=True)
        length = mp.norm(rest)
        return rest / length if length > mp.norm(whole) * mp.mpf(10) ** -30 else None


def rank(rows: Sequence[Sequence[sp.Expr]]) -> int:
    """The number of independent rows."""
    basis: list[mp.matrix] = []
    for row in rows:
        rest = beyond(row, basis)
        if rest is not None:
            basis.append(rest)
    return len(basis)


def _number(entry: sp.Expr) -> mp.mpf | mp.mpc:
    near = middle(entry)
    if near is not None:
        return near
    real, imaginary = entry.evalf(60).as_real_imag()
    return mp.mpc(str(real), str(imaginary))
