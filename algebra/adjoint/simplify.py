"""Identities of one pipeline, found again in sums of products: what its own definitions make of a cotangent.

sum_j p_ij v_je            ->    acc_ie             a sum that the forward pass has, under its name
acc_ie                     ->    o_ie l_i           an output that is a quotient, since it is kept anyway
[c] p                      ->    p                  where a mask makes p 0 outside of c
x a / D + x b / D          ->    x                  for D = a + b
sum_j c_ij                 ->    0                  for c_ij = x_ij - mean_i, and the like
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from refold.algebra.adjoint.nodes import Node, masked_by
from refold.algebra.adjoint.terms import Term, collected, factors, opened, product, summed
from refold.spec import Fold, Index, Read, Where
from refold.spec.pipeline import rename

Terms = tuple[Term, ...]
# `symbol` is `definition` by the equations of the forward pass.
Definition = tuple[sp.Expr, sp.Expr]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Terms after one identity: the name of its rule, and the definition on which it rests."""

    rule: str
    definition: Definition
    after: Terms


@dataclass(frozen=True, slots=True)
class Identities:
    """What can be found again of a pipeline, given by its nodes and the names of its outputs."""

    nodes: tuple[Node, ...]
    kept: frozenset[str]

    def node(self, read: sp.Basic) -> Node | None:
        return next((n for n in self.nodes if isinstance(read, Read) and n.name == read.name), None)

    def rewrites(self, terms: Terms) -> Iterator[Rewrite]:
        """One identity after the other, until none is left."""
        while (found := next(self.each(terms), None)) is not None:
            yield found
            terms = found.after

    def each(self, terms: Terms) -> Iterator[Rewrite]:
        rules = (self.unmasked, self.folded_back, self.of_outputs, self.gathered, self.unfolded)
        return (rewrite for rule in rules for rewrite in rule(terms))

    def replaced(self, terms: Terms, n: int, new: Sequence[Term]) -> Terms:
        return collected([*terms[:n], *new, *terms[n + 1 :]])

    # --- rules -----------------------------------------------------------------------------------------------------

    def unmasked(self, terms: Terms) -> Iterator[Rewrite]:
        """An exponential of -oo is 0, so that its mask says nothing new."""
        for n, term in enumerate(terms):
            for factor in (f for f in factors(term.product) if isinstance(f, Where) and f.args[1:] == (1, 0)):
                for weight in term.factors:
                    node = self.node(weight)
                    if node is not None and isinstance(node.value, sp.exp) and self.hides(node, weight, factor.args[0]):
                        left = Term(term.coefficient, term.product / factor, term.bound)
                        yield Rewrite("mask", (weight, node.at(weight)), self.replaced(terms, n, [left]))

    def hides(self, node: Node, read: Any, condition: sp.Basic) -> bool:
        """Whether the exponent of a node is -oo wherever a condition fails."""
        for part in sp.Add.make_args(node.at(read).args[0]):
            inner = self.node(part)
            if inner is not None and masked_by(inner) is not None and inner.at(part).args[0] == condition:
                return True
        return False

    def folded_back(self, terms: Terms) -> Iterator[Rewrite]:
        for n, term in enumerate(terms):
            for node in self.nodes:
                if not (isinstance(node.value, Fold) and node.value.kind == "sum"):
                    continue
                for axis in term.bound:
                    put = matched(node.value, axis, term)
                    if put is None or not {*node.axes} <= put.keys():
                        continue
                    symbol = rename(node.symbol, {a: put[a] for a in node.axes})
                    inside = {f for f in factors(term.product) if axis in f.free_symbols}
                    rest = sp.Mul(*(f for f in factors(term.product) if f not in inside))
                    number = opened(node.value.body)[0].coefficient
                    bound = tuple(a for a in term.bound if a != axis)
                    new = Term(term.coefficient / number, rest * symbol, bound)
                    yield Rewrite("found again", (node.symbol, node.value), self.replaced(terms, n, [new]))

    def of_outputs(self, terms: Terms) -> Iterator[Rewrite]:
        """A node that an output is a multiple of."""
        for output in (n for n in self.nodes if n.name in self.kept and not isinstance(n.value, Fold)):
            for part in factors(output.value):
                node = self.node(part)
                if node is None or node.name in self.kept or {*part.indices} != {*output.axes}:
                    continue
                if not all(_divides(f) for f in factors(output.value) if f != part):
                    continue
                for n, term in enumerate(terms):
                    for read, power in term.factors.items():
                        if isinstance(read, Read) and read.tensor == part.tensor and power.is_positive:
                            put = dict(zip(part.indices, read.indices, strict=True))
                            value = rename(output.symbol * part / output.value, put)
                            new = term.times(value / read)
                            yield Rewrite("output", (output.symbol, output.value), self.replaced(terms, n, [new]))

    def gathered(self, terms: Terms) -> Iterator[Rewrite]:
        """The parts of a divisor, each over it, are 1 together."""
        for term in terms:
            for read, power in term.factors.items():
                node = self.node(read)
                if node is None or not isinstance(node.value, sp.Add) or not power.is_negative:
                    continue
                parts = opened(node.at(read))
                rest = self.common(term, parts)
                wanted = () if rest is None else collected(product([rest], parts))
                if rest is not None and all(w in terms for w in wanted):
                    left = [t for t in terms if t not in wanted]
                    yield Rewrite("divisor", (read, node.at(read)), collected([*left, rest.times(read)]))

    def common(self, term: Term, parts: Terms) -> Term | None:
        """What a term is beside the first part of a sum."""
        first = parts[0]
        if first.bound or not all(f in term.factors for f in first.factors):
            return None
        return Term(term.coefficient / first.coefficient, term.product / first.product, term.bound)

    def unfolded(self, terms: Terms) -> Iterator[Rewrite]:
        """A sum over the values of one node, written out, if it is 0 then."""
        for n, term in enumerate(terms):
            for axis in term.bound:
                inside = [f for f in factors(term.product) if axis in f.free_symbols]
                node = self.node(inside[0]) if len(inside) == 1 else None
                if node is None or not isinstance(node.value, sp.Add):
                    continue
                summands = collected(summed(t, axis) for t in opened(node.at(inside[0])))
                for _ in range(len(self.nodes)):
                    summands = self.settled(summands)
                    reads = [r for t in summands for r in t.factors if self.is_mean(r)]
                    if not reads:
                        break
                    put = {r: self.node(r).at(r) for r in reads}  # type: ignore[union-attr]
                    summands = collected(s for t in summands for s in self.written(t, put))
                if not summands:
                    definition = (node.symbol, node.value)
                    yield Rewrite("sums to 0", definition, self.replaced(terms, n, []))

    def settled(self, terms: Terms) -> Terms:
        while (found := next(self.folded_back(terms), None)) is not None:
            terms = found.after
        return terms

    def is_mean(self, read: sp.Basic) -> bool:
        """Whether a read is of a node that is a product: a sum over a length."""
        node = self.node(read)
        return node is not None and isinstance(node.value, sp.Mul)

    def written(self, term: Term, put: dict[Any, Any]) -> list[Term]:
        return [
            Term(t.coefficient * term.coefficient, t.product, (*term.bound, *t.bound))
            for t in opened(term.product.xreplace(put))
        ]


