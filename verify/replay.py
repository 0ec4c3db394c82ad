"""Looks for the smallest input on which a form and its spec differ, by running both."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import sympy as sp

from refold.algebra import Plan
from refold.algebra.run import Order, Runner, Values
from refold.spec import Index, Read, Spec, TensorName
from refold.spec.evaluate import Inputs, evaluate
from refold.verify.deadline import ran_out
from refold.verify.result import Counterexample
from refold.verify.schedule import final

Run: TypeAlias = Callable[[dict[str, Any], "Order"], dict[str, Any]]
TOLERANCE = 1e-6
LARGEST = 300.0  # of an exponent: a product of two such exponentials is still a float64
FAR = 12  # of the tries: from here on a shift that is forgotten overflows
NUMBERS = (0.0, 1.0, -1.0, 2.0, 3.0, -2.0, 0.5, 40.0, -40.0)


class Stepped(Runner):
    """Runs a plan as a kernel does: elements enter a state at its new anchors, parts are merged."""

    def start(self) -> Values:
        return self.unit()

    def step(self, state: Values, position: int) -> Values:
        return self.advance([state], position)

    def merge(self, left: Values, right: Values) -> Values:
        return self.advance([left, right])


def run_plan(plan: Plan, inputs: dict[str, Any], order: Order) -> dict[str, Any]:
    """The outputs of a plan, its elements stepped and its parts merged."""
    runner = Stepped(plan, Inputs.of(plan.spec, inputs))
    with np.errstate(all="ignore"):
        return runner.finish(final(runner, order))


def search(
    spec: Spec,
    axis: Index,
    run: Run,
    *,
    merges: bool,
    empty_parts: bool,
    lengths: Sequence[int] = range(6),
    others: Sequence[int] = (1, 2, 3),
    tries: int = FAR + 2,
) -> Counterexample | None:
    """The first difference between `run(inputs, order)` and the spec, from short axes and small numbers up.

    `lengths` of the folded axis, `others` of the other axes, elements one by one, and, with `merges`, every split in
    two and, with `empty_parts`, parts that hold nothing. Inputs on which the spec itself overflows are passed over.
    """
    for with_empty in (False, True) if merges and empty_parts else (False,):
        rng = random.Random(0)
        for length in lengths:
            for other in others:
                # A wide input holds several cases itself.
                for attempt in range(0, tries, other):
                    inputs = sample(spec, axis, length, other, attempt, rng)
                    wanted = evaluate(spec, inputs)
                    if ran_out():
                        return None
                    if overflows(spec, inputs):
                        continue
                    if all(np.isnan(v).all() for v in wanted.values()):
                        continue
                    for order, how in orders(length, merges, with_empty):
                        if differs(wanted, run(inputs, order)):
                            return shrink(spec, run, inputs, order, how)
    return None


def sample(spec: Spec, axis: Index, length: int, other: int, attempt: int, rng: random.Random) -> dict[str, Any]:
    """Inputs of one size: small numbers first, then larger ones, and at last tensors of one large number each.

    Now and then the axes that index maps read are longer than those that they read at.
    """
    pool = NUMBERS[: 3 + attempt // 2]
    reads = [read for output in spec.outputs for read in output.expr.atoms(Read)]
    mapped = {a for read in reads for index in read.indices if not isinstance(index, Index) for a in index.free_symbols}
    sizes = {a: length if a == axis else other * (2 if attempt % 4 == 2 and a in mapped else 1) for a in spec.axes}
    for read in reads:
        for declared, index in zip(read.tensor.axes, read.indices, strict=True):
            if isinstance(index, Index) and index != declared:
                sizes[declared] = sizes[index]
            elif axis in index.free_symbols:
                # What a map of the folded axis reads, such as the pages of a cache, is there for every position.
                sizes[declared] = max(sizes[declared], length)
    below = {
        inner.tensor: sizes[declared]
        for read in reads
        for declared, index in zip(read.tensor.axes, read.indices, strict=True)
        for inner in index.atoms(Read)
    }
    inputs: dict[str, Any] = {a.name: n for a, n in sizes.items()}
    for tensor in spec.tensors:
        shape = [sizes[a] for a in tensor.axes]
        count = int(np.prod(shape))
        if tensor.is_integer:
            values = [
                float(rng.choice([*range(max(below.get(tensor, length), 1)), *_marks(spec, tensor)]))
                for _ in range(count)
            ]
        elif attempt < FAR:
            values = [rng.choice(pool) for _ in range(count)]
        else:
            values = [rng.choice((1000.0, -1000.0))] * count
        inputs[tensor.name] = np.array(values).reshape(shape)
    for param in spec.params:
        fit = [n for n in pool if n > 0 or not param.is_positive]
        inputs[param.name] = float(rng.randint(1, 1 + attempt // 2)) if param.is_integer else rng.choice(fit)
    return inputs


def _marks(spec: Spec, tensor: TensorName) -> list[int]:
    """The numbers that the pipeline compares an integer tensor with for equality, such as a target to be ignored."""
    found: list[int] = []
    for output in spec.outputs:
        for test in sorted(output.expr.atoms(sp.Eq, sp.Ne), key=str):
            if any(isinstance(side, Read) and side.tensor == tensor for side in test.args):
                found += [int(side) for side in test.args if side.is_Integer]
    return found


def orders(length: int, merges: bool, empty_parts: bool) -> Iterator[tuple[Order, str]]:
    """Schedules of an axis with their names: one by one and splits, or those with parts that hold nothing."""
    positions = tuple(range(length))
    if empty_parts:
        yield (positions, ()), "all elements, merged with an empty part"
        yield ((), positions), "an empty part, merged with all elements"
        yield (((), ()), positions), "two empty parts merged, then all elements"
        return
    yield positions, "one element at a time"
    if not merges:
        return
    for cut in range(1, length):
        yield (
            (positions[:cut], positions[cut:]),
            f"split into {list(positions[:cut])} and {list(positions[cut:])}, then merged",
        )
    if length > 2:
        yield ((0,), (1,), positions[2:]), "split into three parts, then merged"


def overflows(spec: Spec, inputs: dict[str, Any]) -> bool:
    """Whether an exponential of the spec as written is beyond float64, so that a difference would show nothing."""
    walk = Inputs.of(spec, inputs).walk()
    with np.errstate(all="ignore"):
        for output in spec.outputs:
            walk(output.expr)
    sizes = [np.abs(np.asarray(walk(n.args[0]))) for n in list(walk.seen) if isinstance(n, sp.exp)]
    return any(bool(np.any(np.isfinite(size) & (size > LARGEST))) for size in sizes)


def differs(wanted: dict[str, Any], got: dict[str, Any]) -> bool:
    """Whether an output is off by more than rounding; where the spec is undefined, anything goes."""
    for name, right in wanted.items():
        value = np.asarray(got[name])
        defined = ~np.isnan(right)
        with np.errstate(all="ignore"):
            off = np.abs(value - right) > TOLERANCE * (1 + np.abs(right))
            same = (value == right) | (np.isinf(value) & np.isinf(right) & (np.sign(value) == np.sign(right)))
        if np.any(defined & ~same & (off | np.isnan(value) | np.isinf(value))):
            return True
    return False


def shrink(spec: Spec, run: Run, inputs: dict[str, Any], order: Order, how: str) -> Counterexample:
    """Replaces numbers by 0 and then by 1 while the difference stays, and shows it."""
    best = dict(inputs)
    for tensor in spec.tensors:
        for position in range(best[tensor.name].size):
            for value in (0.0, 1.0):
                trial = {**best, tensor.name: best[tensor.name].copy()}
                if trial[tensor.name].flat[position] in (0.0, value):
                    continue
                trial[tensor.name].flat[position] = value
                if not overflows(spec, trial) and differs(evaluate(spec, trial), run(trial, order)):
                    best = trial
                    break
    wanted, got = evaluate(spec, best), run(best, order)
    shown = tuple((name, _plain(value)) for name, value in best.items())
    return Counterexample(shown, _outputs(wanted), _outputs(got), how, order)


def arrays(spec: Spec, example: Counterexample) -> dict[str, Any]:
    """The inputs of a counterexample as arrays: a nested list does not say how wide a tensor of no row is."""
    inputs = dict(example.inputs)
    sizes = {a: inputs[a.name] for a in spec.axes}
    return inputs | {t.name: np.reshape(inputs[t.name], [sizes.get(a, 0) for a in t.axes]) for t in spec.tensors
                     if all(a in sizes for a in t.axes)}  # fmt: skip


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _outputs(values: dict[str, Any]) -> str:
    parts = []
    for name, value in values.items():
        parts.append(f"{name} = {np.array2string(np.asarray(value), precision=6, separator=', ', floatmode='maxprec')}")
    return "; ".join(parts)
