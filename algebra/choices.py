"""Writes out what the choices of a pipeline mean: a choice is its branch, and a fold leaves out what has no value.

A position that a mask hides, by an infinity, and at which the body of a fold has no value is no element of the fold, as
in `spec/evaluate.py`: `s exp(s - m)` at s = -oo. The derivation, and what it is compared with, take the pipeline in
this form, in which no such body is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra.bounds import conjuncts
from refold.algebra.extended import apply
from refold.algebra.rewrite import masked_by, rebuild
from refold.spec import Fold, Read, Where
from refold.spec.heads import UNITS

Facts = Mapping[sp.Basic, sp.Basic]
INFINITE = (sp.oo, -sp.oo)


def write_out(expr: sp.Basic) -> Any:
    """`where(p, ... where(p, a, b) ..., c) -> where(p, ... a ..., c)`, and in a fold `b(s) -> where(p, b(x), unit)` for
    `s = where(p, x, -oo)` and a body that has no value at s = -oo. Masks that add up are one."""
    return _written(_join(take(expr, {})))


def take(expr: sp.Basic, facts: Facts) -> Any:
    """An expression with the branches that the facts choose, and inside of a branch those that its condition does."""
    if isinstance(expr, Where):
        condition, then, other = expr.args
        holds = condition.xreplace(dict(facts))
        if holds in (sp.true, sp.false):
            return take(then if holds is sp.true else other, facts)
        branches = (take(b, {**facts, **known(condition, holds=side)}) for b, side in ((then, True), (other, False)))
        return rebuild(expr, [condition, *branches])
    if isinstance(expr, Read) or not expr.args:
        return expr
    if isinstance(expr, Fold):
        facts = {c: holds for c, holds in facts.items() if expr.axis not in c.free_symbols}
    return rebuild(expr, [take(a, facts) for a in expr.args])


def known(condition: sp.Basic, *, holds: bool) -> dict[sp.Basic, sp.Basic]:
    """The comparisons that are true or false where a condition holds, or where it does not."""
    found: dict[sp.Basic, sp.Basic] = {condition: sp.sympify(holds)}
    for part in conjuncts(condition if holds else sp.Not(condition)):
        if isinstance(part, Relational):
            for side, truth in ((part, sp.true), (part.negated, sp.false)):
                found |= {side: truth, side.reversed: truth}
        else:
            found[part] = sp.true
    return found


def value_where(expr: sp.Basic, facts: Facts) -> Any:
    """The value of an expression in the extended reals where facts choose between its branches; data is finite."""
    if isinstance(expr, Fold | Read) or not expr.args:
        return expr
    if not isinstance(expr, Where):
        return apply(expr, [value_where(a, facts) for a in expr.args])
    holds = expr.args[0].xreplace(dict(facts))
    if holds in (sp.true, sp.false):
        return value_where(expr.args[1 if holds is sp.true else 2], facts)
    branches = [value_where(b, facts) for b in expr.args[1:]]
    return expr if sp.nan in branches else rebuild(expr, [expr.args[0], *branches])


def masks(expr: sp.Basic) -> Iterator[Where]:
    """The choices between an infinity and something else, outside of folds."""
    if isinstance(expr, Where) and any(a in INFINITE for a in expr.args[1:]):
        yield expr
    if not isinstance(expr, Fold | Read):
        for arg in expr.args:
            yield from masks(arg)


def zeros_of(factor: sp.Expr) -> Iterator[tuple[sp.Basic, bool]]:
    """The predicate by which a factor of a sum is 0, with the truth value at which it is."""
    if isinstance(factor, Where):
        condition, *branches = factor.args
        yield from ((condition, branch is branches[0]) for branch in branches if branch == 0)


def _join(expr: sp.Basic) -> Any:
    """`where(p, where(q, a, -oo), -oo)` and `where(p, a, -oo) + where(q, 0, -oo)` as `where(p and q, a, -oo)`."""
    if isinstance(expr, Read) or not expr.args:
        return expr
    expr = rebuild(expr, [_join(a) for a in expr.args])
    if isinstance(expr, Where) and expr.args[2] in INFINITE:
        return masked_by(*expr.args)
    if isinstance(expr, sp.Add):
        hidden = [a for a in expr.args if isinstance(a, Where) and a.args[2] in INFINITE]
        if len(hidden) > 1 and len({a.args[2] for a in hidden}) == 1:
            whole = Where(sp.And(*(a.args[0] for a in hidden)), sp.Add(*(a.args[1] for a in hidden)), hidden[0].args[2])
            return sp.Add(whole, *(a for a in expr.args if a not in hidden))
    return expr


def _written(expr: sp.Basic) -> Any:
    if isinstance(expr, Read) or not expr.args:
        return expr
    expr = rebuild(expr, [_written(a) for a in expr.args])
    if not isinstance(expr, Fold):
        return expr
    conditions = tuple(dict.fromkeys(n.args[0] for n in masks(expr.body)))
    counts = sp.to_nnf(sp.Not(_has_no_value(expr.body, conditions, {})), simplify=False)
    if counts is sp.true:
        return expr
    # What has no position is below all that have one.
    unit = -sp.oo if expr.kind == "argmax" else UNITS[expr.kind]
    return Fold(expr.kind, Where(counts, take(expr.body, known(counts, holds=True)), unit), expr.axis)


def _has_no_value(body: sp.Basic, conditions: tuple[sp.Basic, ...], facts: Facts) -> sp.Basic:
    """Where a body has no value, as a condition on what hides a position; an infinity of a mask takes part there."""
    if not conditions:
        hidden = any(take(n, facts) in INFINITE for n in masks(body))
        return sp.true if hidden and value_where(body, facts) is sp.nan else sp.false
    first, *rest = conditions
    then, other = (_has_no_value(body, tuple(rest), {**facts, **known(first, holds=side)}) for side in (True, False))
    if then == other:
        return then
    # Of what is certain on one side the other side need not be named.
    cases = ((first, then, other), (sp.Not(first), other, then))
    return sp.Or(*(found if beside is sp.true else sp.And(side, found) for side, found, beside in cases))
