"""Looks for the smallest input on which a form and its spec differ, by running both."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from refold.algebra.monoid import Monoid
from refold.algebra.run import Order, Runner
from refold.spec import Index, Spec
from refold.spec.evaluate import Inputs, evaluate_where_defined
from refold.verify.refute.samples import FAR, around, sample
from refold.verify.refute.schedule import final
from refold.verify.result import Counterexample

TOLERANCE = 1e-6
LARGEST = 300.0  # of an exponent: a product of two such exponentials is still a float64
SHRUNK = 150  # numbers of a tensor, in a counterexample
LONGEST = 130  # of all axes that are to reach a number
FURTHEST = 4100  # of the folded axis alone


@dataclass(frozen=True, slots=True)
class Subject:
    """A form beside its spec: `run(inputs, order)` gives the outputs of the form.

    `certain(inputs, order)` says whether a difference that floats show is one of the two, and none of rounding.
    """

    spec: Spec
    axis: Index
    run: Callable[[dict[str, Any], Order], dict[str, Any]]
    certain: Callable[[dict[str, Any], Order], bool] = lambda inputs, order: True

    def is_wrong(self, inputs: dict[str, Any], order: Order) -> bool:
        """Whether the outputs of the form differ from those of the spec, where that has a value and no overflow."""
        return not overflows(self.spec, inputs) and differs(
            evaluate_where_defined(self.spec, inputs), self.run(inputs, order)
        )


def run_form(form: Monoid, inputs: dict[str, Any], order: Order) -> dict[str, Any]:
    """The outputs of a form, its elements stepped and its parts merged."""
    runner = Runner(form, Inputs.of(form.spec, inputs))
    with np.errstate(all="ignore"):
        return runner.finish(final(runner, order))


def search(
    subject: Subject,
    *,
    merges: bool,
    empty_parts: bool,
    lengths: Sequence[int] = range(6),
    others: Sequence[int] = (1, 2, 3),
    tries: int = FAR + 2,
    marks: Sequence[sp.Rational] = (),
) -> Counterexample | None:
    """The first difference between a form and its spec, from short axes and small numbers up.

    `lengths` of the folded axis, `others` of the other axes, elements one by one, and, with `merges`, every split in
    two and, with `empty_parts`, parts that hold nothing. Then, for every one of `marks`, lengths and numbers on both
    sides of it. Inputs on which the spec itself overflows are passed over.
    """
    for with_empty in (False, True) if merges and empty_parts else (False,):
        rng = random.Random(0)
        for length in lengths:
            for other in others:
                # A wide input holds several cases itself.
                for attempt in range(0, tries, other):
                    inputs = sample(subject.spec, subject.axis, length, other, attempt, rng)
                    along = _along(subject, inputs)
                    found = tried(subject, inputs, orders(along, merges=merges, empty_parts=with_empty))
                    if found is not None:
                        return found
    rng = random.Random(0)
    for mark in marks:
        for length, other in _sizes(mark):
            for attempt in range(24 if length * other < 10 else 4 if length * other < 1000 else 2):
                inputs = sample(subject.spec, subject.axis, length, other, attempt, rng, around(mark))
                found = tried(subject, inputs, _few_orders(_along(subject, inputs), merges=merges))
                if found is not None:
                    return found
    return None


def _along(subject: Subject, inputs: dict[str, Any]) -> int:
    """The length of the folded axis, which another axis decides where it reads a tensor along the folded one."""
    return int(inputs[subject.axis.name])


def _sizes(mark: sp.Rational) -> Iterator[tuple[int, int]]:
    """Lengths of the folded axis and of the others that are to show what is wrong beyond a number."""
    size = int(abs(mark)) + 2
    yield from ((1, 1), (2, 1), (3, 2))
    if size <= FURTHEST:
        yield size, 1
    if size <= LONGEST:
        yield from ((size, 2), (2, size), (size, size))


def tried(subject: Subject, inputs: dict[str, Any], schedules: Iterator[tuple[Order, str]]) -> Counterexample | None:
    """The first schedule by which an input shows a difference."""
    wanted = evaluate_where_defined(subject.spec, inputs)
    if overflows(subject.spec, inputs) or all(np.isnan(v).all() for v in wanted.values()):
        return None
    for order, how in schedules:
        if differs(wanted, subject.run(inputs, order)) and subject.certain(inputs, order):
            return shrink(subject, inputs, order, how)
    return None


def _few_orders(length: int, *, merges: bool) -> Iterator[tuple[Order, str]]:
    """One by one, and a long first part."""
    yield from orders(length, merges=False, empty_parts=False)
    if merges and length > 1:
        positions = tuple(range(length))
        first, last = positions[:-1], positions[-1:]
        yield (first, last), f"split into the first {length - 1} and the last, then merged"


def orders(length: int, *, merges: bool, empty_parts: bool) -> Iterator[tuple[Order, str]]:
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
    """Whether an output is off by more than rounding; where the spec is undefined, anything goes.

    An infinity is equal to itself alone: it is as far from every finite number as from the other infinity.
    """
    for name, right in wanted.items():
        value = np.asarray(got[name])
        finite = np.isfinite(value) & np.isfinite(right)
        with np.errstate(all="ignore"):
            near = finite & (np.abs(value - right) <= TOLERANCE * (1 + np.abs(right)))
        if np.any(~np.isnan(right) & ~near & (value != right)):
            return True
    return False


def shrink(subject: Subject, inputs: dict[str, Any], order: Order, how: str) -> Counterexample:
    """Replaces numbers by 0 and then by 1 while the difference stays, and shows it."""
    best, spec = dict(inputs), subject.spec
    for tensor in spec.tensors:
        for position in range(min(best[tensor.name].size, SHRUNK)):
            for value in (1.0,) if tensor.sign == "positive" else (0.0, 1.0):
                trial = {**best, tensor.name: best[tensor.name].copy()}
                if trial[tensor.name].flat[position] in (0.0, value):
                    continue
                trial[tensor.name].flat[position] = value
                if subject.is_wrong(trial, order):
                    best = trial
                    break
    best = best if subject.certain(best, order) else inputs
    wanted, got = evaluate_where_defined(spec, best), subject.run(best, order)
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
