"""Gives every axis of a plan one role: fold, rows, batch or inner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sympy as sp

from refold.algebra.plan import Plan, State
from refold.errors import EmitError
from refold.spec import Fold, Index, Read, Size


@dataclass(frozen=True, slots=True)
class Roles:
    """`fold` is the loop, tiles of BLOCK_N; `rows` tiles of BLOCK_M over programs; `batch` one program each;
    `inner` are those that states have beside, or that are folded within the loop: whole in registers, or by pieces.

    `pieces`: those of them that are folded a piece after the other, or one position after the other where another one
    of them is folded within; these are the `singles`. `group`, where set, says that rows are packed: `floor(rows /
    group)` is one value a program, as for the query heads that share a key head. `contracts`: whether a `tl.dot` is to
    be had, which asks for tiles of at least 16.
    """

    fold: Index
    rows: Index | None
    batch: tuple[Index, ...]
    inner: tuple[Index, ...]
    group: sp.Expr | None
    contracts: bool
    pieces: tuple[Index, ...] = ()
    singles: tuple[Index, ...] = ()

    @property
    def tiles(self) -> tuple[Index, ...]:
        """The axes of a tile in their canonical order."""
        inner = (a for a in self.inner if a not in self.singles)
        return (*((self.rows,) if self.rows else ()), self.fold, *inner)

    @property
    def packed(self) -> sp.Expr | None:
        """The one value that packed rows of a program share."""
        return None if self.group is None else sp.floor(self.rows / self.group)

    @property
    def row_reduction(self) -> bool:
        """Whether rows are reduced and no more: there is no dot, and no other axis of a tile."""
        return not (self.contracts or self.inner)

    def across(self, expr: sp.Expr) -> frozenset[Index]:
        """The axes of a tile that an expression varies with."""
        apart = expr if self.packed is None else expr.xreplace({self.packed: sp.S.Zero})
        return frozenset(axes_of(apart) & set(self.tiles))


def axes_of(expr: sp.Basic) -> set[Index]:
    """The axes that an expression varies with."""
    return {s for s in expr.free_symbols if isinstance(s, Index)}


def expand_elements(plan: Plan, expr: sp.Expr) -> sp.Expr:
    """A law with its element symbols written out, where they are products: their factors may belong apart."""
    return expr.xreplace({e.symbol: e.expr for e in plan.elements})


def assign(plan: Plan) -> Roles:
    """The roles of all axes of a plan."""
    fold = plan.axis
    shared = _ordered_outputs(plan)
    pairs = [p for a in plan.accumulators if a.reducer == "sum" for p in _factors(plan, a.element, fold)]
    written = [e.expr for e in plan.elements] + [f.expr for f in plan.finish]
    bound = {n.axis for x in written for n in sp.preorder_traversal(x) if isinstance(n, Fold)}
    _lanes_apart(plan)
    dots = [f for x in written for n in sp.preorder_traversal(x) if isinstance(n, Fold) and n.kind == "sum"
            for f in _factors(plan, n.body, n.axis)]  # fmt: skip
    inner = {a for pair in pairs for a in _of_one_side(*pair, shared)} | _columns(plan)
    rest = [a for a in shared if a not in inner]
    private = [a for a in rest if any((a in _axes_of_all(x)) != (a in _axes_of_all(y)) for x, y in (*pairs, *dots))]
    group = None
    rows: Index | None = None
    if private:
        # Where a dot has the loop's axis on one side, its rows are an axis of the other.
        facing = [a for a in private if any(_faces(a, fold, *groups) for groups in dots)]
        rows = (facing or private)[0]
    elif pairs or dots:
        packed = [(a, g) for a in rest if (g := _group(plan, a)) is not None]
        if packed:
            rows, group = packed[0]
    elif rest:
        rows = rest[-1]
    batch = tuple(a for a in rest if a != rows)
    inside = tuple(sorted((bound | inner) - {fold}, key=lambda a: (a in shared, a.name)))
    for axis in {*rest} & bound:
        raise EmitError(f"{axis} is folded within the loop, and outputs vary with it: fold it in a pipeline of its own")
    _one_writer(plan, {*batch, *([rows] if rows is not None else [])})
    singles = tuple(a for a in inside if a not in shared and _holds_another(written, a))
    pieces = _in_pieces(inside, singles, shared)
    return Roles(fold, rows, batch, inside, group, bool(rows is not None and (pairs or dots)), pieces, singles)


def _lanes_apart(plan: Plan) -> None:
    """No output folds lanes of a state: each of them is one number of a program. Raises `EmitError`."""
    for f in plan.finish:
        for fold in sorted(f.expr.atoms(Fold), key=str):
            if fold.body.atoms(State):
                raise EmitError(f"{f.name} folds {fold.axis} of what the loop leaves: fold it in a pipeline of its own")


def _in_pieces(inner: tuple[Index, ...], singles: tuple[Index, ...], shared: Sequence[Index]) -> tuple[Index, ...]:
    """The inner axes that are folded piece after piece, so that they may be as long as they like.

    Where no state has an inner axis a tile holds scores alone, and each piece is a part of their product. Where one
    has, as the values of attention, its tile fills the registers anyhow, and rows that are held whole are read once for
    all tiles of the fold's axis: at most one more axis is.
    """
    folded = tuple(a for a in inner if a not in shared)
    return folded if len(folded) == len(inner) or len(inner) > 2 else singles


def _holds_another(written: Iterable[sp.Expr], axis: Index) -> bool:
    """Whether folds over other axes stand in those over an axis, and vary with it."""
    folds = (n for x in written for n in sp.preorder_traversal(x) if isinstance(n, Fold) and n.axis == axis)
    return any(isinstance(n, Fold) and axis in axes_of(n) for f in folds for n in sp.preorder_traversal(f.body))


def _columns(plan: Plan) -> set[Index]:
    """The axes that nothing but what is read at a position that a fold has found varies with: its payload's own."""
    found = {r for f in plan.finish for r in f.expr.atoms(Read) if any(map(is_selected, r.indices))}
    carried = {a for x in plan.accumulators for a in x.axes} | {plan.axis}
    return {a for r in found for a in axes_of(r)} - carried if carried - {plan.axis} else set()


