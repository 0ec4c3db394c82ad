"""Pipelines as plain trees, and their value in plain Python floats: an oracle that shares no code with refold.

`value` knows nothing of plans, of SymPy or of NumPy: it walks the tree, one element at a time, with the arithmetic of
IEEE 754. With a `Noise` it rounds every result as float32 would, up or down by chance, which says how far apart two
right programs in float32 may be.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

UNIT_ROUNDOFF = 2.0**-23
LARGEST, SMALLEST = 3.4e38, 1.2e-38  # of float32


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operation; its identity is its name, so that what is written once is computed once."""

    op: str
    args: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return show(self)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Outputs over axes, the tensors that they read (axes and kind of data) and their scalars (kind and value)."""

    outputs: dict[str, tuple[Node, tuple[str, ...]]]
    tensors: dict[str, tuple[tuple[str, ...], str]]
    scalars: dict[str, tuple[str, float]]
    empty: float | None = None

    def __str__(self) -> str:
        lines = [f"{n}[{', '.join(axes)}] = {show(node)}" for n, (node, axes) in self.outputs.items()]
        lines += [f"  {n}: {', '.join(axes)} ({kind})" for n, (axes, kind) in self.tensors.items()]
        lines += [f"  {n} = {value} ({kind})" for n, (kind, value) in self.scalars.items()]
        return "\n".join([*lines, *([f"  empty = {self.empty}"] if self.empty is not None else [])])


def children(node: Node) -> Iterator[Node]:
    for arg in node.args:
        if isinstance(arg, Node):
            yield arg


def show(node: Node) -> str:
    """A node as text, fully parenthesised."""
    match node.op, node.args:
        case (("num" | "scalar" | "pos"), (value,)):
            return str(value)
        case "size", (axis,):
            return f"|{axis}|"
        case "read", (name, *indices):
            return f"{name}[{', '.join(map(show, indices))}]"
        case "fold", (kind, body, axis):
            return f"{kind}_{axis}({show(body)})"
        case "where", (condition, then, other):
            return f"where({show(condition)}, {show(then)}, {show(other)})"
        case op, (one,):
            return f"{op}({show(one)})"
        case op, (left, right):
            return f"({show(left)} {op} {show(right)})"
    return node.op


@dataclass(slots=True)
class Noise:
    """Moves a result by at most about float32's distance of neighbours; to infinity or 0 beyond its range."""

    rng: random.Random

    def __call__(self, x: float) -> float:
        if x != x or x in (math.inf, -math.inf) or x == 0:
            return x
        # Of any size up to that: steps of one size cancel, and a difference of equals is 0 in every run by chance.
        x *= 1 + UNIT_ROUNDOFF * self.rng.uniform(-1, 1)
        return math.copysign(math.inf, x) if abs(x) > LARGEST else 0.0 * x if abs(x) < SMALLEST else x


def exactly(x: float) -> float:
    return x


@dataclass(slots=True)
class Run:
    """One evaluation over inputs: lengths of axes, tensors as nested lists, scalars as numbers."""

    sizes: dict[str, int]
    tensors: dict[str, Any]
    scalars: dict[str, Any]
    rounded: Callable[[float], float] = exactly
    free: dict[Node, tuple[str, ...]] = field(default_factory=dict)
    memo: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def axes(self, node: Node) -> tuple[str, ...]:
        """The axes that a node varies with."""
        if node not in self.free:
            here = {node.args[0]} if node.op == "pos" else set()
            here |= {a for child in children(node) for a in self.axes(child)}
            self.free[node] = tuple(sorted(here - ({node.args[2]} if node.op == "fold" else set())))
        return self.free[node]

    def __call__(self, node: Node, at: dict[str, int]) -> Any:
        key = (node, *(at[a] for a in self.axes(node)))
        if key not in self.memo:
            result = self.compute(node, at)
            self.memo[key] = self.rounded(result) if isinstance(result, float) else result
        return self.memo[key]

    def compute(self, node: Node, at: dict[str, int]) -> Any:
        match node.op, node.args:
            case "num", (value,):
                return value
            case "pos", (axis,):
                return at[axis]
            case "size", (axis,):
                return self.sizes[axis]
            case "scalar", (name,):
                return self.scalars[name]
            case "read", (name, *indices):
                return self.read(self.tensors[name], [self(i, at) for i in indices])
            case "where", (condition, then, other):
                return self(then if self(condition, at) else other, at)
            case "fold", (kind, body, axis):
                return self.fold(kind, body, axis, at)
            case op, args:
                return FUNCTIONS[op](*(self(a, at) for a in args))
        raise AssertionError(node.op)

    def read(self, data: Any, indices: list[int]) -> Any:
        for i in indices:
            if not 0 <= i < len(data):
                return math.nan  # no value, which is legal where a condition discards it
            data = data[i]
        return data

    def fold(self, kind: str, body: Node, axis: str, at: dict[str, int]) -> Any:
        values = []
        for position in range(self.sizes[axis]):
            here = {**at, axis: position}
            value = self(body, here)
            if value == value or not self.hidden(body, here):
                values.append(value)  # a masked position without a value is no element
        match kind:
            case "sum" | "count":
                return self.total(add, 0.0, values)
            case "prod":
                return self.total(multiply, 1.0, values)
            case "max":
                return self.total(larger, -math.inf, values)
            case "min":
                return self.total(smaller, math.inf, values)
            case "any":
                return float(any(v != 0 for v in values))
            case "all":
                return float(all(v != 0 for v in values))
            case "argmax":
                return first_largest(values)
            case "logsumexp":
                return logarithm(self.total(add, 0.0, [exponential(v) for v in values]))
        raise AssertionError(kind)

    def total(self, function: Callable[[float, float], float], start: float, values: list[float]) -> float:
        for v in values:
            start = self.rounded(function(start, float(v)))
        return start

    def hidden(self, body: Node, at: dict[str, int]) -> bool:
        """Whether a mask makes a part of the body infinite here, outside of inner folds."""
        if body.op == "fold":
            return False
        if body.op == "where":
            chosen = body.args[1] if self(body.args[0], at) else body.args[2]
            if chosen.op == "num" and chosen.args[0] in (math.inf, -math.inf):
                return True
        return any(self.hidden(child, at) for child in children(body))


