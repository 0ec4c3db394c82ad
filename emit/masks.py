"""Prints the choice of tiles and the summary of a tile as Triton text, and says which conditions are left to a tile."""

from __future__ import annotations

import sympy as sp

from refold.algebra.bounds import bounds_of, conjuncts
from refold.algebra.roles import Roles
from refold.algebra.tiles import Choose, Down, RowMax, RowMin, TileRanges, Up
from refold.emit.lower import COMPARISON, Scope, Val
from refold.emit.source import Function, block


def split_condition(cond: sp.Basic, roles: Roles) -> tuple[list[sp.Basic], list[sp.Basic]]:
    """The parts that the choice of tiles sees to, and those that every tile evaluates."""
    parts = conjuncts(cond)
    seen = [a for a in parts if bounds_of(a, roles)]
    return seen, [a for a in parts if a not in seen]


def range_lines(ranges: TileRanges, scope: Scope, start: sp.Expr, stop: sp.Expr) -> list[str]:
    """Lines that set the ends of the loops over [start, stop); what they read is written into `scope`."""
    return [_line(c, scope) for c in ranges.choices(scope.roles, start, stop)]


def summary_functions(ranges: TileRanges, prologue: Scope) -> tuple[Function, ...]:
    """`_live`: whether a tile holds anything; `_seek`: the next one that does, or does not. None where all are run."""
    if not ranges.asked:
        return ()
    roles = prologue.roles
    fold, rows = roles.fold, roles.rows
    scope = prologue.function({fold})
    scope.lines += [
        f"{fold.name} = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)",
        f"in_{fold.name} = {fold.name} < size_{fold.name}",
    ]
    scope.whole[fold] = Val(fold.name, (fold,))
    asked = scope.condition(sp.And(*ranges.asked))
    inside = [Val(f"in_{a.name}", (a,)) for a in (rows, fold) if a is not None and a in {fold, *asked.axes}]
    found = scope.join("&", [*inside, Val(f"({asked.text})", asked.axes)], COMPARISON)
    scope.lines.append(f"return tl.max(({found.text}).to(tl.int32))")
    live = Function("_live", ("j0",), tuple(scope.lines), tuple(prologue.host.helpers),
                    "1 if any row has a position in the tile that adds something, else 0.")  # fmt: skip
    lines = [*live.call("live"), *block("while (j0 < stop) & (live != LIVE):", ["j0 += BLOCK_N", *live.call("live")])]
    seek = Function("_seek", ("j0", "stop", "LIVE"), (*lines, "return j0"), ("_live",),
                    "The first tile from j0 on that is live (LIVE = 1) or is not (LIVE = 0).")  # fmt: skip
    return live, seek


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
