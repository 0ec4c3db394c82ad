"""Says which folds one masked position makes infinite, and refuses the folds that wait for one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy as sp

from refold.algebra.choices import INFINITE, Facts, known, masks, value_where, zeros_of
from refold.algebra.extended import apply, has_no_value, infinite_parts
from refold.algebra.rewrite import folds
from refold.errors import UnsupportedSpec
from refold.spec import Fold, Index, Read
from refold.spec.heads import UNITS, at_an_element, outside_folds
from refold.spec.mathematics import text


def refuse_infinite_folds(expr: sp.Basic, axis: Index) -> None:
    """Raises `UnsupportedSpec` where a fold reads another one that is infinite as soon as one position is masked.

    There a sum of products and the product of a sum are two things: -oo and oo beside each other are no number.
    """
    for fold in folds(expr, axis):
        for inner in folds(fold.body, axis):
            if is_infinite_where_masked(inner):
                raise UnsupportedSpec(
                    f"{text(inner)} is infinite as soon as one position is masked, and another fold reads it: "
                    f"write where(condition, ..., {text(UNITS[inner.kind])}) for what such a fold is to leave out"
                )
        refuse_infinite_folds(fold.body, axis)


def refuse_infinite_factor(factor: sp.Expr, rest: sp.Expr, axis: Index) -> None:
    """Raises `UnsupportedSpec` where a factor of a sum is infinite once every position is masked.

    `sum (m x)` is then no number if x has both signs, and `m sum x` is an infinity.
    """
    if rest.is_nonnegative or rest.is_nonpositive:
        return
    extremes = [f for f in folds(factor, axis) if f.kind in ("max", "min") and any(True for _ in masks(f.body))]
    value = _put(factor, {f: UNITS[f.kind] for f in extremes})
    if extremes and not has_no_value(value) and infinite_parts(value):
        first = extremes[0]
        bound = "maximum" if first.kind == "max" else "minimum"
        raise UnsupportedSpec(
            f"{text(first)} is infinite where every position is masked, and multiplies a sum: give it a bound, "
            f"as in {bound}({text(first)}, 0)"
        )


def refuse_partial_factor(factor: sp.Expr, rest: sp.Expr, axis: Index) -> None:
    """Raises `UnsupportedSpec` where a factor of `sum where(p, factor x, 0)` has no value for some data.

    The sum is 0 where p holds nowhere, and the factor times a sum is nothing there. Where it is divided by 0,
    `settle` tells the two apart.
    """
    for partial in _partial(factor, axis):
        if any(True for f in sp.Mul.make_args(rest) for _ in zeros_of(f)):
            raise UnsupportedSpec(
                f"{text(partial)} has no value for some data, and multiplies inside of a sum what a condition lets in: "
                f"multiply the sum by it"
            )


def refuse_partial_anchor(value: sp.Expr, axis: Index) -> None:
    """Raises `UnsupportedSpec` where a value that a fold waits for may have none for a part of the axis."""
    for partial in _partial(value, axis):
        raise UnsupportedSpec(
            f"another fold reads {text(partial)}, which may have no value for a part of {axis.name}: bound it, as in "
            f"{text(partial.func(sp.Max(partial.args[0], sp.Rational(1, 100)), *partial.args[1:]))}"
        )


def _partial(value: sp.Expr, axis: Index) -> Iterator[sp.Expr]:
    """The logarithms and roots of what data can make negative, or 0."""
    # Of a position at least: counts are positive.
    counts = {f: sp.Dummy(positive=True) for f in value.atoms(Fold) if f.kind == "count"}
    for node in outside_folds(value):
        if isinstance(node, sp.log) and not at_an_element(node.args[0].xreplace(counts)).is_positive:
            sums = (f for f in folds(node.args[0], axis) if f.kind == "sum")
            if any(not isinstance(f.body, sp.exp) for f in sums):
                yield node
        root = isinstance(node, sp.Pow) and not node.exp.is_integer and bool(folds(node.base, axis))
        if root and not at_an_element(node.base.xreplace(counts)).is_extended_nonnegative:
            yield node


def is_infinite_where_masked(fold: Fold) -> bool:
    """Whether a position that a mask hides makes a fold infinite: a sum at any infinity, a maximum at +oo.

    What has no value there, as `s exp(s - m)` at s = -oo, counts as the unit.
    """
    harmless = {"max": -sp.oo, "min": sp.oo}.get(fold.kind)
    if fold.kind in ("any", "all", "count", "argmax"):
        return False
    hiding = {n.args[0]: n.args[1] in INFINITE for n in masks(fold.body)}
    values = (value_where(fold.body, _only(condition, hiding)) for condition in hiding)
    return any(not has_no_value(v) and infinite_parts(v) - {harmless} for v in values)


def _only(condition: sp.Basic, hiding: dict[sp.Basic, bool]) -> Facts:
    """What is true where the mask of one condition hides a position and no other mask does."""
    others = {part: truth for c, holds in hiding.items() for part, truth in known(c, holds=not holds).items()}
    return others | known(condition, holds=hiding[condition])


def _put(expr: sp.Basic, values: dict[Fold, sp.Expr]) -> Any:
    """An expression with values for some of its folds, in the extended reals."""
    if expr in values:
        return values[expr]
    if isinstance(expr, Fold | Read) or not expr.args:
        return expr
    return apply(expr, [_put(a, values) for a in expr.args])
