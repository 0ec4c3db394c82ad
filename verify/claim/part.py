"""Takes the step of one component apart: what becomes of the state, what an element adds, and what joins both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sympy as sp

from refold.algebra import Family, State, Varying
from refold.algebra.plan import Reducer
from refold.errors import ClaimError
from refold.spec.mathematics import text

HEADS: dict[type[sp.Basic], Reducer] = {sp.Max: "max", sp.Min: "min", sp.Mul: "prod"}


@dataclass(frozen=True, slots=True)
class Part:
    """One component: what becomes of the state, what an element adds at fresh anchors, and the reducer of both."""

    symbol: State
    reducer: Reducer
    correction: sp.Expr
    element: sp.Expr


def split(symbol: State, name: str, expr: sp.Expr) -> Part:
    """`correction` and `element` of a step that joins what reads no element with what reads no state."""
    expr = expanded(expr)
    reducer: Reducer = HEADS.get(type(expr), "sum")
    head, pieces = (type(expr), expr.args) if type(expr) in HEADS else (sp.Add, sp.Add.make_args(expr))
    state = [p for p in pieces if not p.has(Varying) and p.has(State)]
    rest = [p for p in pieces if p not in state]
    mixed = next((p for p in rest if p.has(State)), None)
    if mixed is not None:
        raise ClaimError(
            f"step takes {name} from an element and the state at once, by {text(mixed)}, and a kernel takes a tile of "
            "elements: write what becomes of the state plus what an element adds at the new values of the others"
        )
    if not rest or not state:
        raise ClaimError(
            f"step gives {name} by {text(expr)}, and a kernel joins elements to a state: add, multiply, or take the "
            "larger or the smaller"
        )
    part = Part(symbol, reducer, head(*state), head(*rest))
    return replace(part, reducer="count") if part.element == 1 and part.correction == symbol else part


def expanded(expr: sp.Expr) -> sp.Expr:
    """A sum of products; exponentials of differences stay as they are."""
    return sp.expand(expr, power_exp=False, power_base=False, log=False)


def moving(part: Part, parts: Sequence[Part]) -> dict[State, sp.Expr]:
    """The sums that a sum is corrected by, itself first, each with its factor; none where that is not linear."""
    found: dict[State, sp.Expr] = {}
    rest = part.correction
    for other in (part, *(p for p in parts if p != part and p.reducer == "sum")):
        factor = rest.coeff(other.symbol)
        if other is part or factor != 0:
            found[other.symbol] = factor
            rest = expanded(rest - factor * other.symbol)
    return found if part.reducer == "sum" and rest == 0 else {}


def family(part: Part, parts: Sequence[Part]) -> Family | None:
    """The law of a sum that is corrected by other sums too."""
    by = {p.symbol: p for p in parts}
    rows = {part.symbol: moving(part, parts)}
    for symbol in rows[part.symbol]:
        rows.setdefault(symbol, moving(by[symbol], parts))
    names = list(rows)
    if len(names) == 1 or any(not row.keys() <= rows.keys() for row in rows.values()):
        return None
    matrix = sp.ImmutableDenseMatrix([[rows[s].get(t, sp.S.Zero) for t in names] for s in names])
    return Family(tuple(by[s].element for s in names), matrix, tuple(names), ())
