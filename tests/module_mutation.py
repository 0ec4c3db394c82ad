"""Mutants of kernels as data, and which obligation each of them fails: of refinement, or of tiles and accesses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from refold.emit.triton import module_lines
from refold.schedule import ir
from refold.schedule.launch import launch
from refold.schedule.lower.kernels import Kernels
from refold.verify.kernel.indexing import module_questions
from refold.verify.kernel.prover import Prover
from refold.verify.kernel.questions import answer
from refold.verify.kernel.refinement import of_stage
from refold.verify.smt.formulas import own_context

# A statement that does nothing, and that a block may hold alone.
NOTHING = ir.Let(ir.Name("nothing"), ir.Number(0))
OTHER: dict[str, ir.BinaryOp] = {
    "+": "-", "-": "+", "*": "+", "/": "*", "//": "*", "maximum": "minimum", "minimum": "maximum", "<": "<=",
    "&": "|", "|": "&", "==": "!=", "!=": "==",
}  # fmt: skip
CHANGES: dict[type[Any], Callable[[Any], Iterator[tuple[str, Any]]]] = {
    ir.Binary: lambda v: iter([(f"{v.op} is {OTHER[v.op]}", replace(v, op=OTHER[v.op]))] if v.op in OTHER else []),
    ir.Unary: lambda v: iter([(f"without {v.op}", v.x)]),
    ir.Select: lambda v: iter([("the sides exchanged", replace(v, then=v.other, other=v.then))]),
    ir.Dot: lambda v: iter([("nothing carried", replace(v, into=None))] if v.into is not None else []),
    ir.Reduce: lambda v: iter([("sum for max" if v.reducer == "max" else "max for sum",
                                replace(v, reducer="sum" if v.reducer == "max" else "max"))]),
    ir.If: lambda v: iter([("the body left out", replace(v, body=(NOTHING,)))]),
    ir.Load: lambda v: iter([("without its mask", replace(v, mask=None, other=None))] if v.mask is not None else []),
    ir.Store: lambda v: iter([
        ("left out", NOTHING), *([("without its mask", replace(v, mask=None))] if v.mask is not None else [])
    ]),
    ir.For: lambda v: iter([("left out", NOTHING)] + ([] if v.step is None else [
        ("begins a step late", replace(v, start=ir.Binary("+", v.start, v.step))),
        ("ends a step early", replace(v, stop=ir.Binary("-", v.stop, v.step))),
        ("takes every other step", replace(v, step=ir.Binary("*", ir.Number(2), v.step))),
    ])),
}  # fmt: skip


def changed(node: Any) -> Iterator[tuple[str, Any]]:
    """Every node with one change in it, and what it is."""
    if isinstance(node, tuple):
        for n, part in enumerate(node):
            yield from ((what, (*node[:n], new, *node[n + 1 :])) for what, new in changed(part))
    elif is_dataclass(node) and not isinstance(node, type):
        yield from CHANGES.get(type(node), lambda _: iter(()))(node)
        for field in fields(node):
            value = getattr(node, field.name)
            if field.name not in ("axes", "options", "order"):
                yield from ((what, replace(node, **{field.name: new})) for what, new in changed(value))


def mutants(made: Kernels) -> Iterator[tuple[str, Kernels]]:
    """The kernels with one node of a function or of a stage changed."""
    for n, function in enumerate(made.functions):
        for what, body in changed(function.body):
            functions = (*made.functions[:n], replace(function, body=body), *made.functions[n + 1 :])
            yield f"{function.name}: {what}", replace(made, functions=functions)
    for stage, kernel in made.stages.items():
        for what, body in changed(kernel.body):
            yield f"{stage}: {what}", replace(made, stages={**made.stages, stage: replace(kernel, body=body)})


def shown(right: Kernels, wrong: Kernels) -> str:
    """The first line of the text in which two kernels differ, as it was and as it is."""
    lines = zip(*(module_lines(made.module).splitlines() for made in (right, wrong)), strict=False)
    old, new = next(((a.strip(), b.strip()) for a, b in lines if a != b), ("nothing", "the same"))
    return f"{old} -> {new}"


def refuted_by(wrong: Kernels, prover: Prover) -> str | None:
    """The first obligation that is not proved of kernels; None where all are."""
    for stage in wrong.stages:
        for found in of_stage(wrong, prover, stage):
            if found.fault is not None:
                return found.name
    with own_context():
        for question in module_questions(wrong, launch(wrong)):
            if answer(question).verdict != "proved":
                return question.name
    return None
