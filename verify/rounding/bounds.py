"""Bounds what rounding does to every output of a plan, in the order of operations that the kernels execute."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from refold.algebra import Plan
from refold.errors import SpecError
from refold.spec import Fold
from refold.spec.evaluate import Inputs
from refold.spec.walk import Array
from refold.verify.rounding.adjoint import sources as sources_of
from refold.verify.rounding.adjoint import spread
from refold.verify.rounding.execution import Execution
from refold.verify.rounding.tape import UNIT, Node, Tape, U

DType = Literal["float32", "float16", "bfloat16"]
Unit = Literal["u", "v", "w", "u²"]
# For what a formula holds, and what its letters are.
HOLDS = (
    "N positions in tiles of B over P parts, T = ⌈N/(B·P)⌉, inner sums of at most D terms, additions in any order; u, "
    "v, w the unit roundoffs of float32, of the operands of dots, of the result; A(source) is a magnitude of the data "
    "to first order, A(remainder) what that leaves out; inputs are exact, no intermediate value overflows, guards and "
    "masks are as over the reals: docs/theory.md, Rounding"
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """N positions in tiles of B over P parts, so T = ceil(N/(B P)) tiles a part; inner sums of at most D terms."""

    N: int
    B: int
    P: int
    D: int

    @property
    def T(self) -> int:
        return math.ceil(self.N / (self.B * self.P))


@dataclass(frozen=True, slots=True)
class Kind:
    """Operations of one source: how many an output waits for, in words and figures, and their unit.

    The magnitude A of a source is the effect of one operation of it, in its unit: summed over all positions (what is
    done to elements, and at the end), or, where `worst`, the largest over the tiles (the parts), of which the count
    says how many there are.
    """

    count: str
    unit: Unit
    value: Callable[[Sizes], int]
    worst: bool = False


KINDS: dict[str, Kind] = {
    "inner sums": Kind("(D−1)", "u", lambda s: max(s.D - 1, 0)),
    "elements": Kind("", "u", lambda s: 1),
    "exponentials": Kind("", "u", lambda s: 1),
    "operands": Kind("", "v", lambda s: 1),
    "terms": Kind("", "u", lambda s: 1),
    "tile sums": Kind("(B−1)", "u", lambda s: s.B - 1),
    "dots": Kind("B", "u", lambda s: s.B),
    "carried": Kind("T·B", "u", lambda s: s.T * s.B, worst=True),
    "anchors": Kind("T", "u", lambda s: s.T, worst=True),
    "corrections": Kind("T", "u", lambda s: s.T, worst=True),
    "joins": Kind("T", "u", lambda s: s.T, worst=True),
    "merges": Kind("P", "u", lambda s: s.P, worst=True),
    "finish": Kind("", "u", lambda s: 1),
    "store": Kind("", "w", lambda s: 1),
    "remainder": Kind("", "u²", lambda s: 1),
}


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a kernel computes: tiles of `block` positions over `parts` parts, and its dtypes.

    Accumulators and all that is not named here are float32, rounded to nearest. `operands` is what the two sides of
    a dot are rounded to, `result` what is stored. Additions are in any order.
    """

    block: int = 64
    parts: int = 1
    operands: DType = "float32"
    result: DType = "float32"

    @property
    def truncation(self) -> float:
        """The error of one addition inside of a dot, in units: 2 where a matrix unit may chop; float32 is rounded."""
        return 1.0 if self.operands == "float32" else 2.0

    def unit(self, name: Unit) -> float:
        return U * U if name == "u²" else UNIT[{"u": "float32", "v": self.operands, "w": self.result}[name]]


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: the output over the reals, as computed on the tape, the bound, and its terms by source."""

    exact: Array
    computed: Array
    bound: Array
    terms: dict[str, Array]
    magnitudes: dict[str, Array]


@dataclass(frozen=True, slots=True)
class Bound:
    """The bound on the rounding error of one output, data of one dtype; where there is none, a `reason`."""

    output: str
    dtype: DType
    sources: tuple[str, ...]
    reason: str = ""

    @property
    def formula(self) -> str:
        """The sum of count, unit and magnitude of all sources."""
        if self.reason:
            return f"no bound: {self.reason}"
        terms = ("·".join(x for x in (KINDS[s].count, KINDS[s].unit, f"A({s})") if x) for s in self.sources)
        return " + ".join(terms) or "0 (no operation rounds)"

    @property
    def units(self) -> dict[str, float]:
        """The unit roundoffs of its sources."""
        arithmetic = Arithmetic(operands=self.dtype, result=self.dtype)
        return {unit: arithmetic.unit(unit) for unit in dict.fromkeys(KINDS[s].unit for s in self.sources)}


def bounds(plan: Plan) -> tuple[Bound, ...]:
    """The bound of every output, of every dtype: narrow ones round in the same places, by units of their own."""
    single, narrow = _bounds(plan, "float32"), _bounds(plan, "float16")
    return tuple(b for s, n in zip(single, narrow, strict=True) for b in (s, n, replace(n, dtype="bfloat16")))


def _bounds(plan: Plan, dtype: DType) -> tuple[Bound, ...]:
    """The sources of every output are all roundings on the way to it, of a run of two tiles and parts."""
    tape = Tape()
    try:
        outputs = _outputs(plan, Arithmetic(2, 2, dtype, dtype), Inputs.of(plan.spec, _sample(plan)), tape)
    except SpecError as error:
        return tuple(Bound(f.name, dtype, (), str(error)) for f in plan.finish)
    found = []
    for name, out in outputs.items():
        if isinstance(out, SpecError):
            found.append(Bound(name, dtype, (), str(out)))
        else:
            sources = sources_of(tape, out)
            kept = tuple(k for k in KINDS if k in sources or (k == "remainder" and sources))
            found.append(Bound(name, dtype, kept))
    return tuple(found)


def analyse(plan: Plan, arithmetic: Arithmetic, inputs: Mapping[str, Any]) -> dict[str, Measured]:
    """Runs a plan as its kernels do, once over the reals and once rounded, and bounds the difference.

    Inputs are taken as exact: round them to their dtype first. Outputs that have no bound are left out. Raises a
    `SpecError` for inputs that do not fit, and where no output has a bound.
    """
    given, tape = Inputs.of(plan.spec, inputs), Tape()
    outputs = _outputs(plan, arithmetic, given, tape)
    sizes = _sizes(plan, given, arithmetic)
    with np.errstate(all="ignore"):
        return {
            f.name: _measured(given, f.axes, out, spread(tape, out), sizes, arithmetic)
            for f in plan.finish
            if isinstance(out := outputs[f.name], Node)
        }


def _outputs(plan: Plan, arithmetic: Arithmetic, given: Inputs, tape: Tape) -> dict[str, Node | SpecError]:
    """Every output as it is stored; a position is stored as an integer."""
    with np.errstate(all="ignore"):
        outputs = Execution(plan, given, tape, arithmetic.operands, arithmetic.truncation).run(
            arithmetic.block, arithmetic.parts
        )
        positions = {a.symbol for a in plan.accumulators if a.reducer == "argmax"}
        rounded = {f.name for f in plan.finish if f.expr not in positions}
        return {
            name: tape.cast(out, arithmetic.result, "store") if isinstance(out, Node) and name in rounded else out
            for name, out in outputs.items()
        }


def _measured(given: Inputs, axes: Any, out: Node, spread: Any, sizes: Sizes, arithmetic: Arithmetic) -> Measured:
    magnitudes, terms = {}, {}
    for source, kind in KINDS.items():
        if source in spread:
            effects = np.array(list(spread[source].values())) / arithmetic.unit(kind.unit)
            size = effects.max(axis=0) if kind.worst else effects.sum(axis=0)
            magnitudes[source] = given.present(size.reshape(out.exact.shape), axes)
            count = kind.value(sizes)
            terms[source] = count * arithmetic.unit(kind.unit) * magnitudes[source] if count else 0 * magnitudes[source]
    exact, computed = given.present(out.exact, axes), given.present(out.computed, axes)
    return Measured(exact, computed, sum(terms.values(), np.zeros_like(exact)), terms, magnitudes)


def _sizes(plan: Plan, given: Inputs, arithmetic: Arithmetic) -> Sizes:
    length = given.sizes[plan.axis]
    written = [e.expr for e in plan.elements] + [f.expr for f in plan.finish]
    inner = [given.sizes[n.axis] for x in written for n in x.atoms(Fold) if n.axis != plan.axis]
    return Sizes(length, max(min(arithmetic.block, length), 1), arithmetic.parts, max(inner, default=1))


def _sample(plan: Plan) -> dict[str, Any]:
    """Any inputs, small: eight positions of the fold axis and two of the others."""
    rng = np.random.default_rng(0)
    inputs: dict[str, Any] = {}
    for t in plan.spec.tensors:
        shape = [8 if a == plan.axis else 2 for a in t.axes]
        values = rng.standard_normal(shape)
        inputs[t.name] = np.zeros(shape) if t.is_integer else np.abs(values) if t.sign else values
    for p in plan.spec.params:
        inputs[p.name] = 1.0
    known = {a for t in plan.spec.tensors for a in t.axes}
    return inputs | {a.name: 2 for a in plan.spec.axes if a not in known}
