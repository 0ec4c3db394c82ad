"""The rounding bound: above what is computed, near to it on hard inputs, and different where the algorithm is."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.algebra import Plan, derive
from refold.algebra.base2 import exp2, in_base2
from refold.emit.runtime import helpers
from refold.spec import Tensor, axes, fold, oo, pipeline, tanh, where
from refold.spec.heads import sigmoid
from refold.verify import Proof, Result
from refold.verify.certificate.document import contents
from refold.verify.rounding.bounds import KINDS, Arithmetic, Measured, analyse, bounds
from refold.verify.rounding.functions import FUNCTIONS

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


def example(name: str) -> Plan:
    return plan_of(importlib.import_module(f"refold.examples.{name}").SPEC)


def only(plan: Plan, inputs: dict[str, Any], **how: Any) -> Measured:
    (found,) = analyse(plan, Arithmetic(**({"block": 16} | how)), inputs).values()
    return found


def error(m: Measured) -> Any:
    return np.where(np.isfinite(m.exact), np.abs(m.computed - m.exact), 0.0)


PLANS = {name: example(name) for name in ("attention", "layer_norm", "entropy", "covariance", "logsumexp", "softcap")}
SIZES = {"i": 1, "d": 3, "e": 1}
SCALARS = {"eps": 1e-5, "cap": 5.0}


@settings(max_examples=40)
@given(st.data())
def test_nothing_exceeds_the_bound(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(PLANS)))
    plan, length = PLANS[name], data.draw(st.integers(1, 50))
    number = st.floats(-1000, 1000, width=32)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    inputs: dict[str, Any] = {str(p.name): float(np.float32(SCALARS[str(p.name)])) for p in plan.spec.params}
    for t in plan.spec.tensors:
        shape = [SIZES.get(a.name, length) for a in t.axes]
        center, spread = data.draw(number), data.draw(number)
        inputs[t.name] = (center + spread * rng.standard_normal(shape)).astype(np.float32).astype(np.float64)
    parts = data.draw(st.sampled_from([1, 3]))
    dtype = data.draw(st.sampled_from(["float32", "bfloat16"]))
    for m in analyse(plan, Arithmetic(8, parts, dtype, dtype), inputs).values():
        assert not np.isnan(m.bound).any()
        assert (error(m) <= m.bound * (1 + 1e-9) + 2.0**-48 * np.abs(np.nan_to_num(m.exact))).all()


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
        case "joins":  # every addition to the first term is lost
            x = np.where(np.arange(512) == 0, 1.0, np.sqrt(0.45 * 2.0**-24)).astype(np.float32)
            return example("rms_norm"), {"x": x[None], "weight": np.ones(512), "eps": 1e-5}, {"block": 1}
        case "merges":
            plan, inputs, _ = dominated("joins")
            return plan, inputs, {"block": 1, "parts": 512}
    raise AssertionError(source)


@pytest.mark.parametrize("source", ["operands", "operands of packed heads", "store", "joins", "merges"])
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
    counts = {"inner sums": 2, "tile sums": 7, "dots": 8, "carried": 24, "anchors": 3, "corrections": 3, "joins": 3}
    units = {"u": 2.0**-24, "v": 2.0**-11, "w": 2.0**-8, "u²": 2.0**-48}
    total = sum(counts.get(s, 2 if s == "merges" else 1) * units[KINDS[s].unit] * a for s, a in m.magnitudes.items())
    np.testing.assert_allclose(m.bound, total, rtol=1e-12)
    b, other, _ = bounds(example("attention"))[::-1]
    assert (b.dtype, other.dtype, b.formula) == ("bfloat16", "float16", other.formula)
    assert b.units == {"u": 2.0**-24, "v": 2.0**-8, "w": 2.0**-8, "u²": 2.0**-48}
    assert set(m.terms) <= set(b.sources)
    assert "(B−1)·u·A(tile sums) + B·u·A(dots) + T·B·u·A(carried)" in b.formula


def test_bounds_are_part_of_a_proof_and_of_its_file() -> None:
    proof = Proof(PLANS["logsumexp"], (Result("stand-in", "", "proved", 0.0, ""),), ())
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
    assert {"exponentials", "tile sums", "corrections", "finish"} <= set(b.sources)


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


def heads(plan: Plan) -> set[Any]:
    found = [e.expr for e in plan.elements] + [a.element for a in plan.accumulators] + [f.expr for f in plan.finish]
    return {type(n) for e in found for n in sp.preorder_traversal(e)}


def test_the_base_is_the_emitted_one() -> None:
    assert exp2 in heads(in_base2(example("attention"))) and exp2 not in heads(in_base2(example("softmax")))


@pytest.mark.parametrize("head", list(FUNCTIONS), ids=lambda h: getattr(h, "__name__", str(h)))
def test_slopes_and_bends(head: Any) -> None:
    f, e = FUNCTIONS[head], 1e-3
    at = np.linspace(0.05, 3, 60) if head in (sp.log, sp.sqrt) else np.linspace(-3, 3, 121)
    z = f.value(at)
    for t in (-e, e):
        left = np.abs(f.value(at + t) - z - f.slope(at, z) * t)
        assert (left <= f.bend(at, z, e) + 1e-15).all()


TEXTS = {sp.tanh: "_tanh", sigmoid: "_sigmoid"}


@pytest.mark.parametrize("head", list(TEXTS), ids=lambda h: h.__name__)
def test_the_functions_of_the_kernel_file_are_as_good_as_said(head: Any) -> None:
    scope: dict[str, Any] = {"tl": SimpleNamespace(abs=np.abs, exp2=np.exp2, where=np.where, constexpr=bool)}
    exec(helpers()[TEXTS[head]].replace("@triton.jit\n", ""), scope)
    at = np.concatenate([np.linspace(-20, 20, 40001), np.logspace(-6, 0, 2000)]).astype(np.float32)
    at = at[at != 0]
    got = scope[TEXTS[head]](at, **({"FAST": False} if head is sp.tanh else {}))
    assert got.dtype == np.float32
    want = FUNCTIONS[head].value(at.astype(np.float64))
    if head is sigmoid:
        want = 1 / (1 + np.exp(-at.astype(np.float64)))
    assert (np.abs(got - want) <= FUNCTIONS[head].error(at) * 2.0**-24 * np.abs(want)).all()


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
