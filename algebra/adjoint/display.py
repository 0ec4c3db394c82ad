"""A gradient as sections of lines, as a paper would show it: the forward pass, what was found in it, the pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import sympy as sp

from refold.algebra.adjoint.formula import formula
from refold.algebra.adjoint.gradient import Gradient
from refold.algebra.adjoint.nodes import is_function
from refold.algebra.adjoint.reverse import Step
from refold.algebra.adjoint.simplify import Definition, Terms
from refold.algebra.display import spec_section
from refold.algebra.sections import Line, Section
from refold.spec import Read, Spec
from refold.spec.heads import outermost
from refold.spec.mathematics import definition, text

# Why each identity holds, beside what it is of.
RULES: dict[str, str] = {
    "found again": "the forward pass has this sum",
    "output": "an output is kept",
    "mask": "it is 0 where the mask hides a position",
    "divisor": "the parts of a sum over it are 1",
    "sums to 0": "it is taken against its mean",
}


def gradient_sections(gradient: Gradient) -> tuple[Section, ...]:
    """The pipeline, the names of its parts, the cotangents that were simplified, and what is computed when."""
    given = tuple(Line(g, f"the cotangent of {name}") for name, g in gradient.given)
    forward = tuple(Line(plain(n.symbol), f"= {definition(bare(n.value))}") for n in gradient.nodes)
    kept = [n for n in (*gradient.nodes, *gradient.rows) if n.name in gradient.saved]
    found = [
        spec_section(gradient.spec),
        Section("Given", given),
        Section("The forward pass, each fold and each function under a name", forward),
        Section("Cotangents", tuple(_cotangents(gradient))),
        Section("Kept by the forward pass", tuple(Line(plain(n.symbol), f"= {text(bare(n.value))}") for n in kept)),
        *(Section("Before the loops", spec_section(spec).lines) for spec in gradient.before),
        *(Section(f"Gradient{'s' if len(s.outputs) > 1 else ''} over {_loops(s)}", spec_section(s).lines)
          for s in gradient.pipelines),
    ]  # fmt: skip
    return tuple(section for section in found if section.lines)


def _loops(spec: Spec) -> str:
    """The axes of the outermost sums, and of the sums that these are of."""
    names: dict[str, None] = {}
    for fold in (f for o in spec.outputs for f in outermost(o.expr)):
        while True:
            names[fold.axis.name] = None
            if not (isinstance(fold.body, type(fold))):
                break
            fold = fold.body
    return ", ".join(names)


def _cotangents(gradient: Gradient) -> Iterator[Line]:
    """Each cotangent that an identity simplified, and by which."""
    weights = frozenset(n.name for n in gradient.nodes if is_function(n.value))
    axes = {n.name: n.axes for n in gradient.nodes} | {t.name: t.axes for t in gradient.spec.tensors}
    for name, group in groupby(gradient.steps, key=lambda step: step.name):
        steps = list(group)
        where = f"[{','.join(a.name for a in axes[name])}]" if axes.get(name) else ""
        yield Line(f"d{name}{where}", f"= {shown(steps[0].before, weights)}")
        for step, why in _reasons(steps):
            yield Line("", f"  by {step}", why)
        note = "a shift: no gradient goes through it" if name in gradient.shifts else ""
        yield Line("", f"= {shown(steps[-1].after, weights)}", note)


def _reasons(steps: list[Step]) -> Iterator[tuple[str, str]]:
    """The equations that the steps rest on, each once, as they were used."""
    seen: set[Definition] = set()
    for step in steps:
        symbol, value = step.by
        if step.by not in seen:
            seen.add(step.by)
            yield f"{plain(symbol)} = {text(bare(value))}", RULES[step.rule]


def shown(terms: Terms, weights: frozenset[str]) -> str:
    """Terms as one line of mathematics."""
    return text(bare(formula(terms, weights).expr)) if terms else "0"


def plain(symbol: sp.Expr) -> str:
    return text(bare(symbol))


def bare(expr: sp.Expr) -> sp.Expr:
    """An expression in which a number is read without brackets."""
    return expr.xreplace({r: sp.Symbol(r.name, real=True) for r in expr.atoms(Read) if not r.indices})
