"""The operations of a monoid as functions: the step over a tile, the merge of two states, and what is written."""

from __future__ import annotations

import sympy as sp

from refold.algebra import Finish, Plan
from refold.algebra.monoid import Let, Monoid, Shared, key_of
from refold.algebra.plan import Fresh
from refold.schedule import ir
from refold.schedule.lower.definitions import Definitions, apart, first_of, share, state_name
from refold.schedule.lower.reads import eviction
from refold.schedule.lower.scope import Scope, chain
from refold.schedule.lower.tile import begun
from refold.schedule.lower.words import pointer, scalar, within
from refold.schedule.walk import function


def step_function(plan: Plan, form: Monoid, prologue: Scope, name: str) -> ir.Function:
    """`state -> state` over the tile that starts at j0; `MASKED` says whether anything in it may be masked."""
    assert form.update is not None
    first = (*(state_name(c, prologue.roles) for c in form.state), scalar("j0"))
    with prologue.lines.loop(first) as body:
        step = begun(plan, form, prologue)
        for let in form.update.lets:
            step.define(let)
        body.append(ir.Return(step.definitions.results))
    return function(name, first, body, "One tile: the state, corrected to the new anchors, and what the tile adds.")


def merge_function(plan: Plan, form: Monoid, prologue: Scope, name: str) -> ir.Function:
    """`state, state -> state`: both corrected to the anchors of the union, then joined."""
    first = [state_name(c, prologue.roles, mark) for mark in ("", "_part") for c in form.state]
    with prologue.lines.loop(first) as body:
        body.append(ir.Return(_merged(plan, form, prologue)))
    return function(name, first, body, "Two states, each corrected to the anchors of both together, then joined.")


def _merged(plan: Plan, form: Monoid, prologue: Scope) -> tuple[ir.Name, ...]:
    """The components of the union."""
    assert form.combine is not None
    roles = prologue.roles
    # The right state has names in the text: terms stand in the order of the names.
    right = {c.right: sp.Symbol(f"{c.symbol}_part", extended_real=True) for c in form.state}
    left_values, right_values = {s: s for s in form.symbols}, {c.symbol: right[c.right] for c in form.state}
    anchors = {x for a in plan.anchors for x in (a.stale, a.fresh)}
    scope = prologue.function({*form.symbols, *right.values(), *anchors})
    for c in form.state:
        scope.bind(c.symbol, state_name(c, roles))
        scope.bind(right[c.right], state_name(c, roles, "_part"))
    definitions = Definitions.of(plan, scope, form.combine, form.state)
    sides = ((left_values, ""), (right_values, "_part"))
    definitions.reads(left_values)
    definitions.reads(right_values)

    def comes(expr: sp.Expr) -> bool:
        return expr.has(Shared) or bool(expr.free_symbols & {*right.values()})

    for let in (Let(let.symbol, let.expr.xreplace(right)) for let in form.combine.lets):
        match let.symbol:
            case Fresh():
                definitions.anchor(let)
            case Shared():
                scope.bind(let.symbol, scope.value(let.expr))
            case _ if (c := definitions.components[let.symbol]).reducer == "argmax":
                key = key_of(plan, c)
                mine, theirs = (definitions.left(key.symbol, *side) for side in sides)
                here, there = (definitions.left(c.symbol, *side) for side in sides)
                definitions.component(let, first_of(scope.host, mine, here, theirs, there))
            case _:
                for side in sides:
                    definitions.name_left(c.symbol, *side)
                old, new = apart(let.expr, c.reducer, comes)
                definitions.component(let, definitions.joined(let.symbol, scope.value(old), share(scope, new)))
    return definitions.results


def store(scope: Scope, f: Finish, guard: ir.Value | None, plain: Scope) -> None:
    """Writes an output: its expression where the guard holds, elsewhere the other, in a scope without that guard."""
    roles = scope.roles
    val = scope.value(f.expr)
    if guard is not None:
        val = scope.where(guard, val, plain.value(f.empty))
    axes = tuple(a for a in roles.tiles if a in f.axes)
    terms = [ir.Binary("*", scope.spread(scope.integer(a), axes), scope.stride(f.name, a)) for a in f.axes]
    place = chain("+", pointer(f.name), *terms)
    masks = [scope.spread(within(a), axes) for a in axes]
    val = scope.named(f.name, val)
    cast = ir.Cast(scope.spread(val, axes), ir.ElementOf(pointer(f.name)))
    scope.lines.current.append(ir.Store(place, cast, chain("&", *masks) if masks else None, eviction(scope, f.axes)))
