"""Sweeps back over a tape: which roundings an output waits for, what each adds, how far a value can be off."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
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
    adjoint, nodes = _adjoint(tape, out, 0, count, first)
    error = np.zeros(count)
    for node, bar in nodes:
        error += _effect(bar, node.repeat * node.local + node.remainder)
    for node, bar in adjoint:
        error += _effect(bar, np.asarray(node.error))
    out.error = np.fmin(out.error, error.reshape(out.exact.shape))


def sources(tape: Tape, out: Node) -> set[str]:
    """The kinds of all roundings on the way to `out`, whether or not they move it at these values."""
    wanted, found = {id(out)}, set()
    for node in reversed(tape.nodes):
        if id(node) in wanted:
            wanted |= {id(p) for p, _ in node.parents}
            found |= {node.kind} if node.rounds else set()
    return found


def spread(tape: Tape, out: Node) -> dict[str, dict[int, Array]]:
    """For each kind and step: sum |d out / d z| |dz| for each element of `out`, in one row."""
    found: dict[str, dict[int, list[Array]]] = defaultdict(lambda: defaultdict(list))
    for start in range(0, out.exact.size, CHUNK):
        sums: dict[tuple[str, int], Array] = {}
        for node, bar in _adjoint(tape, out, start, min(CHUNK, out.exact.size - start), 0)[1]:
            for kind, size in ((node.kind, node.local), ("remainder", node.remainder)):
                if np.any(size):
                    sums[kind, node.step] = sums.get((kind, node.step), 0.0) + _effect(bar, size)
        for (kind, step), effect in sums.items():
            found[kind][step].append(effect)
    return {kind: {s: np.concatenate(e) for s, e in steps.items()} for kind, steps in found.items()}


def _adjoint(tape: Tape, out: Node, start: int, count: int, first: int) -> tuple[Iterable[Derived], Iterable[Derived]]:
    """The derivatives of `count` elements of `out` by the nodes before `first`, and by those from there on."""
    seeds = np.zeros((count, out.exact.size))
    seeds[np.arange(count), start + np.arange(count)] = 1.0
    adjoint: dict[int, tuple[Node, Array]] = {id(out): (out, seeds.reshape(count, *out.exact.shape))}
    within: list[Derived] = []
    for node in reversed(tape.nodes[first:]):
        if id(node) not in adjoint:
            continue
        _, bar = adjoint.pop(id(node))
        within.append((node, bar))
        for parent, slope in node.parents:
            part = _unbroadcast(product(bar, slope), parent.exact.shape)
            old = adjoint.get(id(parent))
            adjoint[id(parent)] = (parent, part if old is None else old[1] + part)
    return adjoint.values(), within


def _effect(bar: Array, size: Any) -> Array:
    return np.asarray(product(np.abs(bar), np.asarray(size)).reshape(len(bar), -1).sum(axis=1))


def _unbroadcast(value: Array, shape: tuple[int, ...]) -> Array:
    """Sums over the dimensions along which a parent was broadcast; the first is that of the outputs."""
    extra = tuple(range(1, value.ndim - len(shape)))
    value = value.sum(axis=extra) if extra else value
    axes = tuple(n + 1 for n, size in enumerate(shape) if size == 1 and value.shape[n + 1] != 1)
    return value.sum(axis=axes, keepdims=True) if axes else value
