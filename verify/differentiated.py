"""The verdict on a gradient: that it is what the chain rule gives, and that on each pipeline that computes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from refold.algebra import Gradient, Plan, Refusal, Staged, stages
from refold.errors import RefoldError
from refold.spec import Spec
from refold.verify.laws.gradients import gradients
from refold.verify.result import Disproof, Proof, Report, Result
from refold.verify.smt.formulas import own_context
from refold.verify.staged import Composed, verify_stages
from refold.verify.verify import Progress, verify, versions

Prove = Callable[[Plan, Progress | None, float | None], Proof | Disproof]


@dataclass(frozen=True, slots=True)
class Part:
    """One pipeline of a gradient: its plan, or its stages, and the report on them; else why there is none."""

    spec: Spec
    plan: Plan | Staged | None
    report: Proof | Disproof | Composed | None
    why: str = ""

    @property
    def name(self) -> str:
        """Its outputs."""
        return ", ".join(o.name for o in self.spec.outputs)

    @property
    def results(self) -> tuple[Result, ...]:
        if self.report is None:
            claim = "there is a plan for the pipeline"
            return (Result("plan", claim, "unknown", 0.0, "", note=self.why),)
        return self.report.results


@dataclass(frozen=True, slots=True, repr=False)
class Differentiated(Report):
    """What was proved of a gradient: `together`, of its identities; and of the forward pass and each pipeline.

    It holds in rows in which all values of the forward pass are numbers.
    """

    gradient: Gradient
    together: tuple[Result, ...]
    parts: tuple[Part, ...]
    versions: tuple[tuple[str, str], ...]

    @property
    def results(self) -> tuple[Result, ...]:  # type: ignore[override]
        """All of them, those of pipelines with what they compute."""
        own = [replace(r, name=f"{r.name} ({part.name})") for part in self.parts for r in part.results]
        return (*self.together, *own)


def verify_gradient(
    gradient: Gradient, progress: Progress | None = None, timeout: float | None = None, prove: Prove = verify
) -> Differentiated:
    """Verifies the identities of a gradient and every pipeline of it, `timeout` seconds each."""
    notify = progress or (lambda _: None)
    notify("gradient")
    with own_context():
        together = tuple(gradients(gradient))
    specs = (gradient.forward, *gradient.before, *gradient.pipelines)
    parts = tuple(part_of(spec, notify, timeout, prove) for spec in specs)
    return Differentiated(gradient, together, parts, versions())


def part_of(spec: Spec, progress: Progress | None = None, timeout: float | None = None, prove: Prove = verify) -> Part:
    """Derives and verifies one pipeline of a gradient."""
    try:
        plan: Any = stages(spec)
    except RefoldError as error:
        return Part(spec, None, None, str(error))
    match plan:
        case Refusal():
            return Part(spec, None, None, plan.reason)
        case Staged():
            return Part(spec, plan, verify_stages(plan, progress, timeout, prove))
    return Part(spec, plan, prove(plan, progress, timeout))
