"""From where the emitted tests draw inputs, so that the pipeline as written has values there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from refold.spec import Fold, Index, Read, Spec, Where
from refold.spec.evaluate import evaluate

# The largest number of float16: results beyond it are infinite there.
HALF = 65504.0
# A pipeline that is defined on less than this part of what it computes is drawn from elsewhere.
SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Draw:
    """One set of inputs of small sizes: `positive` tensors, all times a factor, constant along the axis `still`."""

    spec: Spec
    sizes: Mapping[str, int]
    scalars: Mapping[str, float]
    integers: Mapping[str, tuple[str, str]]
    positive: tuple[str, ...] = ()
    factor: float = 1.0
    still: Index | None = None

    def inputs(self) -> dict[str, Any]:
        """Arrays, scalars and lengths by their names."""
        g = np.random.default_rng(0)
        found: dict[str, Any] = {a.name: self.sizes[a.name] for a in self.spec.axes} | dict(self.scalars)
        for t in self.spec.tensors:
            shape = tuple(self.sizes[a.name] for a in t.axes)
            if t.is_integer:
                axis, mark = self.integers[t.name]
                places = g.integers(0, max(1, self.sizes.get(axis, 3)), shape) + (t.name in self.positive)
                found[t.name] = np.where(g.random(shape) < 0.25, self.scalars[mark], places) if mark else places
                continue
            # In sixteenths, so that sums of equal numbers and their means are exact, and none of them 0.
            values = (np.floor(8 * g.normal(size=shape)) + 0.5) / 8
            if self.still in t.axes:
                values = np.broadcast_to(values.take([0], axis=t.axes.index(self.still)), shape)
            found[t.name] = self.factor * (np.abs(values) + 0.125 if t.name in self.positive else values)
        return found

    def outputs(self, seed: int | None = None) -> dict[str, Any]:
        """What the pipeline gives; with a seed, after every input has changed by one rounding of float32."""
        found = self.inputs()
        if seed is not None:
            g = np.random.default_rng(seed)
            for t in self.spec.tensors:
                if not t.is_integer:
                    signs = 2 * g.integers(0, 2, np.shape(found[t.name])) - 1
                    found[t.name] = found[t.name] * (1 + np.finfo(np.float32).eps * signs)
        return evaluate(self.spec, found)

    def share(self, largest: float = np.inf) -> float:
        """The part of the outputs that is finite and no larger than that; of the worst output."""
        parts = (np.isfinite(v) & (np.abs(v) <= largest) for v in self.outputs().values())
        return min(float(p.mean()) if p.size else 1.0 for p in parts)


@dataclass(frozen=True, slots=True)
class Domain:
    """`positive`: the tensors whose elements are; `large`: by how much inputs may be multiplied for large logits.

    `constant`: whether the pipeline has values where the inputs do not vary along the fold's axis.
    """

    positive: tuple[str, ...]
    large: float
    constant: bool


def domain_of(spec: Spec, fold: Index, sizes: Mapping[str, int], scalars: Mapping[str, float],
              integers: Mapping[str, tuple[str, str]]) -> Domain:  # fmt: skip
    """The first choice of positive tensors, and then the largest factor, at which the spec is finite nearly everywhere.

    Logits are to be of about 1e4, the product of two inputs for a dot product. A pipeline that is written without a
    maximum (`sum exp(s) v / sum exp(s)`) overflows there in float64, and its logits are as large as it allows; so are
    those of one whose results, such as variances, leave the range of float16.
    """

    def share(positive: tuple[str, ...], factor: float, still: Index | None = None, largest: float = np.inf) -> float:
        return Draw(spec, sizes, scalars, integers, positive, factor, still).share(largest)

    lengths = {_divisors(spec): None, tuple(integers): None}
    choices = ((*whole, *names) for whole in lengths for names in _choices(spec))
    positive = max(choices, key=lambda names: (min(share(names, 1.0), SHARE), -len(names)))
    least = min(share(positive, 1.0), SHARE)
    # Half as much again, since another draw may hold a larger number.
    factors = (_wish(spec) / 3.0**n for n in range(10))
    large = next((f for f in factors if f < 1 or share(positive, 1.5 * f, largest=HALF) >= least), 1.0)
    return Domain(positive, max(1.0, large), share(positive, 1.0, fold) >= least)


def _divisors(spec: Spec) -> tuple[str, ...]:
    """The tensors of integers that stand below fraction bars: lengths, of which none is 0."""
    powers = (n for o in spec.outputs for n in sp.preorder_traversal(o.expr) if isinstance(n, sp.Pow))
    below = {r.name for n in powers if n.exp.is_negative for r in _terms(n.base)}
    return tuple(t.name for t in spec.tensors if t.is_integer and t.name in below)


def _terms(expr: sp.Basic) -> Iterator[Read]:
    """What an expression reads by itself, and neither within its folds nor to know where to read or which to take."""
    if isinstance(expr, Read):
        yield expr
    elif not isinstance(expr, Fold):
        for arg in expr.args[1:] if isinstance(expr, Where) else expr.args:
            yield from _terms(arg)


def _choices(spec: Spec) -> Iterator[tuple[str, ...]]:
    """Those declared so; those under logarithms and roots; those below fraction bars too; all."""
    floats = [t.name for t in spec.tensors if not t.is_integer]
    declared = {t.name for t in spec.tensors if t.sign}
    roots: set[str] = set()
    below: set[str] = set()
    for o in spec.outputs:
        for node in sp.preorder_traversal(o.expr):
            reads = {r.name for r in node.atoms(Read)}
            if isinstance(node, sp.log) or (isinstance(node, sp.Pow) and not node.exp.is_Integer):
                roots |= reads
            if isinstance(node, sp.Pow) and node.exp.is_negative:
                below |= reads
    for names in ({*()}, roots, roots | below, {*floats}):
        yield tuple(n for n in floats if n in names | declared)


def _wish(spec: Spec) -> float:
    """The size of the inputs that makes logits of about 1e4."""
    nodes = [n for o in spec.outputs for n in sp.preorder_traversal(o.expr)]
    dots = any(isinstance(n, Fold) and len(sp.Mul.make_args(n.body)) > 1 and not n.body.has(sp.exp) for n in nodes)
    return 1e2 if dots else 1e4
