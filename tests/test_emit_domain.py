"""From where emitted tests draw: positive numbers for logarithms and roots, logits that do not overflow as written."""

import numpy as np
import pytest

from refold.emit.domain import Draw, domain_of
from refold.emit.prooftest import integers_of, scalars_of
from refold.spec import Scalar, Spec, Tensor, absolute, axes, exp, fold, log, oo, pipeline, sqrt, where

i, j = axes("i j")
x, y, w = Tensor("x", i, j), Tensor("y", i, j), Tensor("w", j)
n = Tensor("n", i, dtype="int32")
SIZES = {"i": 33, "j": 37}
mass = fold.sum(exp(x[i, j]), over=j)
top = fold.max(x[i, j], over=j)
mean = fold.sum(x[i, j], over=j) / j.size


def domain(spec: Spec) -> tuple[tuple[str, ...], float, bool]:
    found = domain_of(spec, j.expr, SIZES, {p.name: 0.25 for p in spec.params}, {"n": ("j", "")})
    return found.positive, found.large, found.constant


@pytest.mark.parametrize(
    ("spec", "positive"),
    [
        (pipeline(r=fold.sum(log(x[i, j]) * y[i, j], over=j)[i]), ("x",)),
        (pipeline(r=fold.sum(x[i, j] * sqrt(y[i, j]), over=j)[i]), ("y",)),
        (pipeline(r=fold.sum(x[i, j] ** Scalar("u") + y[i, j], over=j)[i]), ("x",)),
        (pipeline(r=(fold.sum(y[i, j], over=j) / sqrt(fold.sum(x[i, j] * w[j], over=j)))[i]), ("x", "w")),
        # A length that is divided by; one that is compared, or says where to read, may be 0.
        (pipeline(r=(fold.sum(x[i, j], over=j) / n[i])[i]), ("n",)),
        (pipeline(r=(1 / x[i, n[i]] + fold.sum(where(j < n[i], y[i, j], 0), over=j))[i]), ()),
        # Sums and sizes that are defined as they are: their signs are to be tried.
        (pipeline(r=log(mass)[i]), ()),
        (pipeline(r=sqrt(fold.sum(x[i, j] ** 2, over=j))[i]), ()),
        (pipeline(r=fold.sum(log(absolute(x[i, j])), over=j)[i]), ()),
        (pipeline(r=(fold.sum(x[i, j], over=j) / fold.sum(y[i, j], over=j))[i]), ()),
    ],
)
def test_tensors_are_positive_where_the_pipeline_needs_it(spec: Spec, positive: tuple[str, ...]) -> None:
    assert domain(spec)[0] == positive


def test_what_stands_in_a_fold_is_no_mark_of_integer_data() -> None:
    """`j != argmax(x c)` compares positions: neither the data in it nor the scalar is what is compared."""
    first = fold.argmax(x[i, j] * Scalar("c"), over=j)
    spec = pipeline(r=fold.max(where(j != first, x[i, j], -oo), over=j)[i])
    assert integers_of(spec, j.expr) == {}
    assert scalars_of(spec) == {"c": 0.25}
    marked = pipeline(r=fold.sum(where(n[i] == Scalar("ignored", integer=True), 0, x[i, j]), over=j)[i])
    assert integers_of(marked, j.expr) == {"n": ("", "ignored")}


def test_large_logits_are_as_large_as_the_pipeline_as_written_allows() -> None:
    stable, plain = pipeline(r=fold.sum(exp(x[i, j] - top), over=j)[i]), pipeline(r=log(mass)[i])
    assert domain(stable)[1] == 1e4
    large = domain(plain)[1]
    assert 50 < large < 500
    draws = [Draw(plain, SIZES, {}, {}, (), factor) for factor in (large, 1e4)]
    assert [bool(np.isfinite(d.outputs()["r"]).all()) for d in draws] == [True, False]


def test_rows_are_constant_where_that_has_a_value() -> None:
    deviation = fold.sum((x[i, j] - mean) ** 2, over=j)
    assert domain(pipeline(r=deviation[i]))[2]
    assert not domain(pipeline(r=(fold.sum((x[i, j] - mean) ** 4, over=j) / deviation**2)[i]))[2]
