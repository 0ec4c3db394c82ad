"""Lowers a plan: the program of one stage and the split one, over the same functions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy as sp

from refold.algebra import Plan
from refold.algebra.base2 import in_base2
from refold.algebra.mean import stable_means
from refold.algebra.monoid import Monoid, monoid
from refold.algebra.program import Program, program, split
from refold.algebra.roles import Roles, assign
from refold.algebra.tiles import TileRanges, tile_ranges
from refold.errors import EmitError
from refold.schedule import ir
from refold.schedule.lower.definitions import NOWHERE, harmless, state_name
from refold.schedule.lower.forms import PLAIN
from refold.schedule.lower.host import Host
from refold.schedule.lower.laws import merge_function, step_function, store
from refold.schedule.lower.masks import summary_function
from refold.schedule.lower.names import RESERVED, Names
from refold.schedule.lower.places import indices
from refold.schedule.lower.renaming import made_names, renamed
from refold.schedule.lower.scope import Data, Scope
from refold.schedule.lower.stages import Lowering, stores_last
from refold.schedule.lower.tile import positions
from refold.schedule.lower.words import INDEX, scalar
from refold.schedule.passes.descriptors import Descriptor, descriptors
from refold.schedule.walk import function, reached


@dataclass(frozen=True, slots=True, eq=False)
class Kernels:
    """Everything the kernel file holds but its launcher: functions in order, and what the launcher has to pass.

    `given` is the plan over names that the file is free to use, `plan` the same in base 2, `form` its monoid as the
    functions compute it. `stages` has the kernel of every stage of the programs by the stage's name. `users` is what
    the user calls what has another name there.
    """

    given: Plan
    plan: Plan
    form: Monoid
    roles: Roles
    ranges: TileRanges
    helpers: tuple[str, ...]
    functions: tuple[ir.Function, ...]
    programs: tuple[Program, ...]
    stages: dict[str, ir.Function]
    strides: dict[tuple[str, Any], str]
    host: dict[sp.Expr, str]
    descriptors: dict[str, Descriptor]
    users: dict[str, str]

    @property
    def rolling(self) -> ir.Function:
        """The kernel of the program of one stage."""
        return self.stages["rolling"]

    @property
    def parts(self) -> ir.Function:
        """The kernel that leaves the states of parts."""
        return self.stages["parts"]

    @property
    def finish(self) -> ir.Function:
        """The kernel that merges the states of parts."""
        return self.stages["finish"]

    @property
    def costly(self) -> bool:
        """Whether a score takes more than a product and a sum."""
        return bool({"_tanh", "_sigmoid"} & {*self.helpers})

    @property
    def workspace(self) -> dict[str, str]:
        """The pointer to the states of parts, by the accumulator: whatever a user's tensors are called."""
        return {str(a.symbol): f"part_{a.symbol}_ptr" for a in self.plan.accumulators}

    @property
    def module(self) -> tuple[ir.Function, ...]:
        """All functions, those that call others after these."""
        return (*self.functions, *self.stages.values())


