"""That a gradient is what the chain rule gives: each identity that simplified a cotangent, and each pipeline.

Both sides of an identity are sums of products over reads. With the definition put in on which it rests, they are read
as one body for each set of axes that is summed over; what divides is cleared first. Sums are linear and exchange, so
that the sides are equal if the bodies are, which the solvers are asked of all numbers: of rows in which all values of
the forward pass are numbers, and what they are divided by is not 0.

The chain rule itself, and the table of derivatives, are no obligation here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby, pairwise
from typing import Any

import sympy as sp

from refold.algebra.adjoint.gradient import Gradient
from refold.algebra.adjoint.nodes import Node, is_function, masked_by
from refold.algebra.adjoint.reverse import Step
from refold.algebra.adjoint.terms import Term
from refold.spec import Fold, Read, Size, Where
from refold.spec.mathematics import text
from refold.verify.laws.numbers import of_numbers, together
from refold.verify.laws.summands import Reading, Summand, by_axes, of_term, polynomial
from refold.verify.obligation import Obligation
from refold.verify.result import Result, joined

NAME = "gradient"
SUMS = "sums are linear and exchange, where all values of the forward pass are numbers"


def gradients(gradient: Gradient) -> Iterator[Result]:
    """What makes the pipelines those of the chain rule."""
    yield _linked(gradient)
    for name, steps in groupby(gradient.steps, key=lambda s: s.name):
        for n, step in enumerate(steps, 1):
            yield _step(gradient, step, f"{NAME}: d{name} {n}")
    yield from _rows(gradient)
    for spec in gradient.pipelines:
        for output in spec.outputs:
            yield _pipeline(gradient, output.name, output.expr)


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
    reading = Reading(_definitions(gradient, step))
    sides = reading.cleared(symbol, [[of_term(t) for t in side] for side in (before, after)])
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


# --- the bodies -------------------------------------------------------------------------------------------------------


def _equal(reading: Reading, sides: list[list[Summand]], name: str, claim: str, note: str = SUMS) -> Result:
    """That two sides are equal, body by body."""
    left, right = (by_axes(reading.written(side)) for side in sides)
    symbols: dict[sp.Expr, sp.Symbol] = {}
    results = []
    for axes in sorted({*left, *right}, key=str):
        bodies = [polynomial(side.get(axes, sp.S.Zero), symbols) for side in (left, right)]
        over = ", ".join(a.name.partition("#")[0] for a in axes) or "nothing"
        shown = f"summed over {over}: {text(left.get(axes, sp.S.Zero))} = {text(right.get(axes, sp.S.Zero))}"
        results.append(of_numbers(Obligation(name, shown, (), (sp.Eq(*bodies, evaluate=False),), partial=True)))
    return together(name, claim, results, note)


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
    shown = of_numbers(Obligation(name, claim, (either,), (sp.Eq(there * p * rest, p * rest, evaluate=False),)))
    if shown.verdict != "proved":
        return replace(shown, verdict="unknown")
    plain = [(frozenset(t.bound), t.coefficient * _unmasked(t.product, hidden)) for t in before]
    after = [of_term(t) for t in step.after if t not in step.before]
    same = _equal(Reading({}), [plain, after], name, claim)
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
            yield of_numbers(Obligation(f"{NAME}: {row.name}", claim, (sp.Gt(whole, 0, evaluate=False),), (goal,)))


def _pipeline(gradient: Gradient, name: str, expr: sp.Expr) -> Result:
    """That an output of a pipeline is the cotangent that the last identity has left."""
    tensors = {r.name for r in expr.atoms(Read)}
    wanted = dict(gradient.cotangents)[name.removeprefix("d")]
    rows = {n.name: n for n in gradient.rows}
    whole = {r.args[0].name for n in gradient.rows if n.name in tensors for r in n.value.atoms(sp.log)}
    available = (tensors | whole | {o.name for o in gradient.spec.outputs}) - rows.keys()
    if not tensors & {*gradient.saved, *rows}:
        available = tensors
    known = {n.name: n for n in gradient.nodes if n.name not in available}
    hoisted = {n.name: n for n in gradient.rows if isinstance(n.value, Fold)}
    reading = Reading({})
    lengths = {length: Size(axis.name) for length, axis in gradient.lengths}
    names = {n.name: n for n in (*gradient.nodes, *gradient.rows)}
    # However a row is handed on, it is that row.
    reads = {r: Read(names[r.name].symbol.tensor, *r.indices) for r in expr.atoms(Read) if r.name in names}
    written = _shares(_put(expr.xreplace(reads).xreplace(lengths), hoisted | known), rows, known)
    left = [s for t in wanted for s in _terms(reading, t, known)]
    claim = f"{name} = {text(expr)} is what the chain rule gives"
    return _equal(reading, [left, reading.opened(written)], f"{NAME}: {name}", claim)


def _terms(reading: Reading, term: Term, known: dict[str, Node]) -> Iterator[Summand]:
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
        exponent = _hidden_outside(expr.args[0], rows)
        for read in (r for r in sp.Add.make_args(-exponent) if isinstance(r, Read) and r.name in rows):
            value = rows[read.name].at(read)
            (log,) = (a for a in sp.Add.make_args(value) if isinstance(a, sp.log))
            return sp.exp(exponent + read - _put(value - log, known)) / log.args[0]
    return (
        expr.func(*(_shares(a, rows, known) for a in expr.args)) if expr.args and not isinstance(expr, Read) else expr
    )


def _hidden_outside(exponent: Any, rows: dict[str, Node]) -> Any:
    """`s - L where c, else -oo  ->  (s where c, else -oo) - L`, of rows in which L is a number."""
    if isinstance(exponent, Where) and exponent.args[2] == -sp.oo:
        condition, score, hidden = exponent.args
        shift = sp.Add(*(p for p in sp.Add.make_args(score) if isinstance(-p, Read) and (-p).name in rows))
        return Where(condition, score - shift, hidden) + shift
    return exponent