def value(pipeline: Pipeline, run: Run, name: str) -> list[float]:
    """One output, flat, in the order of its axes; `empty`, or NaN, where it has none because nothing is reduced."""
    node, axes = pipeline.outputs[name]
    empty = math.nan if pipeline.empty is None else pipeline.empty
    absent = Absent(run, frozenset(outermost(node)))
    return [empty if absent(node, at) else float(run(node, at)) for at in positions(axes, run.sizes)]


def divisions_by_zero(pipeline: Pipeline, run: Run, name: str) -> list[bool]:
    """Of each element of an output, whether data make it divide by 0, outside of its folds: it has no value then."""
    node, axes = pipeline.outputs[name]
    absent = Absent(run, frozenset(outermost(node)))
    return [_divides_by_zero(node, run, at) and not absent(node, at) for at in positions(axes, run.sizes)]


def _divides_by_zero(node: Node, run: Run, at: dict[str, int]) -> bool:
    if node.op == "fold":
        return False
    if node.op == "/" and run(node.args[1], at) == 0:
        return True
    return any(_divides_by_zero(child, run, at) for child in children(node))


def infinite_within(pipeline: Pipeline, run: Run, name: str) -> list[bool]:
    """Of each element of an output, whether a fold that it is made of is infinite or has no value."""
    node, axes = pipeline.outputs[name]
    return [_infinite(node, run, at) for at in positions(axes, run.sizes)]


def _infinite(node: Node, run: Run, at: dict[str, int]) -> bool:
    if node.op != "fold":
        return any(_infinite(child, run, at) for child in children(node))
    _, body, axis = node.args
    if not math.isfinite(run(node, at)):
        return True
    return any(
        _infinite(inner, run, {**at, axis: n})
        for inner in _outermost_folds(body)
        # What does not vary along the axis was handed on before, also to a fold over nothing.
        for n in range(run.sizes[axis] if axis in run.axes(inner) else 1)
    )


def outermost(node: Node) -> Iterator[str]:
    """The axes of the folds that are in no other."""
    return (fold.args[2] for fold in _outermost_folds(node))


def _outermost_folds(node: Node) -> Iterator[Node]:
    if node.op == "fold":
        yield node
    else:
        for child in children(node):
            yield from _outermost_folds(child)


