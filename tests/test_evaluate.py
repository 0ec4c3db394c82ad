"""The oracle against each example's formula written by hand in NumPy; empty axes, masked rows, wrong inputs."""

import importlib
import math

import numpy as np
import pytest
from support.examples import NAMES, STAGED
from support.formulas import HAND, Arrays

from refold import Scalar, Spec, Tensor, axes, erf, exp, fold, log, maximum, minimum, oo, pipeline, relu, sigmoid, where
from refold.errors import SpecError


def example(name: str) -> Spec:
    folder = "examples.stages" if name in STAGED else "examples"
    spec: Spec = importlib.import_module(f"refold.{folder}.{name}").SPEC
    return spec


# The axis that a tensor of integers points into, where that is not the classes.
POINTS = {"table": "n", "at": "n", "distance": "b", "bucket": "b", "pair": "j"}


def inputs_for(spec: Spec, rng: np.random.Generator, **sizes: int) -> Arrays:
    """Random inputs that keep every promise; |h| is a multiple of |g|."""
    lengths = {axis.name: int(rng.integers(1, 6)) for axis in spec.axes} | sizes
    if "g" in lengths:
        lengths["h"] = 2 * lengths["g"]
    found: Arrays = {}
    if "table" in {t.name for t in spec.tensors}:
        found["j"] = lengths["r"] * lengths["t"]
    ignored = "-100" in str(spec)
    for tensor in spec.tensors:
        shape = [lengths[axis.name] for axis in tensor.axes]
        if tensor.name == "length":
            found[tensor.name] = rng.integers(0, found.get("j", lengths["j"]) + 1, shape)
        elif tensor.is_integer:
            # Of an axis that it points into, whose length is known, or a word that is compared.
            count = lengths.get(POINTS.get(tensor.name, ""), lengths.get("c", lengths.get("v", 2)))
            found[tensor.name] = rng.integers(0, count, shape)
            if ignored or tensor.name in ("row", "key"):
                found[tensor.name] = np.where(rng.random(shape) < 0.7, found[tensor.name], -100)
        else:
            drawn = 2 * rng.normal(size=shape)
            found[tensor.name] = np.abs(drawn) + 0.1 if tensor.sign else drawn
    for param in spec.params:
        found[param.name] = 2 if param.is_integer else 0.5
    return found


@pytest.mark.parametrize("name", HAND)
def test_example(name: str) -> None:
    spec, rng = example(name), np.random.default_rng(len(name))
    for _ in range(4):
        given = inputs_for(spec, rng)
        with np.errstate(all="ignore"):
            wanted = HAND[name](given)
        got = spec(**given)
        for key in wanted if isinstance(wanted, dict) else [None]:
            one, other = (got, wanted) if key is None else (got[key], wanted[key])
            assert one.shape == other.shape
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_every_example_has_its_formula() -> None:
    assert {*NAMES} <= {*HAND} <= {*NAMES, *STAGED}


def test_nested_lists_and_arrays_are_the_same() -> None:
    x = [[0.0, 1.0, 2.0], [3.0, -1.0, 0.5]]
    spec = example("softmax")
    np.testing.assert_array_equal(spec(x=x), spec(x=np.array(x)))
    np.testing.assert_array_equal(spec(x=x), spec(x=np.asfortranarray(np.array(x, dtype=np.float32))))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("logsumexp", -np.inf), ("entropy", np.nan), ("kl", 0.0), ("covariance", np.nan), ("kurtosis", np.nan)],
)
def test_empty_axis(name: str, wanted: float) -> None:
    spec = example(name)
    got = spec(**{t.name: np.zeros((2, 0)) for t in spec.tensors})
    np.testing.assert_array_equal(got, [wanted, wanted])


def test_units_of_every_reducer() -> None:
    i, j = axes("i j")
    x = Tensor("x", i, j)
    spec = pipeline(
        sum=fold.sum(x[i, j], over=j)[i], prod=fold.prod(x[i, j], over=j)[i], max=fold.max(x[i, j], over=j)[i],
        min=fold.min(x[i, j], over=j)[i], any=fold.any(j >= i, over=j)[i], all=fold.all(j >= i, over=j)[i],
        count=fold.count(j >= i, over=j)[i], argmax=fold.argmax(x[i, j], over=j)[i],
    )  # fmt: skip
    wanted = {"sum": 0, "prod": 1, "max": -np.inf, "min": np.inf, "any": 0, "all": 1, "count": 0, "argmax": -1}
    assert {k: v.tolist() for k, v in spec(x=np.zeros((1, 0))).items()} == {k: [v] for k, v in wanted.items()}
    got = spec(x=[[1.0, 4.0, 4.0]])
    assert {k: v.tolist() for k, v in got.items()} == {
        "sum": [9], "prod": [16], "max": [4], "min": [1], "any": [1], "all": [1], "count": [3], "argmax": [1],
    }  # fmt: skip


