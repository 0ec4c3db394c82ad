"""What the backward pass reads of the forward pass, and what it computes again.

p_ij / l_i         ->    exp(s_ij - L_i)          for p = exp(s - m), and L = m + log l, which is saved
sum_e do_ie o_ie   ->    delta_i                  where a loop would compute it again for every position
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import sympy as sp

from refold.algebra.adjoint.formula import Formula
from refold.algebra.adjoint.nodes import Node, is_function
from refold.algebra.adjoint.reverse import Reverse
from refold.algebra.adjoint.simplify import Terms
from refold.algebra.adjoint.terms import Term, collected
from refold.algebra.names import Names
from refold.algebra.roles import axes_of
from refold.spec import Fold, Index, Read, TensorName, Where
from refold.spec.abbreviate import fresh
from refold.spec.pipeline import rename


@dataclass(slots=True)
class Rows:
    """The nodes of the backward pass: `added` ones of weights, `hoisted` ones of a pipeline before the loops."""

    reverse: Reverse
    added: list[Node] = field(default_factory=list)
    hoisted: list[Node] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        spec = self.reverse.spec
        self.taken |= Names(spec).taken | {n.name for n in self.reverse.nodes} | {*self.reverse.given.values()}
        self.taken |= {f"d{x.name}" for group in (spec.tensors, spec.params) for x in group}

    @property
    def nodes(self) -> dict[str, Node]:
        return {n.name: n for n in (*self.reverse.nodes, *self.added, *self.hoisted)}

    @property
    def weights(self) -> frozenset[str]:
        """The nodes that are functions of data and no rows: what loops are over."""
        rows = {n.name for n in self.saved}
        return frozenset(n.name for n in self.nodes.values() if is_function(n.value) and n.name not in rows)

    @property
    def saved(self) -> list[Node]:
        """The nodes over fewer axes than some tensor has, for which an axis was folded: rows are saved."""
        spec = self.reverse.spec
        kept = {o.name for o in spec.outputs}
        wide = [{*axes} for axes in ([t.axes for t in spec.tensors] + [o.axes for o in spec.outputs])]
        return [
            n for n in self.nodes.values()
            if n.name not in kept and not self.is_share(n) and n not in self.hoisted
            and any({*n.axes} < axes for axes in wide) and self.in_full(n.value).atoms(Fold)
        ]  # fmt: skip

    def is_share(self, node: Node) -> bool:
        """Whether a node is made of a saved row, for the loops."""
        return node in self.added and isinstance(node.value, sp.exp)

    # --- weights ---------------------------------------------------------------------------------------------------

    def weighed(self, terms: Terms) -> Terms:
        """Terms in which an exponential over its sum is one exponential, of what is at most 0."""
        return collected(map(self.weight, terms))

    def weight(self, term: Term) -> Term:
        for read, power in term.factors.items():
            node = self.nodes.get(getattr(read, "name", ""))
            if node is None or not isinstance(node.value, sp.exp) or not power.is_positive:
                continue
            for divisor, exponent in term.factors.items():
                if exponent.is_negative and isinstance(divisor, Read) and self.normalises(divisor, node, read):
                    share = self.share(node, self.nodes[divisor.name])
                    indices = dict(zip(node.axes, read.indices, strict=True))
                    return self.weight(term.times(rename(share.symbol, indices) * divisor / read))
        return term

    def normalises(self, divisor: Read, node: Node, read: Read) -> bool:
        """Whether a divisor is a sum that an exponential is a part of, at the same row."""
        whole = self.nodes.get(divisor.name)
        if whole is None or not {*whole.axes} <= {*node.axes}:
            return False
        put = dict(zip(node.axes, read.indices, strict=True))
        same = tuple(put[a] for a in whole.axes) == divisor.indices and self.shift(node).free_symbols <= {*whole.axes}
        return same and self.reads(whole, node.name)

    def reads(self, node: Node, name: str) -> bool:
        """Whether a sum, or a sum of sums, is of a node."""
        if not isinstance(node.value, sp.Add) and not (isinstance(node.value, Fold) and node.value.kind == "sum"):
            return False
        inner = {r.name for r in node.body.atoms(Read)}
        return name in inner or any(n in self.nodes and self.reads(self.nodes[n], name) for n in inner)

    def shift(self, node: Node) -> sp.Expr:
        """The maxima that an exponent is taken against, and that no gradient goes through."""
        exponent = node.value.args[0]
        return sp.Add(*(r for r in exponent.atoms(Read) if r.name in self.reverse.shifts and exponent.coeff(r) == -1))

    def share(self, node: Node, whole: Node) -> Node:
        """`P = exp(s - L)` for `p = exp(s - m)` and its sum `l`, with `L = m + log l`."""
        exponent, shift = node.value.args[0], self.shift(node)
        row = self.add("L", whole.axes, shift + sp.log(whole.symbol))
        return self.add("P", node.axes, sp.exp(exponent + shift - row.symbol))

    def add(self, name: str, axes: tuple[Index, ...], value: sp.Expr) -> Node:
        found = next((n for n in self.added if n.value == value), None)
        if found is None:
            found = Node(self.take(name), axes, value)
            self.added.append(found)
        return found

    def take(self, name: str) -> str:
        """The name, or one made of it that nothing has yet."""
        name = fresh(name, self.taken)
        self.taken.add(name)
        return name

    # --- rows before the loops -------------------------------------------------------------------------------------

    def hoist(self, formulas: dict[str, Formula]) -> None:
        """Gives a name, and a pipeline of their own, to sums inside of loops that do not vary with these."""
        for f in formulas.values():
            for loop in (x for x in f.expr.atoms(Fold) if x.axis in f.loops):
                for inner in sorted(loop.body.atoms(Fold), key=str):
                    if not inner.free_symbols & {*f.loops} and inner.axis not in f.loops:
                        self.row(inner)
        table = {n.value: n.symbol for n in self.hoisted}
        for name, f in formulas.items():
            formulas[name] = replace(f, expr=f.expr.xreplace(table))

    def row(self, value: Fold) -> None:
        if all(n.value != value for n in self.hoisted):
            order = [a for o in self.reverse.spec.outputs for a in o.axes]
            axes = sorted(axes_of(value), key=order.index)
            self.hoisted.append(Node(self.take("delta"), tuple(axes), value))

    # --- what is computed again ------------------------------------------------------------------------------------

    def written(self, expr: Any) -> Any:
        """An expression over inputs, outputs, and what is saved or computed before; all else is computed again.

        Rows are handed on in float32, whatever the inputs are.
        """
        rows = {n.name for n in (*self.saved, *self.hoisted)}
        found: Any = hidden_inside(self.expanded(expr, rows | self.kept()), {n.name for n in self.added})
        wide = {r: Read(TensorName(r.name, r.tensor.axes, "float32"), *r.indices) for r in found.atoms(Read)}
        return found.xreplace({r: w for r, w in wide.items() if r.name in rows})

    def in_full(self, expr: Any) -> Any:
        """An expression over inputs alone."""
        return self.expanded(expr, set())

    def kept(self) -> set[str]:
        return {o.name for o in self.reverse.spec.outputs}

    def expanded(self, expr: Any, available: set[str]) -> Any:
        if isinstance(expr, Read) and expr.name in self.nodes and expr.name not in available:
            return self.expanded(self.nodes[expr.name].at(expr), available)
        if isinstance(expr, Read) or not expr.args:
            return expr
        args = [self.expanded(a, available) for a in expr.args]
        return expr if all(a is b for a, b in zip(args, expr.args, strict=True)) else expr.func(*args)


def hidden_inside(expr: Any, rows: set[str]) -> Any:
    """`exp((s where c, else -oo) - L) -> exp(s - L where c, else -oo)`: L is -oo in a row without a position."""
    if isinstance(expr, Read) or not expr.args:
        return expr
    expr = expr.func(*(hidden_inside(a, rows) for a in expr.args))
    parts = sp.Add.make_args(expr.args[0]) if isinstance(expr, sp.exp) else ()
    masks = [p for p in parts if isinstance(p, Where) and p.args[2] == -sp.oo]
    if len(masks) != 1 or not any(isinstance(-p, Read) and (-p).name in rows for p in parts):
        return expr
    condition, score, hidden = masks[0].args
    return sp.exp(Where(condition, score + sp.Add(*(p for p in parts if p != masks[0])), hidden))
