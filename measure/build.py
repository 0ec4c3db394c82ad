"""Makes the case to measure from a plan: sizes for every axis by its role, inputs, and who else computes the same."""

from __future__ import annotations

from typing import Any

import sympy as sp

from refold.algebra import Plan
from refold.algebra.roles import Roles, assign, operands
from refold.emit.host import scalar
from refold.emit.prooftest import domain_at, integers_of, marks_of, sizes_of
from refold.emit.text import SIGN
from refold.measure.attention import attention_of
from refold.measure.case import Attention, Case
from refold.measure.library import calls_of
from refold.schedule.launch import sized_by
from refold.spec import Fold, Index, Read, Spec
from refold.spec.arithmetic import quotient_of

HEADS, GROUPS, INNER = 32, 8, 128
CELLS = 1 << 26  # elements of a row reduction: far more than a cache holds
PREFILL, ROWS = (1024, 4096, 16384), (1024, 4096, 16384, 65536, 131072)
INTEGER, REAL, MARK = 1024, 0.5, -100
LINES = 64  # positions in one page of a cache


def case_of(plan: Plan, name: str) -> Case:
    """What to measure of a plan, as far as the plan says it: a user may set sizes, lengths, scalars and dtype."""
    spec, roles = plan.spec, assign(plan)
    dots = _dots(plan, roles)
    found = attention_of(plan, roles)
    attention = found if isinstance(found, Attention) else None
    known = {roles.fold, *roles.batch, *roles.inner, *([roles.rows] if roles.rows else [])}
    partners = _partners(spec, roles)
    derived, lines = _paged(spec, roles.fold)
    sizes = {a.name: LINES if a in lines else _size(a, roles, partners) for a in spec.axes}
    if roles.group is not None and roles.rows is not None:
        sizes[roles.rows.name] = HEADS
    grown = {roles.fold}
    if dots and roles.rows is not None and roles.group is None:
        grown.add(roles.rows)
    same, pairs, unknown = sized_by(spec)
    for a, b in [(a, b) for b, a in same.items()] + [(a, b) for a, b, _ in pairs]:
        grown |= {a, b} if {a, b} & grown else set()
    fill = roles.rows.name if roles.rows and not dots else ""
    heads = not roles.batch and roles.group is None and bool(dots)
    led = {attention.q, attention.k, attention.v} if attention else {t.name for t in spec.tensors if not t.is_integer}
    if heads:
        lead: tuple[int, ...] = (1, HEADS)
    else:
        lead = (1,) if attention is not None and len(attention.batch) == 1 else ()
    # The eager form of a gather is as wide as what is read.
    gathers = any(index.has(Read) for read in _nodes(spec, Read) for index in read.indices) and bool(dots)
    wide = roles.inner[:1] if gathers else ()
    held = [a.name for a in spec.axes if a in known and (a in wide or a not in roles.inner)]
    return Case(
        name=name,
        spec=str(spec),
        sizes=sizes,
        sweep=tuple(a.name for a in spec.axes if a in grown),
        lengths=PREFILL if dots else ROWS,
        dtype="float16" if dots else "bfloat16",
        derived=derived,
        fill=fill,
        budget=CELLS,
        lead=lead,
        led=tuple(t.name for t in spec.tensors if t.name in led),
        scalars=_scalars(spec),
        integers=_integers(spec, roles.fold),
        positive=domain_at(spec, roles, sizes_of(spec, roles)).positive,
        keywords=tuple(a.name for a in unknown),
        cut=_cut(spec, roles, partners),
        dots=dots,
        held=tuple(held),
        attention=attention,
        why="" if attention else str(found),
        calls=calls_of(spec, roles.fold),
    )


def _size(axis: Index, roles: Roles, partners: dict[Index, Index]) -> int:
    if axis in partners.values():
        return GROUPS
    if axis in roles.inner:
        return INNER
    return PREFILL[0] if axis in (roles.fold, roles.rows) else HEADS