def _of_one_side(left: list[sp.Expr], right: list[sp.Expr], shared: list[Index]) -> set[Index]:
    """What only the plain operand of a contraction over the fold axis has; of two plain ones that of the last axis."""
    if not _is_plain(right):
        return set()
    own = {a for a in _axes_of_all(right) - _axes_of_all(left) if a in shared}
    others = {a for a in _axes_of_all(left) - _axes_of_all(right) if a in shared}
    last = max(own | others, key=shared.index, default=None)
    return others if _is_plain(left) and last in others else own


def _faces(axis: Index, fold: Index, left: list[sp.Expr], right: list[sp.Expr]) -> bool:
    """Whether one side of a contraction has an axis and the other one the axis of the loop."""
    sides = (_axes_of_all(left), _axes_of_all(right))
    return any(axis in one - other and fold in other - one for one, other in (sides, sides[::-1]))


def _is_plain(factors: list[sp.Expr]) -> bool:
    return all(isinstance(f, Read) for f in factors)


def _axes_of_all(factors: list[sp.Expr]) -> set[Index]:
    return {a for f in factors for a in axes_of(f)}


def _one_writer(plan: Plan, over: set[Index]) -> None:
    """Every output has every axis that programs go over, or many of them would write it. Raises `EmitError`."""
    for f in plan.finish:
        for axis in sorted(over - {*f.axes}, key=str):
            other = next((g.name for g in plan.finish if axis in g.axes), "a state")
            raise EmitError(
                f"{other} has a program for each position of {axis}, and {f.name} does not vary with {axis}: "
                "give each of the two a pipeline of its own"
            )


def layout(plan: Plan) -> Roles | None:
    """The roles of all axes; None for a plan whose outputs have no kernel together."""
    try:
        return assign(plan)
    except EmitError:
        return None


def _ordered_outputs(plan: Plan) -> list[Index]:
    """The axes of outputs and accumulators other than the fold axis, in the order of their first mention."""
    found: dict[Index, None] = {}
    for f in plan.finish:
        found |= dict.fromkeys(f.axes)
    for a in plan.accumulators:
        found |= dict.fromkeys(a.axes)
    return [a for a in found if a != plan.axis]


def _factors(plan: Plan, body: sp.Expr, axis: Index) -> list[tuple[list[sp.Expr], list[sp.Expr]]]:
    """The two groups of factors of a contraction over `axis`, where there are two."""
    groups = operands(expand_elements(plan, body), axis)
    return [] if groups is None else [groups]


def operands(body: sp.Expr, axis: Index) -> tuple[list[sp.Expr], list[sp.Expr]] | None:
    """The factors of a product over `axis` in two groups by their axes, data in the second; else None."""
    factors = [f for f in sp.Mul.make_args(body) if axis in axes_of(f)]
    widest: list[set[Index]] = []
    for f in sorted(factors, key=lambda f: (isinstance(f, Read), -len(axes_of(f)))):
        if not any(axes_of(f) <= w for w in widest):
            widest.append(axes_of(f))
    if len(widest) != 2:
        return None
    left = [f for f in factors if axes_of(f) <= widest[0]]
    right = [f for f in factors if f not in left]
    return (left, right) if right else None


def _group(plan: Plan, axis: Index) -> sp.Expr | None:
    """`R` where the plan reads some tensors at `floor(axis / R)` and there alone, others at `axis`."""
    reads = {n for x in [e.expr for e in plan.elements] for n in sp.preorder_traversal(x) if isinstance(n, Read)}
    found = {i for r in reads for i in r.indices if axis in axes_of(i) and i != axis}
    if len(found) != 1 or axis not in {i for r in reads for i in r.indices}:
        return None
    (index,) = found
    if isinstance(index, sp.floor):
        divisor = sp.simplify(axis / index.args[0])
        if not axes_of(divisor) and all(isinstance(s, Size) for s in divisor.free_symbols):
            return divisor
    return None


def access(index: sp.Expr, roles: Roles) -> str:
    """What keeps an index inside: its `own` axis' mask, a `masked` comparison, a `clamped` value, or the `launcher`."""
    if isinstance(index, Index):
        return "own"
    tiles = axes_of(index) & set(roles.tiles)
    if index == roles.packed:
        return "launcher"
    # A position that a fold has found is none where the axis has none, so that clamping it would not do.
    return "masked" if tiles or is_selected(index) else "clamped" if index.has(Read) else "launcher"


def is_selected(index: sp.Expr) -> bool:
    """Whether an index is made of a position that a fold has found: as the pipeline has it, or as a state does."""
    return index.has(Fold, State)