def _divides(factor: sp.Expr) -> bool:
    """Whether a factor of an output is one that it is divided by: it is not 0 where the output has a value."""
    return bool(factor.is_number) or (isinstance(factor, sp.Pow) and factor.exp.is_negative)


def matched(fold: Fold, axis: Index, term: Term) -> dict[Any, Any] | None:
    """The indices at which the body of a sum is all that a term holds of a bound axis."""
    body = opened(fold.body)
    if len(body) != 1 or body[0].bound:
        return None
    have = {f: e for f, e in term.factors.items() if axis in f.free_symbols}
    return next(_pairings(list(body[0].factors.items()), have, {fold.axis: axis}), None)


def _pairings(
    wanted: list[tuple[sp.Expr, sp.Expr]], have: dict[sp.Expr, sp.Expr], put: dict[Any, Any]
) -> Iterator[dict[Any, Any]]:
    if not wanted:
        if not have:
            yield put
        return
    (factor, power), *rest = wanted
    for other, exponent in have.items():
        if power == exponent and (new := unified(factor, other, put)) is not None:
            yield from _pairings(rest, {f: e for f, e in have.items() if f != other}, new)


def unified(factor: sp.Expr, other: sp.Expr, put: dict[Any, Any]) -> dict[Any, Any] | None:
    """What the indices of a factor are in another one like it."""
    if not (isinstance(factor, Read) and isinstance(other, Read)):
        return put if rename(factor, put) == other else None
    if factor.tensor != other.tensor:
        return None
    found = dict(put)
    for index, at in zip(factor.indices, other.indices, strict=True):
        if isinstance(index, Index):
            if found.setdefault(index, at) != at:
                return None
        elif rename(index, found) != at:
            return None
    return found
