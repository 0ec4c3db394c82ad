"""The verdict on a pipeline of several stages: that of each, and that they are the pipeline when put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from refold.algebra.flatten import Flat
from refold.algebra.plan import Plan
from refold.algebra.stages import Staged
from refold.errors import ShadowedAxis
from refold.schedule import integers
from refold.schedule.terms import symbol
from refold.spec import Fold, Index, Output, Read, Size
from refold.spec.pipeline import rename
from refold.verify.kernel.asked import Asked
from refold.verify.kernel.lemmas import less, positive, same
from refold.verify.kernel.questions import answer
from refold.verify.laws.reassociation import NAME, reassociation
from refold.verify.result import Disproof, Proof, Report, Result
from refold.verify.smt.formulas import own_context
from refold.verify.verify import Progress, verify

Prove = Callable[[Plan, Progress | None, float | None], Proof | Disproof]


@dataclass(frozen=True, slots=True, repr=False)
class Composed(Report):
    """The reports on the stages of a pipeline, and on what they are together.

    What is proved of a stage holds for finite values of all that it reads. In rows in which an earlier stage hands on
    an infinite value or none, no claim is made.
    """

    staged: Staged
    reports: tuple[Proof | Disproof, ...]
    together: tuple[Result, ...]

    @property
    def results(self) -> tuple[Result, ...]:  # type: ignore[override]
        """All of them, those of stages with the number of the stage."""
        own = [
            replace(r, name=f"{r.name} (stage {n})") for n, report in enumerate(self.reports, 1) for r in report.results
        ]
        return (*self.together, *own)

    @property
    def versions(self) -> tuple[tuple[str, str], ...]:
        return self.reports[0].versions


def verify_stages(
    staged: Staged, progress: Progress | None = None, timeout: float | None = None, prove: Prove = verify
) -> Composed:
    """Verifies every stage, `timeout` seconds each, and what they are together."""
    together = tuple(composition(staged))
    return Composed(staged, tuple(prove(plan, progress, timeout) for plan in staged.plans), together)


def composition(staged: Staged) -> Iterator[Result]:
    """That the stages are the pipeline, and that one axis may stand for two."""
    form = "the pipeline as written" if staged.form is None else "the form below"
    claim = f"the stages, each put in the place of what is read of it, are {form}"
    different = [o.name for o in staged.formed.outputs if not _is_output(staged, o)]
    note = f"{', '.join(different)} is another expression" if different else "by inspection"
    yield Result("stages", claim, "unknown" if different else "proved", 0.0, "", note=note)
    for flat in staged.flats:
        yield digits(flat)
    if staged.form is not None:
        if staged.form.before != staged.spec:
            yield Result(NAME, "the form is one of the pipeline as written", "unknown", 0.0, "", note="of another one")
        yield from reassociation(staged.form)


def digits(flat: Flat) -> Result:
    """That positions of the new axis are pairs of positions of the two."""
    asked = Asked()
    outer, inner, length, count = (symbol(n, "int") for n in ("outer", "inner", "length", "count"))
    position = integers.add(integers.multiply(outer, length), inner)
    there = [positive(length), less(integers.whole(-1), outer), less(outer, count), less(integers.whole(-1), inner),
             less(inner, length)]  # fmt: skip
    goals = [same(integers.quotient(position, length), outer), same(integers.remainder(position, length), inner),
             less(position, integers.multiply(count, length))]  # fmt: skip
    with own_context():
        question = asked.question(there, goals)
        name = f"stages: {flat.axis} for {flat.outer}, {flat.inner}"
        claim = (
            f"{flat.outer} |{flat.inner}| + {flat.inner} is below |{flat.outer}| |{flat.inner}|, and has these digits"
        )
        return answer(replace(question, name=name, claim=claim))


def _is_output(staged: Staged, output: Output) -> bool:
    """Whether the stages compute an output, expression for expression."""
    meaning: dict[str, Output] = {}
    try:
        for plan in staged.plans:
            for o in plan.spec.outputs:
                meaning[o.name] = replace(o, expr=put_in(o.expr, meaning))
    except ShadowedAxis:
        return False
    found = meaning.get(output.name)
    lengths = {length: Size(axis.name) for length, axis in staged.lengths}
    found = found and replace(found, expr=found.expr.xreplace(lengths))
    for flat in reversed(staged.flats):
        found = found and Apart(flat).output(found)
    return found is not None and found.axes == output.axes and found.expr == output.expr


def put_in(expr: Any, meaning: Mapping[str, Output]) -> Any:
    """An expression with the values of stages in the place of reads of them."""
    if isinstance(expr, Read) and expr.name in meaning:
        stage = meaning[expr.name]
        return rename(stage.expr, dict(zip(stage.axes, expr.indices, strict=True)))
    return expr.func(*(put_in(a, meaning) for a in expr.args)) if expr.args else expr


@dataclass(frozen=True, slots=True)
class Apart:
    """Writes two axes for the one that stands for them, by the digits of a position."""

    flat: Flat

    def output(self, output: Output) -> Output:
        axes = next(o.axes for o in self.flat.before.outputs if o.name == output.name)
        same_axes = output.axes in (axes, self.flat.axes(axes))
        return replace(output, expr=self(output.expr), axes=axes if same_axes else ())

    def __call__(self, expr: Any) -> Any:
        flat = self.flat
        if expr == sp.floor(flat.axis / flat.length):
            return flat.outer
        if expr == sp.Mod(flat.axis, flat.length):
            return flat.inner
        match expr:
            case Fold() if expr.axis == flat.axis:
                return Fold(expr.kind, Fold(expr.kind, self(expr.body), flat.inner), flat.outer)
            case Read() if flat.axis in expr.tensor.axes:
                return self.read(expr)
            case Index() if expr == flat.axis:
                return flat.position
            case Size() if expr.name == flat.axis.name:
                return Size(flat.outer.name) * Size(flat.inner.name)
        if expr == flat.length:
            return Size(flat.inner.name)
        return expr.func(*map(self, expr.args)) if expr.args else expr

    def read(self, read: Read) -> Any:
        """The same element of the tensor as it was."""
        flat, at = self.flat, dict(zip(read.tensor.axes, read.indices, strict=True))
        before = next(t for t in flat.before.tensors if t.name == read.name)
        if at[flat.axis] != flat.axis or flat.axes(before.axes) != read.tensor.axes:
            return read
        own = {flat.outer: flat.outer, flat.inner: flat.inner}
        return Read(before, *(own[a] if a in own else self(at[a]) for a in before.axes))
