"""Lowers a plan of attention's shape to Gluon for Hopper: one warp loads tiles, two warpgroups compute on them.

The laws are those of the plain kernel, written by the same `Scope` and `Step` in the same order of operations over the
same ranges of tiles; what differs is when: the scores of a tile are issued before the weights of the tile before have
met its values (the schedule of FlashAttention-3, arXiv 2407.08608), and the loads run ahead by a pipeline of buffers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import sympy as sp

from refold.algebra import Accumulator, Plan
from refold.algebra.monoid import Component, Monoid
from refold.algebra.plan import Fresh
from refold.algebra.roles import Roles, axes_of
from refold.algebra.tiles import whole
from refold.schedule import ir
from refold.schedule.lower.buffers import GL, Place, in_lines, scores_of, slice_of, weights_of
from refold.schedule.lower.definitions import UNITS, harmless, state_name, tile_axes
from refold.schedule.lower.dots import operand
from refold.schedule.lower.forms import PLAIN
from refold.schedule.lower.hopper import Hopper
from refold.schedule.lower.host import Host
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.laws import store
from refold.schedule.lower.masks import range_lines
from refold.schedule.lower.names import RESERVED, Names
from refold.schedule.lower.nan import strict_extrema
from refold.schedule.lower.scope import Scope
from refold.schedule.lower.tile import Step, begun
from refold.schedule.lower.words import BLOCK_N, block_of, scalar, within
from refold.schedule.passes.descriptors import Descriptor
from refold.schedule.walk import free_names, function, names
from refold.spec import Index, Read


@dataclass(frozen=True, slots=True)
class Product:
    """The right operand of a product, and for the sum over the fold axis the corrected accumulator and the weights."""

    left: Read | None
    right: Read
    into: ir.Value | None = None
    weights: ir.Value | None = None


def _spread(scope: Scope, val: ir.Value, axes: ir.Axes) -> ir.Value:
    """As in a plain scope, but a value a row enters a tile of the inner axis by that tile's layout."""
    columns = [a for a in axes if a in scope.roles.inner]
    if columns and val.axes == (scope.roles.rows,):
        (column, *_) = columns
        assert isinstance(column, Index)
        val = ir.Call("_as_rows", (val, block_of(column, scope.roles)), val.axes)
    return PLAIN.spread(scope, val, axes)


def _quotient(scope: Scope, above: ir.Value, below: ir.Value, dividend: sp.Expr) -> ir.Value:
    """As in a plain scope; a division a score leaves no registers to the products in flight, and they spill."""
    val = PLAIN.quotient(scope, above, below, dividend)
    if len(val.axes) > 1:
        raise Unfit
    return val


@dataclass(frozen=True, slots=True)
class Apart:
    """Notes the product, which the loop issues: here `scores` stands for one, and `weights` meet the other."""

    products: list[Product] = field(default_factory=list)

    def __call__(
        self,
        scope: Scope,
        factors: list[sp.Expr],
        axis: Index,
        into: ir.Value | None = None,
        masked: ir.Value | None = None,
    ) -> ir.Value | None:
        rows, fold = scope.roles.rows, scope.roles.fold
        inside = [f for f in factors if axis in scope.axes(f)]
        outside = [f for f in factors if f not in inside]
        if axis != fold:
            left = [f for f in inside if rows in scope.axes(f)]
            right = [f for f in inside if fold in scope.axes(f)]
            if len(left) != 1 or len(right) != 1 or left == right or len(inside) != 2:
                raise Unfit
            if not isinstance(left[0], Read) or not isinstance(right[0], Read):
                raise Unfit
            self.products.append(Product(left[0], right[0]))
            scores = scores_of(scope.roles)
            return scope.join("*", [scores, scope.value(sp.Mul(*outside))]) if outside else scores
        right = [f for f in inside if isinstance(f, Read) and rows not in scope.axes(f)]
        if len(right) != 1 or not isinstance(right[0], Read) or not scope.axes(right[0]) & set(scope.roles.inner):
            return None
        if into is None or outside:
            raise Unfit
        left = [f for f in inside if f not in right]
        weights = operand(scope, left, (rows, fold), masked)  # type: ignore[arg-type]
        self.products.append(Product(None, right[0], into, weights))
        return into

    def both(self) -> tuple[Product, Product]:
        """The product of the scores and that of the values, where there is one of each."""
        scores = [p for p in self.products if p.left is not None]
        values = [p for p in self.products if p.left is None]
        if len(scores) != 1 or len(values) != 1:
            raise Unfit
        return scores[0], values[0]


class Unfit(Exception):
    """The plan is none that this schedule is for: it keeps its plain kernel."""


def gluon_kernel(made: Kernels, name: str) -> Hopper | None:
    """The kernel of a plan whose tiles are two products with rows between them; None for any other plan."""
    roles, plan = made.roles, made.plan
    if not made.descriptors or roles.group is not None or made.ranges.asked or len(roles.inner) != 2:
        return None
    if any(roles.fold in f.axes or f.expr.is_integer for f in plan.finish) or strict_extrema(plan):
        return None
    # Measured on an H200: what scores cost is hidden no better than by many small tiles, but for the longest rows.
    if made.costly and not made.ranges.rises(roles):
        return None
    try:
        return _warps(made, name)
    except Unfit:
        return None


