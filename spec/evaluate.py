"""Evaluates a pipeline in float64 NumPy, exactly as written: the oracle of everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from refold.errors import SpecError
from refold.spec.absence import Absence
from refold.spec.heads import Index, Read, Size, TensorName, outermost
from refold.spec.pipeline import Spec
from refold.spec.walk import Array, Strict, Walk


def sizes_of(spec: Spec, inputs: Mapping[str, Any]) -> dict[Index, int]:
    """The length of every axis, from the shapes of the inputs; an int under an axis' name sets that axis."""
    sizes: dict[Index, int] = {}
    for axis in spec.axes:
        if isinstance(inputs.get(axis.name), int):
            sizes[axis] = int(inputs[axis.name])
    for tensor in spec.tensors:
        if tensor.name not in inputs:
            raise SpecError(f"input {tensor.name} is missing: give {_wanted(spec)}")
        shape = _array(tensor, inputs[tensor.name], sizes).shape
        if len(shape) != len(tensor.axes):
            axes = ", ".join(a.name for a in tensor.axes)
            raise SpecError(
                f"input {tensor.name} has {_dimensions(len(shape))} and the spec says {len(tensor.axes)}: "
                f"give an array over ({axes})"
            )
        for axis, size in zip(tensor.axes, shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise SpecError(
                    f"axis {axis.name} is {size} long in {tensor.name} and {sizes[axis]} before it: "
                    f"give every input the same |{axis.name}|"
                )
    for output in spec.outputs:
        for read in sp.preorder_traversal(output.expr):
            if isinstance(read, Read):
                for axis, index in zip(read.tensor.axes, read.indices, strict=True):
                    if isinstance(index, Index) and axis in sizes:
                        sizes.setdefault(index, sizes[axis])
    for axis in spec.axes:
        if axis not in sizes:
            raise SpecError(f"the length of axis {axis.name} follows from no input: give {axis.name}=<int>")
    return sizes


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of a spec as arrays, with one dimension an axis of the spec, in this order."""

    spec: Spec
    sizes: dict[Index, int]
    env: dict[Any, Any]
    arrays: dict[TensorName, Array]
    order: dict[Index, int]

    @classmethod
    def of(cls, spec: Spec, inputs: Mapping[str, Any]) -> Inputs:
        """Checks and converts nested lists, NumPy arrays and numbers; raises a `SpecError` where they do not fit."""
        unknown = sorted(set(inputs) - _names(spec.tensors, spec.params, spec.axes))
        if unknown:
            raise SpecError(f"input {unknown[0]} is none of the pipeline's: give {_wanted(spec)}")
        sizes = sizes_of(spec, inputs)
        order = {axis: n for n, axis in enumerate(spec.axes)}
        env: dict[Any, Any] = {}
        for axis in spec.axes:
            shape = [1] * len(order)
            shape[order[axis]] = sizes[axis]
            env[axis] = np.arange(sizes[axis], dtype=np.float64).reshape(shape)
            env[Size(axis.name)] = float(sizes[axis])
        for param in spec.params:
            if param.name not in inputs:
                raise SpecError(f"scalar {param.name} is missing: give {param.name}=<number>")
            env[param] = value = float(inputs[param.name])
            if (param.is_integer and value != int(value)) or (param.is_positive and not value > 0):
                promise = " ".join(w for w, b in (("positive", param.is_positive), ("integer", param.is_integer)) if b)
                raise SpecError(f"scalar {param.name} is {value:g} and was declared {promise}: give one that is")
        arrays = {t: _array(t, inputs[t.name], sizes) for t in spec.tensors}
        for tensor, array in arrays.items():
            if tensor.is_integer and not np.array_equal(array, np.floor(array)):
                raise SpecError(f"input {tensor.name} is {tensor.dtype} and holds fractions: give integers")
            if (tensor.sign and np.any(array < 0)) or (tensor.sign == "positive" and np.any(array == 0)):
                raise SpecError(f"input {tensor.name} was declared {tensor.sign} and holds {np.min(array):g}")
        return cls(spec, sizes, env, arrays, order)

    def walk(self, values: Mapping[Any, Any] | None = None) -> Walk:
        """An evaluation of expressions over these inputs, and over `values` for further symbols."""
        return Walk(self.env | dict(values or {}), self.arrays, self.order)

    def present(self, value: Any, axes: tuple[Index, ...]) -> Array:
        """A value as an output: broadcast to the axes it is to have, in their order."""
        shape = [self.sizes[a] if a in axes else 1 for a in self.spec.axes]
        value = np.broadcast_to(np.asarray(value, dtype=np.float64), shape)
        kept = [self.order[a] for a in axes]
        value = np.squeeze(value, axis=tuple(n for n in range(len(shape)) if n not in kept))
        ranked = sorted(kept)
        return value.transpose([ranked.index(n) for n in kept]) if kept else value


def evaluate(spec: Spec, inputs: Mapping[str, Any]) -> dict[str, Array]:
    """Every output as a float64 array; `inputs` are nested lists, NumPy arrays, numbers.

    Arithmetic is IEEE: what has no value for its data is NaN or an infinity. What has none because its reductions range
    over nothing, a division by 0 among it, is `spec.empty`, which is NaN where none is stated. A masked position, one
    where a `where` yields -oo or +oo, at which the body of a fold is undefined is no element of it: exp(s - max s) is 0
    there even if all of s is masked.
    """
    given = Inputs.of(spec, inputs)
    return outputs(given, given.walk(), Strict(given.env, given.arrays, given.order))


def evaluate_where_defined(spec: Spec, inputs: Mapping[str, Any]) -> dict[str, Array]:
    """The same with NaN wherever a division by 0 leads to an output: it has no value there.

    Floats say infinity of 1/0, and 0 of 1/(1/0), which are no values of the pipeline as written.
    """
    given = Inputs.of(spec, inputs)
    return outputs(given, Strict(given.env, given.arrays, given.order))


def outputs(given: Inputs, walk: Walk, strict: Walk | None = None) -> dict[str, Array]:
    """Every output as an evaluation has it; `spec.empty` where it has none because its reductions range over nothing.

    `strict` is the same evaluation with no value where it divides by 0.
    """
    results = {}
    axes = frozenset(f.axis for o in given.spec.outputs for f in outermost(o.expr))
    with np.errstate(all="ignore"):
        absence = Absence(strict or walk, axes)
        for output in given.spec.outputs:
            value, absent = (given.present(x, output.axes) for x in (walk(output.expr), absence(output.expr)))
            results[output.name] = np.where(absent == 1, float(given.spec.empty), value)
    return results


def _array(tensor: TensorName, value: Any, sizes: Mapping[Index, int]) -> Array:
    """An input as an array; a list that holds nothing does not say how wide it is, and takes the sizes that are set."""
    try:
        array = np.asarray(value, dtype=np.float64)
        if array.size == 0 and array.ndim < len(tensor.axes) and all(a in sizes for a in tensor.axes):
            shape = [sizes[a] for a in tensor.axes]
            return array.reshape(shape) if 0 in shape else array
        return array
    except (TypeError, ValueError):
        message = f"input {tensor.name} is no array of numbers: give nested lists of one length a level, or an array"
        raise SpecError(message) from None


def _dimensions(n: int) -> str:
    return f"{n} dimension{'' if n == 1 else 's'}"


def _wanted(spec: Spec) -> str:
    return ", ".join([t.name for t in spec.tensors] + [str(p.name) for p in spec.params])


def _names(*groups: tuple[Any, ...]) -> set[str]:
    return {str(x.name) for group in groups for x in group}
