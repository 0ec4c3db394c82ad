"""A tape of rounded operations: every value exact and as computed, with the derivatives that carry errors on.

First-order rounding analysis by reverse accumulation (Higham, Accuracy and Stability of Numerical Algorithms, 2nd
ed., ch. 2-4; Linnainmaa, Taylor expansion of the accumulated rounding error, BIT 16, 1976): an operation `z` that
rounds by `|dz|` moves an output by `|d out / d z| |dz|`, and the derivative holds every cancellation on the way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from refold.spec.evaluate import Array
from refold.verify.functions import QUOTIENT, Function

# Half the distance of neighbours near 1, and the error where results are too small for that to hold: float32 is
# flushed to zero below 2^-126, the others end in subnormals.
UNIT = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
TINY = {"float32": 2.0**-126, "float16": 2.0**-25, "bfloat16": 2.0**-126}
CHUNK = 256  # outputs whose derivatives are held at a time


def rounded(value: Array, dtype: str) -> Array:
    """Float32 or float64 values rounded to nearest in `dtype`, as float32."""
    single = np.asarray(value, dtype=np.float32)
    if dtype == "float16":
        return single.astype(np.float16).astype(np.float32)
    if dtype == "bfloat16":
        bits = single.view(np.uint32)
        kept = ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).astype(np.uint32)
        return np.where(np.isfinite(single), kept.view(np.float32), single)
    return single


@dataclass(eq=False, slots=True)
class Node:
    """One value: `exact` in float64, `computed` in float32; `parents` with the derivatives by them.

    `local` bounds what one rounding adds here; `kind` says whose it is and how many there are, `step` in which tile.
    """

    exact: Array
    computed: Array
    parents: tuple[tuple[Node, Array], ...] = ()
    local: Array | float = 0.0
    kind: str = ""
    step: int = 0


class Tape:
    """Operations in the order in which a kernel executes them; `kind` and `step` say where it is."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.kind = ""
        self.step = 0

    def constant(self, value: Any, exact: bool = True) -> Node:
        """A value that no operation made; one that is not `exact` is rounded to float32 if it needs to be."""
        value = np.asarray(value, dtype=np.float64)
        single = value.astype(np.float32)
        if exact or not np.any(np.isfinite(value) & (single != value)):
            return Node(value, single)
        return self.record(value, single, (), _rounding(value))

    def record(self, exact: Array, computed: Array, parents: Any, local: Any, kind: str = "") -> Node:
        """An operation. Where its exact value is infinite or undefined there is no error to speak of."""
        finite = np.isfinite(exact)
        kept = tuple((p, np.where(finite, np.nan_to_num(d, nan=np.inf), 0.0)) for p, d in parents if p.kind)
        node = Node(
            exact, computed.astype(np.float32), kept, np.where(finite, local, 0.0), kind or self.kind, self.step
        )
        self.nodes.append(node)
        return node

    def sum_of(self, terms: list[Node]) -> Node:
        """The sum of a few terms in an order that is not known; of two, the rounding is relative to the result."""
        terms = [t for t in terms if t.kind or np.any(t.exact)] or terms[:1]  # x + 0 is x
        if len(terms) == 1:
            return terms[0]
        z, computed = terms[0].exact, terms[0].computed
        for t in terms[1:]:
            z, computed = z + t.exact, computed + t.computed
        size: Any = np.abs(z) if len(terms) == 2 else sum(np.abs(t.exact) for t in terms)
        return self.record(z, computed, [(t, np.ones_like(z)) for t in terms], (len(terms) - 1) * _rounding(size))

    def times(self, a: Node, b: Node) -> Node:
        z = a.exact * b.exact
        free = _power_of_two(a) or _power_of_two(b)
        parents = ((a, np.broadcast_to(b.exact, z.shape)), (b, np.broadcast_to(a.exact, z.shape)))
        return self.record(z, a.computed * b.computed, parents, 0.0 if free else _rounding(z))

    def over(self, a: Node, b: Node) -> Node:
        z = a.exact / b.exact
        parents = ((a, np.broadcast_to(1 / b.exact, z.shape)), (b, -z / b.exact))
        return self.record(z, a.computed / b.computed, parents, QUOTIENT * _rounding(z))

    def apply(self, function: Function, a: Node, kind: str = "") -> Node:
        z = function.value(a.exact)
        local = function.error(a.exact) * _rounding(z)
        # What underflows is 0, and its rounding too, unless it was 0 to begin with.
        local = np.where((z == 0) & np.isfinite(a.exact), function.error(a.exact) * TINY["float32"], local)
        return self.record(z, function.value(a.computed), ((a, function.slope(a.exact, z)),), local, kind)

    def choose(self, condition: Any, a: Node, b: Node) -> Node:
        z = np.where(condition, a.exact, b.exact)
        yes = np.broadcast_to(np.asarray(condition, dtype=np.float64), z.shape)
        return self.record(z, np.where(condition, a.computed, b.computed), ((a, yes), (b, 1 - yes)), 0.0)

    def larger(self, a: Node, b: Node) -> Node:
        return self.one_of(a.exact >= b.exact, a, b, np.maximum)

    def smaller(self, a: Node, b: Node) -> Node:
        return self.one_of(a.exact <= b.exact, a, b, np.minimum)

    def one_of(self, condition: Any, a: Node, b: Node, function: Callable[..., Any]) -> Node:
        z = function(a.exact, b.exact)
        yes = np.broadcast_to(np.asarray(condition, dtype=np.float64), z.shape)
        return self.record(z, function(a.computed, b.computed), ((a, yes), (b, 1 - yes)), 0.0)

    def total(self, a: Node, axis: int, kind: str, scale: float = 1.0) -> Node:
        """The sum along an axis in an order that is not known: each step rounds by at most the sum of magnitudes."""
        z = a.exact.sum(axis=axis, keepdims=True)
        size = np.abs(a.exact).sum(axis=axis, keepdims=True)
        computed = np.cumsum(a.computed, axis=axis, dtype=np.float32).take([-1], axis=axis)
        local = scale * _rounding(size) if a.exact.shape[axis] > 1 else 0.0
        return self.record(z, computed, ((a, np.ones_like(a.exact)),), local, kind)

    def extreme(self, a: Node, axis: int, largest: bool) -> Node:
        at = (np.argmax if largest else np.argmin)(a.exact, axis=axis, keepdims=True)
        one = np.zeros_like(a.exact)
        np.put_along_axis(one, at, 1.0, axis)
        function = np.max if largest else np.min
        z = function(a.exact, axis=axis, keepdims=True)
        return self.record(z, function(a.computed, axis=axis, keepdims=True), ((a, one),), 0.0)

    def cast(self, a: Node, dtype: str, kind: str) -> Node:
        if dtype == "float32":
            return a
        local = UNIT[dtype] * np.abs(a.exact) + TINY[dtype] * (a.exact != 0)
        return self.record(a.exact, rounded(a.computed, dtype), ((a, np.ones_like(a.exact)),), local, kind)

    def extra(self, a: Node, local: Any, kind: str) -> Node:
        """The same value with a rounding that an operation does to it under another kind."""
        return self.record(a.exact, a.computed, ((a, np.ones_like(a.exact)),), local, kind)

    def spread(self, out: Node) -> dict[str, dict[int, Array]]:
        """For each kind and step: sum |d out / d z| |dz| for each element of `out`, in one row."""
        found: dict[str, dict[int, list[Array]]] = defaultdict(lambda: defaultdict(list))
        for start in range(0, out.exact.size, CHUNK):
            for kind, step, effect in self._sweep(out, start, min(CHUNK, out.exact.size - start)):
                found[kind][step].append(effect)
        return {kind: {s: np.concatenate(e) for s, e in steps.items()} for kind, steps in found.items()}

    def _sweep(self, out: Node, start: int, count: int) -> Iterator[tuple[str, int, Array]]:
        seeds = np.zeros((count, out.exact.size))
        seeds[np.arange(count), start + np.arange(count)] = 1.0
        adjoint: dict[int, Array] = {id(out): seeds.reshape(count, *out.exact.shape)}
        sums: dict[tuple[str, int], Array] = {}
        for node in reversed(self.nodes):
            bar = adjoint.pop(id(node), None)
            if bar is None:
                continue
            for parent, slope in node.parents:
                part = _unbroadcast(_product(bar, slope), parent.exact.shape)
                old = adjoint.get(id(parent))
                adjoint[id(parent)] = part if old is None else old + part
            if np.any(node.local):
                effect = _product(np.abs(bar), node.local).reshape(count, -1).sum(axis=1)
                key = (node.kind, node.step)
                sums[key] = sums.get(key, 0.0) + effect
        for (kind, step), effect in sums.items():
            yield kind, step, effect


def _product(bar: Array, factor: Any) -> Array:
    """A product in which 0 times an infinite slope is 0: what does not reach the output does not move it."""
    result = bar * factor
    return result if np.all(np.isfinite(factor)) else np.where(bar == 0, 0.0, result)


def _rounding(z: Array) -> Array:
    return UNIT["float32"] * np.abs(z) + TINY["float32"] * (z != 0)


def _power_of_two(a: Node) -> bool:
    return not a.kind and a.exact.size == 1 and abs(np.frexp(a.exact.item())[0]) == 0.5


def _unbroadcast(value: Array, shape: tuple[int, ...]) -> Array:
    """Sums over the dimensions along which a parent was broadcast; the first is that of the outputs."""
    extra = tuple(range(1, value.ndim - len(shape)))
    value = value.sum(axis=extra) if extra else value
    axes = tuple(n + 1 for n, size in enumerate(shape) if size == 1 and value.shape[n + 1] != 1)
    return value.sum(axis=axes, keepdims=True) if axes else value
