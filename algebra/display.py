"""A plan or a refusal as text and LaTeX, for a REPL, a notebook and a pipe."""

from __future__ import annotations

import sympy as sp

from refold.algebra.plan import Accumulator, Plan, Refusal
from refold.spec.mathematics import latex, text

_COMBINE = {"sum": "Σ", "count": "Σ", "max": "max", "min": "min", "prod": "Π", "any": "any", "all": "all", "argmax": "argmax"}
_INFIX = {"sum": "+", "count": "+", "prod": "·"}


def update_text(a: Accumulator, axis: str) -> str:
    """One accumulator's update as a line: what it was, moved, joined by what is new."""
    sign = _COMBINE[a.reducer]
    new = f"{sign}_{axis} {_wrapped(a.element)}" if a.reducer != "count" else f"Σ_{axis} {text(a.element)}"
    if a.reducer == "argmax":
        return f"{a.symbol} ← the position of {a.key}, the lowest of equals"
    if a.reducer in _INFIX:
        return f"{a.symbol} ← {text(a.moved)} {_INFIX[a.reducer]} {new}"
    return f"{a.symbol} ← {a.reducer}({text(a.moved)}, {new})"


def _wrapped(expr: sp.Expr) -> str:
    return f"({text(expr)})" if expr.is_Add else text(expr)


def plan_text(plan: Plan) -> str:
    """The derivation as lines: the spec, what varies, the steps, the loop, the finish, the conditions."""
    lines = [str(plan.spec), ""]
    for e in plan.elements:
        reach = {-1: "  (or -∞ where masked)", 1: "  (or ∞ where masked)", 0: ""}[e.infinite]
        lines.append(f"  {e.symbol} = {text(e.expr)}{reach}")
    lines += ["", f"for every part of axis {plan.axis.name}, with the unprimed of before and the primed of after:"]
    lines += [f"  {update_text(a, plan.axis.name)}" for a in plan.accumulators]
    anchors = [a for a in plan.anchors if str(a.expr) != str(a.stale)]
    lines += [f"  {a.stale} = {text(a.expr)}" for a in anchors]
    lines += ["", "at the end:"]
    for f in plan.finish:
        guard = f"   where {text(f.guard)}, else {text(f.empty)}" if f.guard is not sp.true else ""
        lines.append(f"  {f.name}[{','.join(a.name for a in f.axes)}] = {text(f.expr)}{guard}")
    if plan.conditions:
        lines += ["", "conditions:"]
        lines += [f"  {text(c.claim)}  ({c.where}{', guarded' if c.guarded else ''})" for c in plan.conditions]
    return "\n".join(lines)


def plan_latex(plan: Plan) -> str:
    """The updates and the finish as an aligned block."""
    rows = []
    for a in plan.accumulators:
        new = rf"\operatorname{{{a.reducer}}}_{{{plan.axis.name}}} {latex(a.element)}"
        rows.append(rf"{latex(a.symbol)} &\leftarrow {latex(a.moved)} \oplus {new}")
    rows += [rf"{f.name} &= {latex(f.expr)}" for f in plan.finish]
    return "$$\\begin{aligned}" + r"\\".join(rows) + "\\end{aligned}$$"


def refusal_text(refusal: Refusal) -> str:
    """The reason, the matrix whose determinant is the evidence, and what to do."""
    lines = [f"refused: {text(refusal.fold)}", f"  body   g = {text(refusal.body)}", f"  reason {refusal.reason}"]
    proof = refusal.evidence
    if proof is not None:
        n = len(proof.rows)
        lines.append(f"  evidence: g(r_a, c_b) at r = {_list(proof.rows)}, c = {_list(proof.columns)} is")
        entries = [[text(x) for x in proof.matrix.row(a)] for a in range(n)]
        widths = [max(len(row[c]) for row in entries) for c in range(n)]
        lines += ["    [ " + "  ".join(x.rjust(w) for x, w in zip(row, widths, strict=True)) + " ]" for row in entries]
        low, high = proof.enclosure
        value = f"= {low}" if low == high else f"in [{low}, {high}]"
        lines.append(f"    of determinant {value}, not 0: no {n - 1} accumulators can do, at least {n} are needed")
    lines += [f"  class  {refusal.example}", f"  next   {refusal.advice}"]
    return "\n".join(lines)


def _list(points: tuple[sp.Basic, ...]) -> str:
    return ", ".join(text(p) for p in points)
