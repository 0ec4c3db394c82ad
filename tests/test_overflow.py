"""Integers fit into their width for all that launchers admit: proved of kernels, refuted where something is wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_accesses import changed, made, tensor_of

from refold import Plan, derive
from refold.schedule import integers, ir
from refold.schedule.conditions import TRUE
from refold.schedule.launch import LIMITS, Launch, launch
from refold.schedule.lower.kernels import Kernels
from refold.schedule.outcome import Loop
from refold.schedule.terms import Term, make, symbol
from refold.spec import Spec, Tensor, axes, exp, fold, log, oo, pipeline, where
from refold.verify.kernel.asked import Asked
from refold.verify.kernel.emitted import kernels_of
from refold.verify.kernel.intervals import Intervals
from refold.verify.kernel.lane import lanes_of
from refold.verify.kernel.overflow import overflow
from refold.verify.kernel.premises import premises
from refold.verify.kernel.questions import IndexQuestions, answer
from refold.verify.kernel.questions import _holds_somewhere as holds_somewhere
from refold.verify.result import Result


def asked(kernels: Kernels, how: Launch | None = None) -> Result:
    how = how or launch(kernels)
    return answer(overflow(kernels, how, lanes_of(kernels, how), Asked()))


def with_change(kernels: Kernels, change: Callable[[Any], Any]) -> Kernels:
    """The kernels with every node of all functions changed."""
    functions = tuple(replace(f, body=changed(f.body, change)) for f in kernels.functions)
    stages = {s: replace(f, body=changed(f.body, change)) for s, f in kernels.stages.items()}
    assert (functions, stages) != (kernels.functions, kernels.stages)
    return replace(kernels, functions=functions, stages=stages)


def of(spec: Spec) -> Kernels:
    plan = derive(spec)
    assert isinstance(plan, Plan)
    kernels = kernels_of(plan)
    assert kernels is not None
    return kernels


def of_data(mask: Callable[[Any, Any, Any], Any] = lambda i, j, limit: j <= limit) -> Kernels:
    """A mask by data: a row ends at a position that a tensor has, say."""
    i, j = axes("i j")
    x, limit = Tensor("x", i, j)[i, j], Tensor("limit", i, dtype="int32")[i]
    return of(pipeline(y=log(fold.sum(exp(where(mask(i, j, limit), x, -oo)), over=j))[i]))


@pytest.mark.parametrize(
    "name", ["logsumexp", "attention", "layer_norm", "gqa_decode", "alibi", "argmax",
             *(pytest.param(n, marks=pytest.mark.slow) for n in ("window_attention", "paged_decode", "prefix_lm"))],
)  # fmt: skip
def test_right_kernels_are_proved(name: str) -> None:
    assert asked(made(name)).verdict == "proved"


def test_ends_that_data_gives_are_computed_in_64_bits() -> None:
    assert asked(of_data()).verdict == "proved"


MASKS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "begins where data says": lambda i, j, limit: j >= limit,
    "begins with its block": lambda i, j, limit: j >= i - i % 4,
    "begins beyond its row": lambda i, j, limit: j >= i + i % 4,
    "begins in a block by a rest": lambda i, j, limit: j // 3 >= i % 4,
}


@pytest.mark.parametrize("name", MASKS)
def test_a_row_that_begins_late_is_proved(name: str) -> None:
    """Where it begins is a minimum over rows, of which those beyond the axis say nothing: it is bounded itself."""
    assert asked(of_data(MASKS[name])).verdict == "proved"


def in_blocks() -> Kernels:
    """Tiles begin and end inside of a block of four, or one is a whole block, or more are in it: never all of these."""
    return of_data(lambda i, j, limit: i // 4 == j // 4)


def test_where_a_state_of_two_inner_axes_is_kept_is_proved() -> None:
    """What has yet to be multiplied by the last length was taken for three lengths, of any product."""
    i, j, d, e = axes("i j d e")
    x, z = Tensor("x", i, j)[i, j], Tensor("z", j, d, e)[j, d, e]
    assert asked(of(pipeline(y=fold.sum(x * z, over=j)[i, d, e]))).verdict == "proved"


def test_what_is_known_of_loops_that_never_run_in_one_program_is_not_asked_at_once() -> None:
    kernels = in_blocks()
    how = launch(kernels)
    questions = overflow(kernels, how, lanes_of(kernels, how), Asked())
    assert isinstance(questions, IndexQuestions)
    # What holds of each is seen at small numbers: with nearly no work for a solver, however slow it is.
    assert all(holds_somewhere(part, 1) for part in questions.parts)


@pytest.mark.slow
def test_loops_that_never_run_in_one_program_are_proved_one_by_one() -> None:
    assert asked(in_blocks()).verdict == "proved"


# --- what is wrong in a kernel ---------------------------------------------------------------------------------


def without_cast(dtype: str, name: str) -> Callable[[Any], Any]:
    """What a name has, or a place in a tensor, without its casts to a dtype."""

    def plain(node: Any) -> Any:
        return node.x if isinstance(node, ir.Cast) and node.dtype in (dtype, ir.Name(dtype, kind="constant")) else node

    def change(node: Any) -> Any:
        if isinstance(node, ir.Let) and node.target.text == name:
            return replace(node, value=changed(node.value, plain))
        if isinstance(node, ir.Store | ir.Load) and tensor_of(node.place).startswith(name):
            return replace(node, place=changed(node.place, plain))
        return node

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("logsumexp", without_cast("int64", "part_m")),
        ("attention", without_cast("int64", "lead0")),
        # The head of keys and values that rows share, times its stride, was computed in 32 bits.
        ("gqa_decode", without_cast("INDEX", "k_ptr")),
    ],
)
def test_a_cast_that_is_missing_is_refuted(name: str, change: Callable[[Any], Any]) -> None:
    result = asked(with_change(made(name), change))
    assert result.verdict == "refuted", result
    number = int(result.note.rpartition("the integer = ")[2])
    assert not -(2**31) <= number < 2**31


def test_an_end_that_data_gives_is_refuted_in_32_bits() -> None:
    """The position after the last one that counts is one more than the largest number of 32 bits."""
    result = asked(with_change(of_data(), without_cast("int64", "hi")))
    assert result.verdict == "refuted"
    assert result.note.endswith("the integer = 2147483648")


# --- what a launcher does not look at --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change"),
    [
        # Parts that begin beyond 2^31: they were launched, and read before the beginning of the tensor.
        ("logsumexp", lambda how: replace(how, counts=how.counts[:1])),
        ("logsumexp", lambda how: replace(how, counts=how.counts[1:])),
        ("prefix_lm", lambda how: replace(how, reaches=())),
        *(("logsumexp", lambda how, f=f, n=n: replace(how, limits=replace(LIMITS, **{f: n})))
          for f, n in (("axis", 2**31), ("block", 2**31), ("count", 2**32))),
        ("alibi", lambda how: replace(how, limits=replace(LIMITS, index=2**32))),
    ],
)  # fmt: skip
def test_a_check_that_is_missing_is_refuted(name: str, change: Callable[[Launch], Launch]) -> None:
    result = asked(made(name), change(launch(made(name))))
    assert result.verdict == "refuted", result


def test_offsets_that_the_launcher_does_not_look_at_are_not_proved() -> None:
    how = replace(launch(made("logsumexp")), limits=replace(LIMITS, index=2**32))
    assert asked(made("logsumexp"), how).verdict != "proved"


# --- bounds against all numbers --------------------------------------------------------------------------------

A, B, N, K = (symbol(n, "int") for n in "abnk")
ENDS = {A: (0, 3), B: (1, 3), N: (0, 4)}
LOOP = Loop(0, A, integers.add(A, N), B, TRUE, (), ())
IT = make("iteration", "int", (), 0)


def numbers(names: dict[Term, int], t: Term) -> int:
    """The value of a term, by Python's own arithmetic, rounded toward zero."""
    if t in names:
        return names[t]
    args = [numbers(names, a) for a in t.args]
    match t.op:
        case "polynomial":
            return sum(c * _power(args, powers) for powers, c in t.data)  # type: ignore[union-attr]
        case "//":
            return int(args[0] / args[1])
        case "%":
            return args[0] - int(args[0] / args[1]) * args[1]
        case "least" | "greatest":
            return min(args) if t.op == "least" else max(args)
        case "abs":
            return abs(args[0])
    raise AssertionError(t.op)


