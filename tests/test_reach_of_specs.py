"""Pipelines that crashed somewhere between writing and proving: each works, or says in one message why not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refold import Plan, RefoldError, Scalar, Tensor, axes, derive, exp, fold, maximum, minimum, oo, pipeline, where
from refold.algebra.run import run
from refold.errors import SpecError
from refold.report.loading import load
from refold.verify import verify

i, j = axes("i j")
s, x = Tensor("s", i, j), Tensor("x", j)
w = Scalar("w", integer=True)
BANDS: dict[str, tuple[Any, Any]] = {
    "within": (abs(i - j) <= w, lambda p, q: abs(p - q) <= 2),
    "strictly": (w > abs(j - i), lambda p, q: abs(p - q) < 2),
    "beyond": (abs(i - j) >= w, lambda p, q: abs(p - q) >= 2),
    "blocks": (abs(i - j) // 2 <= w, lambda p, q: abs(p - q) // 2 <= 2),
}


@pytest.mark.parametrize("name", BANDS)
def test_a_mask_by_a_distance_is_proved(name: str) -> None:
    """`abs(i - j) <= w` had no integer encoding."""
    mask, holds = BANDS[name]
    plan = derive(pipeline(t=fold.sum(where(mask, s[i, j], 0), over=j)[i]))
    assert isinstance(plan, Plan)
    assert verify(plan).verdict == "proved"
    values = np.arange(1.0, 43.0).reshape(6, 7)
    wanted = [sum(values[p, q] for q in range(7) if holds(p, q)) for p in range(6)]
    assert run(plan, {"s": values, "w": 2})["t"].tolist() == wanted


def test_dependent_anchors_are_no_crash() -> None:
    """What separates over a maximum and a minimum with 0 of one anchor is not independent: AssertionError."""
    r = fold.max(x[j], over=j)
    body = x[j] * maximum(r, 0) + x[j] ** 2 * minimum(r, 0) + x[j] ** 3 * r + exp(x[j])
    derive(pipeline(t=fold.sum(body, over=j)))


def test_what_is_too_deep_is_told_in_one_message() -> None:
    def deep() -> None:
        z = x[j]
        for _ in range(2000):
            z = exp(z) - 1
        derive(pipeline(t=fold.sum(z, over=j)))

    with pytest.raises(RefoldError, match=r"nested too deep.*: write fewer functions"):
        deep()


@pytest.mark.parametrize("rounded", [math.floor(s[i, j]), round(s[i, j]) * x[j]], ids=["down", "nearest"])
def test_a_sum_of_what_is_rounded_is_proved(rounded: Any) -> None:
    """An equality of integers made of data was taken for one of indices, and had no model of its data."""
    assert verify(derive(pipeline(t=fold.sum(rounded, over=j)[i]))).verdict == "proved"


def test_rounding_of_data() -> None:
    plan = derive(pipeline(t=fold.sum(math.floor(x[j]) + 10 * math.ceil(x[j]), over=j)))
    assert isinstance(plan, Plan)
    assert float(run(plan, {"x": np.array([0.5, -1.5])})["t"]) == (0 - 2) + 10 * (1 - 1)
    with pytest.raises(SpecError, match=r"round\(x\[j\], 2\) rounds to digits: write round\(x \* 10\*\*2\) / 10\*\*2"):
        round(x[j], 2)


def test_of_two_nearest_whole_numbers_the_even_one_is_taken() -> None:
    """As Python's own `round` has it, which shares no code with NumPy's."""
    values = [0.5, 1.5, 2.5, -0.5, -1.5, 0.49999997, 2.4, -2.6, 8388607.5, 1e20]
    plan = derive(pipeline(t=fold.sum(round(x[j]), over=j)))
    assert isinstance(plan, Plan)
    for value in values:
        assert float(run(plan, {"x": np.array([value])})["t"]) == float(round(value))
    assert [round(axes("z")[0] * 0 + v).expr for v in (2.5, 3.5, -0.5)] == [2, 4, 0]


def test_masks_by_two_conditions_over_a_count() -> None:
    both = (j <= i) & (j > i - w)
    mean = fold.sum(where(both, s[i, j], 0), over=j) / fold.count(both, over=j)
    largest = fold.max(where(both, s[i, j], -oo), over=j)
    spec = pipeline(t=mean[i], m=largest[i])
    plan = derive(spec)
    assert isinstance(plan, Plan)
    inputs = {"s": np.arange(12.0).reshape(3, 4), "w": 2}
    for name, value in spec(**inputs).items():
        np.testing.assert_array_equal(run(plan, inputs, ((3, 0), (), (2, 1)))[name], value)


@pytest.mark.parametrize("line", ["from .parts import i, j", "from kit.parts import i, j"])
def test_a_spec_file_in_a_package_imports_from_it(line: str, tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    kit.mkdir()
    (kit / "__init__.py").write_text("")
    (kit / "parts.py").write_text('from refold import axes\ni, j = axes("i j")\n')
    spec = kit / "spec.py"
    text = 'from refold import Tensor, fold, pipeline\nx = Tensor("x", i, j)\n'
    spec.write_text(f"{line}\n{text}SPEC = pipeline(t=fold.sum(x[i, j], over=j)[i])\n")
    assert str(load(str(spec)).value) == "t[i] = Σ_j x[i,j]"


def test_a_sum_that_a_mask_makes_infinite_is_read_by_no_other_fold() -> None:
    """-oo taken out of a sum of both signs is infinite, and written inside of it no number."""
    i, j = axes("i j")
    x = Tensor("x", i, j)
    low = fold.sum(where(j <= i, x[i, j], -oo), over=j)
    with pytest.raises(RefoldError, match=r"infinite as soon as one position is masked.*write where"):
        derive(pipeline(y=fold.sum(x[i, j] * low, over=j)[i]))
    weights = fold.sum(exp(where(j <= i, x[i, j], -oo)), over=j)
    for alone in (low, fold.sum(x[i, j] * weights, over=j)):
        assert isinstance(derive(pipeline(y=alone[i])), Plan)
