"""The numbers and lengths that forms are run on: small ones first, then those around what a form mentions."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp

from refold.spec import Index, Read, Spec, TensorName

FAR = 12  # of the tries: from here on a shift that is forgotten overflows
MARKS = 6  # of the numbers that a form mentions
NUMBERS = (0.0, 1.0, -1.0, 2.0, 3.0, -2.0, 0.5, 40.0, -40.0)


def around(mark: sp.Rational) -> tuple[sp.Rational, ...]:
    """Numbers below, at and above a mark; those next to it are a float's width away at least."""
    step = max(sp.S.One, abs(mark) / 1000)
    return mark - step, mark, mark + step, 2 * mark


def marks_of(spec: Spec, *exprs: sp.Basic) -> tuple[sp.Rational, ...]:
    """The numbers that a spec and a form mention beyond those that every search tries: something may change there."""
    numbers = {n for e in (*(o.expr for o in spec.outputs), *exprs) for n in e.atoms(sp.Rational, sp.Float)}
    rational = {sp.Rational(str(n)) for n in numbers}
    return tuple(sorted((n for n in rational if abs(n) > 2), key=abs)[:MARKS])


def sample(
    spec: Spec, axis: Index, length: int, other: int, attempt: int, rng: random.Random,
    near: Sequence[sp.Rational] = (),
) -> dict[str, Any]:  # fmt: skip
    """Inputs of one size: small numbers first, then larger ones, and at last tensors of one large number each.

    Now and then the axes that index maps read are longer than those that they read at. Numbers `near` a mark are
    among all others, and now and then alone: many equal ones add up.
    """
    pool = (*NUMBERS[: 3 + attempt // 2], *(float(n) for n in near))
    if near and attempt % 2:
        pool = (rng.choice((0.0, 1.0, float(near[-1]))),)
    whole = [int(n) for n in near if n.is_Integer]
    mapped = {
        a for read in _reads(spec) for index in read.indices if not isinstance(index, Index) for a in index.free_symbols
    }
    wide = {a: length if a == axis else other * (2 if attempt % 4 == 2 and a in mapped else 1) for a in spec.axes}
    sizes = fitting(spec, axis, wide)
    below = bounds(spec, sizes)
    inputs: dict[str, Any] = {a.name: n for a, n in sizes.items()}
    for tensor in spec.tensors:
        shape = [sizes[a] for a in tensor.axes]
        count = int(np.prod(shape))
        if tensor.is_integer:
            bound = max(below.get(tensor, length), 1)
            values = [
                float(rng.choice([*range(bound), *_marks(spec, tensor), *(n for n in whole if 0 <= n < bound)]))
                for _ in range(count)
            ]
        elif attempt < FAR:
            values = [rng.choice(pool) for _ in range(count)]
        else:
            values = [rng.choice((1000.0, -1000.0))] * count
        if tensor.sign:
            values = [abs(value) or float(tensor.sign == "positive") for value in values]
        inputs[tensor.name] = np.array(values).reshape(shape)
    for param in spec.params:
        fit = [n for n in pool if n > 0 or not param.is_positive]
        small = [*range(1, 2 + attempt // 2), *(n for n in whole if n > 0 or not param.is_positive)]
        inputs[param.name] = float(rng.choice(small)) if param.is_integer else rng.choice(fit or [1.0])
    return inputs


def fitting(spec: Spec, axis: Index, sizes: Mapping[Index, int]) -> dict[Index, int]:
    """Lengths of axes such that what is read by another index is as long as that, or as a map of the folded axis."""
    fit = dict(sizes)
    for read in _reads(spec):
        for declared, index in zip(read.tensor.axes, read.indices, strict=True):
            if isinstance(index, Index) and index != declared:
                fit[declared] = fit[index]
            elif axis in index.free_symbols:
                # What a map of the folded axis reads, such as the pages of a cache, is there for every position.
                fit[declared] = max(fit[declared], fit[axis])
    return fit


def bounds(spec: Spec, sizes: Mapping[Index, int]) -> dict[TensorName, int]:
    """The number of positions that each tensor of positions points into."""
    return {
        inner.tensor: sizes[declared]
        for read in _reads(spec)
        for declared, index in zip(read.tensor.axes, read.indices, strict=True)
        for inner in index.atoms(Read)
    }


def _reads(spec: Spec) -> list[Read]:
    return [read for output in spec.outputs for read in output.expr.atoms(Read)]


def _marks(spec: Spec, tensor: TensorName) -> list[int]:
    """The numbers that the pipeline compares an integer tensor with for equality, such as a target to be ignored."""
    found: list[int] = []
    for output in spec.outputs:
        for test in sorted(output.expr.atoms(sp.Eq, sp.Ne), key=str):
            if any(isinstance(side, Read) and side.tensor == tensor for side in test.args):
                found += [int(side) for side in test.args if side.is_Integer]
    return found