def holds(names: dict[Term, int], t: Term) -> bool:
    """Whether a condition does."""
    match t.op:
        case ">=0" | "==0":
            n = numbers(names, t.args[0])
            return n >= 0 if t.op == ">=0" else n == 0
        case "and" | "or":
            return (all if t.op == "and" else any)(holds(names, a) for a in t.args)
        case "not":
            return not holds(names, t.args[0])
        case "true" | "false":
            return t.op == "true"
    raise AssertionError(t.op)


def _power(args: list[int], powers: tuple[int, ...]) -> int:
    result = 1
    for a, n in zip(args, powers, strict=True):
        result *= a**n
    return result


LEAVES = st.sampled_from([A, B, N, K, IT, integers.whole(1), integers.whole(-2)])
TERMS = st.recursive(
    LEAVES,
    lambda t: st.one_of(
        st.builds(integers.add, t, t), st.builds(integers.subtract, t, t), st.builds(integers.multiply, t, t),
        st.builds(lambda x: integers.quotient(x, B), t), st.builds(lambda x: integers.remainder(x, B), t),
        st.builds(lambda x: integers.quotient(x, integers.multiply(B, integers.add(N, integers.whole(1)))), t),
        st.builds(integers.least, t, t), st.builds(integers.greatest, t, t),
        st.builds(lambda x: make("abs", "int", (x,)), t),
    ),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=400)
@given(TERMS, st.integers(-8, 30), st.booleans())
def test_bounds_hold_of_all_numbers(term: Term, end: int, checked: bool) -> None:
    """K is below N + 1; where it is `checked`, a * n is at most 5. So do the lemmas, and what else a solver is told."""
    known = {K: (integers.whole(0), N)}
    checks = ((integers.multiply(A, N), 5),) if checked else ()
    free = Intervals(known, (), {0: LOOP}, ENDS.get)
    bounds = replace(free, at_most=checks, free=free, answers={}, inside={}, names={})
    why = bounds.because(integers.subtract(term, integers.whole(end)))
    if why is None:
        return
    told = [*why, *premises(bounds, [term, *why])]
    for a, b, n in itertools.product(*(range(low, high + 1) for low, high in ENDS.values())):
        if checked and a * n > 5:
            continue
        for k, it in itertools.product(range(n + 1), range(-(-n // b))):
            names = {A: a, B: b, N: n, K: k, IT: it}
            assert numbers(names, term) <= end
            assert all(holds(names, fact) for fact in told)


def test_some_bounds_are_found() -> None:
    known = {K: (integers.whole(0), N)}
    bounds = Intervals(known, (), {0: LOOP}, ENDS.get)
    one = integers.whole(1)
    up = integers.multiply(integers.quotient_up(A, B), B)  # the next multiple of b
    assert bounds.between(0, up, 5) and not bounds.between(0, up, 4)
    assert bounds.between(0, integers.multiply(IT, B), 3)  # before n
    assert bounds.between(0, integers.multiply(integers.remainder(K, B), integers.add(N, one)), 10)
