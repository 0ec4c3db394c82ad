"""What a pipeline costs, as written and fused: numbers moved to and from memory, and operations, over the sizes.

As written it takes one kernel for each line that `refold derive` prints of it, which reads every tensor and every
earlier line on its right once in each pass and writes its left, and one for each fold inside of another, such as a
product of matrices. That is less than what eager torch moves, which has a kernel for each operation. Fused, a stage
reads what its loop and its end read and writes its outputs: what programs of several rows share is counted once, as
caches give it. Conditions and positions are not counted as operations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sympy as sp

from refold.algebra.plan import Plan
from refold.algebra.roles import axes_of, expand_elements, layout
from refold.algebra.stages import Staged
from refold.algebra.worth import volume
from refold.spec import Fold, Read, Size, Spec, Where
from refold.spec.heads import sigmoid

# The sizes of an example: long where programs and loops go along, and as wide as a head where values are held whole.
LONG, BATCH, WIDE = 4096, 32, 128
_FUNCTIONS = (sp.exp, sp.log, sp.tanh, sp.sin, sp.cos, sp.erf, sp.Abs, sp.floor, sigmoid)


@dataclass(frozen=True, slots=True)
class Cost:
    """Numbers read and written, and operations on them."""

    moved: sp.Expr
    operations: sp.Expr

    def __add__(self, other: Cost) -> Cost:
        return Cost(sp.expand(self.moved + other.moved), sp.expand(self.operations + other.operations))

    def at(self, sizes: dict[Size, int]) -> tuple[int, int]:
        """Both as numbers; a scalar length, such as that of one axis of two, is as long as that axis."""
        return int(self.moved.xreplace(sizes)), int(self.operations.xreplace(sizes))


NOTHING = Cost(sp.S.Zero, sp.S.Zero)


def as_written(spec: Spec) -> Cost:
    """The cost of a pipeline line by line."""
    return sum((_line(left, right) for left, right in spec.equations()), NOTHING)


def _line(left: sp.Expr, right: sp.Expr) -> Cost:
    """A pass for each fold that waits for another, and one for what waits for them all."""
    written = volume(left.indices if isinstance(left, Read) else ())
    moved = sum((_size(r) for reads in _passes(right).values() for r in sorted(reads, key=str)), sp.S.Zero)
    within = {f for top in right.atoms(Fold) for f in top.body.atoms(Fold)}
    passed = sum((2 * volume(axes_of(f)) for f in sorted(within, key=str)), sp.S.Zero)
    return Cost(_varying(moved + written + passed), _varying(_operations([right])))


def _passes(expr: sp.Basic) -> dict[int, set[Read]]:
    """What is read in each pass over an expression: 0 is what stands outside of all folds."""
    found: dict[int, set[Read]] = {}

    def visit(part: sp.Basic, turn: int) -> None:
        if isinstance(part, Read):
            found.setdefault(turn, set()).add(part)
        elif isinstance(part, Fold):
            visit(part.body, _waiting(part))
        else:
            for arg in part.args:
                visit(arg, turn)

    visit(expr, 0)
    return found


def _waiting(expr: sp.Basic) -> int:
    """How many folds stand one in the other."""
    inner = max((_waiting(a) for a in expr.args), default=0)
    return inner + isinstance(expr, Fold)


def _varying(expr: sp.Expr) -> sp.Expr:
    """A polynomial in the sizes without what is done once."""
    return sp.Add(*(term for term in sp.Add.make_args(sp.expand(expr)) if term.free_symbols))


def fused(outcome: Plan | Staged) -> Cost:
    """The cost of the kernels of a plan, or of all stages."""
    if isinstance(outcome, Plan):
        return _of_plan(outcome)
    lengths: dict[Any, Any] = {}
    for flat in outcome.flats:
        lengths |= {Size(flat.axis.name): Size(flat.outer.name) * Size(flat.inner.name)}
        lengths |= {flat.length: Size(flat.inner.name)}
    total = sum(map(_of_plan, outcome.plans), NOTHING)
    for _ in outcome.flats:
        total = Cost(sp.expand(total.moved.xreplace(lengths)), sp.expand(total.operations.xreplace(lengths)))
    return total


def _of_plan(plan: Plan) -> Cost:
    """A loop over all positions, and the end of it, which may walk the axis again."""
    loop = [expand_elements(plan, a.element) for a in plan.accumulators]
    ends = [f.expr for f in plan.finish]
    again = [e for e in ends if plan.axis in axes_of(e)]
    first = {r for e in loop for r in e.atoms(Read)}
    alone = {r for e in ends for r in e.atoms(Read)} - first
    second = {r for e in again for r in e.atoms(Read)} & first
    written = sum((volume(f.axes) for f in plan.finish), sp.S.Zero)
    moved = sum((_size(r) for group in (first, alone, second) for r in sorted(group, key=str)), written)
    joins = sum((volume({*a.axes, plan.axis}) for a in plan.accumulators), sp.S.Zero)
    return Cost(_varying(moved), _varying(_operations(loop) + joins + _operations(ends)))


def _size(read: Read) -> sp.Expr:
    """How many numbers of a tensor are read: all of them, or, where another tensor says which, one for each place."""
    chosen = any(i.has(Read) for i in read.indices)
    return volume(axes_of(read) if chosen else read.tensor.axes)


def _operations(exprs: Iterable[sp.Expr]) -> sp.Expr:
    """One for each operation at each position of the axes that it varies with; what is the same is done once."""
    seen: set[sp.Basic] = set()
    total: list[sp.Expr] = []

    def visit(expr: sp.Basic) -> None:
        if expr in seen or not isinstance(expr, sp.Expr) or isinstance(expr, Read):
            return
        seen.add(expr)
        axes = axes_of(expr) | ({expr.axis} | axes_of(expr.body) if isinstance(expr, Fold) else set())
        total.append(_arity(expr) * volume(axes))
        for arg in (expr.body,) if isinstance(expr, Fold) else expr.args:
            visit(arg)

    for expr in exprs:
        visit(expr)
    return sp.Add(*total)


def _arity(expr: sp.Expr) -> int:
    """How many operations an expression is, beside those of its arguments."""
    match expr:
        case sp.Add() | sp.Max() | sp.Min():
            return len(expr.args) - 1
        case sp.Mul():
            return sum(a != -1 for a in expr.args) - 1
        case sp.Pow() if expr.exp.is_Integer:
            return max(1, abs(int(expr.exp)) - 1)
        case sp.Pow() | Fold() | Where():
            return 1
        case _ if isinstance(expr, _FUNCTIONS):
            return 1
    return 0


def example_sizes(outcome: Plan | Staged, spec: Spec) -> dict[Size, int]:
    """A length for every axis of a pipeline, by what the axis is for."""
    sizes = dict.fromkeys(spec.axes, BATCH)
    for plan in outcome.plans if isinstance(outcome, Staged) else (outcome,):
        roles = layout(plan)
        inner = roles.inner if roles is not None else ()
        long = (plan.axis, roles.rows) if roles is not None else (plan.axis,)
        sizes |= dict.fromkeys([a for a in inner if a in sizes], WIDE)
        sizes |= dict.fromkeys([a for a in long if a in sizes], LONG)
    if isinstance(outcome, Staged):
        sizes |= {flat.inner: LONG for flat in outcome.flats if flat.inner in sizes}
    return {Size(a.name): n for a, n in sizes.items()}
