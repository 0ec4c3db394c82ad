"""Builds the input of a counterexample from a solver's model, where running forms on samples shows no difference.

The spec and the claimed form are run on letters for numbers at a few concrete sizes. A solver is asked for letters for
which an output differs, and what it says is run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.relational import Relational

from refold.algebra.derive import fold_axis
from refold.algebra.run import Order
from refold.spec import Index, Read, Spec, TensorName
from refold.spec.evaluate import Inputs
from refold.spec.walk import Array
from refold.verify.claim.claim import Claim
from refold.verify.claim.run import subject_of
from refold.verify.laws.reach import eq
from refold.verify.obligation import Defined, Obligation, query_of_numbers
from refold.verify.refute.models import failing
from refold.verify.refute.replay import tried
from refold.verify.refute.samples import bounds, fitting
from refold.verify.refute.symbolic import differences, symbolic
from refold.verify.result import Counterexample

SHORT = (1, 2)  # lengths that take no time
SECONDS = 30.0  # of this thread, in all
EACH = 3.0  # for one output at one size
DISTINCT = 3  # positions that have letters of their own; of more, the first and the last
LONGEST = 130
VISIBLE = sp.Rational(1, 10_000)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is concrete of a run: lengths, the rows that are looked at, integers, the order, and which tensors are 1."""

    length: int
    row: int | None
    integer: int
    cut: int
    pinned: bool

    @property
    def schedule(self) -> tuple[Order, str]:
        """The order, and its name."""
        positions = tuple(range(self.length))
        if self.cut == self.length:
            return positions, "one element at a time"
        first, second = positions[: self.cut], positions[self.cut :]
        return (first, second), f"split into {list(first)} and {list(second)}, then merged"


def witness(claim: Claim, lengths: Sequence[int], seconds: float = SECONDS) -> Counterexample | None:
    """An input on which a claimed form is wrong, as a solver knows it, shown by a run; None where none was found."""
    until = time.thread_time() + seconds
    for setting in _settings(claim, lengths):
        if time.thread_time() > until:
            return None
        found = _at(claim, setting, until)
        if found is not None:
            return found
    return None


def lengths_past(marks: Sequence[sp.Rational]) -> tuple[int, ...]:
    """Lengths past the integers that are mentioned, in one part and in each of two."""
    whole = [int(abs(n)) for n in marks if n.is_Integer and abs(n) < LONGEST]
    return (DISTINCT, *(length for n in whole for length in (n + 2, 2 * n + 2)))


def _at(claim: Claim, setting: Setting, until: float) -> Counterexample | None:
    spec, axis = claim.spec, fold_axis(claim.spec)
    rows = {} if setting.row is None else dict.fromkeys(_crossing(claim), setting.row)
    wide = {a: setting.length if a == axis or a in rows else 1 for a in spec.axes}
    numbers = _numbers(spec, fitting(spec, axis, wide), setting.integer)
    letters = {t: _letters(t, numbers[t.name].shape, along, setting) for t, along in _along(spec, axis).items()
               if not t.is_integer and (along or not setting.pinned)}  # fmt: skip
    given = symbolic(Inputs.of(spec, numbers), letters, rows)
    for wanted, got in differences(claim, given, setting.schedule[0]):
        for goals in _goals(wanted, got):
            question = query_of_numbers(Obligation("witness", "", (Defined(wanted),), goals))
            for values in failing(question, min(EACH, until - time.thread_time())):
                inputs = numbers | {t.name: _filled(array, values) for t, array in letters.items()}
                found = tried(subject_of(claim), inputs, iter([setting.schedule]))
                if found is not None:
                    return found
    return None


def _goals(wanted: sp.Expr, got: sp.Expr) -> Iterator[tuple[sp.Basic, ...]]:
    """That two outputs are equal, and that they are so near that no run would show the difference."""
    off, near = got - wanted, VISIBLE * (1 + sp.Abs(wanted))
    yield (eq(off, sp.S.Zero),)
    yield (eq(got, wanted),)
    yield sp.Le(off, near, evaluate=False), sp.Ge(off, -near, evaluate=False)


def _settings(claim: Claim, lengths: Sequence[int]) -> Iterator[Setting]:
    spec, crossed = claim.spec, bool(_crossing(claim))
    integers = any(t.is_integer for t in spec.tensors) or any(p.is_integer for p in spec.params)
    loose = any(not along and not t.is_integer for t, along in _along(spec, fold_axis(spec)).items())
    for pinned in (True, False) if loose else (True,):
        for length in lengths:
            rows = list(dict.fromkeys((length - 1, 0, length // 2))) if crossed else [None]
            numbers = list(dict.fromkeys((0, length - 1, length - 2, length // 2 - 1))) if integers else [1]
            cuts = dict.fromkeys((length, length - 1, length // 2)) if claim.merge is not None else (length,)
            for row in rows:
                for integer in (n for n in numbers if n >= 0):
                    for cut in (c for c in cuts if c):
                        yield Setting(length, row, integer, cut, pinned)


def _crossing(claim: Claim) -> set[Index]:
    """The other axes whose positions a form or its spec computes with, as a mask does."""
    exprs = [*(o.expr for o in claim.spec.outputs), *claim.exprs]
    used = {s for e in exprs for test in e.atoms(Relational) for s in test.free_symbols if isinstance(s, Index)}
    return used - {fold_axis(claim.spec)}


def _along(spec: Spec, axis: Index) -> dict[TensorName, frozenset[int]]:
    """The dimensions of each tensor that are read along the folded axis."""
    found: dict[TensorName, frozenset[int]] = {t: frozenset() for t in spec.tensors}
    for output in spec.outputs:
        for read in output.expr.atoms(Read):
            found[read.tensor] |= {n for n, index in enumerate(read.indices) if axis in index.free_symbols}
    return found


def _numbers(spec: Spec, sizes: dict[Index, int], integer: int) -> dict[str, Any]:
    """Inputs of these sizes: every integer is `integer`, or the last position that there is, and all else is 1."""
    below = bounds(spec, sizes)
    inputs: dict[str, Any] = {a.name: n for a, n in sizes.items()}
    for tensor in spec.tensors:
        value = min(integer, below.get(tensor, integer + 1) - 1) if tensor.is_integer else 1
        inputs[tensor.name] = np.full([sizes[a] for a in tensor.axes], float(value))
    return inputs | {p.name: float(max(integer, 1)) if p.is_integer else 1.0 for p in spec.params}


def _letters(tensor: TensorName, shape: tuple[int, ...], along: frozenset[int], setting: Setting) -> Array:
    """A letter for every number of a tensor; of many positions all between the first and the last have one."""
    signs = {"positive": {"positive": True}, "nonnegative": {"nonnegative": True}}.get(tensor.sign, {"real": True})
    found = np.empty(shape, dtype=object)
    for place in np.ndindex(*shape):
        at = [_class(n, shape[dim], setting.cut) if dim in along else n for dim, n in enumerate(place)]
        found[place] = sp.Symbol(f"{tensor.name}[{', '.join(map(str, at))}]", **signs)
    return found


def _class(position: int, length: int, cut: int) -> int:
    """The first position whose letter a position has."""
    if length <= DISTINCT or position in (0, length - 1):
        return position
    return 1 if position < cut else cut


def _filled(array: Array, values: dict[sp.Basic, float]) -> Array:
    return np.array([values.get(symbol, 1.0) for symbol in array.flat]).reshape(array.shape)
