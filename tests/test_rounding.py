"""The rounding bound: above what is computed, near to it on hard inputs, and different where the algorithm is."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.algebra import Plan, derive
from refold.emit.runtime import helpers
from refold.schedule import ir
from refold.schedule.lower.kernels import Kernels, kernels
from refold.spec import Tensor, absolute, axes, fold, oo, pipeline, tanh, where
from refold.spec.evaluate import evaluate
from refold.verify import Proof, Result
from refold.verify.certificate.document import contents
from refold.verify.rounding.adjoint import spread
from refold.verify.rounding.bounds import Measured, analyse, bounds, of_module
from refold.verify.rounding.functions import FUNCTIONS
from refold.verify.rounding.kinds import KINDS, Arithmetic
from refold.verify.rounding.tape import Tape

ROOT = Path(__file__).parents[1]
i, j = axes("i j")
x = Tensor("x", i, j)
mean = fold.sum(x[i, j], over=j) / j.size
welford = pipeline(y=(fold.sum((x[i, j] - mean) ** 2, over=j) / j.size)[i])
textbook = pipeline(y=(fold.sum(x[i, j] ** 2, over=j) / j.size - mean**2)[i])


def plan_of(spec: Any) -> Plan:
    plan = derive(spec)
    assert isinstance(plan, Plan)
    return plan


@cache
def example(name: str) -> Plan:
    return plan_of(importlib.import_module(f"refold.examples.{name}").SPEC)


def only(plan: Plan, inputs: dict[str, Any], **how: Any) -> Measured:
    return of_kernels(kernels(plan, "kernel"), inputs, **how)


def of_kernels(made: Kernels, inputs: dict[str, Any], **how: Any) -> Measured:
    (found,) = analyse(made, Arithmetic(**({"block": 16} | how)), inputs).values()
    return found


def error(m: Measured) -> Any:
    return np.where(np.isfinite(m.exact), np.abs(m.computed - m.exact), 0.0)


@cache
def kernels_of(name: str) -> Kernels:
    return kernels(example(name), "kernel")


NAMES = ("attention", "covariance", "entropy", "layer_norm", "logsumexp", "softcap")
SIZES = {"i": 1, "d": 3, "e": 1}
SCALARS = {"eps": 1e-5, "cap": 5.0}


@settings(max_examples=40)
@given(st.data())
def test_nothing_exceeds_the_bound(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    plan, length = example(name), data.draw(st.integers(1, 50))
    number = st.floats(-1000, 1000, width=32)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    inputs: dict[str, Any] = {str(p.name): float(np.float32(SCALARS[str(p.name)])) for p in plan.spec.params}
    for t in plan.spec.tensors:
        shape = [SIZES.get(a.name, length) for a in t.axes]
        center, spread = data.draw(number), data.draw(number)
        inputs[t.name] = (center + spread * rng.standard_normal(shape)).astype(np.float32).astype(np.float64)
    parts = data.draw(st.sampled_from([1, 3]))
    dtype = data.draw(st.sampled_from(["float32", "bfloat16"]))
    for m in analyse(kernels_of(name), Arithmetic(8, parts, dtype, dtype), inputs).values():
        assert not np.isnan(m.bound).any()
        assert (error(m) <= m.bound * (1 + 1e-9) + 2.0**-48 * np.abs(np.nan_to_num(m.exact))).all()


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("name", [*NAMES, "argmax", "gqa_decode", "sigmoid_attention"])
def test_over_the_reals_the_kernels_give_what_the_pipeline_says(name: str, parts: int) -> None:
    plan, rng = example(name), np.random.default_rng(0)
    inputs: dict[str, Any] = {str(p.name): SCALARS.get(str(p.name), 0.5) for p in plan.spec.params}
    lengths = {"i": 2, "h": 4, "g": 2, "d": 3, "e": 2}
    inputs |= {t.name: rng.standard_normal([lengths.get(a.name, 9) for a in t.axes]) for t in plan.spec.tensors}
    found = analyse(kernels(plan, name), Arithmetic(4, parts), inputs)
    wanted = evaluate(plan.spec, inputs)
    assert found.keys() == wanted.keys()
    for output, m in found.items():
        np.testing.assert_allclose(m.exact, wanted[output], 1e-9)


def test_of_the_textbook_variance_the_bound_is_another_than_of_welfords() -> None:
    rng = np.random.default_rng(0)
    inputs = {"x": (3000 + rng.standard_normal((1, 512))).astype(np.float32)}
    ours, theirs = (only(plan_of(s), inputs) for s in (welford, textbook))
    assert ours.exact == pytest.approx(theirs.exact, rel=1e-6)
    assert theirs.bound[0] > 1e3 * ours.bound[0]
    assert error(theirs)[0] > 1e2 * error(ours)[0] > 0


def test_welfords_bound_grows_with_the_mean_as_the_textbooks_does_with_its_square() -> None:
    z = np.random.default_rng(0).standard_normal((1, 128))
    at = {c: [only(plan_of(s), {"x": np.float32(c + z)}).bound[0] for s in (welford, textbook)] for c in (100, 1000)}
    grown = [b / a for a, b in zip(at[100], at[1000], strict=True)]
    assert grown[0] < 20 and 80 < grown[1] < 120


# An input at which most of what is computed wrongly comes from one source.
def dominated(source: str) -> tuple[Plan, dict[str, Any], dict[str, Any]]:
    rng = np.random.default_rng(1)
    ones = np.ones((1, 3))
    logits = np.repeat(rng.uniform(0, 1, (256, 1)), 3, axis=1).astype(np.float32)
    match source:
        case "operands":
            return example("attention"), {"q": ones, "k": logits, "v": np.ones((256, 1))}, {"operands": "bfloat16"}
        case "operands of packed heads":
            inputs = {"q": np.ones((2, 3)), "k": logits[None], "v": np.ones((1, 256, 1))}
            return example("gqa_decode"), inputs, {"operands": "bfloat16"}
        case "store":
            return example("attention"), {"q": ones, "k": logits, "v": np.ones((256, 1)) / 3}, {"result": "float16"}
        case "state":  # every addition to the first term is lost
            x = np.where(np.arange(64) == 0, 1.0, np.sqrt(0.45 * 2.0**-24)).astype(np.float32)
            return example("rms_norm"), {"x": x[None], "weight": np.ones(64), "eps": 1e-5}, {"block": 1}
        case "merges":
            plan, inputs, _ = dominated("state")
            return plan, inputs, {"block": 2, "parts": 32}
    raise AssertionError(source)


@pytest.mark.parametrize("source", ["operands", "operands of packed heads", "store", "state", "merges"])
def test_a_bound_without_a_source_is_exceeded(source: str) -> None:
    plan, inputs, how = dominated(source)
    m = only(plan, {n: np.float32(v).astype(np.float64) for n, v in inputs.items()}, **how)
    assert (error(m) <= m.bound).all()
    assert (error(m) > m.bound - m.terms[source.partition(" ")[0]]).any(), {
        k: float(v.max()) for k, v in m.terms.items()
    }


def test_a_bound_is_counts_times_units_times_magnitudes() -> None:
    rng = np.random.default_rng(0)
    inputs = {"q": rng.standard_normal((2, 3)), "k": rng.standard_normal((40, 3)), "v": rng.standard_normal((40, 2))}
    m = only(example("attention"), inputs, block=8, parts=2, operands="float16", result="bfloat16")
    counts = {"inner sums": 2, "tile sums": 7, "dots": 8, "carried": 24, "state": 3}
    units = {"u": 2.0**-24, "v": 2.0**-11, "w": 2.0**-8, "u²": 2.0**-48}
    total = sum(counts.get(s, 2 if s == "merges" else 1) * units[KINDS[s].unit] * a for s, a in m.magnitudes.items())
    np.testing.assert_allclose(m.bound, total, rtol=1e-12)
    b, other, _ = bounds(example("attention"))[::-1]
    assert (b.dtype, other.dtype, b.formula) == ("bfloat16", "float16", other.formula)
    assert b.units == {"u": 2.0**-24, "v": 2.0**-8, "w": 2.0**-8, "u²": 2.0**-48}
    assert set(m.terms) <= set(b.sources)
    assert "(B−1)·u·A(tile sums) + B·u·A(dots) + T·B·u·A(carried)" in b.formula


def test_bounds_are_part_of_a_proof_and_of_its_file() -> None:
    proof = Proof(example("logsumexp"), (Result("stand-in", "", "proved", 0.0, ""),), ())
    assert [(b.output, b.dtype) for b in proof.rounding] == [("y", t) for t in ("float32", "float16", "bfloat16")]
    found = contents(proof, "logsumexp")["rounding"]
    assert found["holds for"].startswith("N positions in tiles of B over P parts")
    single, half, _ = found["outputs"]
    assert half["bound"] == f"{single['bound'].removesuffix('u²·A(remainder)')}w·A(store) + u²·A(remainder)"
    assert single["units"] == {"u": 2.0**-24, "u²": 2.0**-48} and half["units"] == {**single["units"], "w": 2.0**-11}


def test_sources_do_not_depend_on_the_sample() -> None:
    n = Tensor("n", i, dtype="int32")
    s = where(j < n[i], x[i, j], -oo)
    b = bounds(plan_of(pipeline(y=fold.logsumexp(s, over=j)[i], empty=0)))[0]
    assert {"exponentials", "tile sums", "state", "finish"} <= set(b.sources)


def test_what_has_no_bound_says_why() -> None:
    t = Tensor("t", i)
    places = plan_of(pipeline(at=fold.argmax(tanh(x[i, j] * t[i]), over=j)[i]))
    b = bounds(places)[0]
    assert b.formula.startswith("no bound: a position is a step function of the scores")
    b = bounds(plan_of(pipeline(y=fold.prod(x[i, j], over=j)[i])))[0]
    assert b.formula.startswith("no bound: a fold by prod")
    b = bounds(example("argmax"))[0]
    assert b.formula == "0 (no operation rounds)"


def test_a_bound_that_cannot_be_had_is_infinite() -> None:
    # Of nearly equal values around 3000 too little is left of the variance that the output is divided by.
    plan = plan_of(pipeline(y=((x[i, j] - mean) / fold.sum((x[i, j] - mean) ** 2, over=j))[i, j]))
    found = only(plan, {"x": np.float32([[3000.1, 3000.1, 3000.1, 3000.1004]]).astype(np.float64)}, block=1)
    assert np.isinf(found.bound).all() and not np.isnan(found.bound).any()


def test_a_result_beyond_its_dtype_has_no_bound() -> None:
    found = only(example("logsumexp"), {"x": np.array([[1.0, 2.0], [7e4, 1.0]])}, result="float16")
    assert np.isfinite(found.bound).tolist() == [True, False]


@pytest.mark.parametrize("head", list(FUNCTIONS))
def test_slopes_and_bends(head: str) -> None:
    f, e = FUNCTIONS[head], 1e-3
    at = np.linspace(0.05, 3, 60) if head in ("log", "sqrt") else np.linspace(-3, 3, 121)
    z = f.value(at)
    for t in (-e, e):
        left = np.abs(f.value(at + t) - z - f.slope(at, z) * t)
        assert (left <= f.bend(at, z, e) + 1e-15).all()


@pytest.mark.parametrize("head", ["tanh", "sigmoid"])
def test_the_functions_of_the_kernel_file_are_as_good_as_said(head: str) -> None:
    scope: dict[str, Any] = {"tl": SimpleNamespace(abs=np.abs, exp2=np.exp2, where=np.where, constexpr=bool)}
    exec(helpers()[f"_{head}"].replace("@triton.jit\n", ""), scope)
    at = np.concatenate([np.linspace(-20, 20, 40001), np.logspace(-6, 0, 2000)]).astype(np.float32)
    at = at[at != 0]
    got = scope[f"_{head}"](at, **({"FAST": False} if head == "tanh" else {}))
    assert got.dtype == np.float32
    want = FUNCTIONS[head].value(at.astype(np.float64))
    if head == "sigmoid":
        want = 1 / (1 + np.exp(-at.astype(np.float64)))
    assert (np.abs(got - want) <= FUNCTIONS[head].error(at) * 2.0**-24 * np.abs(want)).all()


def test_the_kernels_round_is_exact_in_float32() -> None:
    scope: dict[str, Any] = {"tl": SimpleNamespace(floor=np.floor, where=np.where)}
    exec(helpers()["_round"].replace("@triton.jit\n", ""), scope)
    halves = (np.arange(-40, 41) / 2).astype(np.float32)
    beside = [np.nextafter(halves, np.float32(side)) for side in (-np.inf, np.inf)]
    bits = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    at = np.concatenate([halves, *beside, bits[np.isfinite(bits)]])
    got = scope["_round"](at)
    assert got.dtype == np.float32
    assert got.tolist() == [round(x) for x in at.tolist()]


def test_at_a_jump_the_bound_is_that_of_the_argument_and_a_step() -> None:
    share = x[i, j] / fold.max(absolute(x[i, j]), over=j)
    plan = plan_of(pipeline(y=round(share * 127)[i, j]))
    found = only(plan, {"x": np.float32([[3, 1.5, 1]])})
    assert found.exact.tolist() == [[127, 64, 42]]
    sure, tie, also_sure = found.bound[0]
    assert sure == also_sure == 0 and 1 <= tie < 1.001


# --- a kernel that rounds where its plan does not ---------------------------------------------------------------


def rewritten(node: Any, change: Callable[[Any], Any]) -> Any:
    """A piece of a kernel with every node of it changed, the innermost first."""
    if isinstance(node, tuple):
        return tuple(rewritten(n, change) for n in node)
    if not is_dataclass(node) or isinstance(node, type):
        return node
    return change(replace(node, **{f.name: rewritten(getattr(node, f.name), change) for f in fields(node)}))


def in_half(x: ir.Value) -> ir.Value:
    return ir.Cast(ir.Cast(x, "float16"), "float32")


def accumulator_in_half(node: Any) -> Any:
    return replace(node, into=in_half(node.into)) if isinstance(node, ir.Dot) and node.into is not None else node


def exponent_in_half(node: Any) -> Any:
    return replace(node, x=ir.Cast(node.x, "float16")) if isinstance(node, ir.Unary) and node.op == "exp2" else node


def data_not_widened(node: Any) -> Any:
    return node.x if isinstance(node, ir.Cast) and isinstance(node.x, ir.Load) else node


MUTANTS = [
    ("attention", accumulator_in_half, "float32", "T·v·A(narrow state)"),
    ("attention", exponent_in_half, "float32", "v·A(operands)"),
    ("rms_norm", data_not_widened, "float16", "v·A(operands)"),
]


@pytest.mark.parametrize(("name", "change", "dtype", "term"), MUTANTS, ids=[c.__name__ for _, c, _, _ in MUTANTS])
def test_a_kernel_that_rounds_more_has_another_bound(name: str, change: Any, dtype: Any, term: str) -> None:
    made = kernels(example(name), name)
    wrong = replace(made, functions=rewritten(made.functions, change))
    formulas = [next(b.formula for b in of_module(m) if b.dtype == dtype) for m in (made, wrong)]
    assert term not in formulas[0].split(" + ") and term in formulas[1].split(" + ")
    rng = np.random.default_rng(0)
    data = {"attention": {"q": (2, 3), "k": (40, 3), "v": (40, 2)}, "rms_norm": {"x": (2, 40), "weight": (40,)}}[name]
    inputs = {n: np.float16(rng.uniform(0.5, 1, shape)).astype(np.float64) for n, shape in data.items()}
    inputs |= {"eps": 1e-5} if name == "rms_norm" else {}
    right, more = (of_kernels(m, inputs, operands=dtype) for m in (made, wrong))
    assert right.exact == pytest.approx(more.exact, rel=1e-12)
    assert (error(right) <= right.bound).all() and (error(more) <= more.bound).all()
    assert (error(more) > right.bound).any()


def test_a_product_rounds_by_itself_in_every_sum() -> None:
    """In one it may be fused and in another not: what it rounds does not cancel between them."""
    tape = Tape()
    tape.kind = "elements"
    a, b, c = (tape.constant(np.array([x])) for x in (1.1, 1.3, 0.7))
    product = tape.times(a, b)
    difference = tape.plus(tape.plus(product, c), tape.plus(product, c), -1.0)
    (effect,) = spread(tape, [difference])["elements"].values()
    assert effect[0] == pytest.approx(2 * (1.1 * 1.3 + (1.1 * 1.3 + 0.7)) * 2.0**-24)


MEASURED = ("attention", "layer_norm", "gqa_decode")


@pytest.fixture(scope="module")
def measured() -> Any:
    """Emitted kernels in Triton's interpreter, in a process of its own."""
    command = [sys.executable, "-W", "ignore", str(ROOT / "bench" / "rounding.py"), *MEASURED,
               "--json", "--tries", "11", "--search", "0", "--lengths", "63", "65", "--long", "0"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_emitted_kernels_stay_under_the_bound(measured: Any) -> None:
    assert {(r["example"], r["dtype"]) for r in measured} == {(n, t) for n in MEASURED for t in ("float32", "float16")}
    for row in measured:
        assert row["exceeded"] == 0 and row["kernel"] > 0
        assert row["ratio"] <= 100, row
