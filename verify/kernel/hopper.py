"""The refinement of the kernel for Hopper: two groups of warps compute the monoid of a plan, of what a third copies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from refold.schedule import ir
from refold.schedule.lower.gluon import gluon_kernel
from refold.schedule.lower.kernels import Kernels
from refold.schedule.passes.warps import warp_specialise
from refold.schedule.tiles import NoMeaning
from refold.verify.kernel.cases import Unread, cases
from refold.verify.kernel.group import Group
from refold.verify.kernel.order import barriers, copied, fills_of
from refold.verify.kernel.piece import loaded, uses, visited
from refold.verify.kernel.pipelined import folded
from refold.verify.kernel.prover import Finding, Prover, named, names_of, obligations
from refold.verify.kernel.roles import started, works
from refold.verify.kernel.shares import pieces, pieces_have_a_program
from refold.verify.kernel.steps import FACTS, ORDER, STAGE, Questions, begin
from refold.verify.result import Result


def hopper_refinement(made: Kernels, prover: Prover) -> Iterator[Result]:
    """Every refinement obligation of the kernel for Hopper of a plan; none where it has no such kernel."""
    functions = functions_of(made)
    if functions is not None:
        yield from of_functions(made, prover, functions)


@lru_cache(maxsize=4)
def functions_of(made: Kernels) -> tuple[ir.Function, ...] | None:
    """The functions of the kernel for Hopper, as they are printed; None where a plan has none."""
    warps = gluon_kernel(made, made.rolling.name.removesuffix("_rolling"))
    return None if warps is None else warp_specialise(warps)


def hopper_obligations(made: Kernels) -> Iterator[str]:
    """What has to be shown of that kernel, whatever it holds, by its name."""
    if functions_of(made) is not None:
        yield from (ORDER, *names_of(made, STAGE, stores=True))


def of_functions(made: Kernels, prover: Prover, functions: tuple[ir.Function, ...]) -> Iterator[Result]:
    """The same of functions that may be other than those lowered from the plan."""
    try:
        found = [*steps_of(made, prover, functions)]
    except (NoMeaning, Unread) as error:
        # What has no meaning leaves nothing shown, however much came before it.
        found = [Finding(named(STAGE), "", "the kernel computes its monoid", fault=str(error))]
    yield from obligations(found)


def steps_of(made: Kernels, prover: Prover, functions: tuple[ir.Function, ...]) -> Iterator[Finding]:
    """What is shown, step by step. Raises `NoMeaning` or `Unread` where something has no meaning."""
    kernel, machine = started(made, functions)
    made = replace(made, stages={**made.stages, STAGE: kernel})
    loader, *groups = works(machine)
    questions = Questions(FACTS)
    yield from pieces([loader, *groups], questions)
    found = begin("rounds", "every piece of work is some program's in some round")
    pieces_have_a_program(loader, questions, found)
    yield found
    load, gone = loaded(made, machine, loader)
    fills = fills_of(load)
    for f in fills:
        yield copied(f, load, loader, gone, questions)
    runs = [[*cases(lambda truths, w=group: visited(made, prover, machine, w, fills, truths), {})] for group in groups]  # type: ignore[misc]
    users = {f: sum(any(uses(run, f) for run in some) for some in runs) for f in fills}
    yield barriers(machine, fills, users)
    for number, (group, some) in enumerate(zip(groups, runs, strict=True)):
        own = Group(made, prover, number, len(groups), group, fills, load, gone, questions)
        yield from own.order(some)
        yield from folded(own, some)
