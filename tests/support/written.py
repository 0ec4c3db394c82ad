"""A plain tree as a refold pipeline, written with the public words alone."""

from __future__ import annotations

import math
import operator
from typing import Any

from support.tree import Node, Pipeline

import refold
from refold import Scalar, Spec, Tensor, axes, fold, oo, pipeline

OPERATORS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow,
    "//": operator.floordiv, "%": operator.mod, "neg": operator.neg, "abs": abs,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
    "and": operator.and_, "or": operator.or_, "not": operator.invert,
}  # fmt: skip


def spec_of(p: Pipeline) -> Spec:
    """The pipeline as a user would write it."""
    shapes = [*(shape for _, shape in p.outputs.values()), *(shape for shape, _ in p.tensors.values())]
    names = sorted({a for shape in shapes for a in shape} | {a for n in nodes(p) for a in bound(n)})
    position = dict(zip(names, axes(" ".join(names)), strict=True))
    scalars = {
        n: Scalar(n, integer=kind.startswith("int"), positive=kind.endswith("positive"))
        for n, (kind, _) in p.scalars.items()
    }
    tensors = {}
    for n, (shape, kind) in p.tensors.items():
        dtype = "int32" if kind.startswith("int") else "float"
        tensors[n] = Tensor(n, *(position[a] for a in shape), dtype=dtype, positive=kind == "positive")
    memo: dict[Node, Any] = {}

    def write(node: Node) -> Any:
        if node not in memo:
            memo[node] = one(node)
        return memo[node]

    def one(node: Node) -> Any:
        match node.op, node.args:
            case "num", (value,):
                return oo if value == math.inf else -oo if value == -math.inf else value
            case "pos", (axis,):
                return position[axis]
            case "size", (axis,):
                return position[axis].size
            case "scalar", (name,):
                return scalars[name]
            case "read", (name, *indices):
                return tensors[name][tuple(map(write, indices))]
            case "fold", (kind, body, axis):
                return getattr(fold, kind)(write(body), over=position[axis])
            case "where", args:
                return refold.where(*map(write, args))
            case op, args if op in OPERATORS:
                return OPERATORS[op](*map(write, args))
            case (
                "maximum" | "minimum" | "relu" | "exp" | "log" | "sqrt" | "tanh" | "sigmoid" | "sin" | "cos" | "erf",
                _,
            ):
                return getattr(refold, node.op)(*map(write, args))
        raise AssertionError(node.op)

    outputs = {}
    for name, (node, shape) in p.outputs.items():
        result = write(node)
        outputs[name] = result[tuple(position[a] for a in shape)] if shape else result
    return pipeline(empty=p.empty, **outputs)


def nodes(p: Pipeline) -> list[Node]:
    """Every node of a pipeline, each once."""
    found: dict[Node, None] = {}
    todo = [node for node, _ in p.outputs.values()]
    while todo:
        node = todo.pop()
        if node not in found:
            found[node] = None
            todo += [a for a in node.args if isinstance(a, Node)]
    return list(found)


def bound(node: Node) -> tuple[str, ...]:
    """The axes that a node names itself."""
    return (node.args[0],) if node.op in ("pos", "size") else (node.args[2],) if node.op == "fold" else ()
