"""How the kernels of a plan are launched: their grids, and what the launcher has checked of lengths and indices.

The launcher prints these values, and the index obligations rest on them and on nothing else that it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import sympy as sp

from refold.algebra.bounds import slope
from refold.algebra.plan import Plan
from refold.algebra.rewrite import walk
from refold.algebra.roles import Roles, access
from refold.errors import EmitError
from refold.schedule import ir
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.stages import CHUNK, PARTS
from refold.schedule.lower.words import ALIGNED, BLOCK_M, BLOCK_N, ONE_TILE, RAGGED, scalar, size
from refold.schedule.passes.aligned import is_digit
from refold.schedule.reach import limited, reaches
from refold.spec import Index, Param, Read, Spec, Where
from refold.spec.arithmetic import quotient_of

GROUP_SIZE, GROUPS, SIZE_BATCH = (scalar(n) for n in ("group_size", "groups", "size_batch"))


@dataclass(frozen=True, slots=True)
class Limits:
    """What the launcher refuses, so that integers fit into their width.

    An axis is shorter than `axis`, a tile at most `block` long. A launch has fewer than `count` programs, and what
    kernels count stays below it, too. Indices have 32 bits while offsets and masks stay below `index`; masks that come
    to `mask` are refused.
    """

    axis: int = 2**30
    block: int = 2**20
    count: int = 2**31
    index: int = 2**31
    mask: int = 2**62


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Within:
    """The launcher refuses lengths at which an index leaves an axis of its tensor, at the positions that it looks at.

    These are all positions of `over`; with `ends` the first and the last of its one axis.
    """

    tensor: str
    axis: Index
    index: sp.Expr
    over: tuple[Index, ...]
    ends: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """The launcher refuses a `chunk` that is not one tile or several, and chunks that `end` before their axis does."""

    chunk: ir.Name
    tile: ir.Name
    end: ir.Value
    length: ir.Value


@dataclass(frozen=True, slots=True)
class Launch:
    """The grid of every stage, over the arguments of its kernel, and what is so of lengths whenever it is launched.

    `group` is how many rows are packed, `cut` what parts are. `equal` are axes of one length, `filled` those of at
    least one position, `inside` the indices that were looked at. `leading` says that `size_batch` is the product of
    two leading lengths and of those of these axes; `flags` are conditions on lengths that the compiler knows.

    `limits` hold of axes, tiles and grids; `counts` stay below `limits.count`. What masks come to are `reaches`, over
    lengths and scalars. A scalar that is `clamped` only moves an end of a range: it is no farther from 0 than
    `limits.axis` if its rest is not.
    """

    grids: tuple[tuple[str, tuple[ir.Value, ...]], ...]
    flags: tuple[tuple[ir.Name, ir.Value], ...]
    group: sp.Expr | None
    leading: tuple[Index, ...]
    equal: tuple[tuple[Index, Index], ...]
    filled: tuple[Index, ...]
    inside: tuple[Within, ...]
    counts: tuple[ir.Value, ...]
    reaches: tuple[sp.Expr, ...]
    clamped: tuple[tuple[Param, tuple[sp.Expr, ...]], ...]
    cut: Cut | None
    limits: Limits = LIMITS

    def grid(self, stage: str) -> tuple[ir.Value, ...]:
        """How many programs a stage has along every axis of its grid."""
        return dict(self.grids)[stage]


def launch(made: Kernels) -> Launch:
    """The launch of the kernels of a plan. Raises `EmitError` for an index that the launcher cannot check."""
    plan, roles = made.given, made.roles
    programs = _programs(roles)
    chunks: ir.Value = ir.Number(1)
    if any(roles.fold in f.axes for f in plan.finish):
        chunks = ir.Binary("maximum", chunks, ir.Binary("cdiv", size(roles.fold, roles), CHUNK))
    grids = {"rolling": (programs,), "parts": (programs, PARTS), "finish": (programs, chunks)}
    same, pairs, _ = sized_by(plan.spec)
    equal = [*same.items(), *((a, b) for a, b, _ in pairs)]
    clamped = [a for _, a, index in _reads(plan) if access(index, roles) == "clamped"]
    filled = dict.fromkeys([*roles.inner, *clamped])
    end = ir.Binary("*", PARTS, CHUNK)
    # Where a part begins and ends, that of a second pass too, which may be a part further than the axis goes.
    last = ir.Binary("+", size(roles.fold, roles), end)
    counts: tuple[ir.Value, ...] = (ir.Binary("*", SIZE_BATCH, PARTS), last)
    if roles.group is not None:
        # Where the last group of rows ends, and its tile.
        counts += (ir.Binary("+", ir.Binary("*", GROUPS, GROUP_SIZE), ir.Number(LIMITS.block)),)
    # Of a loop that goes on by tiles it is shown that the last one ends less than two blocks beyond its axis.
    flags = _flags(roles, digits(plan, roles))
    return Launch(tuple(grids.items()), flags, roles.group, roles.batch, tuple(equal), tuple(filled),
                  _inside(plan, roles), counts, tuple(reaches(plan, roles, made.ranges, 2 * LIMITS.block)),
                  tuple(limited(plan, roles).items()), Cut(CHUNK, BLOCK_N, end, size(roles.fold, roles)))  # fmt: skip


def digits(plan: Plan, roles: Roles) -> tuple[Param, ...]:
    """The lengths by which positions of the fold's axis are divided to get to what is read there."""
    found = [e for _, _, index in _reads(plan) for e in index.atoms(sp.floor, sp.Mod)]
    pairs = [quotient_of(e) if isinstance(e, sp.floor) else e.args for e in found]
    return tuple(dict.fromkeys(below for above, below in pairs if is_digit(above, below, roles)))


