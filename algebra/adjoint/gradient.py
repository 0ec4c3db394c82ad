"""The gradient of a pipeline: pipelines again, of what the forward pass keeps and the cotangents of its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp

from refold.algebra.adjoint.formula import Formula, formula
from refold.algebra.adjoint.nodes import Node
from refold.algebra.adjoint.reverse import Reverse, Step
from refold.algebra.adjoint.rows import Rows
from refold.algebra.adjoint.simplify import Terms
from refold.algebra.cuts import with_lengths
from refold.algebra.names import Names
from refold.errors import NoGradient, UnknownName, within_depth
from refold.spec import Fold, Index, Param, Spec, Value, pipeline
from refold.spec.heads import outermost


@dataclass(frozen=True, slots=True)
class Gradient:
    """The gradients of a pipeline by some of its inputs, as pipelines.

    `forward` computes the outputs and what is `saved` of them, rows alone; `before` are pipelines over those, and the
    last `pipelines` compute the gradients, each named `d` and the name of its input. `given` are the names of the
    cotangents of the outputs; `lengths` those of axes that a pipeline has no tensor over: it takes them as scalars.
    `steps` say how each cotangent was simplified, and `nodes` and `rows` what the names in them stand for.
    """

    spec: Spec
    wrt: tuple[str, ...]
    forward: Spec
    saved: tuple[str, ...]
    given: tuple[tuple[str, str], ...]
    before: tuple[Spec, ...]
    pipelines: tuple[Spec, ...]
    lengths: tuple[tuple[Param, Index], ...]
    steps: tuple[Step, ...]
    nodes: tuple[Node, ...]
    rows: tuple[Node, ...]
    cotangents: tuple[tuple[str, Terms], ...]
    shifts: tuple[str, ...]
    # The inputs by which it is 0 everywhere, where all were asked for.
    zero: tuple[str, ...] = ()

    def __str__(self) -> str:
        from refold.algebra.adjoint.display import gradient_sections
        from refold.algebra.sections import sections_text

        return sections_text(gradient_sections(self))

    def __repr__(self) -> str:
        return f"gradient by {', '.join(self.wrt)} in {len(self.pipelines)} pipelines; print() shows them"

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        """Every gradient in float64 NumPy, of the inputs of the pipeline and the cotangents of its outputs."""
        known: dict[str, Any] = dict(inputs) | sizes(self.spec, inputs)
        known |= {str(length.name): known[axis.name] for length, axis in self.lengths}
        for spec in (self.forward, *self.before, *self.pipelines):
            known |= results(spec, known)
        return {name: known[name] for spec in self.pipelines for name in (o.name for o in spec.outputs)}


def sizes(spec: Spec, inputs: Mapping[str, Any]) -> dict[str, int]:
    """The lengths of the axes of the tensors that are given."""
    given = ((t, np.shape(inputs[t.name])) for t in spec.tensors if t.name in inputs)
    return {axis.name: n for t, shape in given for axis, n in zip(t.axes, shape, strict=True)}


def results(spec: Spec, known: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs of a pipeline by name, of those of some values that it reads."""
    held = {a for t in spec.tensors for a in t.axes}
    wanted = {x.name for group in (spec.tensors, spec.params, {*spec.axes} - held) for x in group}
    found = spec(**{name: value for name, value in known.items() if name in wanted})
    return found if isinstance(found, dict) else {spec.outputs[0].name: found}


@within_depth()
def gradient(spec: Spec, wrt: Sequence[str] | None = None) -> Gradient:
    """The gradients of a pipeline by the inputs named in `wrt`, or by every floating tensor.

    Raises `NoGradient` where one is not defined, and `UnknownName` for a name that is no input.
    """
    names = _wanted(spec, wrt)
    reverse = Reverse(spec, names)
    rows = Rows(reverse)
    zero = [name for name in names if not reverse.cotangents[name]]
    if zero and (wrt is not None or len(zero) == len(names)):
        raise NoGradient(f"the gradient by {zero[0]} is 0 everywhere: leave {zero[0]} out of wrt")
    names = tuple(name for name in names if name not in zero)
    formulas = {name: formula(rows.weighed(reverse.cotangents[name]), rows.weights) for name in names}
    rows.hoist(formulas)
    exprs = {name: _written(f, rows) for name, f in formulas.items()}
    lengths: dict[Param, Index] = {}
    taken = Names(spec)

    def assembled(outputs: dict[str, Value]) -> Spec:
        return with_lengths(written(outputs), taken, lengths)

    last = [assembled(group) for group in _groups(spec, formulas, exprs)]
    before = [assembled({n.name: Value(rows.written(n.value), n.axes)}) for n in rows.hoisted]
    saved = [n for n in rows.saved if any(n.name == t.name for s in (*before, *last) for t in s.tensors)]
    return Gradient(
        spec=spec,
        wrt=names,
        forward=_forward(spec, {n.name: Value(rows.in_full(n.value), n.axes) for n in saved}),
        saved=tuple(n.name for n in saved),
        given=tuple(reverse.given.items()),
        before=tuple(before),
        pipelines=tuple(last),
        lengths=tuple(lengths.items()),
        steps=tuple(reverse.steps),
        nodes=reverse.nodes,
        rows=(*rows.added, *rows.hoisted),
        cotangents=tuple((name, reverse.cotangents[name]) for name in names),
        shifts=tuple(reverse.shifts),
        zero=tuple(zero),
    )


def _written(found: Formula, rows: Rows) -> sp.Expr:
    """A gradient over what is kept; over inputs where it would have no sum, and be no pipeline."""
    expr: sp.Expr = rows.written(found.expr)
    return expr if expr.atoms(Fold) else rows.in_full(found.expr)


def _forward(spec: Spec, kept: dict[str, Value]) -> Spec:
    """The pipeline with what is kept among its outputs."""
    if not kept:
        return spec
    found = written({o.name: Value(o.expr, o.axes) for o in spec.outputs} | kept)
    return replace(found, empty=spec.empty, centred=spec.centred, as_written=spec.as_written)


def written(outputs: Mapping[str, Any]) -> Spec:
    """A pipeline of values by name, in the order of their axes."""
    return pipeline(**outputs)


def _wanted(spec: Spec, wrt: Sequence[str] | None) -> tuple[str, ...]:
    floats = [t.name for t in spec.tensors if not t.is_integer]
    inputs = [*floats, *(str(p.name) for p in spec.params if not p.is_integer)]
    if wrt is None:
        return tuple(floats)
    for name in wrt:
        if name not in inputs:
            raise UnknownName(f"there is no gradient by {name}: it is none of {', '.join(inputs)}, the real inputs")
    return tuple(wrt)


def _groups(spec: Spec, formulas: Mapping[str, Formula], exprs: Mapping[str, sp.Expr]) -> list[dict[str, Value]]:
    """The gradients that one walk over the same loops computes, for the same rows."""
    axes = {t.name: t.axes for t in spec.tensors}
    groups: dict[Any, dict[str, Value]] = {}
    for name, expr in exprs.items():
        loops = frozenset(f.axis for f in outermost(expr))
        order: tuple[Index, ...] = axes.get(name, ())
        constant = [a.name for a in order if a not in expr.free_symbols]
        if constant:
            raise NoGradient(
                f"the gradient by {name} is the same for each {constant[0]}, and an output varies with its axes: "
                f"leave {name} out of wrt and take the gradient by a tensor without {constant[0]} in its place"
            )
        rows = formulas[name].rows & {*order} or frozenset(order)
        groups.setdefault((loops, rows), {})[f"d{name}"] = Value(expr, order)
    return list(groups.values())
