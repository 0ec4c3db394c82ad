"""Terms: that the normal form of integers and truth values, and each rule for floats, leaves every number as it is."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.evaluation import Numbers, same

from refold.schedule import conditions, integers
from refold.schedule.rules import normal
from refold.schedule.show import show
from refold.schedule.terms import Term, make, real, rebuild, symbol

X, Y = symbol("x", "int"), symbol("y", "int")
A, B = symbol("a", "fp32"), symbol("b", "fp32")
P = symbol("p", "bool")

# What an integer is built by, and what it is: `//` and `%` of C, never by 0.
BUILT: dict[str, tuple[Any, Any]] = {
    "add": (integers.add, lambda a, b: a + b),
    "subtract": (integers.subtract, lambda a, b: a - b),
    "multiply": (integers.multiply, lambda a, b: a * b),
    "quotient": (lambda a, b: integers.quotient(a, odd(b)), lambda a, b: integers.truncated(a, 2 * b + 1)),
    "remainder": (lambda a, b: integers.remainder(a, odd(b)), lambda a, b: int(math.fmod(a, 2 * b + 1))),
    "least": (integers.least, min),
    "greatest": (integers.greatest, max),
    "select": (lambda a, b: conditions.select(P, a, b), None),
}


def odd(term: Term) -> Term:
    return integers.add(integers.scale(term, 2), integers.whole(1))


WHOLE = st.recursive(
    st.one_of(st.integers(-6, 6), st.sampled_from(["x", "y"])),
    lambda inner: st.tuples(st.sampled_from(sorted(BUILT)), inner, inner),
    max_leaves=8,
)


def built(tree: Any, x: int, y: int, p: bool) -> tuple[Term, int]:
    """An integer as a term, and as Python computes it."""
    match tree:
        case int():
            return integers.whole(tree), tree
        case str():
            return (X, x) if tree == "x" else (Y, y)
        case (op, left, right):
            (s, a), (t, b) = built(left, x, y, p), built(right, x, y, p)
            make_term, compute = BUILT[op]
            return make_term(s, t), (a if p else b) if compute is None else compute(a, b)
    raise AssertionError(tree)


@given(WHOLE, st.integers(-50, 50), st.integers(-50, 50), st.booleans())
def test_the_normal_form_of_an_integer_is_the_same_number(tree: Any, x: int, y: int, p: bool) -> None:
    term, value = built(tree, x, y, p)
    numbers = Numbers({"x": x, "y": y, "p": p})
    assert numbers(term) == value
    assert normal(term, term.args) is term


@given(WHOLE, WHOLE, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.integers(-9, 9), st.integers(-9, 9))
def test_a_comparison_is_true_where_it_holds(left: Any, right: Any, op: str, x: int, y: int) -> None:
    for p in (False, True):
        (s, a), (t, b) = built(left, x, y, p), built(right, x, y, p)
        holds = {"==": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op]
        numbers = Numbers({"x": x, "y": y, "p": p})
        assert numbers(conditions.compare_integers(op, s, t)) == holds
        assert numbers(conditions.negate(conditions.compare_integers(op, s, t))) != holds


TRUTH = st.recursive(
    st.sampled_from(["p", "q", "r", True, False]),
    lambda inner: st.tuples(st.sampled_from(["both", "either", "different", "select"]), inner, inner),
    max_leaves=10,
)


@given(TRUTH, st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_the_form_of_a_truth_value_is_as_true(tree: Any, values: tuple[bool, bool, bool]) -> None:
    known = dict(zip("pqr", values, strict=True))

    def visit(t: Any) -> tuple[Term, bool]:
        match t:
            case bool():
                return conditions.truth(t), t
            case str():
                return symbol(t, "bool"), known[t]
            case (op, left, right):
                (s, a), (u, b) = visit(left), visit(right)
                if op == "select":
                    return conditions.select(s, u, conditions.negate(u)), b if a else not b
                compute = {"both": a and b, "either": a or b, "different": a != b}
                return getattr(conditions, op)(s, u), compute[op]
        raise AssertionError(t)

    term, value = visit(tree)
    assert Numbers(known)(term) == value


SPECIAL = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e-45, 3.4e38, 1.5, -7.25, 65519.0]
FLOATS = st.recursive(
    st.one_of(st.sampled_from(SPECIAL), st.sampled_from(["a", "b"])),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["+", "-", "*", "/", "minimum", "maximum", "smaller", "larger"]), inner, inner),
        st.tuples(st.sampled_from(["negative", "narrow", "select", "count"]), inner),
    ),
    max_leaves=8,
)


def real_term(tree: Any) -> Term:
    match tree:
        case float():
            return real(float(np.float32(tree)), "fp32")
        case str():
            return A if tree == "a" else B
        case ("negative", inner):
            return make("negative", "fp32", (real_term(inner),))
        case ("narrow", inner):
            return make("cast", "fp32", (make("cast", "fp16", (real_term(inner),), "fp16"),), "fp32")
        case ("select", inner):
            term = real_term(inner)
            return conditions.select(make("==", "bool", (A, term)), term, B)
        case ("count", _):
            return make("of_integer", "fp32", (integers.whole(7),), "fp32")
        case (op, left, right):
            return make(op, "fp32", (real_term(left), real_term(right)))
    raise AssertionError(tree)


@given(FLOATS, st.sampled_from(SPECIAL), st.sampled_from(SPECIAL))
def test_the_normal_form_of_a_float_is_the_same_number_bit_by_bit(tree: Any, a: float, b: float) -> None:
    term = real_term(tree)
    numbers = Numbers({"a": np.float32(a), "b": np.float32(b)})
    found = rebuild(term, normal, {})
    assert same(numbers(term), numbers(found)), (show(term), show(found))


ZERO, ONE = real(0.0, "fp32"), real(1.0, "fp32")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (make("+", "fp32", (A, ZERO)), A),  # -0 + 0 is 0
        (make("*", "fp32", (A, ZERO)), ZERO),  # of an infinity it is NaN
        (make("-", "fp32", (A, A)), ZERO),
        (make("/", "fp32", (A, A)), ONE),
        (make("==", "bool", (A, A)), conditions.TRUE),
        (make("+", "fp32", (make("+", "fp32", (A, B)), ONE)), make("+", "fp32", (A, make("+", "fp32", (B, ONE))))),
        (make("-", "fp32", (A, B)), make("-", "fp32", (B, A))),
        (make("maximum", "fp32", (A, B)), make("larger", "fp32", (A, B))),
        (make("cast", "fp32", (make("cast", "fp16", (A,), "fp16"),), "fp32"), A),
        (real(-0.0, "fp32"), ZERO),
    ],
    ids=lambda t: show(t),
)
def test_what_is_not_the_same_number_everywhere_stays_apart(one: Term, other: Term) -> None:
    assert rebuild(one, normal, {}) is not rebuild(other, normal, {})


def test_quotients_round_toward_zero() -> None:
    assert integers.value_of(integers.quotient(integers.whole(-7), integers.whole(2))) == -3
    assert integers.value_of(integers.remainder(integers.whole(-7), integers.whole(2))) == -1
    # So that no multiple is taken out of a quotient: (2 x - 1) // 2 is x - 1 only where x is positive.
    two = integers.whole(2)
    shifted = integers.quotient(integers.add(integers.scale(X, 2), integers.whole(-1)), two)
    assert shifted is not integers.subtract(X, integers.whole(1))
