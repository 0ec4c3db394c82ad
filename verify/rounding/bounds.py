"""Bounds what rounding does to every output of a kernel, in the order of operations that its module says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refold.algebra import Plan
from refold.errors import EmitError, SpecError
from refold.schedule.lower.kernels import Kernels, kernels
from refold.schedule.tiles import NoMeaning
from refold.spec.evaluate import Inputs
from refold.spec.walk import Array
from refold.verify.rounding.adjoint import sources as sources_of
from refold.verify.rounding.adjoint import spread
from refold.verify.rounding.execution import Execution
from refold.verify.rounding.kinds import KINDS, Arithmetic, DType, Sizes
from refold.verify.rounding.memory import Memory, Write
from refold.verify.rounding.tape import Node, Tape
from refold.verify.rounding.tiles import POSITION

# For what a formula holds, and what its letters are.
HOLDS = (
    "N positions in tiles of B over P parts, T = ⌈N/(B·P)⌉, inner sums of at most D terms, additions in any order; u, "
    "v, w the unit roundoffs of float32, of the operands of dots, of the result; A(source) is a magnitude of the data "
    "to first order, A(remainder) what that leaves out; inputs are exact, no intermediate value overflows, guards and "
    "masks are as over the reals: docs/theory.md, Rounding"
)
FOLDED, OTHERS = 3, 3  # the lengths of a sample, by which no quotient is exact: two tiles, the last in part


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
    """The bound of every output of a plan, of every dtype; of what has no kernel nothing is known."""
    try:
        return of_module(kernels(plan, "kernel"))
    except EmitError as error:
        dtypes: tuple[DType, ...] = ("float32", "float16", "bfloat16")
        return tuple(Bound(f.name, dtype, (), str(error)) for f in plan.finish for dtype in dtypes)


def of_module(made: Kernels) -> tuple[Bound, ...]:
    """The bound of every output of its kernels: narrow dtypes round in the same places, by units of their own."""
    single, narrow = _bounds(made, "float32"), _bounds(made, "float16")
    return tuple(b for s, n in zip(single, narrow, strict=True) for b in (s, n, replace(n, dtype="bfloat16")))


def _bounds(made: Kernels, dtype: DType) -> tuple[Bound, ...]:
    """The sources of every output: all roundings on the way to it, in runs of a few tiles by one part and by two."""
    names = [f.name for f in made.given.finish]
    found: dict[str, set[str]] = {name: set() for name in names}
    reasons: dict[str, str] = {}
    given = Inputs.of(made.given.spec, _sample(made))
    for parts in (1, 2):
        tape = Tape()
        try:
            with np.errstate(all="ignore"):
                memory, _ = Execution(made, given, Arithmetic(2, parts, dtype, dtype)).run(tape, lambda *_: None)
        except (NoMeaning, SpecError) as error:
            reasons = dict.fromkeys(names, str(error))
            break
        for name in names:
            writes = _writes(memory, name)
            reasons |= {name: POSITION} if any(w.tile.doubtful for w in writes) else {}
            found[name] |= sources_of(tape, _nodes(writes))
    return tuple(
        Bound(made.users.get(n, n), dtype, _in_order(found[n]) if n not in reasons else (), reasons.get(n, ""))
        for n in names
    )


def _in_order(sources: set[str]) -> tuple[str, ...]:
    return tuple(k for k in KINDS if k in sources or (k == "remainder" and sources))


def _writes(memory: Memory, output: str) -> list[Write]:
    return memory.writes.get(f"{output}_ptr", [])


def _nodes(writes: list[Write]) -> list[Node]:
    return [w.tile.data for w in writes if isinstance(w.tile.data, Node)]


def analyse(made: Kernels, arithmetic: Arithmetic, inputs: Mapping[str, Any]) -> dict[str, Measured]:
    """Runs the kernels of a plan, once over the reals and once rounded, and bounds the difference.

    Inputs are taken as exact: round them to their dtype first. Outputs that have no bound are left out. Raises a
    `SpecError` for inputs that do not fit, and where no output has a bound.
    """
    written = {user: name for name, user in made.users.items()}
    given = Inputs.of(made.given.spec, {written.get(n, n): value for n, value in inputs.items()})
    tape, found = Tape(), {}
    with np.errstate(all="ignore"):
        try:
            memory, longest = Execution(made, given, arithmetic).run(tape)
        except NoMeaning as error:
            raise SpecError(str(error)) from None
        length = given.sizes[made.roles.fold]
        sizes = Sizes(length, max(min(arithmetic.block, length), 1), arithmetic.parts, longest)
        for f in made.given.finish:
            writes = _writes(memory, f.name)
            if not any(w.tile.doubtful for w in writes):
                shape = tuple(given.sizes[a] for a in f.axes)
                found[made.users.get(f.name, f.name)] = _measured(tape, writes, shape, sizes, arithmetic)
    return found


def _measured(
    tape: Tape, writes: list[Write], shape: tuple[int, ...], sizes: Sizes, arithmetic: Arithmetic
) -> Measured:
    effects = spread(tape, _nodes(writes))
    magnitudes, terms = {}, {}
    for source, kind in KINDS.items():
        if source in effects:
            steps = np.array(list(effects[source].values())) / arithmetic.unit(kind.unit)
            magnitudes[source] = _gathered(writes, shape, steps.max(axis=0) if kind.worst else steps.sum(axis=0))
            count = kind.value(sizes)
            terms[source] = count * arithmetic.unit(kind.unit) * magnitudes[source] if count else 0 * magnitudes[source]
    exact = _gathered(writes, shape, _values(writes, "exact"))
    computed = _gathered(writes, shape, _values(writes, "computed"))
    return Measured(exact, computed, sum(terms.values(), np.zeros(shape)), terms, magnitudes)


def _values(writes: list[Write], which: str) -> Array:
    """All elements of what was written, one tile after the other."""
    tiles = [w.tile.data for w in writes]
    return np.concatenate([np.zeros(0), *(np.ravel(getattr(t, which) if isinstance(t, Node) else t) for t in tiles)])


def _gathered(writes: list[Write], shape: tuple[int, ...], row: Array) -> Array:
    """The elements of all tiles, each where it was stored."""
    found, before = np.zeros(int(np.prod(shape))), 0
    for w in writes:
        own = np.shape(w.tile.array)
        size = int(np.prod(own))
        values = np.broadcast_to(row[before : before + size].reshape(own), w.places.shape)
        found[w.places[w.mask]] = values[w.mask]
        before += size
    return found.reshape(shape)


def _sample(made: Kernels) -> dict[str, Any]:
    """Any inputs, small: a few positions of the axes that are summed, one of those that are not."""
    rng, roles, spec = np.random.default_rng(0), made.roles, made.given.spec
    lengths = {a: FOLDED if a == roles.fold else OTHERS if a in roles.inner else 1 for a in spec.axes}
    inputs: dict[str, Any] = {}
    for t in spec.tensors:
        shape = [lengths[a] for a in t.axes]
        values = rng.standard_normal(shape)
        # Whatever an integer ends or selects, it is all of it.
        inputs[t.name] = np.full(shape, FOLDED) if t.is_integer else np.abs(values) if t.sign else values
    inputs |= {p.name: 1 if p.is_integer else 0.7 for p in spec.params}
    known = {a for t in spec.tensors for a in t.axes}
    return inputs | {a.name: lengths[a] for a in spec.axes if a not in known}
