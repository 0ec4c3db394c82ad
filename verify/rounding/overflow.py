"""Which inputs leave the range of a float as the spec is written and not as the plan computes it, or the reverse."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from refold.algebra import Plan
from refold.algebra.monoid import Monoid, monoid
from refold.algebra.run import Runner
from refold.spec.evaluate import Inputs
from refold.spec.mathematics import text
from refold.spec.walk import Walk
from refold.verify.refute.samples import sample

LARGEST = {"float16": 65504.0, "bfloat16": 3.3895e38, "float32": 3.4028e38}
SCALES = (1.0, 10.0, 100.0, 1000.0)
LENGTH, OTHERS = 4, 2


@dataclass(frozen=True, slots=True)
class Overflow:
    """At inputs of about `scale`, `expr` reaches `value`, beyond `dtype`, on one side; the other side has `other`.

    `ours` says that it is the fused form that overflows. Values are absolute.
    """

    dtype: str
    scale: float
    ours: bool
    expr: str
    value: float
    other: float


def compare(plan: Plan) -> tuple[Overflow, ...]:
    """For each float type and each side, the smallest scale found at which that side alone leaves the range.

    Both sides run in float64, at random inputs of each scale; the sizes of all intermediate values are looked at.
    Nothing found says nothing about other inputs. What neither can hold, such as an input itself, counts for both.
    """
    found: dict[tuple[str, bool], Overflow] = {}
    rng = random.Random(0)
    for scale in SCALES:
        inputs = _inputs(plan, scale, rng)
        written, fused = _written(plan, inputs), _fused(plan, inputs)
        for dtype, limit in LARGEST.items():
            for ours, (side, other) in ((False, (written, fused)), (True, (fused, written))):
                (expr, value), (_, rest) = side, other
                if value > limit >= rest and (dtype, ours) not in found:
                    found[dtype, ours] = Overflow(dtype, scale, ours, expr, value, rest)
    return tuple(found.values())


def _inputs(plan: Plan, scale: float, rng: random.Random) -> dict[str, Any]:
    inputs = sample(plan.spec, plan.axis, LENGTH, OTHERS, 4, rng)
    generator = np.random.default_rng(0)
    for tensor in plan.spec.tensors:
        if not tensor.is_integer:
            inputs[tensor.name] = generator.standard_normal(np.shape(inputs[tensor.name])) * scale
    return inputs


def _written(plan: Plan, inputs: Mapping[str, Any]) -> tuple[str, float]:
    walk = Inputs.of(plan.spec, inputs).walk()
    with np.errstate(all="ignore"):
        for output in plan.spec.outputs:
            walk(output.expr)
    return _largest([walk])


def _fused(plan: Plan, inputs: Mapping[str, Any]) -> tuple[str, float]:
    runner = _Recorder(monoid(plan), Inputs.of(plan.spec, inputs))
    with np.errstate(all="ignore"):
        runner.finish(runner.state(tuple(range(LENGTH))))
    return _largest([runner.base, *runner.walks])


class _Recorder(Runner):
    """Keeps every evaluation of a run."""

    def __init__(self, form: Monoid, given: Inputs) -> None:
        self.walks: list[Walk] = []
        super().__init__(form, given)

    def walk(self, values: Mapping[Any, Any]) -> Walk:
        self.walks.append(super().walk(values))
        return self.walks[-1]


def _largest(walks: Iterable[Walk]) -> tuple[str, float]:
    """The largest value that was computed, infinities that an exponential did not make left out."""
    best: tuple[sp.Basic | None, float] = (None, 0.0)
    for walk in walks:
        for expr, value in walk.seen.items():
            sizes = np.abs(np.asarray(value, dtype=np.float64))
            sizes = sizes[np.isfinite(sizes) | (isinstance(expr, sp.exp) & np.isinf(sizes))]
            if sizes.size and sizes.max() > best[1]:
                best = (expr, float(sizes.max()))
    return ("" if best[0] is None else text(best[0]), best[1])
