"""Mutants of derived plans: every way of being wrong once, by systematic operators, and the verdict on each."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import sympy as sp
from exact import difference
from sympy.core.relational import Relational

from refold import Plan, derive
from refold.algebra import Accumulator, Anchor
from refold.spec import Fold, Read, Where
from refold.verify import verify

Fate = Literal["refuted", "equivalent", "explained", "unexplained"]

# Why a mutant that computes the same is not proved. Only what agrees with its spec in 80 digits is looked up here.
CANCELS = "an anchor is another number than the spec's, and cancels from every output; a fold of the spec has no value"
MOVED = "the outputs do not change when all that varies is raised alike; the folds that they are made of do"
MIRRORED = "the output is an even function of what is negated; the mean that it is made of is odd"
SCALELESS = "the output is a ratio of two of one degree, so that a factor cancels; the moments that it is made of scale"
UNDEFINED = "the spec has no value of no element, so that any will do; what the plan evaluates there is undefined too"
EXPLAINED = (
    (r": m\d?: (element (doubled|raised|negated)|sum for max)$", CANCELS),
    (r": anchor \w+: (off by one|negated)$", CANCELS),
    (r": element \w+: raised$", MOVED),
    (r"^alibi: element s: term i (dropped|negated)$", MOVED),
    (r"^circular_mean: element x: negated$", MIRRORED),
    (r"^kurtosis: element x: (doubled|negated)$", SCALELESS),
    (r": output \w+: (guard lost|wrong value of no element)$", UNDEFINED),
)
OTHER_SIDE = {sp.Le: sp.Lt, sp.Lt: sp.Le, sp.Ge: sp.Gt, sp.Gt: sp.Ge, sp.Eq: sp.Ne, sp.Ne: sp.Eq}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A plan that differs from a derived one in one place: `name` is `example: place: what was done`."""

    name: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant, and why.

    `refuted`: an input shows the difference. `equivalent`: proved, and agrees with the spec in 80 digits. `explained`:
    unknown, agrees with the spec in 80 digits, and `EXPLAINED` says why it does. Anything else is `unexplained`.
    """

    mutant: Mutant
    fate: Fate
    reason: str


def plan_of(name: str) -> Plan:
    """The derived plan of an example."""
    plan = derive(importlib.import_module(f"refold.examples.{name}").SPEC)
    assert isinstance(plan, Plan)
    return plan


def mutants(name: str) -> list[Mutant]:
    """Every mutant of the plan of an example, none of them twice."""
    plan = plan_of(name)
    found: dict[Plan, str] = {}
    for what, changed in of_plan(plan):
        if changed != plan:
            found.setdefault(changed, f"{name}: {what}")
    return [Mutant(what, changed) for changed, what in found.items()]


def judge(mutant: Mutant) -> Outcome:
    """Verifies a mutant; whatever is not refuted is compared with its spec in 80 digits."""
    report = verify(mutant.plan, stop=True)
    if report.verdict == "refuted":
        return Outcome(mutant, "refuted", next(r.name for r in report.results if r.verdict == "refuted"))
    report = verify(mutant.plan)
    failed = [r.name for r in report.results if r.verdict != "proved"]
    off = disagreement(mutant.plan)
    if off is not None:
        return Outcome(mutant, "unexplained", f"{report.verdict}, and yet {off}")
    if report.verdict == "proved":
        return Outcome(mutant, "equivalent", "proved, and equal to the spec in 80 digits")
    reason = next((why for pattern, why in EXPLAINED if re.search(pattern, mutant.name)), None)
    shown = f"not proved: {', '.join(failed)}"
    return Outcome(mutant, "explained", f"{reason} ({shown})") if reason else Outcome(mutant, "unexplained", shown)


def disagreement(plan: Plan) -> str | None:
    """Where a plan differs from its spec in 80 digits, over several sizes and random inputs; None where nowhere."""
    mapped = {a for o in plan.spec.outputs for r in o.expr.atoms(Read) for n in r.indices if n not in plan.spec.axes
              for a in n.free_symbols}  # fmt: skip
    for seed, (length, other) in enumerate([(0, 2), (1, 1), (2, 3), (3, 2), (5, 2)]):
        sizes = {a.name: other * (2 if a in mapped else 1) for a in plan.spec.axes} | {plan.axis.name: length}
        found = difference(plan, sizes, seed)
        if found is not None:
            return found
    return None


# --- operators -----------------------------------------------------------------------------------------------------


def of_plan(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """Each operator at each place of a plan."""
    for a in plan.accumulators:
        for what, changes in of_accumulator(plan, a):
            yield f"{a.symbol}: {what}", with_accumulator(plan, a, **changes)
    for n, e in enumerate(plan.elements):
        for what, expr in of_expression(e.expr):
            changed = replace(e, expr=expr)
            yield f"element {e.symbol}: {what}", replace(plan, elements=put(plan.elements, n, changed))
    for n, x in enumerate(plan.anchors):
        for what, anchor in of_anchor(x):
            yield f"anchor {x.stale}: {what}", replace(plan, anchors=put(plan.anchors, n, anchor))
    for n, f in enumerate(plan.finish):
        if f.guard is not sp.true:
            yield f"output {f.name}: guard lost", replace(plan, finish=put(plan.finish, n, replace(f, guard=sp.true)))
            wrong = replace(f, empty=sp.Integer(7))
            yield f"output {f.name}: wrong value of no element", replace(plan, finish=put(plan.finish, n, wrong))
        for what, expr in of_expression(f.expr):
            yield f"output {f.name}: {what}", replace(plan, finish=put(plan.finish, n, replace(f, expr=expr)))


def of_accumulator(plan: Plan, a: Accumulator) -> Iterator[tuple[str, dict[str, Any]]]:
    own = [plan.anchor(s) for s in a.anchors]
    stale = {x.fresh: x.stale for x in own}
    if a.correction != a.symbol:
        both = stale | {x.stale: x.fresh for x in own}
        yield "no correction", {"correction": a.symbol}
        yield "stale and fresh swapped", {"correction": a.correction.xreplace(both)}
        yield "stale anchors for fresh", {"correction": a.correction.xreplace(stale)}
        yield "another term", {"correction": a.correction + sp.Mul(*(x.fresh - x.stale for x in own))}
        if a.correction.has(sp.exp):
            yield "exponent negated", {"correction": exponents(a.correction, lambda x: -x)}
            yield "exponent halved", {"correction": exponents(a.correction, lambda x: x / 2)}
        for what, expr in of_expression(sp.expand(a.correction, deep=False)):
            yield f"correction {what}", {"correction": expr}
    if a.reducer == "argmax":
        yield "position off by one", {"element": a.element + 1}
        return
    for what, expr in of_expression(a.element):
        yield f"element {what}", {"element": expr}
    for x in own:
        if a.element.has(x.fresh):
            yield f"element without {x.fresh}", {"element": a.element.xreplace({x.fresh: sp.sympify(x.default)})}
    for reducer in ("max", "sum", "min"):
        # The unit of a reducer is its own, so that this is a wrong unit too.
        if reducer != a.reducer and {reducer, a.reducer} != {"sum", "count"}:
            yield f"{reducer} for {a.reducer}", {"reducer": reducer}


def of_anchor(x: Anchor) -> Iterator[tuple[str, Anchor]]:
    if x.regular is not sp.true:
        yield "guard lost", replace(x, regular=sp.true)
    yield "another default", replace(x, default=x.default + 1)
    yield "off by one", replace(x, expr=x.expr + 1)
    yield "negated", replace(x, expr=-x.expr)


def of_expression(expr: sp.Expr) -> Iterator[tuple[str, sp.Expr]]:
    """A term or a factor dropped, a sign, a constant, a power, a mask, a bound, a reducer, the order of indices."""
    yield "doubled", 2 * expr
    yield "raised", expr + 1
    yield "negated", -expr
    for node in dict.fromkeys(sp.preorder_traversal(expr)):
        for what, new in of_node(node):
            yield f"{what}", substituted(expr, node, new)


def of_node(node: sp.Basic) -> Iterator[tuple[str, sp.Basic]]:
    match node:
        case sp.Add():
            for term in node.args:
                yield f"term {term} dropped", node - term
                yield f"term {term} negated", node - 2 * term
        case sp.Mul():
            for factor in node.args:
                if factor != -1:
                    yield f"factor {factor} dropped", sp.Mul(*(f for f in node.args if f != factor))
        case sp.Pow() if node.exp.is_Integer and node.exp > 1:
            yield f"{node} to another power", node.base ** (node.exp - 1)
        case sp.Pow() if node.exp.is_Rational and node.exp.q == 2:
            yield f"{node} without its root", node.base ** (2 * node.exp)
        case sp.exp() | sp.log() | sp.tanh() | sp.cos():
            yield f"{node.func} of {node.args[0]} lost", node.args[0]
        case Where():
            yield f"mask {node.args[0]} lost", node.args[1]
            yield f"mask {node.args[0]} turned round", Where(node.args[0], node.args[2], node.args[1])
            if node.args[2].is_infinite:
                yield f"masked by 0 under {node.args[0]}", Where(node.args[0], node.args[1], sp.S.Zero)
        case sp.And():
            for part in node.args:
                yield f"condition {part} lost", sp.And(*(p for p in node.args if p != part))
        case Relational():
            yield f"{node} with the other bound", OTHER_SIDE[type(node)](*node.args)
            yield f"{node} off by one", node.func(node.lhs, node.rhs + 1)
        case Fold():
            other = "max" if node.kind == "sum" else "sum"
            yield f"{other} for {node.kind} over {node.axis}", Fold(other, node.body, node.axis)
        case Read() if len(node.indices) > 1:
            first, second, *rest = node.indices
            yield f"{node} at swapped indices", Read(node.tensor, second, first, *rest)


def substituted(expr: sp.Basic, node: sp.Basic, new: sp.Basic) -> Any:
    """An expression with a node replaced wherever it stands, inside of masks and folds too."""
    return expr.xreplace({node: new})


def exponents(expr: sp.Expr, change: Callable[[sp.Expr], sp.Expr]) -> sp.Expr:
    return expr.replace(sp.exp, lambda x: sp.exp(change(x)))


def with_accumulator(plan: Plan, a: Accumulator, **changed: Any) -> Plan:
    return replace(plan, accumulators=tuple(replace(b, **changed) if b == a else b for b in plan.accumulators))


def put(parts: tuple[Any, ...], n: int, part: Any) -> tuple[Any, ...]:
    return (*parts[:n], part, *parts[n + 1 :])
