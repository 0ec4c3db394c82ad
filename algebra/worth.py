"""What forms of a pipeline are chosen by: operations and bytes of their kernels, over the lengths of axes.

Unlike in `algebra/cost.py`, a product of tiles is cheap, and what is the same for several programs costs as often as
it is computed. It is a choice between forms that are equal, and no forecast of a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from refold.algebra.plan import Plan
from refold.algebra.rewrite import walk
from refold.algebra.roles import axes_of, layout, operands
from refold.spec import Fold, Index, Read, Size, Spec, Where
from refold.spec.heads import outermost

# What a product of tiles takes, of the time of as many single operations, and what a byte of memory takes.
DOT = sp.Rational(1, 16)
BYTE = 16
# Rows of a program: what does not vary with rows is computed once for so many.
ROWS = 64
# Typical lengths, of axes that are looped over or spread over programs and of those that are held whole.
LONG, SHORT = 4096, 128
FUNCTION = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """Operations and bytes of some stages, over the lengths of axes."""

    work: sp.Expr
    bytes: sp.Expr

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.work + other.work, self.bytes + other.bytes)

    def at(self, long: frozenset[str]) -> float:
        """A number to compare by, at the lengths that are typical where `long` are the names of long axes."""
        whole = self.work + BYTE * self.bytes
        lengths = {s: LONG if s.name in long else SHORT for s in whole.free_symbols if isinstance(s, Size)}
        return float(whole.xreplace(lengths))


def cost(plans: Sequence[Plan], long: frozenset[str]) -> Cost | None:
    """What the stages cost together; None where one has no kernel, or a long axis or a loop within its loop.

    Each axis within the loop beyond two doubles it: tiles are smaller, or parts are computed again for each of them.
    """
    whole = Cost(sp.S.Zero, sp.S.Zero)
    for plan in plans:
        roles = layout(plan)
        if roles is None or roles.singles or any(a.name in long for a in roles.inner):
            return None
        tiles = dict.fromkeys(roles.batch, 1) | ({roles.rows: ROWS} if roles.rows is not None else {})
        crowded = 2 ** max(0, len(roles.inner) - 2)
        whole += Cost(crowded * _work(plan.spec, tiles, contracts=roles.contracts), crowded * _bytes(plan.spec))
    return whole


def _work(spec: Spec, tiles: dict[Index, int], *, contracts: bool) -> sp.Expr:
    """The operations of a stage: each part once, and again for every program that it is the same for."""
    inside: set[sp.Basic] = set()
    found = []
    for node in dict.fromkeys(n for o in spec.outputs for n in walk(o.expr)):
        if node in inside or not isinstance(node, sp.Expr):
            continue
        along = axes_of(node) | ({node.axis} if isinstance(node, Fold) else set())
        if isinstance(node, Fold) and contracts and node.kind == "sum" and operands(node.body, node.axis) is not None:
            inside |= {node.body} if isinstance(node.body, sp.Mul) else set()
            number = 2 * DOT
        else:
            number = sp.Integer(_operations(node))
        if number and along:
            found.append(number * volume(along) * sp.Mul(*(a.size / t for a, t in tiles.items() if a not in along)))
    return sp.expand(sp.Add(*found))


def _operations(node: sp.Expr) -> int:
    """The operations of one node at one position."""
    match node:
        case Read() | sp.Symbol() | sp.Number() | sp.floor() | sp.Mod():
            return 0
        case sp.Add() | sp.Mul() | sp.Max() | sp.Min():
            return len(node.args) - 1
        case Fold() | Where() | sp.Abs():
            return 1
        case sp.Pow() if node.exp.is_Integer and node.exp.is_positive:
            return int(node.exp) - 1
    return FUNCTION if node.args else 0


def _bytes(spec: Spec) -> sp.Expr:
    """What a stage reads and writes: its tensors and its outputs once each."""
    read = [(2 if t.dtype in ("float", "float16", "bfloat16") else 4) * volume(set(t.axes)) for t in spec.tensors]
    return sp.Add(*read, *(2 * volume(set(o.axes)) for o in spec.outputs))


def volume(axes: Iterable[Any]) -> sp.Expr:
    """How many positions there are along some axes together."""
    return sp.Mul(*(a.size for a in axes))


def long_axes(spec: Spec) -> frozenset[str]:
    """The axes whose lengths are taken to be long: those of loops, and of rows.

    A loop is what a maximum or minimum ranges over, and its rows are what that varies with. Where there is none, it is
    an outermost fold, and rows are axes of outputs that a tensor has without it: `e` of `v[j, e]` is held whole.
    """
    every = {n for o in spec.outputs for n in walk(o.expr) if isinstance(n, Fold)}
    extremes = {f for f in every if f.kind not in ("sum", "count")}
    if extremes:
        return frozenset(a.name for f in extremes for a in (f.axis, *axes_of(f)))
    loops = {f.axis for o in spec.outputs for f in outermost(o.expr)}
    rows = {a for t in spec.tensors if not {*t.axes} & loops for a in t.axes}
    return frozenset(a.name for a in loops | {a for o in spec.outputs for a in o.axes if a in rows})
