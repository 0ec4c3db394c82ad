"""A claimed form as a monoid, so that it is run, verified and emitted as a derived one is."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import sympy as sp

from refold.algebra import Element, Finish, State
from refold.algebra.derive import fold_axis
from refold.algebra.extended import infinities
from refold.algebra.monoid import Component, Let, Monoid, New, Operation
from refold.spec import Index
from refold.verify.claim.claim import Claim


# Every run of a claim asks for its form, whose expressions take longer to write than to compute.
@lru_cache(maxsize=16)
def form_of(claim: Claim) -> Monoid:
    """The monoid of a claim: as claimed it takes one element at a time, and no tile.

    Its outputs are what finish says, where that has a value.
    """
    axis, written = fold_axis(claim.spec), dict(claim.elements)
    elements = tuple(Element(s, e, _infinite(e)) for s, e in claim.elements)
    axes = _axes(claim, axis)
    state = tuple(Component(x, y, axes[x]) for x, y in zip(claim.left, claim.right, strict=True))
    finish = tuple(
        Finish(o.name, e.xreplace(written), o.axes, sp.true, claim.spec.empty)
        for o, e in zip(claim.spec.outputs, claim.finish, strict=True)
    )
    start = dict(zip(claim.left, claim.init, strict=True))
    lift = tuple(e.xreplace(start) for e in claim.step)
    combine = None if claim.merge is None else _operation(claim, claim.merge)
    return Monoid(claim.spec, axis, elements, state, claim.init, _operation(claim, lift), _operation(claim, claim.step),
                  None, combine, finish, True, "claimed")  # fmt: skip


def _operation(claim: Claim, exprs: tuple[sp.Expr, ...]) -> Operation:
    new = tuple(New(str(s)) for s in claim.left)
    return Operation(tuple(Let(s, e) for s, e in zip(new, exprs, strict=True)), new)


def _infinite(expr: sp.Expr) -> Literal[-1, 0, 1]:
    """The infinity that an element may reach; -oo of one that may reach both."""
    found = infinities(expr)
    return -1 if -1 in found else 1 if found else 0


def _axes(claim: Claim, axis: Index) -> dict[State, tuple[Index, ...]]:
    """The axes over which each component varies: those of the elements and of the components that its step reads."""
    written = dict(claim.elements)
    # To write the elements out takes long: once a step.
    found: dict[sp.Basic, set[Index]] = {
        s: {i for i in step.xreplace(written).free_symbols if isinstance(i, Index)} - {axis}
        for s, step in zip(claim.left, claim.step, strict=True)
    }
    for _ in claim.left:
        for s, step in zip(claim.left, claim.step, strict=True):
            found[s].update(*(found[r] for r in step.free_symbols if r in found))
    return {s: tuple(sorted(found[s], key=lambda a: a.name)) for s in claim.left}
