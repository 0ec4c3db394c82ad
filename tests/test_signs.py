"""Signs that a user declares, and those that follow: used by the derivation, the proof and the emitted tests."""

from __future__ import annotations

import pytest

from refold import Plan, Spec, Tensor, axes, derive, exp, fold, pipeline, sqrt
from refold.emit.domain import domain_of
from refold.errors import SpecError
from refold.verify import verify

i, j = axes("i j")
p, q, x = Tensor("p", i, j, nonnegative=True), Tensor("q", j, positive=True), Tensor("x", i, j)


def spec() -> Spec:
    total = fold.sum(p[i, j], over=j)
    return pipeline(t=fold.sum(abs(x[i, j] * total) * sqrt(q[j]), over=j)[i])


def test_signs_are_known_where_a_pipeline_is_written() -> None:
    assert str(abs(p[i, j])) == "p[i,j]"
    assert str(abs(x[i, j])) != "x[i,j]"
    for value in (p[i, j], fold.sum(p[i, j], over=j), fold.sum(x[i, j] ** 2, over=j), fold.sum(exp(x[i, j]), over=j)):
        assert value.expr.is_nonnegative
    assert q[j].expr.is_positive and not p[i, j].expr.is_positive
    assert "with p ≥ 0" in str(spec()) and "with q > 0" in str(spec())


def test_declared_signs_are_proved_with() -> None:
    plan = derive(spec())
    assert isinstance(plan, Plan)
    assert "|x[i,j]|" in str(plan) and "|t" not in str(plan)
    assert verify(plan).verdict == "proved"


def test_inputs_of_emitted_tests_keep_what_is_declared() -> None:
    domain = domain_of(spec(), j.expr, {"i": 2, "j": 3}, {}, {})
    assert set(domain.positive) == {"p", "q"}


@pytest.mark.parametrize(("name", "value"), [("p", -1.0), ("q", 0.0)])
def test_inputs_that_break_a_promise_are_told(name: str, value: float) -> None:
    inputs = {"p": [[1.0]], "q": [1.0], "x": [[1.0]]}
    inputs[name] = [[value]] if name == "p" else [value]
    with pytest.raises(SpecError, match=f"input {name} was declared (nonnegative|positive) and holds {value:g}"):
        spec()(**inputs)