def test_masked_rows() -> None:
    spec = example("causal_attention_bottom_right")
    rng = np.random.default_rng(0)
    got = spec(q=rng.normal(size=(3, 2)), k=rng.normal(size=(1, 2)), v=[[5.0, 7.0]])
    np.testing.assert_allclose(got, [[0, 0], [0, 0], [5, 7]])


def test_a_masked_position_without_a_value_is_largest_nowhere() -> None:
    i, j = axes("i j")
    x, y = Tensor("x", i, j), Tensor("y", i, j)
    spec = pipeline(at=fold.argmax(where(j < 2, x[i, j], -oo) * y[i, j], over=j)[i])
    # -oo times 0 at the last position; the others are below every position.
    assert spec(x=[[5.0, 7.0, 1.0]], y=[[-1.0, -1.0, 0.0]]).tolist() == [0]


def test_a_quotient_of_a_difference_is_one_of_integers() -> None:
    i, j = axes("i j")
    spec = pipeline(r=fold.sum(Tensor("x", i, j)[i, j] * ((j - i) // 3), over=j)[i])
    # SymPy writes j/3 - i/3, which in floats is below 1 where j - i is 3.
    wanted = [sum((a - b) // 3 for a in range(18)) for b in range(19)]
    assert spec(x=np.ones((19, 18))).tolist() == wanted


def test_masked_row_is_undefined_unless_empty_says_otherwise() -> None:
    i, j = axes("i j")
    x = Tensor("x", i, j)
    s = where(j < i, x[i, j], -oo)
    p = exp(s - fold.max(s, over=j))
    y = (fold.sum(p * x[i, j], over=j) / fold.sum(p, over=j))[i]
    assert np.isnan(pipeline(y=y)(x=[[1.0], [2.0]])).tolist() == [True, False]
    assert pipeline(y=y, empty=7)(x=[[1.0], [2.0]]).tolist() == [7, 2]


def test_empty_is_for_a_reduction_over_nothing_and_not_for_what_data_are() -> None:
    i, j = axes("i j")
    x, w = Tensor("x", i, j), Tensor("w", i, j)
    s = where(j < i, x[i, j], -oo)
    p = exp(s - fold.max(s, over=j))
    mean = pipeline(y=(fold.sum(p * x[i, j], over=j) / fold.sum(p, over=j))[i], empty=7)
    nan, inf = math.nan, math.inf
    given = {"x": [[nan, 0.0], [nan, 0.0], [inf, 0.0], [0.0, 1.0]]}
    # Of NaN there is no mean, and of an infinity neither; what a mask hides is not looked at.
    assert (
        np.array_equal(mean(**given)[:3], [7, nan, nan], equal_nan=True)
        and mean(**given)[3] == mean(x=[[0, 0]] * 3 + [[0, 1]])[3]
    )
    weighted = pipeline(y=(fold.sum(w[i, j] * x[i, j], over=j) / fold.sum(w[i, j], over=j))[i], empty=7)
    rows = {"x": [[1.0, 2.0], [1.0, 2.0], [1.0, 1.0]], "w": [[0.0, 0.0], [1.0, -1.0], [2.0, 2.0]]}
    assert np.array_equal(weighted(**rows), [nan, -inf, 1], equal_nan=True)
    assert weighted(x=np.zeros((2, 0)), w=np.zeros((2, 0))).tolist() == [7, 7]
    kept = pipeline(y=(fold.sum(where(j < i, x[i, j], 0), over=j) / fold.count(j < i, over=j))[i], empty=7)
    assert kept(x=[[1.0, 2.0], [3.0, 4.0]]).tolist() == [7, 3]
    logarithm = pipeline(y=log(fold.sum(x[i, j], over=j))[i], empty=7)
    assert np.array_equal(logarithm(x=[[-1.0], [1.0]]), [nan, 0], equal_nan=True)


def test_what_is_divided_by_the_0_of_nothing_has_no_value() -> None:
    i, j = axes("i j")
    x = Tensor("x", i, j)
    s = where(j < i, x[i, j], -oo)
    p = exp(s - fold.max(s, over=j))
    top = (fold.max(p, over=j) / fold.sum(p, over=j))[i]
    # -oo/0, which floats call -oo: as 0/0 it is what the pipeline states.
    assert np.array_equal(pipeline(y=top)(x=[[1.0], [2.0]]), [math.nan, 1], equal_nan=True)
    assert pipeline(y=top, empty=7)(x=[[1.0], [2.0]]).tolist() == [7, 1]


def test_large_logits() -> None:
    assert example("softmax")(x=[[1e4, 1e4, -1e4]]).tolist() == [[0.5, 0.5, 0]]


def test_every_head() -> None:
    (i,) = axes("i")
    x, a = Tensor("x", i), Scalar("a")
    smooth, cut = sigmoid(x[i]) + erf(x[i]), relu(x[i] - a) + minimum(x[i], 0) * maximum(a, 2)
    spec = pipeline(y=(smooth + cut + i % 2 + i // 2)[i])
    x_ = [-1.0, 0.3, 2.0]
    wanted = [1 / (1 + math.exp(-v)) + math.erf(v) + max(v - 0.5, 0) + min(v, 0) * 2 + n % 2 + n // 2
              for n, v in enumerate(x_)]  # fmt: skip
    np.testing.assert_allclose(spec(x=x_, a=0.5), wanted, rtol=1e-14)


def test_read_outside_is_nan_unless_discarded() -> None:
    (i,) = axes("i")
    x = Tensor("x", i)
    assert np.isnan(pipeline(y=x[i + 1][i])(x=[1.0, 2.0])).tolist() == [False, True]
    assert pipeline(y=where(i + 1 < i.size, x[i + 1], 9)[i])(x=[1.0, 2.0]).tolist() == [2, 9]


def test_order_of_axes() -> None:
    i, j = axes("i j")
    x = Tensor("x", i, j)
    assert pipeline(y=x[i, j][j, i])(x=[[1, 2, 3]]).shape == (3, 1)


def test_output_without_axes_and_length_by_name() -> None:
    (j,) = axes("j")
    assert pipeline(y=fold.sum(j, over=j))(j=4) == 6


i, j = axes("i j")
X, T, W = Tensor("x", i, j), Tensor("t", i, dtype="int64"), Scalar("w", integer=True, positive=True)
SPEC = pipeline(y=fold.sum(where(j < W, X[i, j], X[i, T[i]]), over=j)[i])
GOOD: Arrays = {"x": [[1, 2]], "t": [0], "w": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": None}, "input x is missing: give x, t, w"),
        ({"w": None}, "scalar w is missing: give w=<number>"),
        ({"q": 3}, "input q is none of the pipeline's: give x, t, w"),
        ({"x": [1, 2]}, "input x has 1 dimension and the spec says 2: give an array over (i, j)"),
        ({"x": [[1, 2], [3]]}, "input x is no array of numbers: give nested lists of one length a level, or an array"),
        ({"x": [["a", "b"]]}, "input x is no array of numbers: give nested lists of one length a level, or an array"),
        ({"t": [0, 1]}, "axis i is 2 long in t and 1 before it: give every input the same |i|"),
        ({"t": [0.5]}, "input t is int64 and holds fractions: give integers"),
        ({"w": 0}, "scalar w is 0 and was declared positive integer: give one that is"),
        ({"w": 1.5}, "scalar w is 1.5 and was declared positive integer: give one that is"),
    ],
)
def test_wrong_inputs(change: Arrays, message: str) -> None:
    given = {k: v for k, v in (GOOD | change).items() if v is not None}
    with pytest.raises(SpecError) as raised:
        SPEC(**given)
    assert str(raised.value) == message


def test_length_that_nothing_gives() -> None:
    with pytest.raises(SpecError, match=r"^the length of axis j follows from no input: give j=<int>$"):
        pipeline(y=fold.sum(j, over=j))()


def test_a_quotient_of_a_difference_is_rounded_down_once() -> None:
    i, j = axes("i j")
    x = Tensor("x", i, j)
    spec = pipeline(y=fold.sum(x[i, j] * ((i - j) // 3), over=j)[i])
    ones = np.ones((40, 40))
    wanted = [sum((r - c) // 3 for c in range(40)) for r in range(40)]
    assert spec(x=ones).tolist() == wanted
