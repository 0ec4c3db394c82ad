"""Tiles visited, skipped and run without masks, as the emitted lines choose them, against brute force."""

import itertools
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import sympy as sp
from c_semantics import Language, after
from emit_cases import attention, i, j, plan_of, score, window
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.algebra import Plan, derive
from refold.algebra.bounds import Bound, bounds_of
from refold.emit.triton import lines
from refold.schedule.lower.kernels import kernels
from refold.spec import Predicate, Tensor, axes, fold, oo, pipeline, where

# Predicates as a pipeline has them, and as Python over (i, j, |i|, |j|, window).
MASKS: dict[str, tuple[Predicate, Callable[[int, int, int, int, int], bool]]] = {
    "top left": (j <= i, lambda i, j, m, n, w: j <= i),
    "bottom right": (j <= i + (j.size - i.size), lambda i, j, m, n, w: j <= i + n - m),
    "strict": (j < i, lambda i, j, m, n, w: j < i),
    "after": (j > i, lambda i, j, m, n, w: j > i),
    "window": ((j <= i) & (j > i - window), lambda i, j, m, n, w: i - w < j <= i),
    "reversed": (i + j >= window, lambda i, j, m, n, w: i + j >= w),
    "diagonal": (j + 0 == i, lambda i, j, m, n, w: j == i),
    "from the end": (j >= j.size - window, lambda i, j, m, n, w: j >= n - w),
    "steep": (j <= 2 * i, lambda i, j, m, n, w: j <= 2 * i),
    "chunked": (i // window >= j // window, lambda i, j, m, n, w: i // w >= j // w),
    "wide": (j <= i + window, lambda i, j, m, n, w: j <= i + w),
}


@cache
def range_lines(name: str, suffix: str) -> str:
    """The lines of a kernel that say which tiles are visited."""
    mask, _ = MASKS[name]
    plan = derive(attention(where(mask, score, -oo), empty=0))
    assert isinstance(plan, Plan)
    made = kernels(plan, "f")
    body = lines((made.rolling if suffix == "rolling" else made.parts).body)
    first = next(n for n, line in enumerate(body) if line.startswith("lo = "))
    last = next(n for n, line in enumerate(body) if line.startswith("for j0"))
    return "\n".join(body[first:last])


def tiles(lines: str, **values: int) -> tuple[range, range]:
    """The starts of the tiles that are visited, and of those among them that run without masks."""
    scope = after([lines], **values)
    step = values["BLOCK_N"]
    free_lo = scope.get("free_lo", scope["lo"])
    assert scope["lo"] <= free_lo <= scope["free_hi"] <= max(scope["hi"], scope["lo"])
    assert all(x % step == 0 for x in (scope["lo"], free_lo, scope["free_hi"], scope["hi"]))
    return range(scope["lo"], scope["hi"], step), range(free_lo, scope["free_hi"], step)


@pytest.mark.parametrize("name", MASKS)
@settings(max_examples=150)
@given(data=st.data())
def test_tiles(name: str, data: st.DataObject) -> None:
    rows, length = data.draw(st.integers(1, 40)), data.draw(st.integers(0, 40))
    block_m, block_n = data.draw(st.sampled_from([1, 4, 16])), data.draw(st.sampled_from([1, 4, 8]))
    w = data.draw(st.integers(1, 50))
    i0 = data.draw(st.integers(0, (rows - 1) // block_m)) * block_m
    chunk, part = block_n * data.draw(st.integers(1, 4)), data.draw(st.integers(0, 5))
    holds = MASKS[name][1]
    last = min(i0 + block_m, rows) - 1
    values = {"size_i": rows, "size_j": length, "BLOCK_N": block_n, "first_row": i0, "last_row": last, "window": w}
    for suffix, start, stop in (("rolling", 0, length), ("parts", part * chunk, min((part + 1) * chunk, length))):
        visited, full = tiles(range_lines(name, suffix), **values, chunk=chunk, part=part)
        live = {p for p in range(start, stop) if any(holds(r, p, rows, length, w) for r in range(i0, last + 1))}
        seen = {p for t in visited for p in range(t, t + block_n)}
        # Skipped tiles are wholly masked, tiles without masks wholly unmasked, and no tile is of another part.
        assert live <= seen
        assert all(start <= t for t in visited)
        assert all(t < max(stop, start + 1) for t in visited)
        for t in full:
            assert all(
                p < stop and holds(r, p, rows, length, w) for p in range(t, t + block_n) for r in range(i0, last + 1)
            )


@pytest.mark.parametrize("name", ["top left", "bottom right", "strict", "steep", "window"])
def test_heaviest_rows_first(name: str) -> None:
    plan = derive(attention(where(MASKS[name][0], score, -oo), empty=0))
    assert isinstance(plan, Plan)
    body = lines(kernels(plan, "f").rolling.body)
    order = "\n".join(x for x in body if x.startswith(("before =", "beside =", "place =", "i0 =", "batch =")))
    for tiles_, batches, side in itertools.product((1, 2, 5), (1, 3, 4, 7), (1, 2, 4, 9)):
        found = []
        for pid in range(tiles_ * batches):
            scope: dict[str, Any] = {"tl": Language, "pid": pid, "tiles": tiles_, "size_batch": batches, "side": side}
            exec(order, scope | {"BLOCK_M": 16}, scope)
            found.append((scope["batch"], scope["i0"] // 16))
        assert sorted(found) == list(itertools.product(range(batches), range(tiles_)))
        # Each batch has its tiles from the last one down.
        for batch in range(batches):
            assert [t for b, t in found if b == batch] == list(range(tiles_))[::-1]


def test_rows_of_equal_weight_have_no_order() -> None:
    for name in ("after", "from the end"):
        plan = derive(attention(where(MASKS[name][0], score, -oo), empty=0))
        assert isinstance(plan, Plan)
        assert "i0 = pid % tiles * BLOCK_M" in lines(kernels(plan, "f").rolling.body)


def test_bounds_of_a_comparison() -> None:
    roles = kernels(plan_of("causal"), "f").roles
    row, position = i.expr, j.expr
    assert bounds_of(sp.Le(position, row), roles) == (Bound("upper", row),)
    assert bounds_of(sp.Gt(position, row - 3), roles) == (Bound("lower", row - 2),)
    assert bounds_of(sp.Lt(row, position), roles) == (Bound("lower", row + 1),)
    assert bounds_of(sp.Eq(position, row), roles) == (Bound("lower", row), Bound("upper", row))
    assert bounds_of(sp.Ne(position, row), roles) == ()
    assert bounds_of(sp.Le(2 * position, row), roles) == ()
    assert bounds_of(sp.Le(row, 3), roles) == ()


def test_data_is_no_bound() -> None:
    ranges = kernels(plan_of("documents"), "f").ranges
    assert ranges.skip_bounds == ranges.free_bounds == (Bound("upper", i.expr),)


def test_an_unmasked_sum_beside_a_masked_one_skips_nothing() -> None:
    from refold.spec import fold, pipeline

    plan = derive(pipeline(a=fold.sum(where(j <= i, score, 0), over=j)[i], b=fold.sum(score, over=j)[i]))
    assert isinstance(plan, Plan)
    assert kernels(plan, "f").ranges.skip_bounds == ()


def test_mask_touches_no_tile_but_those_at_the_edge() -> None:
    lines = range_lines("top left", "rolling")
    values = {"size_i": 4096, "size_j": 4096, "BLOCK_N": 64, "first_row": 2048, "last_row": 2111, "window": 1}
    visited, full = tiles(lines, **values)
    assert len(visited) == 33
    assert len(full) == 32


def test_a_gather_that_decides_its_own_mask_is_lowered() -> None:
    """Which clusters a row keeps: whether its mask discards it was asked before it was read, without end."""
    (c,) = axes("c")
    keep, cluster = Tensor("keep", i, c, dtype="int32"), Tensor("cluster", j, dtype="int32")
    x = Tensor("x", i, j)
    plan = derive(pipeline(m=fold.max(where(keep[i, cluster[j]] == 1, x[i, j], -oo), over=j)[i]))
    assert isinstance(plan, Plan)
    assert kernels(plan, "kept").stages
