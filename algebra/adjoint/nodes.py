"""The forward pass as named nodes, each one fold of a polynomial, one function of a polynomial, or a polynomial.

What a polynomial is in are reads: of tensors, and of earlier nodes. So every derivative is one row of the table, or a
sum of products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from refold.algebra.names import Names
from refold.algebra.roles import axes_of
from refold.spec import Fold, Index, Param, Read, Spec, TensorName, Where
from refold.spec.abbreviate import fresh
from refold.spec.heads import is_integral, sigmoid
from refold.spec.pipeline import rename

LETTERS: dict[Any, str] = {
    "max": "m", "min": "w", "argmax": "at", "count": "n", sp.Max: "m", sp.Min: "w", sp.exp: "p", sp.log: "g",
    sp.tanh: "a", sigmoid: "a", sp.Pow: "r", sp.Add: "D", Where: "s",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """`name[axes] = value`, over reads of tensors and of earlier nodes."""

    name: str
    axes: tuple[Index, ...]
    value: sp.Expr

    @property
    def symbol(self) -> Read:
        return named(self.name, self.axes)

    @property
    def body(self) -> sp.Expr:
        """What is folded, or all of the value."""
        return self.value.body if isinstance(self.value, Fold) else self.value

    @property
    def over(self) -> tuple[Index, ...]:
        """The axes of its body."""
        return (*self.axes, self.value.axis) if isinstance(self.value, Fold) else self.axes

    def at(self, read: Read) -> sp.Expr:
        """Its value at the indices of a read of it."""
        put = {a: i for a, i in zip(self.axes, read.indices, strict=True) if a != i}
        return rename(self.value, put)


def named(name: str, axes: Sequence[Index]) -> Read:
    """A read of a tensor over axes at the position that they name."""
    return Read(TensorName(name, tuple(axes), "float"), *axes)


def is_data(expr: sp.Basic) -> bool:
    """Whether an expression varies with floating data."""
    reads = any(not r.tensor.is_integer for r in expr.atoms(Read))
    return reads or any(not p.is_integer for p in expr.atoms(Param))


def is_function(expr: sp.Basic) -> bool:
    """Whether the head of an expression makes no polynomial of its arguments."""
    if isinstance(expr, sp.Pow):
        return not expr.exp.is_Integer
    return isinstance(expr, sp.Expr) and not isinstance(expr, sp.Add | sp.Mul | Read | Fold) and bool(expr.args)


def nodes(spec: Spec) -> tuple[Node, ...]:
    """The nodes of a pipeline, each after those that it reads; the outputs have their own names."""
    flattening = Flattening(spec)
    for left, right in spec.equations():
        read = left if isinstance(left, Read) else named(left.name, ())
        flattening.row(read, right)
    return tuple(flattening.found)


@dataclass(slots=True)
class Flattening:
    """Gives a name to each fold and each function of a pipeline, in the order of definition."""

    spec: Spec
    found: list[Node] = field(default_factory=list)
    symbols: dict[sp.Basic, Read] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.taken |= Names(self.spec).taken | {part.symbol.name for part in self.spec.parts()}

    def row(self, left: Read, right: sp.Expr) -> None:
        """One equation of the pipeline as it is printed, over the symbols of earlier ones."""
        right = right.xreplace({sp.Symbol(n.name): n.symbol for n in self.found if not n.axes})
        self.found.append(Node(left.name, left.indices, self.inside(right)))
        self.symbols.setdefault(self.found[-1].value, left)

    def flat(self, expr: Any) -> Any:
        """An expression as a polynomial in reads."""
        if isinstance(expr, Read) or not expr.args or not is_data(expr):
            return expr
        value = self.inside(expr)
        if value in self.symbols:
            return self.symbols[value]
        return self.node(value) if isinstance(value, Fold) or is_function(value) else value

    def inside(self, expr: Any) -> Any:
        """An expression whose arguments are polynomials in reads; what is divided by, or taken a logarithm of, is one
        read."""
        if isinstance(expr, Fold):
            return Fold(expr.kind, self.flat(expr.body), expr.axis)
        if isinstance(expr, Read) or not expr.args or not is_data(expr):
            return expr
        args = [a if not isinstance(a, sp.Expr) or is_integral(a) else self.flat(a) for a in expr.args]
        divides = isinstance(expr, sp.Pow) and expr.exp.is_Integer and expr.exp.is_negative
        if (divides or isinstance(expr, sp.log)) and isinstance(args[0], sp.Add):
            args[0] = self.node(args[0])
        return expr.func(*args)

    def node(self, value: sp.Expr) -> Read:
        """The symbol of a value, which becomes a node."""
        if value not in self.symbols:
            name = fresh(self.letter(value), self.taken)
            self.taken.add(name)
            axes = sorted(axes_of(value), key=self.place)
            self.found.append(Node(name, tuple(axes), value))
            self.symbols[value] = self.found[-1].symbol
        return self.symbols[value]

    def letter(self, value: sp.Expr) -> str:
        """The letter that the papers use for a value of this shape."""
        if isinstance(value, Fold) and value.kind == "sum":
            weights = {n.symbol for n in self.found if isinstance(n.value, sp.exp)}
            return "l" if value.body in weights else "acc" if value.body.atoms(Read) & weights else "t"
        return LETTERS.get(value.kind if isinstance(value, Fold) else type(value), "t")

    def place(self, axis: Index) -> tuple[int, str]:
        order = [a for o in self.spec.outputs for a in o.axes]
        return (order.index(axis) if axis in order else len(order), axis.name)


def masked_by(node: Node) -> sp.Basic | None:
    """The condition outside of which a node is -oo."""
    value = node.value
    return value.args[0] if isinstance(value, Where) and value.args[2] == -sp.oo else None