@dataclass(slots=True)
class Absent:
    """Where a node has no value because a fold over one of some axes ranges over nothing; 1/0 is no value either."""

    run: Run
    axes: frozenset[str]
    memo: dict[tuple[Any, ...], bool] = field(default_factory=dict)

    def __call__(self, node: Node, at: dict[str, int]) -> bool:
        return self.missing(node, at) and self.cause(node, at)

    def missing(self, node: Node, at: dict[str, int]) -> bool:
        """Whether a node has no value."""
        key = (node, *(at[a] for a in self.run.axes(node)))
        if key not in self.memo:
            self.memo[key] = self._missing(node, at)
        return self.memo[key]

    def _missing(self, node: Node, at: dict[str, int]) -> bool:
        match node.op, node.args:
            case "where", (condition, then, other):
                return self.missing(then if self.run(condition, at) else other, at)
            case "fold", (_, body, axis):
                places = self.places(axis, at)
                if any(self.missing(body, p) and not self.run.hidden(body, p) for p in places):
                    return True
            case "/", (_, below) if self.run(below, at) == 0:
                return True
            case op, args if op not in ("read", "fold") and any(
                isinstance(a, Node) and self.missing(a, at) for a in args
            ):
                return True
        found = self.run(node, at)
        return isinstance(found, float) and found != found

    def cause(self, node: Node, at: dict[str, int]) -> bool:
        """Whether what first has no value hangs on such a fold."""
        match node.op, node.args:
            case "where", (condition, then, other):
                return self(then if self.run(condition, at) else other, at)
            case "fold", (_, body, axis):
                below = [(body, p) for p in self.places(axis, at) if not self.run.hidden(body, p)]
            case _:
                below = [(child, at) for child in children(node)]
        found = [pair for pair in below if self.missing(*pair)]
        return any(self.cause(*pair) for pair in found) if found else self.hangs(node, at)

    def hangs(self, node: Node, at: dict[str, int]) -> bool:
        """Whether a node reads a fold over nothing, or a length that is 0."""
        match node.op, node.args:
            case "size", (axis,):
                return axis in self.axes and self.run.sizes[axis] == 0
            case "where", (condition, then, other):
                return self.hangs(then if self.run(condition, at) else other, at)
            case "fold", (kind, body, axis):
                places = self.places(axis, at)
                if axis in self.axes and all(self.out(body, UNITS[kind], p) for p in places):
                    return True
                return any(self.hangs(body, p) for p in places)
        return any(self.hangs(child, at) for child in children(node))

    def out(self, body: Node, unit: float | None, at: dict[str, int]) -> bool:
        """Whether a position does not count: a mask hides it, or chooses what changes nothing."""
        if body.op == "fold":
            return False
        if body.op == "where":
            chosen = body.args[1] if self.run(body.args[0], at) else body.args[2]
            infinite = chosen.op == "num" and chosen.args[0] in (math.inf, -math.inf, unit)
            return infinite or self.out(chosen, unit, at)
        keeps = unit == 0 and body.op in ("*", "neg", "abs")
        return any(self.out(child, unit if keeps else None, at) for child in children(body))

    def places(self, axis: str, at: dict[str, int]) -> list[dict[str, int]]:
        return [{**at, axis: n} for n in range(self.run.sizes[axis])]


UNITS = {"sum": 0.0, "count": 0.0, "any": 0.0, "all": 1.0, "prod": 1.0, "max": -math.inf, "min": math.inf,
         "argmax": None, "logsumexp": None}  # fmt: skip


def positions(axes: tuple[str, ...], sizes: dict[str, int]) -> Iterator[dict[str, int]]:
    if not axes:
        yield {}
        return
    for at in positions(axes[:-1], sizes):
        for position in range(sizes[axes[-1]]):
            yield {**at, axes[-1]: position}


def add(a: Any, b: Any) -> Any:
    return a + b


def multiply(a: Any, b: Any) -> Any:
    return a * b


def divide(a: Any, b: Any) -> float:
    if b == 0:
        return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)
    return a / b


def larger(a: Any, b: Any) -> Any:
    return a if a != a or a > b else b


def smaller(a: Any, b: Any) -> Any:
    return a if a != a or a < b else b


def first_largest(values: list[float]) -> int:
    best = -1
    for n, v in enumerate(values):
        if best < 0 or v > values[best]:
            best = n
    return best


def power(a: Any, n: Any) -> Any:
    if isinstance(a, int) and isinstance(n, int) and n >= 0:
        return a**n
    try:
        result = float(a) ** n
    except ZeroDivisionError:
        return math.inf
    except OverflowError:
        return math.inf
    return math.nan if isinstance(result, complex) else result


def exponential(x: float) -> float:
    return math.inf if x > 709.7 else math.exp(x)


def logarithm(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan


def within(function: Callable[[float], float]) -> Callable[[float], float]:
    """A function that has no value at infinity."""
    return lambda x: function(x) if math.isfinite(x) else math.nan


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "+": add,
    "-": lambda a, b: a - b,
    "*": multiply,
    "/": divide,
    "**": power,
    "//": lambda a, b: a // b if b else math.nan,
    "%": lambda a, b: a % b if b else math.nan,
    "neg": lambda a: -a,
    "abs": abs,
    "maximum": larger,
    "minimum": smaller,
    "relu": lambda a: larger(a, 0.0),
    "exp": exponential,
    "log": logarithm,
    "sqrt": lambda x: math.sqrt(x) if x >= 0 else math.nan,
    "tanh": math.tanh,
    "sigmoid": lambda x: 1.0 / (1.0 + exponential(-x)),
    "sin": within(math.sin),
    "cos": within(math.cos),
    "erf": math.erf,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "not": lambda a: not a,
}
