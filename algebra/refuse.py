"""Refusals: an exact nonzero determinant that shows how many accumulators cannot do, and what to do instead."""

from __future__ import annotations

from typing import Any

import sympy as sp
from mpmath import iv, mp, nstr, workdps

from refold.algebra.plan import Evidence, Refusal
from refold.spec import Fold, Spec
from refold.spec.heads import sigmoid

SAMPLES = 5
FARTHEST = 24
INTERVAL_FUNCTIONS = (sp.exp, sp.log, sp.sin, sp.cos, sp.tanh)


def evidence(g: sp.Expr, anchors: tuple[sp.Symbol, ...], varying: tuple[sp.Symbol, ...]) -> Evidence | None:
    """The matrix `g(r_a, c_b)` at small integers, where its determinant is shown to be nonzero; None if none was found.

    If `g(r, c) = sum_k a_k(r) b_k(c)` had K terms, every such matrix would have rank at most K (section 2 of
    docs/theory.md), so an n x n matrix of nonzero determinant refuses n - 1 accumulators. Columns are those of
    1, 2, ... and then 0, -1, ... that no combination of the columns before gives, in 60 digits: `max(0, c - r)` says
    nothing at c <= r. That choice needs no trust: the determinant is exact, and an interval evaluation to 60 digits
    that excludes 0 shows that it is not 0.
    """
    g = g.replace(sigmoid, lambda x: 1 / (1 + sp.exp(-x)))
    rows = [_point(anchors, n + 1) for n in range(SAMPLES)]
    points: list[dict[sp.Symbol, sp.Expr]] = []
    columns: list[list[sp.Expr]] = []
    basis: list[mp.matrix] = []
    for n in (*range(1, FARTHEST + 1), *range(0, -FARTHEST - 1, -1)):
        point = _point(varying, n)
        column = [g.xreplace(row).xreplace(point) for row in rows]
        rest = _beyond(column, basis)
        if rest is None:
            continue
        points.append(point)
        columns.append(column)
        basis.append(rest)
        if len(columns) == SAMPLES:
            break
    else:
        return None
    matrix = sp.ImmutableDenseMatrix(columns).T
    determinant = sp.Matrix(matrix).det(method="berkowitz")
    enclosure = _enclose(matrix, determinant)
    if enclosure is None:
        return None
    return Evidence(
        tuple(sp.Tuple(*row.values()) if len(row) > 1 else next(iter(row.values())) for row in rows),
        tuple(sp.Tuple(*c.values()) if len(c) > 1 else next(iter(c.values())) for c in points),
        matrix,
        sp.nsimplify(determinant) if determinant.is_Rational else determinant,
        enclosure,
    )


def _beyond(column: list[sp.Expr], basis: list[mp.matrix]) -> mp.matrix | None:
    """What of a column is orthogonal to a basis, of length 1; None where it is none, or an entry is no real number."""
    with workdps(60):
        numbers = [entry.evalf(60) for entry in column]
        if not all(number.is_Float or number.is_Rational for number in numbers):
            return None
        whole = mp.matrix([mp.mpf(str(number)) for number in numbers])
        rest = whole
        for unit in basis:
            rest = rest - unit * mp.fdot(unit, rest)
        length = mp.norm(rest)
        return rest / length if length > mp.norm(whole) * mp.mpf(10) ** -30 else None


def _point(symbols: tuple[sp.Symbol, ...], n: int) -> dict[sp.Symbol, sp.Expr]:
    return {symbol: sp.Integer(n + k) for k, symbol in enumerate(symbols)}


def _enclose(matrix: sp.ImmutableDenseMatrix, exact: sp.Expr) -> tuple[str, str] | None:
    """A rigorous interval around the determinant, if it excludes 0."""
    if exact.is_Rational:
        return (str(exact), str(exact)) if exact != 0 else None
    if not matrix.atoms(sp.Function) <= matrix.atoms(*INTERVAL_FUNCTIONS):
        return None
    digits = iv.dps
    iv.dps = 60
    try:
        interval = _determinant([[_interval(entry) for entry in row] for row in matrix.tolist()])
    finally:
        iv.dps = digits
    low, high = (mp.make_mpf(end) for end in interval._mpi_)
    if low > 0 or high < 0:
        return nstr(low, 8), nstr(high, 8)
    return None


def _interval(entry: sp.Expr) -> Any:
    names = {name: getattr(iv, name) for name in ("exp", "log", "sqrt", "sin", "cos")}
    return iv.mpf(sp.lambdify((), entry, modules=[names | {"tanh": _tanh, "E": iv.e, "pi": iv.pi}])())


def _determinant(rows: list[list[Any]]) -> Any:
    """By cofactors of the first row, which no pivot can spoil."""
    if not rows:
        return iv.mpf(1)
    return sum(
        (-1) ** n * top * _determinant([row[:n] + row[n + 1 :] for row in rows[1:]]) for n, top in enumerate(rows[0])
    )


def _tanh(x: object) -> object:
    grown = iv.exp(2 * iv.mpf(x))
    return (grown - 1) / (grown + 1)


class Refused(Exception):
    """Carries a refusal out of the recursion."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


def refuse(
    spec: Spec, fold: Fold, body: sp.Expr, fresh: tuple[sp.Symbol, ...], varying: tuple[sp.Symbol, ...]
) -> Refusal:
    """The evidence that a fold has no small correction, in the names of the law."""
    plain = {f: sp.Symbol(f"r{n + 1}" if len(fresh) > 1 else "r") for n, f in enumerate(fresh)}
    bare = body.xreplace(plain)
    proof = evidence(bare, tuple(plain.values()), tuple(varying)) if fold.kind == "sum" else None
    if fold.kind == "sum":
        reason = (
            "no finite linear correction was found: the body does not separate into functions of r times functions of c"
        )
        advice = (
            "keep two passes (finish r first, then fold), or change the body so that r enters "
            "as a factor, a shift of an exponent or a polynomial"
        )
        kind = "class 2 (a second pass)"
    else:
        reason = (
            f"the body is neither shifted nor scaled by r alone, so that a stale {fold.kind} can be of another element"
        )
        advice = "keep two passes (finish r first, then fold)"
        kind = "class 2 (a second pass)"
    return Refusal(spec, fold, bare, reason, proof, kind, advice)
