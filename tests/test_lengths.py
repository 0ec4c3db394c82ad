"""Lengths may be 0: what a pipeline says of an empty axis stays in it, and is proved and derived as it stands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refold import Plan, Spec, Tensor, axes, derive, fold, maximum, pipeline, where
from refold.algebra.run import run
from refold.verify import verify

(j,) = axes("j")
x = Tensor("x", j)
TOTAL = fold.sum(x[j], over=j)
SAID: dict[str, tuple[Spec, float]] = {
    "where": (pipeline(t=where(j.size > 0, TOTAL, -1)), -1.0),
    "mean": (pipeline(t=where(j.size > 0, TOTAL / j.size, 7)), 7.0),
    "maximum": (pipeline(t=TOTAL / maximum(j.size, 1)), 0.0),
}


@pytest.mark.parametrize("name", SAID)
def test_an_empty_axis_is_what_the_pipeline_says(name: str) -> None:
    """`j.size > 0` was true and `maximum(j.size, 1)` was `j.size` while the pipeline was written."""
    spec, empty = SAID[name]
    plan = derive(spec)
    assert isinstance(plan, Plan)
    assert verify(plan).verdict == "proved"
    for given, wanted in (([], empty), ([2.0, 4.0], 6.0 if name == "where" else 3.0)):
        inputs: dict[str, Any] = {"x": np.array(given)}
        assert float(spec(**inputs)) == wanted
        assert float(run(plan, inputs)["t"]) == wanted