def _flags(roles: Roles, lengths: tuple[Param, ...]) -> tuple[tuple[ir.Name, ir.Value], ...]:
    """Whether a row is one tile, and whether the end of the axis cuts one; every tile of a dot asks its masks.

    Of axes that stand for two: whether every tile is at one position of the outer one.
    """
    if roles.contracts:
        return ()
    length, zero = size(roles.fold, roles), ir.Number(0)
    cut = ir.Binary(">", ir.Binary("%", length, BLOCK_N), zero)
    ragged = ir.Binary("|", cut, ir.Binary("==", length, zero))
    flags = ((ONE_TILE, ir.Binary("<=", length, BLOCK_N)), (RAGGED, ragged))
    if not lengths:
        return flags
    rests = [ir.Binary("%", scalar(x.name), BLOCK_N) for x in lengths]
    return (*flags, (ALIGNED, ir.Binary("==", reduce(lambda a, b: ir.Binary("+", a, b), rests), zero)))


def _programs(roles: Roles) -> ir.Value:
    """One for every tile of rows of every batch."""
    if roles.rows is None:
        return SIZE_BATCH
    rows = size(roles.rows, roles) if roles.group is None else GROUP_SIZE
    tiles = ir.Binary("*", SIZE_BATCH, ir.Binary("cdiv", rows, BLOCK_M))
    return tiles if roles.group is None else ir.Binary("*", tiles, GROUPS)


def _reads(plan: Plan) -> list[tuple[Read, Index, sp.Expr]]:
    """Every index of a read, with the axis of the tensor that it is along."""
    return [(n, a, i) for o in plan.spec.outputs for n in walk(o.expr) if isinstance(n, Read)
            for a, i in zip(n.tensor.axes, n.indices, strict=True)]  # fmt: skip


def _inside(plan: Plan, roles: Roles) -> tuple[Within, ...]:
    """Index maps such as `k[h // group, j, d]` stay inside of their tensors, which only the sizes can tell.

    Along a tile's axis the two ends are looked at, where no condition may keep the others from being read.
    """
    found: dict[Within, None] = {}
    kept = {s for o in plan.spec.outputs for w in o.expr.atoms(Where) for s in w.args[0].free_symbols}
    still = {*roles.batch, *([roles.rows] if roles.group is not None else [])}
    for read, axis, index in _reads(plan):
        axes = {s for s in index.free_symbols if isinstance(s, Index)}
        ends = len(axes) == 1 and not axes & (still | kept) and all(slope(index, a) for a in axes)
        if isinstance(index, Index) or index.has(Read) or not (ends or axes <= still):
            continue
        if len(axes) > 1:
            raise EmitError(f"{read.name} is read at {index}, an index of several axes: use one axis an index")
        found[Within(read.name, axis, index, tuple(axes), ends)] = None
    return tuple(found)


def sized_by(spec: Spec) -> tuple[dict[Index, Index], list[tuple[Index, Index, str]], list[Index]]:
    """Axes as long as another one (no tensor has them), pairs that must be equally long, axes that nothing tells."""
    declared = {a for t in spec.tensors for a in t.axes}
    same: dict[Index, Index] = {}
    pairs: list[tuple[Index, Index, str]] = []
    for o in spec.outputs:
        for read in walk(o.expr):
            if isinstance(read, Read):
                for axis, index in zip(read.tensor.axes, read.indices, strict=True):
                    if isinstance(index, Index) and index != axis:
                        if index not in declared and index not in same:
                            same[index] = axis
                        elif (axis, index, read.name) not in pairs:
                            pairs.append((axis, index, read.name))
    unknown = [a for a in spec.axes if a not in declared and a not in same]
    return same, pairs, unknown
