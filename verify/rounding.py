"""Bounds what rounding does to every output of a plan, in the order of operations that the kernels execute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import sympy as sp

from refold.algebra import Plan
from refold.spec.evaluate import Array, Inputs
from refold.verify.execution import Schedule
from refold.verify.tape import Place, Tape

DType = Literal["float32", "float16", "bfloat16"]

# What a kind of operation is called in a formula, how often it is done on the way to one output, and its unit.
# N is the length of the fold axis, B the tile, P the parts, D the length of an inner sum; u is the unit roundoff of
# float32, v that of the operands of dots, w that of the result.
KINDS: dict[str, tuple[str, str]] = {
    "inner sums": ("(D - 1)", "u"),
    "elements": ("1", "u"),
    "exponentials": ("1", "u"),
    "operands": ("1", "v"),
    "terms": ("1", "u"),
    "sums in a tile": ("(B - 1)", "u"),
    "anchors": ("⌈N/(B·P)⌉", "u"),
    "corrections": ("⌈N/(B·P)⌉", "u"),
    "tiles": ("⌈N/(B·P)⌉", "u"),
    "parts": ("P", "u"),
    "finish": ("1", "u"),
    "store": ("1", "w"),
}


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a kernel computes: its tiles and parts, its dtypes, and the errors of its functions in units of 2^-24.

    Accumulators and all that is not named here are float32, rounded to nearest. `operands` is what the two sides of
    a dot product are rounded to, `result` what is stored. `exponential` and `function` (log, tanh, sigmoid, sin,
    cos, sqrt) are those of PTX's approximations: 2 ulp, which is 4 units. `truncation` is the error of one addition
    inside a dot in units: 2 assumes that the matrix unit chops instead of rounding to nearest. Dots add in any order.
    """

    block: int = 64
    parts: int = 1
    operands: DType = "float32"
    result: DType = "float32"
    exponential: float = 4.0
    function: float = 4.0
    truncation: float = 2.0


