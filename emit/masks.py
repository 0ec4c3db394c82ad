"""Prints the choice of tiles and the summary of a tile as Triton text, and says which conditions are left to a tile."""

from __future__ import annotations

import sympy as sp

from refold.algebra.bounds import bounds_of, conjuncts
from refold.algebra.roles import Roles
from refold.algebra.tiles import Choose, Down, RowMax, RowMin, TileRanges, Up
from refold.emit.lower import COMPARISON, Scope, Val
from refold.emit.source import Function


def split_condition(cond: sp.Basic, roles: Roles) -> tuple[list[sp.Basic], list[sp.Basic]]:
    """The parts that the choice of tiles sees to, and those that every tile evaluates."""
    parts = conjuncts(cond)
    seen = [a for a in parts if bounds_of(a, roles)]
    return seen, [a for a in parts if a not in seen]


def range_lines(ranges: TileRanges, scope: Scope, start: sp.Expr, stop: sp.Expr) -> list[str]:
    """Lines that set the ends of the loops over [start, stop); what they read is written into `scope`."""
    return [_line(c, scope) for c in ranges.choices(scope.roles, start, stop)]


def summary_function(ranges: TileRanges, prologue: Scope, name: str) -> Function | None:
    """Whether any position of the tile that starts at j0 is live for any row: what depends on data, or is a union."""
    if not ranges.asked:
        return None
    roles = prologue.roles
    fold, rows = roles.fold, roles.rows
    scope = prologue.function({fold})
    scope.lines += [
        f"{fold.name} = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)",
        f"in_{fold.name} = {fold.name} < size_{fold.name}",
    ]
    scope.whole[fold] = Val(fold.name, (fold,))
    live = scope.condition(sp.And(*ranges.asked))
    inside = [Val(f"in_{a.name}", (a,)) for a in (rows, fold) if a is not None and a in {fold, *live.axes}]
    found = scope.join("&", [*inside, Val(f"({live.text})", live.axes)], COMPARISON)
    scope.lines.append(f"return tl.max(({found.text}).to(tl.int32)) > 0")
    return Function(name, ("j0",), tuple(scope.lines), tuple(prologue.host.helpers),
                    "Whether any row has a position in the tile that adds something.")  # fmt: skip


def _line(choice: Choose, scope: Scope) -> str:
    text = _text(choice.expr, scope)
    if choice.kind:
        text = f"tl.{choice.kind}imum({choice.name}, {text})"
    return f"{choice.name} = {text}"


def _text(expr: sp.Expr, scope: Scope) -> str:
    rows = scope.roles.rows
    match expr:
        case Down():
            return f"{_text(expr.args[0], scope)} // BLOCK_N * BLOCK_N"
        case Up():
            return f"tl.cdiv({_text(expr.args[0], scope)}, BLOCK_N) * BLOCK_N"
        case RowMax() | RowMin():
            assert rows is not None
            kind, other = ("max", "-2147483648") if isinstance(expr, RowMax) else ("min", "2147483647")
            return f"tl.{kind}(tl.where(in_{rows.name}, {scope.integer(expr.args[0]).text}, {other}), 0)"
        case sp.Max() | sp.Min() if expr.has(Down, Up):
            # The rounded value first, as it reads.
            args = sorted(expr.args, key=lambda a: not a.has(Down, Up))
            kind = "maximum" if isinstance(expr, sp.Max) else "minimum"
            return f"tl.{kind}({', '.join(_text(a, scope) for a in args)})"
    return scope.integer(expr).text
