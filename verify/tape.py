"""A tape of rounded operations: every value exact and as computed, with the derivatives that carry errors on.

First-order rounding analysis by reverse accumulation (Higham, Accuracy and Stability of Numerical Algorithms, 2nd
ed., ch. 2-4; Linnainmaa, Taylor expansion of the accumulated rounding error, BIT 16, 1976): an operation `z` that
rounds by `|dz|` moves an output by `|d out / d z| |dz|`, and the derivative holds every cancellation on the way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refold.spec.evaluate import Array

# Half the distance of neighbours near 1, and the error where results are too small for that to hold: float32 is
# flushed to zero below 2^-126, the others end in subnormals.
UNIT = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
TINY = {"float32": 2.0**-126, "float16": 2.0**-25, "bfloat16": 2.0**-126}
Place = tuple[str, str]  # the phase, and what is computed there


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

    `local` bounds what rounding adds here, before it is multiplied by the `steps` of a sum.
    """

    exact: Array
    computed: Array
    parents: tuple[tuple[Node, Array], ...] = ()
    local: Array | float = 0.0
    place: Place = ("", "")
    step: int = 0
    steps: int = 1


class Tape:
    """Operations in the order in which a kernel executes them; `place` and `step` say where it is."""

    def __init__(self, exponential: float, function: float, truncation: float) -> None:
        self.nodes: list[Node] = []
        self.place: Place = ("", "")
        self.step = 0
        self.exponential, self.function, self.truncation = exponential, function, truncation

    def constant(self, value: Any) -> Node:
        value = np.asarray(value, dtype=np.float64)
        return Node(value, value.astype(np.float32))

    def record(self, exact: Array, computed: Array, parents: Any, local: Any, label: str = "", steps: int = 1) -> Node:
        place = (self.place[0], f"{label} {self.place[1]}".strip())
        kept = tuple((p, np.where(np.isfinite(d), d, 0.0)) for p, d in parents if p.parents or p.place != ("", ""))
        finite = np.where(np.isfinite(exact), local, 0.0)
        node = Node(exact, computed.astype(np.float32), kept, finite, place, self.step, steps)
        self.nodes.append(node)
        return node

    def plus(self, a: Node, b: Node) -> Node:
        z = a.exact + b.exact
        one = np.ones_like(z)
        free = _zero(a) or _zero(b)  # x + 0 is x
        return self.record(z, a.computed + b.computed, ((a, one), (b, one)), 0.0 if free else _rounding(z), "sums of")

    def sum_of(self, terms: list[Node]) -> Node:
        """The sum of a few terms in an order that is not known; of two, the rounding is relative to the result."""
        if len(terms) == 2:
            return self.plus(*terms)
        z, computed = terms[0].exact, terms[0].computed
        for t in terms[1:]:
            z, computed = z + t.exact, computed + t.computed
        size: Any = sum(np.abs(np.where(np.isfinite(t.exact), t.exact, 0.0)) for t in terms)
        local = (len(terms) - 1) * UNIT["float32"] * size
        return self.record(z, computed, [(t, np.ones_like(z)) for t in terms], local, "sums of")

    def times(self, a: Node, b: Node) -> Node:
        z = a.exact * b.exact
        free = _power_of_two(a) or _power_of_two(b)
        parents = ((a, np.broadcast_to(b.exact, z.shape)), (b, np.broadcast_to(a.exact, z.shape)))
        return self.record(z, a.computed * b.computed, parents, 0.0 if free else _rounding(z), "products of")

    def over(self, a: Node, b: Node) -> Node:
        z = a.exact / b.exact
        parents = ((a, np.broadcast_to(1 / b.exact, z.shape)), (b, -z / b.exact))
        # Triton's `/` on float32 is div.full: 2 ulp (PTX ISA, div).
        return self.record(z, a.computed / b.computed, parents, 4 * _rounding(z), "quotients of")

    def apply(
        self,
        function: Callable[..., Any],
        slope: Callable[..., Any],
        a: Node,
        error: Any,
        label: str,
        scale: Any = None,
    ) -> Node:
        """`function(a)`: an error of `error` units of the result, or of `scale` where the result may be small."""
        z = function(a.exact)
        size = np.abs(z) if scale is None else scale
        local = error * UNIT["float32"] * size + TINY["float32"]
        return self.record(z, function(a.computed), ((a, slope(a.exact, z)),), local, label)

    def exp(self, a: Node) -> Node:
        # exp2(x log2(e)): the constant and the product each round the exponent, by a unit of it.
        finite = np.where(np.isfinite(a.exact), np.abs(a.exact), 0.0)
        return self.apply(np.exp, lambda x, z: z, a, 2 * finite + self.exponential, "exponentials of")

    def choose(self, condition: Any, a: Node, b: Node) -> Node:
        z = np.where(condition, a.exact, b.exact)
        yes = np.broadcast_to(np.asarray(condition, dtype=np.float64), z.shape)
        return self.record(z, np.where(condition, a.computed, b.computed), ((a, yes), (b, 1 - yes)), 0.0)

    def larger(self, a: Node, b: Node) -> Node:
        return self.record_choice(a.exact >= b.exact, a, b, np.maximum)

    def smaller(self, a: Node, b: Node) -> Node:
        return self.record_choice(a.exact <= b.exact, a, b, np.minimum)

    def record_choice(self, condition: Any, a: Node, b: Node, function: Callable[..., Any]) -> Node:
        z = function(a.exact, b.exact)
        yes = np.broadcast_to(np.asarray(condition, dtype=np.float64), z.shape)
        return self.record(z, function(a.computed, b.computed), ((a, yes), (b, 1 - yes)), 0.0)

    def total(self, a: Node, axis: int, dot: bool) -> Node:
        """The sum along an axis in an order that is not known: n - 1 steps, each of at most the sum of magnitudes."""
        n = a.exact.shape[axis]
        z = a.exact.sum(axis=axis, keepdims=True)
        size = np.abs(np.where(np.isfinite(a.exact), a.exact, 0)).sum(axis=axis, keepdims=True)
        computed = np.cumsum(a.computed, axis=axis, dtype=np.float32).take([-1], axis=axis)
        local = (self.truncation if dot else 1.0) * UNIT["float32"] * size
        return self.record(z, computed, ((a, np.ones_like(a.exact)),), local, "sums within a tile of", max(n - 1, 1))

    def extreme(self, a: Node, axis: int, largest: bool) -> Node:
        at = (np.argmax if largest else np.argmin)(a.exact, axis=axis, keepdims=True)
        one = np.zeros_like(a.exact)
        np.put_along_axis(one, at, 1.0, axis)
        function = np.max if largest else np.min
        z = function(a.exact, axis=axis, keepdims=True)
        return self.record(z, function(a.computed, axis=axis, keepdims=True), ((a, one),), 0.0)

    def cast(self, a: Node, dtype: str, label: str) -> Node:
        if dtype == "float32":
            return a
        local = UNIT[dtype] * np.abs(a.exact) + TINY[dtype]
        return self.record(a.exact, rounded(a.computed, dtype), ((a, np.ones_like(a.exact)),), local, label)

    def spread(self, out: Node) -> dict[Place, dict[int, tuple[int, Array]]]:
        """For each place and step: the steps of its sums, and sum |d out / d z| |dz| for each element of `out`."""
        shape, count = out.exact.shape, out.exact.size
        adjoint: dict[int, Array] = {id(out): np.eye(count).reshape(count, *shape)}
        found: dict[Place, dict[int, tuple[int, Array]]] = defaultdict(dict)
        for node in reversed(self.nodes):
            bar = adjoint.pop(id(node), None)
            if bar is None:
                continue
            for parent, slope in node.parents:
                part = _unbroadcast(bar * slope, parent.exact.shape)
                old = adjoint.get(id(parent))
                adjoint[id(parent)] = part if old is None else old + part
            if np.any(node.local):
                effect = (np.abs(bar) * node.local).reshape(count, -1).sum(axis=1)
                steps, before = found[node.place].get(node.step, (1, np.zeros(count)))
                found[node.place][node.step] = (max(steps, node.steps), before + effect)
        return found


def _rounding(z: Array) -> Array:
    return UNIT["float32"] * np.abs(z) + TINY["float32"] * (z != 0)


def _zero(a: Node) -> bool:
    return not a.parents and not np.any(a.exact)


def _power_of_two(a: Node) -> bool:
    return not a.parents and a.exact.ndim == 0 and abs(np.frexp(float(a.exact))[0]) == 0.5


def _unbroadcast(value: Array, shape: tuple[int, ...]) -> Array:
    """Sums over the dimensions along which a parent was broadcast; the first is that of the outputs."""
    extra = tuple(range(1, value.ndim - len(shape)))
    value = value.sum(axis=extra) if extra else value
    axes = tuple(n + 1 for n, size in enumerate(shape) if size == 1 and value.shape[n + 1] != 1)
    return value.sum(axis=axes, keepdims=True) if axes else value
