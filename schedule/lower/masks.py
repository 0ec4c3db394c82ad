"""The choice of tiles and the summary of a tile in the kernel language, and which conditions are left to a tile."""

from __future__ import annotations

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra import Plan
from refold.algebra.bounds import bounds_of, conjuncts
from refold.algebra.roles import Roles, expand_elements
from refold.algebra.tiles import FIRST_ROW, LAST_ROW, Choose, Down, RowMax, RowMin, TileRanges, Up
from refold.schedule import ir
from refold.schedule.lower.scope import Scope
from refold.schedule.lower.words import BLOCK_N, INDEX, scalar, within
from refold.schedule.walk import function
from refold.spec import Fold, Index, Read, Size, Where


def split_condition(cond: sp.Basic, roles: Roles) -> tuple[list[sp.Basic], list[sp.Basic]]:
    """The parts that the choice of tiles sees to, and those that every tile evaluates."""
    parts = conjuncts(cond)
    limits = [a for a in parts if bounds_of(a, roles)]
    return limits, [a for a in parts if a not in limits]


def masked_where(expr: sp.Basic) -> sp.Basic:
    """Where a mask makes a part of an expression infinite, outside of the folds in it."""
    if isinstance(expr, Fold):
        return sp.false
    found = [masked_where(arg) for arg in expr.args]
    if isinstance(expr, Where):
        condition, then, other = expr.args
        found += [condition] * (then in (sp.oo, -sp.oo)) + [sp.Not(condition)] * (other in (sp.oo, -sp.oo))
    return sp.Or(*found)


def discarded_gathers(plan: Plan) -> dict[Read, sp.Basic]:
    """Of every read of the elements, the positions that all sums and extrema that it is part of discard.

    That is all of them where another read at the same places is part of the same and says what is off its axis.
    """
    users: dict[Read, list[sp.Expr]] = {}
    for a in plan.accumulators:
        whole = expand_elements(plan, a.element)
        for read in whole.atoms(Read):
            users.setdefault(read, []).append(whole)
    found: dict[Read, sp.Basic] = {}
    for read, wholes in sorted(users.items(), key=str):
        places = _places(read)
        others = [r for r in users if r != read and places and places <= _places(r)]
        said = any(found.get(r) is not sp.true and all(passes(w, r) for w in wholes) for r in others)
        # What decides a mask is not discarded by it: whether it is depends on what was read.
        hidden = [c if not (c := masked_where(w)).has(read) else sp.false for w in wholes]
        found[read] = sp.true if said else sp.And(*hidden)
    return found


def summed_gathers(plan: Plan) -> frozenset[Read]:
    """The reads of the elements that sums alone have."""
    users = [(a.reducer, expand_elements(plan, a.element).atoms(Read)) for a in plan.accumulators]
    others = {r for kind, reads in users if kind != "sum" for r in reads}
    return frozenset(r for _, reads in users for r in reads - others)


def _places(read: Read) -> set[tuple[Index, sp.Basic]]:
    """The gathers of a read: where along which axis."""
    pairs = zip(read.tensor.axes, read.indices, strict=True)
    return {(axis, index) for axis, index in pairs if not isinstance(index, Index)}


def passes(expr: sp.Basic, part: sp.Basic) -> bool:
    """Whether a part that is no number makes the whole no number, wherever no mask discards the position."""
    if isinstance(expr, Where):
        masks = [branch in (sp.oo, -sp.oo) for branch in expr.args[1:]]
        return any(masks) and any(passes(branch, part) for branch in expr.args[1:])
    if isinstance(expr, Read | Relational):
        return expr == part
    return expr == part or any(passes(arg, part) for arg in expr.args)


def range_lines(ranges: TileRanges, scope: Scope, start: sp.Expr, stop: sp.Expr) -> list[ir.Statement]:
    """What sets the ends of the loops over [start, stop); what that reads is written into `scope`."""
    return [_assignment(c, scope) for c in ranges.choices(scope.roles, start, stop)]


def summary_function(ranges: TileRanges, prologue: Scope, name: str) -> ir.Function | None:
    """Whether any position of the tile that starts at j0 is live for any row: what depends on data, or is a union."""
    if not ranges.asked:
        return None
    roles = prologue.roles
    fold, rows = roles.fold, roles.rows
    scope = prologue.function({fold})
    scope.whole[fold] = j = ir.Name(fold.name, (fold,))
    with scope.lines.loop([scalar("j0")]) as body:
        body += [
            ir.Let(j, ir.Cast(ir.Binary("+", scalar("j0"), ir.Lanes(BLOCK_N, (fold,))), INDEX)),
            ir.Let(within(fold), ir.Binary("<", j, ir.Name(f"size_{fold.name}", kind="size"))),
        ]
        live = scope.condition(sp.And(*ranges.asked))
        inside = [within(a) for a in (rows, fold) if a is not None and a in {fold, *live.axes}]
        anywhere = ir.Cast(scope.join("&", [*inside, live]), "int32")
        body.append(ir.Return((ir.Binary(">", _overall("max", anywhere), ir.Number(0)),), alone=True))
    comment = "Whether any row has a position in the tile that adds something."
    return function(name, (scalar("j0"),), body, comment)


def _overall(reducer: ir.Reducer, tile: ir.Value) -> ir.Value:
    """A whole tile reduced to one number."""
    return ir.Reduce(reducer, tile, None)


def _assignment(choice: Choose, scope: Scope) -> ir.Let:
    val, name = _value(choice.expr, scope), scalar(choice.name.name)
    if choice.kind and not plain(choice.expr):
        val = scope.host.call("_position", val)
    if choice.kind:
        val = ir.Binary("maximum" if choice.kind == "max" else "minimum", name, val)
    return ir.Let(name, val)


def plain(expr: sp.Expr) -> bool:
    """Whether an end of a range is a few rows and lengths, of at most 2^30 each, and a small number."""
    terms = sp.Add.make_args(expr)
    symbols = [t for t in terms if isinstance(t if t.is_Symbol else -t, Size) or t in (FIRST_ROW, LAST_ROW)]
    return len(symbols) <= 3 and all(t in symbols or (t.is_Integer and abs(t) < 2**16) for t in terms)


def _value(expr: sp.Expr, scope: Scope) -> ir.Value:
    rows = scope.roles.rows
    match expr:
        case Down():
            return ir.Binary("*", ir.Binary("//", _value(expr.args[0], scope), BLOCK_N), BLOCK_N)
        case Up():
            return ir.Binary("*", ir.Binary("cdiv", _value(expr.args[0], scope), BLOCK_N), BLOCK_N)
        case RowMax() | RowMin():
            assert rows is not None
            kind: ir.Reducer = "max" if isinstance(expr, RowMax) else "min"
            other = ir.Number(-(2**31) if kind == "max" else 2**31 - 1)
            return ir.Reduce(kind, scope.where(within(rows), scope.integer(expr.args[0]), other), 0)
        case sp.Max() | sp.Min() if expr.has(Down, Up):
            # The rounded value first, as it reads.
            args = sorted(expr.args, key=lambda a: not a.has(Down, Up))
            form: ir.BinaryOp = "maximum" if isinstance(expr, sp.Max) else "minimum"
            return ir.Binary(form, *(_value(a, scope) for a in args))
    if plain(expr):
        return scope.integer(expr)
    inner = scope.inside(())
    inner.whole |= {row: ir.Cast(scalar(row.name), INDEX) for row in (FIRST_ROW, LAST_ROW)}
    return inner.integer(expr)