@lru_cache(maxsize=4)
def kernels(plan: Plan, name: str) -> Kernels:
    """The kernels of a plan. Raises `EmitError` for a shape of pipeline that has no kernel yet.

    Obligations, bounds, printers and tests of a bundle all read the same ones.
    """
    if not plan.accumulators:
        raise EmitError("the outputs are known without the data: there is nothing for a kernel to compute")
    written, users = renamed(plan)
    plan = in_base2(written)
    # Of the plan as proved: base 2 changes neither axes nor predicates.
    roles = assign(written)
    strides = _strides(written)
    names = Names(_taken(written))
    rereads = not roles.contracts and any(roles.fold in f.axes for f in plan.finish)
    prologue = Scope(PLAIN, roles, Host(names), strides, names, Data(rereads))
    ranges = tile_ranges(written, roles)
    base: list[ir.Statement] = [
        ir.Let(scalar(p.name), ir.Cast(scalar(p.name), INDEX, literal=True))
        for p in written.spec.params if p.is_integer
    ]  # fmt: skip
    base += indices(prologue, ranges)
    form = stable_means(plan, monoid(plan))
    step = step_function(plan, form, prologue, "_step")
    merge = merge_function(plan, form, prologue, "_merge")
    with prologue.lines.loop(state_name(c, roles) for c in form.state) as output:
        write = _finish(plan, _epilogue(form, prologue))
    live = summary_function(ranges, prologue, "_live")
    lowering = Lowering(name, roles, ranges, tuple(base), prologue.inside(()), step, merge, live, write, tuple(output))
    once = program(written, form)
    programs = (once, split(once, plan.axis))
    stages = {s.name: lowering.kernel(p, s) for p in programs for s in p.stages}
    functions = tuple(f for f in (step, merge, write, live) if f is not None)
    module, found = (*functions, *stages.values()), dict[str, Descriptor]()
    if roles.contracts:
        # The launcher may make the tiles of the kernel that merges parts smaller than those of the others.
        apart = reached(stages["finish"], module)
        module, found = descriptors(module, _described(written, strides), apart)
    functions, stages = module[: len(functions)], dict(zip(stages, module[len(functions) :], strict=True))
    helpers = tuple(sorted(prologue.host.helpers))
    return Kernels(written, plan, form, roles, ranges, helpers, functions, programs, stages,
                   strides, prologue.host.scalars, found, users)  # fmt: skip


def _strides(plan: Plan) -> dict[tuple[str, Any], str]:
    """The argument for every stride: `q_i` for axis i of q, `q_lead0` and `q_lead1` for the leading dimensions."""
    found: dict[tuple[str, Any], str] = {}
    tensors = [(t.name, t.axes) for t in plan.spec.tensors] + [(f.name, f.axes) for f in plan.finish]
    for tensor, axes in tensors:
        for key in ("lead0", "lead1", *axes):
            found[tensor, key] = f"{tensor}_{key}"
    return found


def _described(plan: Plan, strides: dict[tuple[str, Any], str]) -> dict[str, tuple[str, ...]]:
    """The tensors that descriptors can hold, each with its strides: of floats, which may have 16 bits."""
    floats = [t.name for t in plan.spec.tensors if not t.is_integer]
    return {t: tuple(stride for (of, _), stride in strides.items() if of == t) for t in floats}


def _taken(plan: Plan) -> set[str]:
    """Every name that is not free."""
    states = [str(a.symbol) for a in plan.accumulators]
    return {*(a.name for a in plan.spec.axes), *(p.name for p in plan.spec.params), *states,
            *made_names(plan.spec, states), *RESERVED}  # fmt: skip


def _epilogue(form: Monoid, prologue: Scope) -> Scope:
    """The scope after the loops, in which the state is the last."""
    epilogue = prologue.inside(form.symbols)
    for c in form.state:
        state = state_name(c, prologue.roles)
        nowhere = ir.Select(ir.Binary("==", state, NOWHERE), ir.Number(-1), state)
        epilogue.bind(c.symbol, nowhere if c.reducer == "argmax" else state)
    return epilogue


def _finish(plan: Plan, epilogue: Scope) -> ir.Function | None:
    """Writes the outputs that do not vary with the fold axis into the epilogue; the others become `_write`."""
    fold = plan.axis
    body = positions(fold)
    changing = [scalar("j0"), *(s.target for s in body if isinstance(s, ir.Let))]
    count, names = len(body), epilogue.names.function()
    for f in plan.finish:
        scope, guard = epilogue, None
        if f.guard is not sp.true:
            guard = epilogue.condition(f.guard)
            scope = harmless(epilogue, f.guard)
        if fold not in f.axes:
            store(scope, f, guard, epilogue)
            continue
        tile = scope.nested(names, {fold})
        tile.whole[fold] = ir.Name(fold.name, (fold,))
        if guard is not None:
            guard = epilogue.name("ok", guard)
        with tile.lines.loop(changing) as lines:
            store(tile, f, guard, tile)
        body += lines
    if len(body) == count:
        return None
    values, stores = stores_last(body)
    return function("_write", (scalar("j0"),), (*values, *stores), f"One tile of what varies with axis {fold.name}.")
