"""Makes the case to measure from a plan: sizes for every axis by its role, inputs, and who else computes the same."""

from __future__ import annotations

from typing import Any

import sympy as sp

from refold.algebra import Plan
from refold.algebra.roles import Roles, assign, operands
from refold.emit.launcher import sized_by
from refold.emit.prooftest import integers_of, marks_of
from refold.measure.attention import attention_of
from refold.measure.case import Attention, Case
from refold.measure.library import calls_of
from refold.spec import Fold, Index, Read, Size, Spec

HEADS, GROUPS, INNER = 32, 8, 128
CELLS = 1 << 26  # elements of a row reduction: far more than a cache holds
PREFILL, ROWS = (1024, 4096, 16384), (1024, 4096, 16384, 65536, 131072)
INTEGER, REAL, MARK = 1024, 0.5, -100


def case_of(plan: Plan, name: str) -> Case:
    """What to measure of a plan, as far as the plan says it: a user may set sizes, lengths, scalars and dtype."""
    spec, roles = plan.spec, assign(plan)
    dots = _dots(plan, roles)
    found = attention_of(plan, roles)
    attention = found if isinstance(found, Attention) else None
    known = {roles.fold, *roles.batch, *roles.inner, *([roles.rows] if roles.rows else [])}
    partners = _partners(spec)
    sizes = {a.name: _size(a, roles, partners) for a in spec.axes}
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
    held = [a.name for a in spec.axes if a in known and a not in roles.inner]
    return Case(
        name, str(spec), sizes, tuple(a.name for a in spec.axes if a in grown), PREFILL if dots else ROWS,
        "float16" if dots else "bfloat16", fill, CELLS, lead, tuple(t.name for t in spec.tensors if t.name in led),
        _scalars(spec), _integers(spec, roles.fold), tuple(a.name for a in unknown), _cut(spec, roles, partners), dots,
        tuple(held), attention, "" if attention else str(found), calls_of(spec, roles.fold),
    )  # fmt: skip


def _size(axis: Index, roles: Roles, partners: dict[Index, Index]) -> int:
    if axis in partners.values():
        return GROUPS
    if axis in roles.inner:
        return INNER
    return PREFILL[0] if axis in (roles.fold, roles.rows) else HEADS


def _partners(spec: Spec) -> dict[Index, Index]:
    """Axes that are read through an index map of another one, such as key heads at h // group: {h: g}."""
    found = {}
    for read in _nodes(spec, Read):
        for own, index in zip(read.tensor.axes, read.indices, strict=True):
            axes = [s for s in index.free_symbols if isinstance(s, Index)]
            if not isinstance(index, Index) and not index.has(Read) and len(axes) == 1:
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


def _cut(spec: Spec, roles: Roles, partners: dict[Index, Index]) -> dict[str, str]:
    """Axes of which a part can be computed on its own: only tensors are read at them, at the axis or its group."""
    found: dict[str, str] = {}
    axes = [*roles.batch, *([roles.rows] if roles.group is not None and roles.rows else [])]
    for axis in axes:
        other = partners.get(axis)
        grouped = (
            [sp.floor(axis / sp.floor(axis.size / other.size)), sp.floor(axis / (axis.size / other.size))]
            if other
            else []
        )
        dummy = sp.Dummy("group")
        allowed = {axis, dummy}
        rest = [o.expr.xreplace(dict.fromkeys(grouped, dummy)) for o in spec.outputs]
        reads = {n for x in rest for n in sp.preorder_traversal(x) if isinstance(n, Read)}
        plain = all(index in allowed or axis not in index.free_symbols for r in reads for index in r.indices)
        bare = [x.xreplace(dict.fromkeys(reads, sp.Dummy("read"))) for x in rest]
        sizes = {axis, Size(axis.name), *({Size(other.name)} if other else ())}
        if (
            plain
            and not any(sizes & x.free_symbols for x in bare)
            and not any(sizes - {axis} & index.free_symbols for r in reads for index in r.indices)
        ):
            found[axis.name] = other.name if other else ""
            if other:
                found[other.name] = ""
    return found
