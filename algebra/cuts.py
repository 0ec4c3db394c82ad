"""The ways to cut a pipeline in two: what is computed first is a value over rows alone, which what is left reads.

o = sum_j log(x[i,j] + max_j x[i,j])    ->      m[i] = max_j x[i,j];    o = sum_j log(x[i,j] + m[i])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any

import sympy as sp

from refold.algebra.names import Names
from refold.algebra.rewrite import rebuild
from refold.algebra.roles import axes_of
from refold.spec import Fold, Index, Output, Param, Read, Size, Spec
from refold.spec.heads import TensorName, is_integral, outermost
from refold.spec.pipeline import assembled

Ready = Callable[[Fold], bool]


def cuts(spec: Spec, taken: frozenset[str], lengths: dict[Param, Index]) -> list[tuple[Spec, Spec]]:
    """The ways to compute a part of a pipeline first, those that hand on least before the others.

    A way is an axis and a number: what is first are the folds over this axis that so many of it wait for; of these
    all, or where they differ in the axes that they vary with, those of one set of axes. What is handed on has names
    that are not `taken`; `lengths` gets those of axes that a piece has no tensor over.
    """
    every = list(dict.fromkeys(f for o in spec.outputs for f in _within(o.expr)))
    found: dict[tuple[Spec, Spec], None] = {}
    for axis in dict.fromkeys(f.axis for f in every):
        deepest = max(_chain(f, axis) for f in every if f.axis == axis)
        for level, rows in product(range(deepest, 0, -1), (None, *_rows(every, axis))):
            names = Names(spec)
            names.taken |= taken
            cut = _cut(spec, partial(_is_ready, axis=axis, level=level, rows=rows), names)
            if cut is not None:
                first, rest = (with_lengths(piece, names, lengths) for piece in cut)
                found[first, rest] = None
    return sorted(found, key=_cost)


def _rows(every: list[Fold], axis: Index) -> list[frozenset[Index]]:
    """The axes that folds over one vary with, where not all vary with the same: o = sum_i min_j s + sum_j min_i s."""
    found = dict.fromkeys(frozenset(axes_of(f)) for f in every if f.axis == axis)
    return list(found) if len(found) > 1 else []


def _is_ready(fold: Fold, axis: Index, level: int, rows: frozenset[Index] | None) -> bool:
    return fold.axis == axis and _chain(fold, axis) <= level and rows in (None, axes_of(fold))


def _cost(cut: tuple[Spec, Spec]) -> tuple[int, int, int, int]:
    """What a cut costs, the gravest first.

    Tensors handed on that have more axes than each that their fold reads, such as scores; folds in a fold that are
    computed again for every row; the most axes of a tensor handed on; how many there are.
    """
    first, rest = cut
    wanted = {t.name for t in rest.tensors}
    passed = [o for o in first.outputs if o.name in wanted]
    swollen = sum(map(swells, passed))
    again = sum(len(_again(piece)) for piece in cut)
    return swollen, again, max((len(o.axes) for o in passed), default=0), len(passed)


def swells(output: Output) -> bool:
    """Whether an output has more axes than every tensor that it reads."""
    return len(output.axes) > max((len(r.tensor.axes) for r in output.expr.atoms(Read)), default=0)


def _again(spec: Spec) -> set[Fold]:
    """The folds in other folds that are the same for all rows."""
    return {
        inner
        for o in spec.outputs
        for fold in outermost(o.expr)
        for inner in _within(fold.body)
        if o.axes and not axes_of(inner) & ({*o.axes} - {fold.axis})
    }


def with_lengths(spec: Spec, names: Names, lengths: dict[Param, Index]) -> Spec:
    """A pipeline in which the length of an axis that no tensor has is a scalar."""
    held = {a.name for t in spec.tensors for a in t.axes}
    lost = {n for o in spec.outputs for n in o.expr.atoms(Size) if n.name not in held}
    known = {axis.name: length for length, axis in lengths.items()}
    put: dict[sp.Expr, sp.Expr] = {}
    for size in sorted(lost, key=str):
        length = known.get(size.name) or Param(
            names.take(f"{size.name}_length"), integer=True, nonnegative=True, real=True
        )
        put[size] = length
        lengths[length] = Index(size.name)
    return assembled(spec, [replace(o, expr=o.expr.xreplace(put)) for o in spec.outputs]) if put else spec


def _cut(spec: Spec, ready: Ready, names: Names) -> tuple[Spec, Spec] | None:
    """What is ready, and what reads it; nothing where one of the two would be all or nothing."""
    work = _Cut(ready, names)
    first = [o for o in spec.outputs if (tops := outermost(o.expr)) and all(map(ready, tops))]
    for output in first:
        work.reads[output.expr] = _read(output)
    rest = [replace(o, expr=work.apart(o.expr)) for o in spec.outputs if o not in first]
    first += work.written
    if not first or not any(outermost(o.expr) for o in rest):
        return None
    return assembled(spec, first), assembled(spec, rest)


@dataclass(slots=True)
class _Cut:
    """Puts reads of tensors in the place of what is computed first."""

    ready: Ready
    names: Names
    reads: dict[sp.Expr, Read] = field(default_factory=dict)
    written: list[Output] = field(default_factory=list)

    def apart(self, expr: Any) -> Any:
        """An expression with reads in the place of its largest parts that are ready and vary with rows alone."""
        if not any(self.ready(f) for f in _within(expr)):
            return expr
        if self.is_whole(expr):
            factor, value = expr.as_coeff_Mul()
            return factor * self.read(value)
        if isinstance(expr, sp.Add | sp.Mul):
            whole = [a for a in expr.args if self.is_whole(a)]
            if len(whole) > 1 and self.is_whole(together := expr.func(*whole)):
                return expr.func(self.read(together), *(self.apart(a) for a in expr.args if a not in whole))
        return rebuild(expr, [self.apart(a) for a in expr.args])

    def is_whole(self, expr: sp.Basic) -> bool:
        """Whether all folds of an expression are ready, and it varies with nothing that they do not vary with."""
        tops = outermost(expr) if isinstance(expr, sp.Expr) else []
        if not tops or not all(map(self.ready, tops)):
            return False
        return axes_of(expr) <= set[Index]().union(*map(axes_of, tops))

    def read(self, expr: Any) -> Read:
        """The tensor that holds the value of an expression."""
        if expr not in self.reads:
            axes = tuple(sorted(axes_of(expr), key=lambda a: a.name))
            name = self.names.take("pass1")
            self.written.append(Output(name, expr, axes))
            self.reads[expr] = _read(self.written[-1])
        return self.reads[expr]


def _read(output: Output) -> Read:
    """An output as what comes later reads it: in float32, however the inputs are rounded; a position as an integer."""
    return Read(TensorName(output.name, output.axes, dtype_of(output)), *output.axes)


def dtype_of(output: Output) -> str:
    """In what an output is handed on."""
    return "int64" if is_integral(output.expr) else "float32"


def _within(expr: sp.Basic) -> Iterator[Fold]:
    """Every fold of an expression, those in folds too."""
    if isinstance(expr, Fold):
        yield expr
    for arg in expr.args:
        yield from _within(arg)


def _chain(fold: Fold, axis: Index) -> int:
    """How many folds over an axis wait for each other."""
    return int(fold.axis == axis) + max((_chain(f, axis) for f in _within(fold.body)), default=0)