def _paged(spec: Spec, fold: Index) -> tuple[dict[str, str], set[Index]]:
    """Texts of the lengths of axes read at pages of the fold axis, and of those read through a table; the page axes."""
    pages: dict[str, str] = {}
    through: dict[str, str] = {}
    lines = set()
    for read in _nodes(spec, Read):
        for own, index in zip(read.tensor.axes, read.indices, strict=True):
            if isinstance(index, sp.floor) and fold in index.free_symbols:
                above, below = quotient_of(index)
                if above == fold:
                    pages[own.name] = f'-(-size["{fold.name}"] // {scalar(below).at(SIGN)})'
            elif isinstance(index, sp.Mod) and index.args == (fold, own.size):
                lines.add(own)
            elif isinstance(index, Read) and own != fold:
                through[own.name] = " * ".join(f'size["{a.name}"]' for a in index.tensor.axes) or "1"
    return pages | through, lines


def _partners(spec: Spec, roles: Roles) -> dict[Index, Index]:
    """Axes that are read through an index map of another one, such as key heads at h // group: {h: g}."""
    found = {}
    for read in _nodes(spec, Read):
        for own, index in zip(read.tensor.axes, read.indices, strict=True):
            axes = [s for s in index.free_symbols if isinstance(s, Index)]
            mapped = not isinstance(index, Index) and not index.has(Read)
            if mapped and len(axes) == 1 and axes[0] != roles.fold:
                found[axes[0]] = own
    return found


def _dots(plan: Plan, roles: Roles) -> tuple[tuple[str, ...], ...]:
    """The axes of each contraction: sums of products of factors that do not share all of their axes."""
    spec, found = plan.spec, []
    order = {a: n for n, a in enumerate(spec.axes)}
    for fold in {n for n in _nodes(spec, Fold) if n.kind == "sum"}:
        if operands(fold.body, fold.axis) is not None or _product(fold):
            axes = {s for s in fold.body.free_symbols if isinstance(s, Index)}
            found.append(tuple(a.name for a in sorted(axes, key=lambda a: order[a])))
    return tuple(sorted(found))


def _product(fold: Fold) -> bool:
    """A product of two that is summed over an axis other than both have: q of one row, say."""
    widths = {frozenset(s for s in f.free_symbols if isinstance(s, Index)) for f in sp.Mul.make_args(fold.body)}
    return len({w for w in widths if fold.axis in w}) > 1


def _nodes(spec: Spec, kind: type[Any]) -> list[Any]:
    return [n for o in spec.outputs for n in sp.preorder_traversal(o.expr) if isinstance(n, kind)]


def _scalars(spec: Spec) -> dict[str, float | int]:
    marks = marks_of(spec)
    return {p.name: MARK if p in marks else INTEGER if p.is_integer else REAL for p in spec.params}


def _integers(spec: Spec, fold: Index) -> dict[str, tuple[str, int | None]]:
    # A tensor along the fold axis that is compared within it is a mask, and no tensor of positions.
    masks = {t.name for t in spec.tensors if fold in t.axes and len(t.axes) > 1}
    found = integers_of(spec, fold).items()
    return {name: ("" if name in masks else axis, MARK if mark else None) for name, (axis, mark) in found}


def _cut(spec: Spec, roles: Roles, partners: dict[Index, Index]) -> tuple[str, ...]:
    """Axes of which one position can be computed on its own: only tensors are read at them, at the axis or its group.

    The last of |h| heads reads the last of |g| groups, and so does one head one group.
    """
    found: list[str] = []
    for axis in (*roles.batch, *([roles.rows] if roles.group is not None and roles.rows else [])):
        own, group = partners.get(axis), sp.Dummy("group")
        whole = {axis.size, own.size} if own else {axis.size}
        floors = [] if own is None else [axis / sp.floor(axis.size / own.size), axis / (axis.size / own.size)]
        grouped = {sp.floor(x): group for x in floors}
        reads = {n.xreplace(grouped) for n in _nodes(spec, Read)}
        rest = [o.expr.xreplace(grouped) for o in spec.outputs]
        # What is left of an output where the reads are gone, and every index that is not the axis or its group.
        left = [x.xreplace(dict.fromkeys(reads, sp.Dummy("read"))) for x in rest]
        left += [i for r in reads for i in r.indices if i not in (axis, group) and not isinstance(i, Read)]
        if not any({axis, *whole} & x.free_symbols for x in left):
            found += [axis.name] + ([own.name] if own else [])
    return tuple(found)
