"""Writes out where an output is what `empty=` states: where it has no value because its reductions range over nothing.

For the eager reference, which has no guards of its own: `where(no position, or all of them masked, empty, output)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import sympy as sp

from refold.algebra.choices import write_out, zeros_of
from refold.algebra.extended import Unclear, has_no_value
from refold.algebra.plan import Plan
from refold.algebra.rewrite import walk
from refold.algebra.situation import Masked, Situation, masks_of, subsets
from refold.spec import Fold, Index, Output, Spec, Where
from refold.spec.heads import outermost

MOST = 4  # predicates of one output


def stated(spec: Spec) -> Spec:
    """`o -> where(nothing, empty, o)`; where nothing is stated, only if floats would give an infinity for NaN."""
    return replace(spec, outputs=tuple(_stated(spec, o) for o in spec.outputs))


def _stated(spec: Spec, output: Output) -> Output:
    written = write_out(output.expr)
    axes = dict.fromkeys(f.axis for f in outermost(written))
    nothing = [c for axis in axes if (c := _nothing(spec, output, written, axis)) is not sp.false]
    return replace(output, expr=Where(sp.Or(*nothing), spec.empty, output.expr)) if nothing else output


def _nothing(spec: Spec, output: Output, written: sp.Expr, axis: Index) -> sp.Basic:
    """When no position of an axis counts and an output has no value for that."""
    plan = Plan(spec, axis, (), (), (), (), (), (), ())
    predicates = tuple(dict.fromkeys(_predicates(written, axis)))[:MOST]
    found: list[Masked] = []
    for masked in subsets(predicates):
        if (not masked and axis in output.axes) or any(f and {*f} <= {*masked} for f in found):
            continue
        try:
            value = Situation(plan, masked).reduce(written)
        except Unclear:
            continue
        if has_no_value(value) and (spec.empty is not sp.nan or value is not sp.nan):
            found.append(masked)
    hidden = sp.Or(*(_hidden(masked, axis) for masked in found if masked))
    # Of no positions a predicate masks all.
    vacuous = any(all(axis in p.free_symbols for p, _ in masked) for masked in found if masked)
    if () in found:
        return hidden if vacuous else sp.Or(sp.Eq(axis.size, 0, evaluate=False), hidden)
    return sp.And(sp.Gt(axis.size, 0, evaluate=False), hidden) if vacuous and axis not in output.axes else hidden


def _predicates(expr: sp.Basic, axis: Index) -> Iterator[tuple[sp.Basic, bool]]:
    for fold in walk(expr):
        if isinstance(fold, Fold) and fold.axis == axis:
            yield from masks_of(fold.body)
            yield from (p for factor in sp.Mul.make_args(fold.body) for p in zeros_of(factor))


def _hidden(masked: Masked, axis: Index) -> sp.Basic:
    """That predicates mask every position."""
    hidden = [p if holds else sp.Not(p) for p, holds in masked]
    every = [Fold("all", Where(c, 1, 0), axis) for c in hidden if axis in c.free_symbols]
    return sp.And(*(sp.Ne(f, 0) for f in every), *(c for c in hidden if axis not in c.free_symbols))
