"""Malformed pipelines: each raises a class of its own, with a message that names the place and says what to do."""

from collections.abc import Callable
from typing import Any

import pytest
import sympy as sp

from refold import Ref, Scalar, Spec, Tensor, axes, errors, exp, fold, oo, pipeline, where
from refold.spec import Value

i, j, d = axes("i j d")
x, y = Tensor("x", i, j), Tensor("y", j)
t = Tensor("t", i, dtype="int64")
a = Scalar("a")

MALFORMED: dict[str, tuple[Callable[[], Any], type[errors.SpecError], str]] = {
    # An axis that nothing binds.
    "unbound": (
        lambda: pipeline(o=x[i, j][i]),
        errors.UnboundAxis,
        "output o: axis j is unbound: fold over it or list it in o=(...)[...]",
    ),
    "two unbound": (
        lambda: pipeline(o=x[i, j][()]),
        errors.UnboundAxis,
        "output o: axes i, j are unbound: fold over them or list them in o=(...)[...]",
    ),
    "output without its axes": (
        lambda: pipeline(o=fold.sum(x[i, j], over=j)),
        errors.UnboundAxis,
        "output o varies with i: index it, as in o=(expression)[i]",
    ),
    "unbound in a condition": (
        lambda: pipeline(o=fold.sum(where(d <= j, x[i, j], 0), over=j)[i]),
        errors.UnboundAxis,
        "output o: axis d is unbound: fold over it or list it in o=(...)[...]",
    ),
    # An axis that is bound twice.
    "folded twice": (
        lambda: pipeline(o=fold.sum(fold.max(x[i, j], over=j), over=j)[i]),
        errors.ShadowedAxis,
        "output o: sum over j of a body whose every j is bound by an inner fold: "
        "fold over another axis, or drop one of the two",
    ),
    "folded and listed": (
        lambda: pipeline(o=fold.sum(x[i, j], over=j)[i, j]),
        errors.ShadowedAxis,
        "output o lists axis j, but every use of it is bound by a fold: drop j from the list",
    ),
    "listed without use": (
        lambda: pipeline(o=fold.sum(x[i, j], over=j)[i, d]),
        errors.ShadowedAxis,
        "output o lists axis d, but the expression does not vary with it: drop d from the list",
    ),
    "listed twice": (
        lambda: pipeline(o=x[i, j][i, j, i]),
        errors.ShadowedAxis,
        "output o[i, j, i]: axis i twice: list each axis once",
    ),
    "captured by a fold": (
        lambda: pipeline(m=fold.max(x[i, j], over=j)[i], o=fold.sum(Ref("m", i)[j] * y[j], over=j)),
        errors.ShadowedAxis,
        "a Ref is read at j and its definition folds over j: fold over an axis of another name there",
    ),
    # Tensors read wrongly.
    "too few indices": (
        lambda: x[i],
        errors.RankError,
        "x[i, j] is read with 1 index: write x[i, j], one index a dimension",
    ),
    "too many indices": (
        lambda: y[i, j],
        errors.RankError,
        "y[j] is read with 2 indices: write y[j], one index a dimension",
    ),
    "index by data": (
        lambda: y[x[i, j]],
        errors.RankError,
        "y[j] is read at x[i,j], which is no integer: index it with axes or integer tensors",
    ),
    "index by a fraction": (
        lambda: y[j / 2],
        errors.RankError,
        "y[j] is read at j/2, which is no integer: index it with axes or integer tensors",
    ),
    "index by a string": (
        lambda: y["j"],
        errors.SpecError,
        "'j' is no number and no expression: write it with axes, Tensor, Scalar and numbers",
    ),
    "no index, in a sum": (
        lambda: 1 + x,
        errors.RankError,
        "tensor x is used without indices: write x[i, j]",
    ),
    "no index, in a function": (
        lambda: exp(x),
        errors.RankError,
        "tensor x is used without indices: write x[i, j]",
    ),
    "no index, in a fold": (
        lambda: fold.sum(x, over=j),
        errors.RankError,
        "tensor x is used without indices: write x[i, j]",
    ),
    "no index, in a comparison": (
        lambda: t <= 1,
        errors.RankError,
        "tensor t is used without indices: write t[i]",
    ),
    "reference of another rank": (
        lambda: pipeline(o=Ref("b", i)[i][i], b=x[i, j][i, j]),
        errors.RankError,
        "output o reads b[i, j] with 1 index: write Ref('b', i, j)[...] with 2",
    ),
    "output indexed by no axis": (
        lambda: x[i, j][0],
        errors.RankError,
        "an output is indexed by axes, not by 0: write value[i, e]",
    ),
    "dimension that is no axis": (
        lambda: Tensor("x", i, "j"),  # type: ignore[arg-type]
        errors.RankError,
        "tensor x: its dimensions are axes, not 'j': write Tensor('x', i, j)",
    ),
    # Folds.
    "body lacks the axis": (
        lambda: pipeline(o=fold.sum(x[i, j], over=d)[i, j]),
        errors.FoldError,
        "output o: sum over d of x[i,j], which does not vary with d: "
        "fold over an axis of the body (times d.size for a repeated sum)",
    ),
    "over a name": (
        lambda: fold.max(y[j], over="j"),
        errors.FoldError,
        "fold.max: over='j' is no axis: write over=j, with j from axes",
    ),
    "over nothing": (
        lambda: fold.sum(y[j], over=()),
        errors.FoldError,
        "fold.sum: over=() names no axis: write over=j",
    ),
    "no such fold": (
        lambda: fold.mean(y[j], over=j),
        errors.NoSuchFold,
        "there is no fold.mean: write fold.sum(x, over=j) / j.size",
    ),
    # Circles and names.
    "cycle": (
        lambda: pipeline(a=(Ref("b", i)[i] + 1)[i], b=(Ref("a", i)[i] * 2)[i]),
        errors.CycleError,
        "outputs refer to each other in a circle: a -> b -> a: break it with an earlier value",
    ),
    "self": (
        lambda: pipeline(a=(Ref("a", i)[i] + 1)[i]),
        errors.CycleError,
        "a reads itself, which is a recurrence, and there are no scans yet: write it over pairs of positions where "
        "lengths allow that, or compute it elsewhere and give it as a tensor",
    ),
    "unknown reference": (
        lambda: pipeline(o=Ref("b", i)[i][i]),
        errors.UnknownName,
        "output o refers to b, which is no output: define b=... in the same pipeline",
    ),
    "output named as a tensor": (
        lambda: pipeline(x=fold.sum(x[i, j], over=j)[i]),
        errors.NameTaken,
        "x is the name of an output and of a tensor: rename one of them",
    ),
    "output named as an axis": (
        lambda: pipeline(j=fold.sum(x[i, j], over=j)[i]),
        errors.NameTaken,
        "j is the name of an output and of an axis: rename one of them",
    ),
    "scalar named as a tensor": (
        lambda: pipeline(o=(x[i, j] * Scalar("x"))[i, j]),
        errors.NameTaken,
        "x is the name of a tensor and of a scalar: rename one of them",
    ),
    "two tensors of one name": (
        lambda: pipeline(o=(x[i, j] + Tensor("x", j, i)[j, i])[i, j]),
        errors.NameTaken,
        "two tensors named x: rename one of them",
    ),
    "two scalars of one name": (
        lambda: pipeline(o=(x[i, j] * a * Scalar("a", positive=True))[i, j]),
        errors.NameTaken,
        "a is the name of two scalars, declared differently: declare it once",
    ),
    "two axes of one name": (
        lambda: axes("i j i"),
        errors.NameTaken,
        'axes("i j i") names i twice: name each axis once',
    ),
    "one axis for two dimensions": (
        lambda: Tensor("x", i, i),
        errors.NameTaken,
        "tensor x has axis i twice: give each dimension an axis of its own",
    ),
    "no identifier": (
        lambda: axes("1i"),
        errors.SpecError,
        "axis name '1i': use a Python identifier that does not start with an underscore",
    ),
    "private name": (
        lambda: Scalar("_a"),
        errors.SpecError,
        "scalar name '_a': use a Python identifier that does not start with an underscore",
    ),
    "unknown dtype": (
        lambda: Tensor("x", i, dtype="float8"),  # type: ignore[arg-type]
        errors.SpecError,
        "tensor x has unknown dtype 'float8': use one of float, float16, bfloat16, float32, int32, int64",
    ),
    # Heads and numbers without a meaning.
    "unknown head": (
        lambda: pipeline(o=Value(sp.gamma(x[i, j]))[i, j]),
        errors.HeadError,
        "output o: gamma in gamma(x[i,j]) has no meaning here: "
        "use one of Abs, Add, Max, Min, Mod, Mul, Pow, cos, erf, exp, floor, log, nearest, sigmoid, sin, tanh",
    ),
    "bare symbol": (
        lambda: pipeline(o=(x[i, j] * sp.Symbol("c"))[i, j]),
        errors.HeadError,
        "output o: c is a bare SymPy symbol: declare it with axes, Tensor or Scalar",
    ),
    "infinity outside of a mask": (
        lambda: pipeline(o=(x[i, j] - oo)[i, j]),
        errors.HeadError,
        "output o: -∞ outside of a mask: write where(condition, value, -oo)",
    ),
    "a string for a number": (
        lambda: x[i, j] + "a",
        errors.SpecError,
        "'a' is no number and no expression: write it with axes, Tensor, Scalar and numbers",
    ),
    "empty is data": (
        lambda: pipeline(o=fold.sum(x[i, j], over=j)[i], empty=y[j]),
        errors.SpecError,
        "empty=y[j] is no number: write empty=0, say",
    ),
    "no outputs": (
        lambda: pipeline(),
        errors.SpecError,
        "a pipeline without outputs: write pipeline(o=expression[i, j])",
    ),
    "iterated": (
        lambda: list(x[i, j]),
        errors.SpecError,
        "a value cannot be iterated: index a tensor with axes, as in q[i, d]",
    ),
    # Conditions.
    "condition over data": (
        lambda: where(x[i, j] > 0, x[i, j], 0),
        errors.PredicateError,
        "x[i,j] is data, and a condition is over indices: compare axes, sizes, integer scalars or integer tensors; "
        "for a choice by value use maximum, minimum or relu",
    ),
    "condition over a real scalar": (
        lambda: a == 0,
        errors.PredicateError,
        "a is data, and a condition is over indices: compare axes, sizes, integer scalars or integer tensors; "
        "for a choice by value use maximum, minimum or relu",
    ),
    "condition as a truth value": (
        lambda: x[i, j] if j <= i else 0,
        errors.PredicateError,
        "the condition j ≤ i has no truth value while the pipeline is written: "
        "combine conditions with &, | and ~, and select with where(condition, a, b)",
    ),
    "conditions joined by `and`": (
        lambda: j <= i and i <= j,
        errors.PredicateError,
        "the condition j ≤ i has no truth value while the pipeline is written: "
        "combine conditions with &, | and ~, and select with where(condition, a, b)",
    ),
    "value as a truth value": (
        lambda: x[i, j] or 0,
        errors.PredicateError,
        "a value is not known while the pipeline is written: use where(condition, a, b)",
    ),
    "value as a condition": (
        lambda: where(x[i, j], 1, 0),
        errors.PredicateError,
        "where needs a condition over indices, not the value x[i,j]: compare, as in j <= i",
    ),
    "count of values": (
        lambda: fold.count(x[i, j], over=j),
        errors.PredicateError,
        "x[i,j] is no condition: compare axes or integers, as in j <= i",
    ),
    "remainder of data": (
        lambda: x[i, j] % 2,
        errors.PredicateError,
        "% is for indices and x[i,j] is no integer: use axes, sizes or integer scalars",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(case: str) -> None:
    make, error, message = MALFORMED[case]
    with pytest.raises(errors.SpecError) as raised:
        make()
    assert type(raised.value) is error
    assert str(raised.value) == message


ADVICE = {
    "break", "combine", "compare", "declare", "define", "drop", "fold", "give", "index", "list", "name", "rename",
    "use", "write",
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_message_is_one_line_that_ends_in_advice(case: str) -> None:
    message = MALFORMED[case][2]
    advice = message.rsplit(": ", 1)[1].split()[0].rstrip(",")
    assert "\n" not in message
    assert advice in ADVICE or "; for a choice" in message


def test_every_class_of_mistake_is_tested() -> None:
    classes = {c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.SpecError)}
    assert classes == {error for _, error, _ in MALFORMED.values()}


def spec() -> Spec:
    s = where(j <= i, x[i, j], -oo)
    p = exp(s - fold.max(s, over=j))
    return pipeline(o=(fold.sum(p * y[j], over=j) / fold.sum(p, over=j))[i], empty=0)


def test_prints_as_mathematics() -> None:
    assert str(pipeline(z=fold.logsumexp(x[i, j], over=j)[i])) == "z[i] = log(Σ_j exp(x[i,j]))"
    assert str(pipeline(z=(fold.sum(x[i, j], over=j) / j.size)[i])) == "z[i] = (Σ_j x[i,j])/|j|"
    assert str(pipeline(z=(fold.sum(x[i, j] / j.size, over=j) ** 2)[i])) == "z[i] = (Σ_j x[i,j]/|j|)²"
    assert str(pipeline(z=(fold.sum(x[i, j], over=j) + a)[i])) == "z[i] = a + Σ_j x[i,j]"
    assert str(spec()).endswith("with 0 where a reduction ranges over nothing")


def test_less_an_output_is_an_output() -> None:
    """Python reads `-x[i]` as `-(x[i])`."""
    total = fold.sum(x[i, j], over=j)
    assert pipeline(o=-total[i]) == pipeline(o=(-total)[i])


def test_a_softmax_by_its_logarithm_does_not_overflow() -> None:
    """SymPy made a quotient of two infinities of it."""
    p = pipeline(p=exp(x[i, j] - fold.logsumexp(x[i, j], over=j))[i, j])
    assert p(x=[[1000.0, 1000.0]]).tolist() == [[0.5, 0.5]]
    half = pipeline(p=exp((x[i, j] - fold.logsumexp(x[i, j], over=j)) / 2)[i, j])
    assert half(x=[[-1000.0] * 4]).tolist() == [[0.5] * 4]


def test_is_frozen_and_compares_by_value() -> None:
    assert spec() == spec()
    assert hash(spec()) == hash(spec())
    with pytest.raises(AttributeError):
        spec().empty = sp.S.One  # type: ignore[misc]


def test_notebook() -> None:
    assert spec()._repr_latex_().startswith("$$")


def test_reads_reference_by_its_definition() -> None:
    m = fold.max(x[i, j], over=j)
    named = pipeline(m=m[i], o=fold.sum(exp(x[i, j] - Ref("m", i)[i]), over=j)[i])
    plain = pipeline(m=m[i], o=fold.sum(exp(x[i, j] - m), over=j)[i])
    assert named == plain


def test_numbers_of_every_kind() -> None:
    import numpy as np

    for two in (2, 2.0, np.float64(2), np.int64(2), sp.Integer(2)):
        assert pipeline(o=(x[i, j] * two)[i, j]) == pipeline(o=(2 * x[i, j])[i, j])
    assert pipeline(o=(0.1 * x[i, j])[i, j]) == pipeline(o=(x[i, j] / 10)[i, j])
    assert repr(2 ** x[i, j]) == "2**x[i,j]"
    assert repr(abs(x[i, j])) == "|x[i,j]|"
    assert repr(y[(j + 1) % j.size]) == "y[Mod(j + 1, |j|)]"
    assert repr(y[(3 * j) // (d.size // j.size)]) == "y[⌊3·j/⌊|d|/|j|⌋⌋]"


def test_tensors_stand_in_the_order_in_which_they_were_written_last() -> None:
    """SymPy keeps the expressions of an equal pipeline, whose tensors were written in another order."""
    for order in ("qkb", "bkq", "kqb", "qkb"):
        i, j, d = axes("i j d")
        shapes = {"q": (i, d), "k": (j, d), "b": (i, j)}
        q, k, b = map({n: Tensor(n, *shapes[n]) for n in order}.get, "qkb")
        assert q is not None and k is not None and b is not None
        spec = pipeline(o=fold.sum(fold.sum(q[i, d] * k[j, d], over=d) + b[i, j], over=j)[i])
        assert "".join(t.name for t in spec.tensors) == order
