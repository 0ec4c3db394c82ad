"""A tape of rounded operations: every value exact and as computed, with the derivatives that carry errors on.

Rounding analysis by reverse accumulation (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., ch. 2-4;
Linnainmaa, Taylor expansion of the accumulated rounding error, BIT 16, 1976). The error of `z = f(p)` is
`dz = sum f_i(p) dp_i + rho` with the exact derivatives, so that an output is off by `sum_z (d out / d z) rho_z`, with
every cancellation on the way. `rho` is what `z` rounds by, and the remainder of the linear approximation, which is
bounded by forward bounds on the `dp`: products of errors, and what rounding adds for being relative to what was
computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refold.spec.walk import Array
from refold.verify.rounding.functions import QUOTIENT, Function

# Half the distance of neighbours near 1, and the error where results are too small for that to hold: float32 is
# flushed to zero below 2^-126, the others end in subnormals.
UNIT = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
TINY = {"float32": 2.0**-126, "float16": 2.0**-25, "bfloat16": 2.0**-126}
WHOLE = 2.0**24  # below it float32 has every whole number
LARGEST = {"float32": 3.4028e38, "float16": 65504.0, "bfloat16": 3.3895e38}
U = UNIT["float32"]


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

    `local` bounds what one rounding adds here, `remainder` what the linear approximation leaves out, `error` how far
    a computed value can be from the exact one. `kind` says whose the rounding is, `step` in which tile. `rounded` says
    whether anything on the way here rounds, at whatever values.
    """

    exact: Array
    computed: Array
    parents: tuple[tuple[Node, Array], ...] = ()
    local: Array | float = 0.0
    remainder: Array | float = 0.0
    error: Array | float = 0.0
    kind: str = ""
    step: int = 0
    repeat: int = 1
    rounds: bool = False
    rounded: bool = False
    factors: tuple[Node, Node] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all of it are whole numbers that no rounding has touched."""
        return not self.rounded and bool(np.all(np.isfinite(self.exact) & (np.trunc(self.exact) == self.exact)))


class Tape:
    """Operations in the order in which a kernel executes them; `kind` and `step` say where it is."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.kind = ""
        self.step = 0

    def constant(self, value: Any, *, exact: bool = True) -> Node:
        """A value that no operation made; one that is not `exact` is rounded to float32 if it needs to be."""
        value = np.asarray(value, dtype=np.float64)
        single = value.astype(np.float32)
        if exact or not np.any(np.isfinite(value) & (single != value)):
            return Node(value, single)
        return self.record(value, single, (), U)

    def record(
        self,
        exact: Array,
        computed: Array,
        parents: Any,
        rate: Any = 0.0,
        *,
        size: Any = None,
        bend: Any = 0.0,
        kind: str = "",
        repeat: int = 1,
        tiny: float = TINY["float32"],
    ) -> Node:
        """An operation that rounds `repeat` times by `rate` of `size`, by default of its result.

        `bend` bounds the second-order part of the operation itself. Where the exact value is infinite or undefined
        there is no error to speak of.
        """
        finite = np.isfinite(exact)
        size = np.where(finite, np.abs(exact) if size is None else size, 0.0)
        size = np.where(size < LARGEST["float32"], size, np.inf)  # no bound on what overflows
        kept = tuple((p, np.where(finite, np.nan_to_num(d, nan=np.inf), 0.0)) for p, d in parents if p.kind)
        carried: Any = sum((_within(product(np.asarray(p.error), np.abs(d)), exact.shape) for p, d in kept), 0.0)
        local = np.where(finite, product(size, rate) + tiny * ((size != 0) & (np.asarray(rate) != 0)), 0.0)
        bend = np.where(finite, bend, 0.0)
        many = np.asarray(repeat * rate)
        again = product(size, many**2)  # (1 + rate)^repeat - 1 - repeat rate, or what is left of it
        remainder = bend + product(carried + bend, many * (1 + many)) + again
        remainder = np.where(finite, remainder, 0.0)
        error = carried + repeat * local + remainder
        single, rounds = computed.astype(np.float32), bool(np.any(np.asarray(rate) != 0))
        if not kept and not rounds and not np.any(bend):
            return Node(exact, single)
        rounded = rounds or any(p.rounded for p, _ in kept)
        node = Node(exact, single, kept, local, remainder, error, kind or self.kind, self.step, repeat, rounds, rounded)
        self.nodes.append(node)
        return node

    def plus(self, a: Node, b: Node, sign: float = 1.0, *, exact: bool = False) -> Node:
        """`a + sign b`; an `exact` one is part of an operation whose roundings are recorded elsewhere."""
        z = np.asarray(a.exact + sign * b.exact)
        a, b = self.apart(a), self.apart(b)
        if _is_nothing(b) and np.shape(a.exact) == z.shape:
            return a
        if _is_nothing(a) and np.shape(b.exact) == z.shape:
            return b if sign == 1 else self.times(b, self.constant(sign))
        free = exact or (a.is_whole and b.is_whole and bool(np.all(np.abs(z) < WHOLE)))
        parents = ((a, np.ones_like(z)), (b, np.full_like(z, sign)))
        return self.record(z, a.computed + np.float32(sign) * b.computed, parents, 0.0 if free else U)

    def times(self, a: Node, b: Node) -> Node:
        z = np.asarray(a.exact * b.exact)
        free = _power_of_two(a) or _power_of_two(b)
        free = free or (a.is_whole and b.is_whole and bool(np.all(np.abs(z) < WHOLE)))
        parents = ((a, np.broadcast_to(b.exact, z.shape)), (b, np.broadcast_to(a.exact, z.shape)))
        node = self.record(z, a.computed * b.computed, parents, 0.0 if free else U, bend=_both(a, b))
        node.factors = None if free else (a, b)
        return node

    def apart(self, a: Node) -> Node:
        """A product in a sum, with a rounding of its own: there it may be fused, and where else it is used not."""
        return a if a.factors is None else self.times(*a.factors)

    def over(self, a: Node, b: Node) -> Node:
        z = np.asarray(a.exact / b.exact)
        parents = ((a, np.broadcast_to(1 / b.exact, z.shape)), (b, -z / b.exact))
        off = b.error / np.abs(b.exact)
        bend = np.where(off < 1, (a.error / np.abs(b.exact) + np.abs(z) * off) * off / (1 - off), np.inf)
        return self.record(z, a.computed / b.computed, parents, QUOTIENT * U, bend=np.where(off == 0, 0.0, bend))

    def apply(self, function: Function, a: Node, kind: str = "") -> Node:
        z, e = function.value(a.exact), np.where(np.isfinite(a.exact), a.error, 0.0)
        slope = function.slope(a.exact, z)
        rate = function.error(a.exact + np.copysign(e, a.exact)) * U
        bend = np.where(e == 0, 0.0, function.bend(a.exact, z, e))
        # What underflows may have been flushed to 0, unless it was 0 to begin with.
        size = np.where((z == 0) & np.isfinite(a.exact) & (slope == 0), TINY["float32"], np.abs(z))
        return self.record(z, function.value(a.computed), ((a, slope),), rate, size=size, bend=bend, kind=kind)

    def choose(self, condition: Any, a: Node, b: Node) -> Node:
        z = np.where(condition, a.exact, b.exact)
        yes = np.broadcast_to(np.asarray(condition, dtype=np.float64), z.shape)
        return self.record(z, np.where(condition, a.computed, b.computed), ((a, yes), (b, 1 - yes)))

    def larger(self, a: Node, b: Node) -> Node:
        return self.one_of(a.exact >= b.exact, a, b, np.fmax)

    def smaller(self, a: Node, b: Node) -> Node:
        return self.one_of(a.exact <= b.exact, a, b, np.fmin)

    def one_of(self, condition: Any, a: Node, b: Node, function: Callable[..., Any]) -> Node:
        """The larger or smaller: of two that are nearer than their errors, the other one may be taken."""
        z = function(a.exact, b.exact)
        yes = np.broadcast_to(np.asarray(condition, dtype=np.float64), z.shape)
        reach = a.error + b.error
        bend = np.where(np.abs(a.exact - b.exact) < reach, reach, 0.0)
        node = self.record(z, function(a.computed, b.computed), ((a, yes), (b, 1 - yes)), bend=bend)
        node.error = np.where(np.isfinite(z), np.maximum(a.error, b.error), 0.0)
        return node

    def total(self, a: Node, axis: int, kind: str, scale: float = 1.0) -> Node:
        """The sum along an axis in an order that is not known: each step rounds by at most the sum of magnitudes.

        What is 0 and nothing else, as a masked position is, is no term of it.
        """
        a = self.apart(a)
        z = a.exact.sum(axis=axis, keepdims=True)
        size = np.abs(a.exact).sum(axis=axis, keepdims=True)
        computed = np.cumsum(a.computed, axis=axis, dtype=np.float32).take([-1], axis=axis)
        free = a.exact.shape[axis] == 1 or (a.is_whole and bool(np.all(size < WHOLE)))
        rate = 0.0 if free else scale * U
        parents = ((a, np.ones_like(a.exact)),)
        return self.record(z, computed, parents, rate, size=size, kind=kind, repeat=self.terms(a, axis))

    def terms(self, a: Node, axis: int) -> int:
        """How many terms a sum along an axis has at most."""
        live = (a.exact != 0) | (np.asarray(a.error) != 0)
        return max(int(np.count_nonzero(live, axis=axis).max(initial=0)), 1)

    def extreme(self, a: Node, axis: int, *, largest: bool) -> Node:
        """The largest or smallest along an axis; what is no number is passed over."""
        some = np.where(np.isnan(a.exact), -np.inf if largest else np.inf, a.exact)
        at = (np.argmax if largest else np.argmin)(some, axis=axis, keepdims=True)
        one = np.zeros_like(a.exact)
        np.put_along_axis(one, at, 1.0, axis)
        function = np.max if largest else np.min
        z = function(some, axis=axis, keepdims=True)
        reach = np.take_along_axis(a.error + one, at, axis) - 1 + a.error
        bend = np.where((one == 0) & (np.abs(some - z) < reach), reach, 0.0).max(axis=axis, keepdims=True)
        best = (np.fmax if largest else np.fmin).reduce(a.computed, axis=axis, keepdims=True)
        node = self.record(z, best, ((a, one),), bend=bend)
        node.error = np.where(np.isfinite(z), np.max(a.error + 0 * one, axis=axis, keepdims=True), 0.0)
        return node

    def wide(self, a: Node, shape: tuple[int, ...]) -> Node:
        """The same values repeated along axes in which there is one."""
        z = np.broadcast_to(a.exact, shape)
        return self.record(z, np.broadcast_to(a.computed, shape), ((a, np.ones_like(z)),))

    def cast(self, a: Node, dtype: str, kind: str) -> Node:
        if dtype == "float32":
            return a
        same, slope = rounded(a.computed, dtype), np.ones_like(a.exact)
        if not a.kind and np.array_equal(same, a.exact, equal_nan=True):
            return a
        size = np.where(np.abs(a.exact) + a.error < LARGEST[dtype], np.abs(a.exact), np.inf)
        return self.record(a.exact, same, ((a, slope),), UNIT[dtype], size=size, kind=kind, tiny=TINY[dtype])

    def extra(self, a: Node, rate: float, kind: str, repeat: int) -> Node:
        """The same value with roundings that an operation does to it under another kind."""
        slope = np.ones_like(a.exact)
        return self.record(a.exact, a.computed, ((a, slope),), rate, kind=kind, repeat=repeat)


def product(bar: Array, factor: Any) -> Array:
    """A product in which 0 times an infinite slope is 0: what does not reach the output does not move it."""
    return np.where((bar == 0) | (np.asarray(factor) == 0), 0.0, bar * factor)


def _both(a: Node, b: Node) -> Any:
    """The product of two errors; of none, whatever the other is."""
    return np.where((np.asarray(a.error) == 0) | (np.asarray(b.error) == 0), 0.0, a.error * b.error)


def _within(value: Array, shape: tuple[int, ...]) -> Array:
    """Sums over the dimensions that a reduction has left with length 1."""
    axes = tuple(n for n, size in enumerate(shape) if size == 1 and value.ndim == len(shape) and value.shape[n] != 1)
    return value.sum(axis=axes, keepdims=True) if axes else value


def _is_nothing(a: Node) -> bool:
    return not a.kind and not np.any(a.exact)


def _power_of_two(a: Node) -> bool:
    return not a.kind and a.exact.size == 1 and abs(np.frexp(a.exact.item())[0]) == 0.5