@dataclass(frozen=True, slots=True)
class Term:
    """`count * unit * magnitude`: what one kind of operation adds to the error of an output.

    `count` is a formula in N, B, P and D. The magnitude is the first-order effect of one such operation in its unit,
    `|dy/dz| |dz|`: summed over the axis for what is done to elements and in the finish, and over what is done at
    once for a tile or a part, of which it is the largest.
    """

    source: str
    count: str
    unit: str

    def __str__(self) -> str:
        return "·".join(x for x in (self.count, self.unit, f"A({self.source})") if x != "1")


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: the output over the reals, as computed in the model, the bound, and the bound by terms."""

    exact: Array
    computed: Array
    bound: Array
    terms: dict[str, Array]

    @property
    def error(self) -> Array:
        """The distance of what was computed from the exact value; 0 where both are undefined or infinite alike."""
        same = (self.exact == self.computed) | (np.isnan(self.exact) & np.isnan(self.computed))
        return np.where(same, 0.0, np.abs(self.computed - self.exact))


@dataclass(frozen=True, slots=True)
class Bound:
    """The first-order bound on the rounding error of one output."""

    plan: Plan
    arithmetic: Arithmetic
    output: str
    terms: tuple[Term, ...]

    @property
    def formula(self) -> str:
        """`|error| <= sum of count * unit * magnitude`, the magnitudes named by what they belong to."""
        return f"|computed {self.output} - {self.output}| <= " + (" + ".join(map(str, self.terms)) or "0")

    def evaluate(self, inputs: Mapping[str, Any]) -> Array:
        """The bound at these inputs, an absolute error for each element of the output."""
        return analyse(self.plan, self.arithmetic, inputs)[self.output].bound


def bound(plan: Plan, arithmetic: Arithmetic | None = None) -> tuple[Bound, ...]:
    """The bound of every output. Which terms there are is found on a small instance; it depends on no value."""
    arithmetic = arithmetic or Arithmetic()
    terms = _terms(plan, arithmetic)
    return tuple(Bound(plan, arithmetic, f.name, terms[f.name]) for f in plan.finish)


def rounding_claims(plan: Plan) -> list[tuple[str, str]]:
    """A line for every output: its bound, for the report; half precision operands and results."""
    found = bound(plan, Arithmetic(operands="float16", result="float16"))
    return [(f"rounding of {b.output}", b.formula) for b in found]


def analyse(plan: Plan, arithmetic: Arithmetic, inputs: Mapping[str, Any]) -> dict[str, Measured]:
    """Runs a plan as its kernels do, once over the reals and once rounded, and bounds the difference.

    Inputs are taken as exact: round them to their dtype first. Raises a `SpecError` for inputs that do not fit.
    """
    given = Inputs.of(plan.spec, inputs)
    length = given.sizes[plan.axis]
    tape = Tape(arithmetic.exponential, arithmetic.function, arithmetic.truncation)
    with np.errstate(all="ignore"):
        schedule = Schedule(plan, given, tape, arithmetic.operands)
        outputs = schedule.run(arithmetic.block, arithmetic.parts)
        results = {}
        for f in plan.finish:
            tape.place, tape.step = ("finish", f"the stored {f.name}"), 0
            out = tape.cast(outputs[f.name], arithmetic.result, "rounding of")
            terms = _closed(plan, tape.spread(out), length, arithmetic)
            total = sum(terms.values(), np.zeros(out.exact.size)).reshape(out.exact.shape)
            results[f.name] = Measured(
                *(given.present(x, f.axes) for x in (out.exact, out.computed, total)),
                {p: given.present(x.reshape(out.exact.shape), f.axes) for p, x in terms.items()},
            )
    return results


def kind_of(plan: Plan, place: Place) -> str:
    """The kind of an operation, a key of `KINDS`, from the phase and what is computed there."""
    phase, what = place
    if phase == "finish":
        return "store" if what.startswith("rounding of") else "finish"
    if phase == "part":
        return "parts"
    if phase == "tile":
        return next((k for k in ("anchors", "corrections") if k in what), "tiles")
    own = what.rpartition(" ")[2] in {str(a.symbol) for a in plan.accumulators}
    if what.startswith("sums within a tile"):
        return "sums in a tile" if own else "inner sums"
    return next((k for k in ("operands", "exponentials") if what.startswith(k) and own), "terms" if own else "elements")


def _closed(
    plan: Plan, spread: Mapping[Place, Mapping[int, tuple[int, Array]]], length: int, arithmetic: Arithmetic
) -> dict[str, Array]:
    """What every kind of operation adds: its count times the largest step; what belongs to elements is summed."""
    steps: dict[str, dict[int, Any]] = {}
    for place, effects in spread.items():
        group = steps.setdefault(kind_of(plan, place), {})
        for step, (n, effect) in effects.items():
            group[step] = group.get(step, 0.0) + n * effect
    counts = {"⌈N/(B·P)⌉": math.ceil(length / (arithmetic.block * arithmetic.parts)), "P": arithmetic.parts}
    found = {}
    for kind in KINDS:
        if kind in steps:
            parts, count = np.array(list(steps[kind].values())), counts.get(KINDS[kind][0])
            found[kind] = parts.sum(axis=0) if count is None else count * parts.max(axis=0)
    return found


def _terms(plan: Plan, arithmetic: Arithmetic) -> dict[str, tuple[Term, ...]]:
    small = replace(arithmetic, block=2, parts=2)
    found = analyse(plan, small, _sample(plan))
    return {name: tuple(Term(kind, *KINDS[kind]) for kind in m.terms) for name, m in found.items()}


def _sample(plan: Plan) -> dict[str, Any]:
    """Any inputs, small: eight positions of the fold axis and two of the others."""
    rng = np.random.default_rng(0)
    inputs: dict[str, Any] = {}
    for t in plan.spec.tensors:
        shape = [8 if a == plan.axis else 2 for a in t.axes]
        inputs[t.name] = np.zeros(shape) if t.is_integer else rng.standard_normal(shape)
    for p in plan.spec.params:
        inputs[p.name] = 1.0
    known = {a for t in plan.spec.tensors for a in t.axes}
    return inputs | {a.name: 2 for a in plan.spec.axes if a not in known}
