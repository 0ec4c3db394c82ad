"""Sweeps back over a tape: which roundings an output waits for, what each adds, how far a value can be off."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from refold.spec.walk import Array
from refold.verify.rounding.tape import Node, Tape, product

Derived = tuple[Node, Array]  # a node, and the derivatives of outputs by it: one dimension more, the first
CHUNK = 256  # outputs whose derivatives are held at a time


def tighten(tape: Tape, out: Node, first: int) -> None:
    """Bounds the error of `out` by derivatives over the operations from `first` on, and the errors before them.

    Errors added up along the way forget what they have in common: an anchor that is off moves the sums and the
    factors that correct them alike.
    """
    count = out.exact.size
    adjoint, nodes = _adjoint(tape, [out], 0, count, first)
    error = np.zeros(count)
    for node, bar in nodes:
        error += _effect(bar, node.repeat * node.local + node.remainder)
    for node, bar in adjoint:
        error += _effect(bar, np.asarray(node.error))
    out.error = np.fmin(out.error, error.reshape(out.exact.shape))


def sources(tape: Tape, outs: Iterable[Node]) -> set[str]:
    """The kinds of all roundings on the way to outputs, whether or not they move them at these values."""
    wanted, found = {id(out) for out in outs}, set()
    for node in reversed(tape.nodes):
        if id(node) in wanted:
            wanted |= {id(p) for p, _ in node.parents}
            found |= {node.kind} if node.rounds else set()
    return found


def spread(tape: Tape, outs: Sequence[Node]) -> dict[str, dict[int, Array]]:
    """For each kind and step: sum |d out / d z| |dz| for each element of the outputs, all of them in one row."""
    found: dict[str, dict[int, Array]] = defaultdict(dict)
    total = sum(out.exact.size for out in outs)
    for start in range(0, total, CHUNK):
        for node, bar in _adjoint(tape, outs, start, min(CHUNK, total - start), 0)[1]:
            for kind, size in ((node.kind, node.local), ("remainder", node.remainder)):
                if np.any(size):
                    row = found[kind].setdefault(node.step, np.zeros(total))
                    row[start : start + len(bar)] += _effect(bar, size)
    return dict(found)


def _adjoint(
    tape: Tape, outs: Sequence[Node], start: int, count: int, first: int
) -> tuple[Iterable[Derived], Iterable[Derived]]:
    """The derivatives of `count` elements of the outputs by the nodes before `first`, and by those from there on."""
    adjoint: dict[int, tuple[Node, Array]] = {}
    before = -start
    for out in outs:
        size = out.exact.size
        rows = np.arange(max(before, 0), min(before + size, count))
        if rows.size:
            seeds = np.zeros((count, size))
            seeds[rows, rows - before] = 1.0
            _add(adjoint, out, seeds.reshape(count, *out.exact.shape))
        before += size
    within: list[Derived] = []
    for node in reversed(tape.nodes[first:]):
        if id(node) not in adjoint:
            continue
        _, bar = adjoint.pop(id(node))
        within.append((node, bar))
        for parent, slope in node.parents:
            _add(adjoint, parent, _unbroadcast(product(bar, slope), parent.exact.shape))
    return adjoint.values(), within


def _add(adjoint: dict[int, Derived], node: Node, part: Array) -> None:
    old = adjoint.get(id(node))
    adjoint[id(node)] = (node, part if old is None else old[1] + part)


def _effect(bar: Array, size: Any) -> Array:
    return np.asarray(product(np.abs(bar), np.asarray(size)).reshape(len(bar), -1).sum(axis=1))


def _unbroadcast(value: Array, shape: tuple[int, ...]) -> Array:
    """Sums over the dimensions along which a parent was broadcast; the first is that of the outputs."""
    extra = tuple(range(1, value.ndim - len(shape)))
    value = value.sum(axis=extra) if extra else value
    axes = tuple(n + 1 for n, size in enumerate(shape) if size == 1 and value.shape[n + 1] != 1)
    return value.sum(axis=axes, keepdims=True) if axes else value
