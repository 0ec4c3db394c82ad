"""That a gradient is what the chain rule gives: each identity that simplified a cotangent, and each pipeline.

Both sides of an identity are sums of products over reads. With the definition put in on which it rests, they are read
as one body for each set of axes that is summed over; what divides is cleared first. Sums are linear and exchange, so
that the sides are equal if the bodies are, which the solvers are asked of all numbers: of rows in which all values of
the forward pass are numbers, and what they are divided by is not 0.

The chain rule itself, and the table of derivatives, are no obligation here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise, permutations, product
from typing import Any

import sympy as sp

from refold.algebra.adjoint.gradient import Gradient
from refold.algebra.adjoint.nodes import Node, is_function, masked_by
from refold.algebra.adjoint.reverse import Step
from refold.algebra.adjoint.terms import Term, base
from refold.algebra.sums import factors_of
from refold.spec import Fold, Index, Read, Size, Where
from refold.spec.mathematics import text
from refold.spec.pipeline import rename
from refold.verify.certificate.comparison import query_context
from refold.verify.deadline import doing
from refold.verify.obligation import Obligation, query_of_numbers
from refold.verify.result import Result, joined
from refold.verify.smt.query import answered
from refold.verify.smt.solver import ask

NAME = "gradient"
SUMS = "sums are linear and exchange, where all values of the forward pass are numbers"
# A product under the sum over some axes, each with a name of its own.
Summand = tuple[frozenset[Index], Any]


def gradients(gradient: Gradient) -> Iterator[Result]:
    """What makes the pipelines those of the chain rule."""
    yield _linked(gradient)
    for name, steps in groupby(gradient.steps, key=lambda s: s.name):
        for n, step in enumerate(steps, 1):
            yield _step(gradient, step, f"{NAME}: d{name} {n}")
    yield from _rows(gradient)
    for spec in gradient.pipelines:
        for output in spec.outputs:
            yield _pipeline(gradient, output.name, output.expr, {t.name for t in spec.tensors})


def _linked(gradient: Gradient) -> Result:
    """That each step begins where the one before has ended, and that the last is what a pipeline is made of."""
    broken = []
    ends = dict(gradient.cotangents)
    for name, group in groupby(gradient.steps, key=lambda s: s.name):
        steps = list(group)
        if any(a.after != b.before for a, b in pairwise(steps)) or ends.get(name, steps[-1].after) != steps[-1].after:
            broken.append(name)
        if name in gradient.shifts and steps[-1].after:
            broken.append(name)
    claim = "each identity begins with what the one before has left"
    note = f"not of {', '.join(broken)}" if broken else "by inspection"
    return Result(NAME, claim, "unknown" if broken else "proved", 0.0, "", note=note)


def _step(gradient: Gradient, step: Step, name: str) -> Result:
    symbol, value = step.by
    claim = f"{step.rule}: {text(symbol)} = {text(value)}"
    before = [t for t in step.before if t not in step.after]
    after = [t for t in step.after if t not in step.before]
    if not _is_definition(gradient, symbol, value):
        return Result(name, claim, "unknown", 0.0, "", note="it is no definition of the forward pass")
    if step.rule == "mask":
        return _mask(gradient, step, name, claim)
    reading = _Reading(_definitions(gradient, step))
    sides = reading.cleared(symbol, [[_summand(t) for t in side] for side in (before, after)])
    return _equal(reading, sides, name, claim)


def _is_definition(gradient: Gradient, symbol: Any, value: sp.Expr) -> bool:
    return any(n.name == symbol.name and n.at(symbol) == value for n in gradient.nodes)


def _definitions(gradient: Gradient, step: Step) -> dict[str, Node]:
    """The nodes that are written out: the one that is cited, and of what is 0 all sums and products below it."""
    nodes = {n.name: n for n in gradient.nodes}
    cited = step.by[0].name
    if step.rule != "sums to 0":
        return {cited: nodes[cited]}
    found, waiting = {}, [cited]
    while waiting:
        node = nodes[waiting.pop()]
        if not is_function(node.value):
            found[node.name] = node
            waiting += [r.name for r in node.value.atoms(Read) if r.name in nodes]
    return found


def _summand(term: Term) -> Summand:
    return frozenset(term.bound), term.coefficient * term.product


@dataclass(slots=True)
class _Reading:
    """Reads expressions as sums of products, with some nodes written out."""

    nodes: dict[str, Node]
    count: int = 0

    def own(self, axis: Index) -> Index:
        self.count += 1
        return Index(f"{base(axis).name}#p{self.count}")

    def opened(self, expr: Any) -> list[Summand]:
        """The products of an expression, each with the axes that it is summed over."""
        if isinstance(expr, Read) and expr.name in self.nodes:
            return self.opened(self.nodes[expr.name].at(expr))
        if isinstance(expr, sp.Add):
            return [s for a in expr.args for s in self.opened(a)]
        if isinstance(expr, Fold) and expr.kind == "sum":
            axis = self.own(expr.axis)
            return [self.over(axis, s) for s in self.opened(rename(expr.body, {expr.axis: axis}))]
        if isinstance(expr, sp.Pow) and expr.exp.is_Integer and expr.exp.is_positive:
            return self.times([self.opened(expr.base) for _ in range(int(expr.exp))])
        if isinstance(expr, sp.Mul):
            return self.times([self.opened(f) for f in factors_of(expr)])
        return [(frozenset(), expr)]

    def over(self, axis: Index, summand: Summand) -> Summand:
        axes, body = summand
        return (axes | {axis}, body) if axis in body.free_symbols else (axes, body * Size(base(axis).name))

    def times(self, sums: Sequence[list[Summand]]) -> list[Summand]:
        return [
            (frozenset[Index]().union(*(axes for axes, _ in choice)), sp.Mul(*(body for _, body in choice)))
            for choice in product(*sums)
        ]

    def written(self, side: list[Summand]) -> list[Summand]:
        """Summands with the nodes written out in them."""
        found = []
        for axes, body in side:
            for more, inner in self.opened(body):
                left = frozenset(a for a in axes if a in inner.free_symbols)
                lengths = sp.Mul(*(Size(base(a).name) for a in axes - left))
                found.append((left | more, inner * lengths))
        return found

    def cleared(self, symbol: Any, sides: list[list[Summand]]) -> list[list[Summand]]:
        """Both sides times what is cited, as often as it divides; for each value of the axes that it is at.

        An axis that it is at, and that is summed over in every summand, is free: the summands are equal one by one.
        """
        every = [s for side in sides for s in side]
        at = {r for _, body in every for r in body.atoms(Read) if r.name == symbol.name and _exponent(body, r) < 0}
        for plain in sorted({base(a) for r in at for a in r.free_symbols if isinstance(a, Index)}, key=str):
            sides = _freed(plain, sides)
        every = [s for side in sides for s in side]
        at = {r for _, body in every for r in body.atoms(Read) if r.name == symbol.name and _exponent(body, r) < 0}
        for r in at:
            most = -min(_exponent(body, r) for _, body in every)
            sides = [[(axes, body * r**most) for axes, body in side] for side in sides]
        return sides


def _exponent(body: sp.Expr, read: sp.Expr) -> int:
    return int(sum(f.as_base_exp()[1] for f in sp.Mul.make_args(body) if f.as_base_exp()[0] == read))


def _freed(plain: Index, sides: list[list[Summand]]) -> list[list[Summand]]:
    """The sides at one position of an axis over which every summand is summed once; else as they are."""
    bound = [[a for a in axes if base(a) == plain] for side in sides for axes, _ in side]
    if any(len(found) != 1 for found in bound):
        return sides
    return [
        [(axes - {a}, rename(body, {a: plain})) for axes, body in side for a in axes if base(a) == plain]
        for side in sides
    ]


# --- the bodies -------------------------------------------------------------------------------------------------------


def _equal(reading: _Reading, sides: list[list[Summand]], name: str, claim: str, note: str = SUMS) -> Result:
    """That two sides are equal, body by body."""
    left, right = (_bodies(reading.written(side)) for side in sides)
    symbols: dict[sp.Expr, sp.Symbol] = {}
    results = []
    for axes in sorted({*left, *right}, key=str):
        bodies = [_number(side.get(axes, sp.S.Zero), symbols) for side in (left, right)]
        over = ", ".join(a.name.partition("#")[0] for a in axes) or "nothing"
        shown = f"summed over {over}: {text(left.get(axes, sp.S.Zero))} = {text(right.get(axes, sp.S.Zero))}"
        results.append(_asked(Obligation(name, shown, (), (sp.Eq(*bodies, evaluate=False),), partial=True)))
    failed = next((r for r in results if r.verdict != "proved"), None)
    if failed is not None:
        return replace(failed, name=name, claim=claim, verdict="unknown", note=f"not shown: {failed.claim}")
    return joined(name, claim, results, note)


def _bodies(side: list[Summand]) -> dict[tuple[Index, ...], sp.Expr]:
    """One body for each set of axes, whose names are the least ones that say the same."""
    found: dict[tuple[Index, ...], sp.Expr] = {}
    for axes, body in side:
        groups = [sorted(group, key=str) for _, group in groupby(sorted(axes, key=str), key=base)]
        numbered = []
        for orders in product(*(permutations(group) for group in groups)):
            put = {a: Index(f"{base(a).name}#{n}") for group in orders for n, a in enumerate(group)}
            numbered.append((rename(body, put), tuple(sorted(put.values(), key=str))))
        least = min(numbered, key=lambda item: str(item[0]))
        found[least[1]] = found.get(least[1], sp.S.Zero) + least[0]
    return found


def _number(expr: Any, symbols: dict[sp.Expr, sp.Symbol]) -> Any:
    """A polynomial over symbols for all that is no sum and no product."""
    match expr:
        case sp.Rational():
            return expr
        case sp.Add() | sp.Mul():
            return expr.func(*(_number(a, symbols) for a in expr.args))
        case sp.Pow() if expr.exp.is_Integer and expr.exp.is_positive:
            return _number(expr.base, symbols) ** expr.exp
    return symbols.setdefault(expr, sp.Symbol(f"x{len(symbols)}", real=True))


def _asked(obligation: Obligation) -> Result:
    doing(f"while {obligation.name} was asked")
    with query_context():
        return answered(obligation.name, obligation.claim, ask(query_of_numbers(obligation)))


# --- masks ------------------------------------------------------------------------------------------------------------


def _mask(gradient: Gradient, step: Step, name: str, claim: str) -> Result:
    """That a weight is 0 where a condition fails that a term is multiplied by, and that nothing else was left out."""
    weight, value = step.by
    before = [t for t in step.before if t not in step.after]
    hidden = {c for part in sp.Add.make_args(value.args[0]) for c in _hiding(gradient, part)}
    for term in before:
        shares = [f for f in sp.Mul.make_args(term.product) if isinstance(f, Where) and f.args[0] in hidden]
        if weight not in sp.Mul.make_args(term.product) or len(shares) != 1:
            return Result(name, claim, "unknown", 0.0, "", note="the weight was not shown to be hidden there")
    there, p, rest = sp.symbols("there p rest", real=True)
    either = sp.Or(
        sp.Eq(there, 1, evaluate=False), sp.And(sp.Eq(there, 0, evaluate=False), sp.Eq(p, 0, evaluate=False))
    )
    shown = _asked(Obligation(name, claim, (either,), (sp.Eq(there * p * rest, p * rest, evaluate=False),)))
    if shown.verdict != "proved":
        return replace(shown, verdict="unknown")
    plain = [(frozenset(t.bound), t.coefficient * _unmasked(t.product, hidden)) for t in before]
    after = [_summand(t) for t in step.after if t not in step.before]
    same = _equal(_Reading({}), [plain, after], name, claim)
    note = "an exponential of -∞ is 0"
    return joined(name, claim, [shown, same], note) if same.verdict == "proved" else same


def _hiding(gradient: Gradient, part: sp.Expr) -> Iterator[sp.Basic]:
    for node in gradient.nodes:
        if isinstance(part, Read) and part.name == node.name and masked_by(node) is not None:
            yield node.at(part).args[0]


def _unmasked(body: sp.Expr, hidden: set[sp.Basic]) -> sp.Expr:
    return sp.Mul(*(f for f in sp.Mul.make_args(body) if not (isinstance(f, Where) and f.args == (f.args[0], 1, 0)
                                                              and f.args[0] in hidden)))  # fmt: skip


# --- the pipelines ----------------------------------------------------------------------------------------------------


def _rows(gradient: Gradient) -> Iterator[Result]:
    """That an exponential over its sum is one exponential against a saved row."""
    for row in gradient.rows:
        logs = [a for a in sp.Add.make_args(row.value) if isinstance(a, sp.log)]
        if len(logs) == 1:
            a, m = sp.symbols("a m", real=True)
            whole = sp.Symbol("l", positive=True)
            goal = sp.Eq(sp.exp(a - m - sp.log(whole), evaluate=False), sp.exp(a - m) / whole, evaluate=False)
            claim = f"exp(a - {row.name}) is what is summed, over {text(logs[0].args[0])} > 0"
            yield _asked(Obligation(f"{NAME}: {row.name}", claim, (sp.Gt(whole, 0, evaluate=False),), (goal,)))


def _pipeline(gradient: Gradient, name: str, expr: sp.Expr, tensors: set[str]) -> Result:
    """That a pipeline computes the cotangent that the last identity has left."""
    wanted = dict(gradient.cotangents)[name.removeprefix("d")]
    rows = {n.name: n for n in gradient.rows}
    whole = {r.args[0].name for n in gradient.rows if n.name in tensors for r in n.value.atoms(sp.log)}
    available = (tensors | whole | {o.name for o in gradient.spec.outputs}) - rows.keys()
    if not tensors & {*gradient.saved, *rows}:
        available = tensors
    known = {n.name: n for n in gradient.nodes if n.name not in available}
    hoisted = {n.name: n for n in gradient.rows if isinstance(n.value, Fold)}
    reading = _Reading({})
    lengths = {length: Size(axis.name) for length, axis in gradient.lengths}
    written = _shares(_put(expr.xreplace(lengths), hoisted | known), rows, known)
    left = [s for t in wanted for s in _terms(reading, t, known)]
    claim = f"{name} = {text(expr)} is what the chain rule gives"
    return _equal(reading, [left, reading.opened(written)], f"{NAME}: {name}", claim)


def _terms(reading: _Reading, term: Term, known: dict[str, Node]) -> Iterator[Summand]:
    for axes, body in reading.opened(_put(term.coefficient * term.product, known)):
        yield frozenset(term.bound) | axes, body


def _put(expr: Any, nodes: dict[str, Node]) -> Any:
    """An expression with nodes written out, also inside of functions."""
    if isinstance(expr, Read) and expr.name in nodes:
        return _put(nodes[expr.name].at(expr), nodes)
    return expr.func(*(_put(a, nodes) for a in expr.args)) if expr.args and not isinstance(expr, Read) else expr


def _shares(expr: Any, rows: dict[str, Node], known: dict[str, Node]) -> Any:
    """`exp(a - L) -> exp(a - m) / l` for a saved row `L = m + log l`."""
    if isinstance(expr, sp.exp):
        exponent = expr.args[0]
        for read in (r for r in sp.Add.make_args(-exponent) if isinstance(r, Read) and r.name in rows):
            value = rows[read.name].at(read)
            (log,) = (a for a in sp.Add.make_args(value) if isinstance(a, sp.log))
            return sp.exp(exponent + read - _put(value - log, known)) / log.args[0]
    return (
        expr.func(*(_shares(a, rows, known) for a in expr.args)) if expr.args and not isinstance(expr, Read) else expr
    )