def _warps(made: Kernels, name: str) -> Hopper:
    roles, plan, strides = made.roles, made.plan, made.strides
    spec = plan.spec
    named: tuple[Any, ...] = (*spec.tensors, *spec.outputs, *spec.axes, *spec.params)
    users = {x.name for x in named}
    states = {str(a.symbol) for a in plan.accumulators}
    host = Host(Names({*users, *states, *made.host.values(), *strides.values(), *RESERVED}))
    host.scalars |= made.host
    apart = Apart()
    forms = replace(PLAIN, spread=_spread, quotient=_quotient, dot=apart)
    prologue = Scope(forms, roles, host, strides, host.names)
    for axis in (roles.rows, *roles.inner):
        assert axis is not None
        prologue.whole[axis] = ir.Name(axis.name, (axis,))
    for axis in roles.batch:
        prologue.whole[axis] = scalar(axis.name)
    step, carried = _step(plan, made.form, prologue, apart)
    scores, values = apart.both()
    assert scores.left is not None
    choices = range_lines(made.ranges, prologue.inside(()), *whole(roles.fold))
    assert roles.rows is not None
    if within(roles.rows).text in free_names(choices):
        raise Unfit
    epilogue = prologue.inside([a.symbol for a in plan.accumulators])
    for a in plan.accumulators:
        epilogue.bind(a.symbol, state_name(a, roles))
    with prologue.lines.loop(state_name(a, roles) for a in plan.accumulators) as output:
        for f in plan.finish:
            guard = None if f.guard is sp.true else epilogue.condition(f.guard)
            store(epilogue if guard is None else harmless(epilogue, f.guard), f, guard, epilogue)
    if host.scalars != made.host:
        raise Unfit
    scored, keys, summed = (
        _place(read, made.descriptors.get(read.name)) for read in (scores.left, scores.right, values.right)
    )
    assert values.into is not None
    return Hopper(
        name=name,
        roles=roles,
        scored=step,
        carried=carried,
        corrected=values.into,
        columns=_columns(values, roles),
        spans=made.ranges.spans,
        choices=tuple(choices),
        prologue=tuple(prologue.lines.current),
        epilogue=tuple(in_lines(line, roles) for line in output),
        places=(scored, keys, summed),
        states=_states(plan, roles),
        pointers=tuple(dict.fromkeys(t for t, _ in strides)),
        rises=made.ranges.rises(roles),
    )


def _step(plan: Plan, form: Monoid, prologue: Scope, apart: Apart) -> tuple[ir.Function, tuple[ir.Name, ...]]:
    """The step up to the weights, and what it returns: new states but the last, the weights, what moves the last."""
    roles, weights = prologue.roles, weights_of(prologue.roles)
    scores, j0 = scores_of(roles), scalar("j0")
    with prologue.lines.loop([*(state_name(c, roles) for c in form.state), scores, j0]) as body:
        late, states = _states_but_one(begun(plan, form, prologue, slice_of(0, BLOCK_N)), form, apart)
        _, values = apart.both()
        read = {n.text: n for n in names(values.into) if n.kind != "constant" and n.text != str(late.symbol)}
        if {*read} & {str(a.symbol) for a in plan.accumulators}:
            raise Unfit
        moves = [read[n] for n in sorted(read)]
        operand = ir.Call("_operand_of", (block_of(_columns(values, roles), roles),))
        assert values.weights is not None
        body.append(ir.Let(weights, ir.Method(GL, "convert_layout", (values.weights, operand), axes=weights.axes)))
        body.append(ir.Return((*states, weights, *moves)))
    carried = tuple(state_name(c, roles) for c in form.state if c != late)
    comment = "One tile from its scores to its weights: the emitted step without its two products."
    return function("_scored", (*carried, scores, j0), body, comment), (*carried, weights, *moves)


def _states_but_one(step: Step, form: Monoid, apart: Apart) -> tuple[Component, tuple[ir.Name, ...]]:
    """Writes the new states but the last, which is the sum of the second product."""
    definitions, roles = step.definitions, step.scope.roles
    late: Component | None = None
    assert form.update is not None
    for let in form.update.lets:
        component = definitions.components.get(let.symbol)
        if component is None and isinstance(let.symbol, Fresh):
            step.define(let)
            continue
        if component is None or component.reducer == "argmax" or late:
            raise Unfit
        total = step.after(let)
        if any(p.left is None for p in apart.products):
            late = component
        elif set(tile_axes(component, roles)) & set(roles.inner):
            raise Unfit
        else:
            definitions.component(let, total)
    if late is None:
        raise Unfit
    return late, tuple(definitions.names.values())


def _columns(values: Product, roles: Roles) -> Index:
    """The axis of the columns of the second product: one, where the values are rows of numbers and not of matrices."""
    axes = [a for a in roles.inner if a in axes_of(values.right)]
    if len(axes) != 1:
        raise Unfit
    return axes[0]


def _states(plan: Plan, roles: Roles) -> tuple[tuple[ir.Name, ir.Value, bool], ...]:
    """Of every accumulator its name, its unit, and whether it is the tile of the second product."""

    def wide(a: Accumulator) -> bool:
        return bool(set(tile_axes(a, roles)) & set(roles.inner))

    return tuple((state_name(a, roles), UNITS[a.reducer], wide(a)) for a in plan.accumulators)


def _place(read: Read, found: Descriptor | None) -> Place:
    """Where the tiles of a tensor are; its last two axes are those of the tile."""
    if found is None or any(b is not None for b in found.blocks[:-2]) or len(read.indices) > 3:
        raise Unfit
    if any(x.has(Read) for x in read.indices[:-2]):
        raise Unfit
    line, column = found.tile
    return Place(read.name, found.corner, (line, column))
