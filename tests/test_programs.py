"""Programs of stages: what `split` makes of one, and that a split one computes the same for any partition."""

from __future__ import annotations

import importlib
import random
from itertools import pairwise
from typing import Any

import numpy as np
import sympy as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.pipelines import draw
from support.trial import inputs
from support.written import spec_of

from refold import Plan, RefoldError, derive
from refold.algebra.monoid import New
from refold.algebra.perform import perform
from refold.algebra.plan import Finish
from refold.algebra.program import Range, Write, program, split
from refold.algebra.tiles import CHUNK
from refold.schedule.lower.kernels import kernels
from refold.spec import Index, Read, TensorName


def derived(name: str) -> Plan:
    plan = derive(importlib.import_module(f"refold.examples.{name}").SPEC)
    assert isinstance(plan, Plan)
    return plan


def chunk_of(part: Index, axis: Index) -> Range:
    return Range(axis, part * CHUNK, sp.Mul(part + 1, CHUNK, evaluate=False))


def test_split_of_attention() -> None:
    plan = derived("attention")
    once = program(plan)
    i, j, e, part = (Index(n) for n in ("i", "j", "e", "part"))
    (stage,) = once.stages
    (o,) = plan.finish
    assert (stage.grid, stage.loop, stage.writes) == ((i, e), (Range(j, sp.S.Zero, j.size),), (Write(o),))
    parts, finish = split(once, j).stages
    m, l, acc = (c.symbol for c in stage.carried.state)
    kept = {s: TensorName(f"part_{s}", (part, *c.axes), "float")
            for s, c in zip((m, l, acc), stage.carried.state, strict=True)}  # fmt: skip
    assert (parts.grid, parts.loop) == ((i, e, part), (chunk_of(part, j),))
    assert parts.carried == stage.carried
    assert parts.writes == tuple(Write(Finish(t.name, s, t.axes, sp.true, s)) for s, t in kept.items())
    assert (finish.grid, finish.loop) == ((i, e), (Range(part, sp.S.Zero, part.size),))
    assert finish.writes == stage.writes
    read = {e.symbol: e.expr for e in finish.carried.elements}
    assert [*read.values()] == [Read(t, *t.axes) for t in kept.values()]
    # The step is `combine` with the state that is read for the right one.
    m2, l2, acc2 = read
    fresh = plan.anchors[0].fresh
    lets = {let.symbol: let.expr for let in finish.carried.step.lets}
    assert lets[New("m")] == sp.Max(m, m2)
    assert lets[New("l")] == l * sp.exp(m - fresh) + l2 * sp.exp(m2 - fresh)
    assert lets[New("acc")] == acc * sp.exp(m - fresh) + acc2 * sp.exp(m2 - fresh)
    assert {*split(once, j).passed()} == {*kept.values()}


def test_what_varies_with_the_axis_is_written_by_chunks() -> None:
    plan = derived("softmax")
    once = program(plan)
    (y,) = plan.finish
    j = plan.axis
    assert [w for s in once.stages for w in s.writes] == [Write(y, Range(j, sp.S.Zero, j.size))]
    assert split(once, j).stages[-1].writes == (Write(y, chunk_of(Index("part"), j)),)


def test_kernels_are_those_of_the_stages() -> None:
    made = kernels(derived("attention"), "f")
    assert [s.name for p in made.programs for s in p.stages] == [*made.stages] == ["rolling", "parts", "finish"]
    assert [k.name for k in made.stages.values()] == ["f_rolling", "f_parts", "f_finish"]


PARTS = st.integers(0, 7).flatmap(
    lambda n: st.tuples(st.permutations(range(n)), st.lists(st.integers(0, n), max_size=4).map(sorted))
)


def same(x: Any, y: Any) -> bool:
    return np.allclose(x, y, rtol=1e-9, atol=1e-9, equal_nan=True)


def both(plan: Plan, given: dict[str, Any], places: list[int], cuts: list[int]) -> None:
    """The split program at a partition of permuted positions beside that of one stage, which takes them in order."""
    once = program(plan)
    ends = [0, *cuts, len(places)]
    partition = [places[a:b] for a, b in pairwise(ends)]
    wanted, got = perform(once, given), perform(split(once, plan.axis), given, partition)
    assert {*wanted} == {*got}
    assert all(same(wanted[name], got[name]) for name in wanted), (wanted, got, partition)


@settings(max_examples=60)
@given(drawn=PARTS, seed=st.integers(0, 10**6))
def test_split_is_the_same_function(drawn: tuple[list[int], list[int]], seed: int) -> None:
    places, cuts = drawn
    pipeline = draw(seed)
    try:
        plan = derive(spec_of(pipeline))
    except RefoldError:
        assume(False)
    assume(isinstance(plan, Plan))
    sizes = {"i": 2, "j": len(places), "d": 3, "e": 2, "m": 3}
    assume(places or not any(kind == "int target" for _, kind in pipeline.tensors.values()))
    tensors, scalars = inputs(pipeline, sizes, random.Random(seed))
    lengths = {a.name: sizes[a.name] for a in plan.spec.axes}
    both(plan, tensors | scalars | lengths, places, cuts)
