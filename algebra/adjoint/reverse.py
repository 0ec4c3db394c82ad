"""Reverse mode over the nodes of a pipeline: a cotangent for each, simplified as soon as it is complete."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from refold.algebra.adjoint.nodes import Node, named, nodes
from refold.algebra.adjoint.simplify import Definition, Identities, Terms
from refold.algebra.adjoint.terms import collected, fresh, opened, own, product, renamed, summed
from refold.algebra.names import Names
from refold.spec import Fold, Index, Param, Read, Spec, TensorName, Where
from refold.spec.abbreviate import fresh as fresh_name
from refold.spec.derivatives import partials
from refold.spec.heads import is_integral


@dataclass(frozen=True, slots=True)
class Step:
    """`before = after` of the cotangent of `name`, by a rule that rests on definitions of the forward pass."""

    name: str
    rule: str
    before: Terms
    after: Terms
    by: Definition


@dataclass(slots=True)
class Reverse:
    """The cotangents of all that a pipeline computes, by those of its outputs, in terms over its nodes.

    `given` are the names of the cotangents of the outputs that are no integers; `shifts` are the maxima whose
    cotangents are 0.
    """

    spec: Spec
    wanted: Collection[str]
    nodes: tuple[Node, ...] = ()
    given: dict[str, str] = field(default_factory=dict)
    cotangents: dict[str, Terms] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    shifts: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.nodes = nodes(self.spec)
        taken = {n.name for n in self.nodes} | Names(self.spec).taken
        for output in self.spec.outputs:
            if not is_integral(output.expr):
                self.given[output.name] = fresh_name(f"d{output.name}", taken)
        self.run()

    def run(self) -> None:
        identities = Identities(self.nodes, frozenset(o.name for o in self.spec.outputs))
        for output in self.spec.outputs:
            if output.name in self.given:
                self.cotangents[output.name] = opened(named(self.given[output.name], output.axes))
        for node in reversed(self.nodes):
            if node.name not in self.cotangents:
                continue
            cotangent = self.simplified(node.name, identities)
            if cotangent:
                self.spread(node, cotangent)
            elif isinstance(node.value, sp.Max) or (isinstance(node.value, Fold) and node.value.kind == "max"):
                self.shifts[node.name] = None
        for name in self.wanted:
            self.simplified(name, identities)

    def simplified(self, name: str, identities: Identities) -> Terms:
        """The cotangent of a name after every identity that is found in it; each is a step."""
        terms = self.cotangents.setdefault(name, ())
        for rewrite in identities.rewrites(terms):
            self.steps.append(Step(name, rewrite.rule, terms, rewrite.after, rewrite.definition))
            terms = rewrite.after
        self.cotangents[name] = terms
        return terms

    def spread(self, node: Node, cotangent: Terms) -> None:
        """Hands the cotangent of a node on to all that its value reads."""
        inside = cotangent
        if isinstance(node.value, Fold):
            by_body = partials(node.value)[1]
            inside = collected(product([fresh(t) for t in cotangent], opened(by_body)))
        for leaf in sorted(leaves(node.body), key=str):
            if leaf.name not in self.wanted and all(n.name != leaf.name for n in self.nodes):
                continue
            slope = derivative(node.body, leaf)
            if slope == 0:
                continue
            terms = opened(in_its_own_terms(slope, node))
            whole = [t for c in inside for t in product([fresh(c)], terms)]
            self.add(leaf, collected(whole), node.over)

    def add(self, leaf: Any, terms: Terms, over: tuple[Index, ...]) -> None:
        """Adds what one read of a tensor contributes: a sum over all axes that are none of the tensor's."""
        axes = leaf.tensor.axes if isinstance(leaf, Read) else ()
        indices = leaf.indices if isinstance(leaf, Read) else ()
        kept = {a for a, index in zip(axes, indices, strict=True) if a == index}
        bound = {a: own(a) for a in over if a not in kept}
        place: sp.Expr = sp.S.One
        for axis, index in zip(axes, indices, strict=True):
            if index != axis:
                # Where the place is computed, it is where both are equal.
                place *= Where(sp.Eq(axis, index.xreplace(bound), evaluate=False), 1, 0)
        found = []
        for term in terms:
            moved = renamed(term, bound).times(place)
            for axis in bound.values():
                moved = summed(moved, axis)
            found.append(moved)
        self.cotangents[leaf.name] = collected([*self.cotangents.get(leaf.name, ()), *found])


def leaves(expr: sp.Basic) -> set[Any]:
    """The reads of data and the scalars of an expression that its value varies with."""
    if isinstance(expr, Param):
        return set() if expr.is_integer else {expr}
    if isinstance(expr, Read):
        return set() if expr.tensor.is_integer else {expr}
    if isinstance(expr, TensorName):
        return set()
    arguments = expr.args[1:] if isinstance(expr, Where) else expr.args
    return {leaf for arg in arguments for leaf in leaves(arg)}


def derivative(expr: sp.Expr, leaf: sp.Expr) -> sp.Expr:
    """The derivative of an expression outside of folds by a read of it, by the table."""
    if expr == leaf:
        return sp.S.One
    if leaf not in leaves(expr):
        return sp.S.Zero
    inner = [derivative(a, leaf) if isinstance(a, sp.Expr) else sp.S.Zero for a in expr.args]
    if not any(inner):
        return sp.S.Zero
    return sp.Add(*(by * d for by, d in zip(partials(expr), inner, strict=True) if d != 0))


def in_its_own_terms(slope: sp.Expr, node: Node) -> sp.Expr:
    """`exp' = exp`, `tanh' = 1 - tanh^2` and powers of a root: over the node where its derivative holds its value."""
    slope = slope.xreplace({node.value: node.symbol})
    value = node.value
    if isinstance(value, sp.Pow) and not value.exp.is_Integer:
        powers = {p: p.exp / value.exp for p in slope.atoms(sp.Pow) if p.base == value.base}
        return slope.xreplace({p: node.symbol**n for p, n in powers.items() if n.is_Integer})
    return slope
