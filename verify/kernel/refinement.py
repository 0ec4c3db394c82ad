"""The refinement obligations: every kernel of a plan, executed on terms, computes the monoid of the plan."""

from __future__ import annotations

from collections.abc import Iterator

from refold.algebra import Plan
from refold.schedule.lower.kernels import Kernels
from refold.schedule.tiles import NoMeaning
from refold.verify.kernel.base2 import change_of_base
from refold.verify.kernel.cases import Unread
from refold.verify.kernel.emitted import kernels_of
from refold.verify.kernel.hopper import hopper_obligations, hopper_refinement
from refold.verify.kernel.induction import of_kernel
from refold.verify.kernel.prover import Finding, Prover, named, names_of, obligations
from refold.verify.kernel.small import executed
from refold.verify.kernel.subject import Subject
from refold.verify.kernel.waits import hasty
from refold.verify.laws.reach import Reach
from refold.verify.result import Result


def refinement(plan: Plan, reach: Reach) -> Iterator[Result]:
    """Every refinement obligation of the kernels of a plan, of whose states something is known; none of no kernel.

    Of each kernel there is one about every component of the state, and one about every output that it stores.
    """
    made = kernels_of(plan)
    if made is not None:
        prover = Prover(made, reach)
        yield from of_module(made, prover)
        yield from hopper_refinement(made, prover)


def obligations_of(made: Kernels) -> Iterator[str]:
    """What has to be shown of the kernels of a plan, whatever they hold, by its name."""
    if made.given != made.plan:
        yield "refinement base 2"
    for stage in made.stages:
        yield from names_of(made, stage, stores=stage != "parts")
    yield from hopper_obligations(made)


def of_module(made: Kernels, prover: Prover) -> Iterator[Result]:
    """The same of kernels that may be other than those lowered from the plan, which says what they are to compute."""
    yield from change_of_base(made.given, made.plan)
    for stage in made.stages:
        yield from obligations(of_stage(made, prover, stage))


def of_stage(made: Kernels, prover: Prover, stage: str) -> Iterator[Finding]:
    """What is shown of one kernel, step by step."""
    early = hasty(made, stage)
    if early is not None:
        yield Finding(named(stage), "", "the kernel waits for what it reads", fault=f"{early} may not be there yet")
    try:
        yield from of_kernel(Subject(made, prover, stage, executed(made, made.stages[stage])))
    except (NoMeaning, Unread) as error:
        yield Finding(named(stage), "", "the kernel computes its monoid", fault=str(error))
