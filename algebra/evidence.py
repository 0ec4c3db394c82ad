"""Evidence for a refusal: a sample matrix of values that occur together, its determinant shown not to be 0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp
from mpmath import mp, nstr

from refold.algebra.independence import beyond
from refold.algebra.interval import cofactors, determinant, enclosure
from refold.algebra.plan import Element, Evidence
from refold.algebra.sample import NoValue, Sample, ordered
from refold.spec import Index, Spec
from refold.spec.heads import sigmoid

SIZE = 5
# The values of the first tensor at the positions that are the columns.
COLUMNS: tuple[tuple[sp.Expr, ...], ...] = tuple(
    tuple(sp.Rational(n, below) for n in numbers)
    for below, numbers in (
        (1, range(-2, 3)), (1, range(1, 6)), (1, range(-5, 0)), (1, range(10, 15)), (1, range(-14, -9)),
        (2, (-7, 3, 8, -1, 5)), (3, (2, 7, 1, 11, 4)),
    )
)  # fmt: skip
# What is added to the columns, one element or two, so that the anchors differ from row to row.
ADDED = tuple(sign * n for n in (*range(1, 13), *range(14, 25, 2), 40, 80) for sign in (1, -1))


@dataclass(frozen=True, slots=True)
class Question:
    """Whether `body`, over the symbols of anchors and elements, has a law of fewer than SIZE functions.

    `anchors` says what each anchor of the body is over folds, `elements` what each of its elements is.
    """

    spec: Spec
    axis: Index
    body: sp.Expr
    anchors: dict[sp.Symbol, sp.Expr]
    elements: tuple[Element, ...]


def evidence(question: Question) -> Evidence | None:
    """The matrix `g(r_a, c_b)`, where its determinant is shown to be nonzero; None if none was found.

    The columns are the elements c_b of one part J of the axis, computed from common inputs; r_a are the anchors of J
    and of what is added to it, so that every r_a occurs together with every c_b, and with the anchors of J itself.
    A law gives `g(r_a, c_b) = sum_k T_1k(r_J, r_a) phi_k(r_J, c_b)`, a matrix of rank K at most: an n x n matrix of
    nonzero determinant refuses n - 1 functions (section 2 of docs/theory.md). The rows are chosen in 60 digits, which
    needs no trust: an interval around the determinant that excludes 0 shows that it is not 0.
    """
    for seed, values in enumerate(COLUMNS):
        for far in (True, False):
            try:
                found = _matrix(question, Sample.of(question.spec, question.axis, values, seed, far=far))
            except NoValue:
                continue
            if found is not None:
                return found
    return None


def _matrix(question: Question, sample: Sample) -> Evidence | None:
    columns = [_point(question, sample, p) for p in sample.positions]
    rows: list[tuple[sp.Expr, ...]] = []
    added: list[tuple[sp.Expr, ...]] = []
    matrix: list[list[sp.Expr]] = []
    basis: list[mp.matrix] = []
    # What is undefined over J alone says nothing: a fused form may do as it likes there.
    _row(question, sample, columns, _anchors(question, sample))
    for part, more in _larger(sample):
        try:
            anchors = _anchors(question, part)
            points = [_point(question, part, p) for p in part.positions]
            row = _row(question, part, points, anchors)[:SIZE]
            rest = beyond(row, basis)
        except NoValue:
            continue
        # An element may read beyond its position: then what is added may change the columns.
        if rest is not None and points[:SIZE] == columns:
            rows.append(tuple(anchors.values()))
            added.append(more)
            matrix.append(row)
            basis.append(rest)
        if len(rows) == SIZE:
            return _certified(question, sample, rows, columns, added, sp.ImmutableDenseMatrix(matrix))
    return None


def _certified(
    question: Question,
    sample: Sample,
    rows: list[tuple[sp.Expr, ...]],
    columns: list[dict[sp.Symbol, sp.Expr]],
    added: list[tuple[sp.Expr, ...]],
    matrix: sp.ImmutableDenseMatrix,
) -> Evidence | None:
    exact = cofactors(matrix.tolist(), sp.S.Zero, sp.S.One)
    if exact.is_Rational:
        ends = (str(exact), str(exact)) if exact != 0 else None
    else:
        interval = determinant(matrix)
        ends = None if interval is None else _apart_from_0(*enclosure(interval))
    if ends is None:
        return None
    return Evidence(
        tuple(_tuple(row) for row in rows),
        tuple(_tuple(tuple(c.values())) for c in columns),
        tuple(_tuple(more) if more else None for more in added),
        tuple(sorted(_constants(question, sample).items(), key=lambda item: str(item[0]))),
        matrix,
        exact,
        ends,
    )


def _apart_from_0(low: mp.mpf, high: mp.mpf) -> tuple[str, str] | None:
    return (nstr(low, 8), nstr(high, 8)) if low > 0 or high < 0 else None


def _larger(sample: Sample) -> Iterator[tuple[Sample, tuple[sp.Expr, ...]]]:
    """The part itself, and with one or two elements added to it, beside the values of the first tensor there."""
    yield sample, ()
    for gap, value in enumerate(ADDED):
        yield sample.with_added((sp.Integer(value),), gap), (sp.Integer(value),)
    for gap, value in enumerate(ADDED):
        pair = (sp.Integer(value), sp.Integer(3 - 2 * value))
        yield sample.with_added(pair, gap), pair


def _point(question: Question, sample: Sample, position: int) -> dict[sp.Symbol, sp.Expr]:
    return {e.symbol: sample.value(e.expr, position) for e in question.elements}


def _anchors(question: Question, sample: Sample) -> dict[sp.Symbol, sp.Expr]:
    return {symbol: sample.value(expr) for symbol, expr in question.anchors.items()}


def _constants(question: Question, sample: Sample) -> dict[sp.Expr, sp.Expr]:
    """What the body holds beside anchors and elements: scalars, lengths, data that do not vary with the axis."""
    bare = question.body.xreplace(dict.fromkeys([*question.anchors, *(e.symbol for e in question.elements)], sp.S.One))
    return {leaf: sample.value(leaf) for leaf in sample.leaves(bare)}


def _row(
    question: Question,
    sample: Sample,
    columns: list[dict[sp.Symbol, sp.Expr]],
    anchors: dict[sp.Symbol, sp.Expr],
) -> list[sp.Expr]:
    """The body at the anchors of a part and the elements of the columns; raises where an entry is no real number."""
    body = question.body.replace(sigmoid, lambda x: 1 / (1 + sp.exp(-x)))
    body = body.xreplace(_constants(question, sample))
    # SymPy takes a tenth of a second to look for another form of the logarithm of a sum of exponentials.
    with ordered(), sp.evaluate(not any(n.has(sp.exp) for n in body.atoms(sp.log))):
        entries = [body.xreplace(column | anchors) for column in columns]
    return [sample.number(entry) for entry in entries]


def _tuple(values: tuple[sp.Expr, ...]) -> sp.Expr:
    return sp.Tuple(*values) if len(values) > 1 else values[0]
