"""The normal form of a pipeline's folds: masks inside, finished factors outside, exponents shifted by their maximum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sympy as sp

from refold.algebra.journal import Journal
from refold.algebra.masked import refuse_infinite_factor, refuse_partial_factor
from refold.algebra.rewrite import expand_logs, folds, has_fold, map_folds, push_masks, replace_size, summands
from refold.algebra.signs import split_signs
from refold.algebra.stabilise import shift
from refold.algebra.weights import by_weight
from refold.spec import Fold, Index, Size


@dataclass(frozen=True, slots=True)
class Demands:
    """What a first look at the laws of a pipeline asks of its normal form.

    `floors` are constants that shifts have to reach; `apart` are sums that have a law term by term alone.
    """

    floors: frozenset[sp.Expr] = frozenset()
    apart: frozenset[Fold] = frozenset()


class NormalForm:
    """Folds as written beside the expressions over folds in normal form that they are equal to."""

    def __init__(self, axis: Index, journal: Journal, demands: Demands) -> None:
        self.axis, self.journal, self.demands = axis, journal, demands
        self.normal: dict[Fold, sp.Expr] = {}
        # Each as a sum of factors that do not vary times folds in normal form.
        self.results: dict[Fold, tuple[tuple[sp.Expr, Fold], ...]] = {}
        self.scales: list[sp.Expr] = []
        # The maxima so far that wait for nothing: what a shift may be taken from.
        self.maxima: dict[Fold, None] = {}

    def count_positions(self, exprs: list[sp.Expr]) -> list[sp.Expr]:
        """A length inside of a body is a fold itself: `|j| -> count_j(true)`, so that it has a partial value."""
        size = Size(self.axis.name)
        bodies = [f.body for e in exprs for f in folds(e, self.axis)]
        count = Fold("count", sp.S.One, self.axis)
        if all(replace_size(body, self.axis, count) == body for body in bodies):
            return exprs
        self.journal.step("count", size, count, "a length that a body reads has a partial value too")
        return [replace_size(e, self.axis, count) for e in exprs]

    def varies(self, expr: sp.Expr) -> bool:
        return self.axis in expr.free_symbols

    def waits(self, expr: sp.Basic) -> bool:
        return has_fold(expr, self.axis)

    def normalise(self, fold: Fold) -> Any:
        """A fold as written -> an expression over folds in normal form: masks inside, constants out, shifted."""
        if fold not in self.normal:
            self.results[fold] = tuple(self.parts(fold))
            self.normal[fold] = sp.Add(*(scale * main for scale, main in self.results[fold]))
        return self.normal[fold]

    def parts(self, fold: Fold) -> Iterator[tuple[sp.Expr, Fold]]:
        """The factors that do not vary, and the folds in normal form, whose products add up to a fold as written."""
        body = map_folds(fold.body, self.axis, self.normalise)
        body = sp.powsimp(expand_logs(push_masks(body, self.varies, self.waits)), combine="exp")
        body = split_signs(body, self.axis, self.varies, self.waits)
        if fold.kind == "sum":
            yield from self.sums(body)
            return
        main = Fold(fold.kind, body, self.axis)
        if fold.kind == "max" and not self.waits(body):
            self.maxima[main] = None
        yield sp.S.One, main

    def sums(self, body: sp.Expr) -> Iterator[tuple[sp.Expr, Fold]]:
        """The same for a sum over a body of normal folds: one for each weight of its terms, constants out, shifted."""
        terms = by_weight(body, self.varies, self.waits)
        if terms != (body,):
            yield from self.cut(body, terms, "terms of different weights: each is scaled by its own")
            return
        scale, body = self.hoist(body)
        shifted = shift(body, self.axis, self.varies, self.maxima, self.demands.floors)
        if shifted is not None:
            stable, log_scale = shifted
            self.scales.append(log_scale)
            tops = (f for f in folds(log_scale, self.axis) if f.kind == "max" and not self.waits(f.body))
            self.maxima |= dict.fromkeys(tops)
            before, after = Fold("sum", body, self.axis), Fold("sum", stable, self.axis)
            note = "shifted by its maximum, so that every exponent is at most 0"
            self.journal.step("stabilise", before, sp.exp(log_scale) * after, note)
            scale, body = scale * sp.exp(log_scale), stable
        main = Fold("sum", body, self.axis)
        if main not in self.demands.apart:
            yield scale, main
            return
        note = "each term has a law without a divisor that can be 0"
        yield from ((scale * factor, part) for factor, part in self.cut(body, summands(body), note))

    def cut(self, body: sp.Expr, terms: tuple[sp.Expr, ...], note: str) -> Iterator[tuple[sp.Expr, Fold]]:
        """`sum_j (a + b) -> sum_j a + sum_j b`."""
        if len(terms) > 1:
            whole, parts = Fold("sum", body, self.axis), [Fold("sum", term, self.axis) for term in terms]
            self.journal.step("split", whole, sp.Add(*parts), note)
        for term in terms:
            yield from self.sums(term)

    def hoist(self, body: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """Constant factors leave a sum; a divisor with a running maximum stays, since it is to scale what is summed.

        A difference of two folds leaves too, `max - min` that is: it is 0 after one element.
        """
        out: list[sp.Expr] = []
        kept: list[sp.Expr] = []
        for factor in sp.Mul.make_args(body):
            still = not self.varies(factor) and not isinstance(factor, sp.exp)
            divides = factor.is_Pow and factor.exp.is_negative
            within = folds(factor, self.axis) if divides else []
            differs = divides and isinstance(factor.base, sp.Add) and len(within) > 1
            sized = not differs and any(f.kind in ("max", "min") for f in within)
            (out if still and not sized else kept).append(factor)
        for factor in out:
            refuse_infinite_factor(factor, sp.Mul(*kept), self.axis)
            refuse_partial_factor(factor, sp.Mul(*kept), self.axis)
        if out and folds(sp.Mul(*out), self.axis):
            before, after = Fold("sum", body, self.axis), Fold("sum", sp.Mul(*kept), self.axis)
            self.journal.step("hoist", before, sp.Mul(*out) * after, "finished factors leave the sum")
        return sp.Mul(*out), sp.Mul(*kept)
