"""Two axes that a pipeline always folds together, as one: a fold over (c, p) is one over the positions of both.

    sum_c sum_p x[n,c,p]    ->    sum_cp x[n,cp],    with c = cp // |p| and p = cp % |p| wherever else they stand

A tensor that has both side by side is read as one that has the new axis in their place, which is a view of it where
they lie so in memory. One that has others between them is read at the digits of a position, and is not copied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import sympy as sp

from refold.algebra.names import Names
from refold.algebra.rewrite import rebuild, walk
from refold.spec import Fold, Index, Output, Param, Read, Size, Spec
from refold.spec.heads import TensorName
from refold.spec.pipeline import assembled
from refold.spec.value import Value


class _Apart(Exception):
    """The two axes are not always together."""


@dataclass(frozen=True, slots=True)
class Flat:
    """One axis for two of the pipeline `before`: its position is `outer length + inner`, with the inner axis's length.

    `after` is the pipeline over it.
    """

    before: Spec
    axis: Index
    outer: Index
    inner: Index
    length: Param
    after: Spec

    @property
    def position(self) -> sp.Expr:
        """Where a position of both is."""
        return self.outer * Size(self.inner.name) + self.inner

    def beside(self, axes: tuple[Index, ...]) -> bool:
        """Whether a tensor has the two side by side, the outer one first."""
        return (self.outer, self.inner) in pairwise(axes)

    def axes(self, axes: tuple[Index, ...]) -> tuple[Index, ...]:
        """The axes of a tensor that has both, with the new one where the inner one was."""
        return tuple(self.axis if a == self.inner else a for a in axes if a != self.outer)


def flatten(spec: Spec) -> Flat | None:
    """One axis in the place of two that a tensor has, if they are always folded together; None where there are none.

    Where no tensor has both, as in the sum of a kernel over pairs of points, a fold of one in the other is as good.
    """
    pairs = {(f.axis, f.body.axis) for o in spec.outputs for f in walk(o.expr) if is_pair(f)}
    pairs = {pair for pair in pairs if any({*pair} <= {*t.axes} for t in spec.tensors)}
    for outer, inner in sorted(pairs, key=str):
        names = Names(spec)
        axis = Index(names.take(f"{outer.name}{inner.name}"))
        length = Param(names.take(f"{inner.name}_length"), integer=True, positive=True, real=True)
        flat = Flat(spec, axis, outer, inner, length, spec)
        try:
            outputs = [_Flattening(flat).output(o) for o in spec.outputs]
        except _Apart:
            continue
        return replace(flat, after=assembled(spec, outputs))
    return None


def is_pair(expr: sp.Basic) -> bool:
    """Whether an expression is a fold of a fold of the same kind, and of nothing else."""
    return isinstance(expr, Fold) and isinstance(expr.body, Fold) and expr.body.kind == expr.kind


@dataclass(frozen=True, slots=True)
class _Flattening:
    """Writes expressions over the new axis. Raises `_Apart` where one of the two is bound alone."""

    flat: Flat

    def output(self, output: Output) -> Output:
        both = {self.flat.outer, self.flat.inner} & {*output.axes}
        if len(both) == 1:
            raise _Apart
        axes = self.flat.axes(output.axes) if both else output.axes
        return replace(output, expr=self(output.expr), axes=axes)

    def __call__(self, expr: Any) -> Any:
        flat = self.flat
        match expr:
            case Fold() if is_pair(expr) and (expr.axis, expr.body.axis) == (flat.outer, flat.inner):
                return Fold(expr.kind, self(expr.body.body), flat.axis)
            case Fold() if expr.axis in (flat.outer, flat.inner):
                raise _Apart
            case Read():
                return self.read(expr)
            case Index() if expr == flat.outer:
                return (Value(flat.axis) // Value(flat.length)).expr
            case Index() if expr == flat.inner:
                return (Value(flat.axis) % Value(flat.length)).expr
            case Size() if expr.name == flat.inner.name:
                return flat.length
            case Size() if expr.name == flat.outer.name:
                return Size(flat.axis.name) / flat.length
        return rebuild(expr, [self(a) for a in expr.args]) if expr.args else expr

    def read(self, read: Read) -> Read:
        flat, tensor = self.flat, read.tensor
        if not flat.beside(tensor.axes):
            return Read(tensor, *map(self, read.indices))
        at = dict(zip(tensor.axes, read.indices, strict=True))
        if at[flat.outer] != flat.outer or at[flat.inner] != flat.inner:
            raise _Apart
        axes = flat.axes(tensor.axes)
        named = TensorName(tensor.name, axes, tensor.dtype, tensor.ref, tensor.sign)
        named.order = tensor.order
        return Read(named, *(flat.axis if a == flat.axis else self(at[a]) for a in axes))
