"""Evaluates a pipeline in float64 NumPy, exactly as written: the oracle of everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from refold.errors import SpecError
from refold.spec.heads import UNITS, Fold, Index, Read, Size, TensorName, Where, sigmoid
from refold.spec.pipeline import Spec

Array = NDArray[Any]

FUNCTIONS: dict[type[sp.Basic], Callable[..., Any]] = {
    sp.exp: np.exp,
    sp.log: np.log,
    sp.tanh: np.tanh,
    sigmoid: lambda x: 0.5 * (1.0 + np.tanh(0.5 * x)),
    sp.sin: np.sin,
    sp.cos: np.cos,
    sp.erf: np.vectorize(lambda x: float(sp.N(sp.erf(float(x)))), otypes=[np.float64]),
    sp.Abs: np.abs,
    sp.floor: np.floor,
    sp.Mod: np.mod,
}
RELATIONS: dict[str, Callable[..., Any]] = {
    "<=": np.less_equal, "<": np.less, ">=": np.greater_equal, ">": np.greater, "==": np.equal, "!=": np.not_equal,
}  # fmt: skip


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

    Arithmetic is IEEE: what is undefined as written comes out as NaN, and is then `spec.empty` where the
    reductions range over nothing. A masked position, one where a `where` yields -oo or +oo, at which the body of a
    fold is undefined is no element of it: exp(s - max s) is 0 there even if all of s is masked.
    """
    given = Inputs.of(spec, inputs)
    walk = given.walk()
    results = {}
    with np.errstate(all="ignore"):
        for output in spec.outputs:
            value = given.present(walk(output.expr), output.axes)
            if spec.empty is not sp.nan:
                value = np.where(np.isnan(value), float(spec.empty), value)
            results[output.name] = value
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


class Walk:
    """One evaluation: every value is an array with one dimension an axis of the spec, of length 1 where constant."""

    def __init__(self, env: dict[Any, Any], arrays: dict[Any, Array], order: dict[Index, int]) -> None:
        self.env, self.arrays, self.order = env, arrays, order
        self.seen: dict[sp.Basic, Any] = {}

    def __call__(self, expr: sp.Basic) -> Any:
        if expr not in self.seen:
            self.seen[expr] = self.compute(expr)
        return self.seen[expr]

    def compute(self, expr: sp.Basic) -> Any:
        if expr in self.env:
            return self.env[expr]
        if expr.is_Number or expr.is_NumberSymbol:
            return float(expr)
        match expr:
            case sp.Add():
                return sum_of([self(a) for a in expr.args])
            case sp.Mul():
                return self.product(expr)
            case sp.Pow():
                return np.asarray(self(expr.base), dtype=np.float64) ** self(expr.exp)
            case sp.Max():
                return _reduce(np.maximum, [self(a) for a in expr.args])
            case sp.Min():
                return _reduce(np.minimum, [self(a) for a in expr.args])
            case Where():
                return np.where(self(expr.args[0]), self(expr.args[1]), self(expr.args[2]))
            case Read():
                return self.read(expr)
            case Fold():
                return self.fold(expr)
            case sp.And():
                return _reduce(np.logical_and, [self(a) for a in expr.args])
            case sp.Or():
                return _reduce(np.logical_or, [self(a) for a in expr.args])
            case sp.Not():
                return np.logical_not(self(expr.args[0]))
            case sp.core.relational.Relational():
                return RELATIONS[expr.rel_op](self(expr.lhs), self(expr.rhs))
            case _ if type(expr) in FUNCTIONS:
                return FUNCTIONS[type(expr)](*(np.asarray(self(a), dtype=np.float64) for a in expr.args))
            case _ if expr in (sp.true, sp.false):
                return bool(expr)
        raise SpecError(f"no value for {expr}: it has no meaning in refold")

    def product(self, expr: sp.Mul) -> Any:
        return _reduce(np.multiply, [self(a) for a in expr.args])

    def read(self, expr: Read) -> Any:
        array = self.arrays[expr.tensor]
        if not expr.indices:
            return np.reshape(array, [1] * len(self.order))
        positions = np.broadcast_arrays(*(np.asarray(self(index)) for index in expr.indices))
        inside = _reduce(np.logical_and, [(p >= 0) & (p < n) for p, n in zip(positions, array.shape, strict=True)])
        if array.size == 0:
            return np.full(inside.shape, np.nan)
        # Outside of the tensor there is no value, which is legal where a condition discards it.
        kept = tuple(np.where(inside, p, 0).astype(np.int64) for p in positions)
        return np.where(inside, array[kept], np.nan)

    def fold(self, expr: Fold) -> Any:
        axis = self.order[expr.axis]
        body = np.asarray(self(expr.body), dtype=np.float64)
        shape = list(body.shape) if body.ndim else [1] * len(self.order)
        shape[axis] = self.env[expr.axis].size
        body = np.broadcast_to(body, shape)
        if (hidden := self.hidden(expr.body)) is not None:
            body = np.where(np.isnan(body) & hidden, float(UNITS[expr.kind]), body)
        empty = shape[axis] == 0
        match expr.kind:
            case "sum" | "count":
                return body.sum(axis=axis, keepdims=True)
            case "prod":
                return body.prod(axis=axis, keepdims=True)
            case "max":
                return body.max(axis=axis, keepdims=True, initial=-np.inf)
            case "min":
                return body.min(axis=axis, keepdims=True, initial=np.inf)
            case "any":
                return (body != 0).any(axis=axis, keepdims=True).astype(np.float64)
            case "all":
                return (body != 0).all(axis=axis, keepdims=True).astype(np.float64)
            case "argmax":
                shape[axis] = 1
                return np.full(shape, -1.0) if empty else body.argmax(axis=axis, keepdims=True).astype(np.float64)
        raise SpecError(f"no value for a fold by {expr.kind}")

    def hidden(self, body: sp.Basic) -> Any:
        """Where a mask makes a part of a fold's body infinite: positions that, if undefined, are no elements."""
        found = None
        for node in _outside_folds(body):
            if isinstance(node, Where) and node.args[1] != node.args[2]:
                condition, then, other = node.args
                for branch, holds in ((then, True), (other, False)):
                    if branch in (sp.oo, -sp.oo):
                        here = np.asarray(self(condition), dtype=bool) == holds
                        found = here if found is None else found | here
        return found


def _outside_folds(expr: sp.Basic) -> Iterator[sp.Basic]:
    yield expr
    if not isinstance(expr, Fold):
        for arg in expr.args:
            yield from _outside_folds(arg)


def sum_of(values: list[Any]) -> Any:
    """The sum of broadcastable values."""
    return _reduce(np.add, values)


def _reduce(function: Callable[..., Any], values: list[Any]) -> Any:
    result = values[0]
    for value in values[1:]:
        result = function(result, value)
    return result
