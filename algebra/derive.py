"""Derives the fused form of a pipeline: from folds that wait for each other to accumulators that move together."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from refold.algebra.accumulate import Accumulation
from refold.algebra.centred import centre
from refold.algebra.choices import write_out
from refold.algebra.ending import Ending
from refold.algebra.journal import Journal
from refold.algebra.masked import refuse_infinite_folds
from refold.algebra.names import Names
from refold.algebra.normal import Demands, NormalForm
from refold.algebra.plan import Plan, Refusal
from refold.algebra.refuse import Apart, Refused
from refold.algebra.rewrite import cancel_exponents, expand_logs, factor_scales, folds, map_folds
from refold.algebra.roles import axes_of
from refold.algebra.settle import settle
from refold.errors import UnsupportedSpec, within_depth
from refold.spec import Fold, Index, Output, Spec
from refold.spec.heads import outermost


@within_depth()
def derive(spec: Spec) -> Plan | Refusal:
    """The `Plan` of a pipeline, or a `Refusal` with its reason and evidence.

    Raises `UnsupportedSpec` where the pipeline has no fold, folds over several axes that wait for each other, or a
    fold that waits for one which a masked position makes infinite, and where `centred=` finds nothing to centre.
    """
    try:
        plan = plan_of(spec)
    except Refused as refused:
        return refused.refusal()
    if spec.centred and not any(step.rule == "centre" for step in plan.steps):
        raise UnsupportedSpec(
            "centred=True, and no output is a difference of moments of one weight, as E[x·y] - E[x]·E[y]: leave it out"
        )
    return plan


def plan_of(spec: Spec) -> Plan:
    """The plan of a pipeline. Raises `UnsupportedSpec` as `derive` does, and `Refused` where that gives a refusal."""
    axis = fold_axis(spec)
    meant = tuple(replace(o, expr=write_out(o.expr)) for o in spec.outputs)
    for output in meant:
        refuse_infinite_folds(output.expr, axis)
    demands = Demands()
    while True:
        try:
            plan, rising = _derive(spec, meant, axis, demands)
        except Apart as whole:
            demands = replace(demands, apart=demands.apart | {whole.fold})
        else:
            if rising <= demands.floors:
                return plan
            demands = replace(demands, floors=demands.floors | rising)


def _derive(spec: Spec, written: tuple[Output, ...], axis: Index, demands: Demands) -> tuple[Plan, frozenset[sp.Expr]]:
    """The plan whose normal form meets some demands, and the constants that its shifts should have reached."""
    journal, names = Journal(), Names(spec)
    form = NormalForm(axis, journal, demands)
    found = Accumulation(spec, axis, journal, names)
    meant = [map_folds(e, axis, form.normalise) for e in form.count_positions([o.expr for o in written])]
    meant = [expand_logs(cancel_exponents(factor_scales(e, form.scales))) for e in meant]
    raw = meant
    if spec.centred:
        meant = [centre(e, axis) for e in raw]
        for before, after in zip(raw, meant, strict=True):
            if before != after:
                journal.step("centre", before, after, "moments about their means, which round less")
    longest = sorted(meant, key=lambda e: -max((_chain(f) for f in folds(e, axis)), default=0))
    # The longest chain first: a fold that others wait for may be carried in another form, a sum as a mean. Sums of data
    # alone come last: sums about an anchor may determine them, and round less.
    for fold in sorted((f for e in longest for f in folds(e, axis)), key=lambda f: f.kind == "sum" and _chain(f) == 1):
        found.value(fold)
    for fold in (f for e in raw for f in folds(e, axis)):
        # What was written, for the proof that it is the same: given by what is carried.
        found.value(fold)
    ending = Ending(form, found, spec.empty)
    outputs = []
    for output, expr in zip(written, meant, strict=True):
        value = map_folds(expr, axis, found.value)
        outputs.append(ending.finish(output, value))
        journal.step("finish", sp.Symbol(output.name), value)
    finish = tuple(outputs)
    accumulators = ending.drop_unused(finish)
    used = {s for a in accumulators for s in a.anchors}
    moving = {s for a in accumulators for s in a.element.free_symbols}
    plan = Plan(
        spec=spec,
        axis=axis,
        elements=tuple(e for e in found.elements.values() if e.symbol in moving),
        anchors=tuple(a for a in found.anchors if a.stale in used),
        accumulators=accumulators,
        readings=ending.readings({a.symbol for a in accumulators}),
        finish=finish,
        conditions=ending.conditions(finish, accumulators),
        steps=journal.without({a.symbol for a in found.accumulators} - {a.symbol for a in accumulators}),
    )
    settled = settle(plan, names)
    if settled.finish != finish:
        settled = replace(settled, conditions=ending.conditions(settled.finish, settled.accumulators))
    return settled, ending.rising_exponents(finish)


def fold_axis(spec: Spec) -> Index:
    """The axis that is fused: of the outermost folds, the one over which folds wait for each other.

    Of several, the one whose folds have most in them that is computed for each row: the others are computed beside.
    """
    depth: dict[Index, tuple[int, int]] = {}
    for output in spec.outputs:
        for node in outermost(output.expr):
            depth[node.axis] = max(depth.get(node.axis, (0, 0)), (_chain(node), _nesting(node, output)))
    if not depth:
        raise UnsupportedSpec(
            "the pipeline has no fold: there is nothing to fuse; write at least one fold over an axis"
        )
    longest = max(depth.values())
    best = [axis for axis, length in depth.items() if length == longest]
    if len(best) > 1:
        names = ", ".join(sorted(a.name for a in best))
        raise UnsupportedSpec(f"folds over {names} stand side by side: split the pipeline into one for each axis")
    return best[0]


def _chain(fold: Fold) -> int:
    inner = folds(fold.body, fold.axis)
    return 1 + max((_chain(f) for f in inner), default=0)


def _nesting(fold: Fold, output: Output) -> int:
    """How many folds stand one in the other, of those that are not the same for all rows, nor over an output's axis."""
    rows = axes_of(fold)
    inner = (f for f in outermost(fold.body) if f.axis not in output.axes and (not rows or rows & axes_of(f)))
    return 1 + max((_nesting(f, output) for f in inner), default=0)
