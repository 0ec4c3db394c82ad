"""Claimed forms: each of tests/rejected is refuted by an input that runs, each of tests/claimed is proved."""

from __future__ import annotations

import math
import random
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refold import claim, exp, fold, maximum, oo, where
from refold.errors import ClaimError
from refold.examples import attention
from refold.examples.softmax import SPEC, i, j, x
from refold.verify import verify_claim
from refold.verify.claim.form import form_of
from refold.verify.claim.run import run_claim
from refold.verify.refute.replay import arrays, differs

FOLDER = Path(__file__).parent
REJECTED = sorted((FOLDER / "rejected").glob("*.py"))
CLAIMED = sorted((FOLDER / "claimed").glob("*.py"))


@pytest.mark.parametrize("path", REJECTED, ids=lambda path: path.stem)
def test_wrong_law_is_refuted(path: Path) -> None:
    module = runpy.run_path(str(path))
    wrong = module["CLAIM"]
    report = verify_claim(wrong)
    assert report.verdict == "refuted", str(report)
    # What is wrong, when it first shows (None where the state is none of the derived one's), and in which run.
    blamed, when, how = module["EXPECTED"]
    example = next(r.counterexample for r in report.results if r.counterexample is not None)
    inputs = arrays(wrong.spec, example)
    got = run_claim(form_of(wrong), inputs, example.order)
    wanted = wrong.spec(**inputs)
    wanted = wanted if isinstance(wanted, dict) else {wrong.spec.outputs[0].name: wanted}
    assert differs(wanted, got)
    called = eval(example.call, {"SPEC": wrong.spec})
    called = called if isinstance(called, dict) else {wrong.spec.outputs[0].name: called}
    assert not differs(wanted, called)
    assert example.call in str(report)
    assert report.results[0].name == blamed
    # Which values a solver gives is its own affair, so that some of these name the moment alone.
    assert example.divergence.when.startswith(when) if when and example.divergence else example.divergence is when
    assert how in str(report) and (when or example.trace)


@pytest.mark.parametrize("path", CLAIMED, ids=lambda path: path.stem)
def test_right_law_is_proved(path: Path) -> None:
    module = runpy.run_path(str(path))
    report = verify_claim(module["CLAIM"])
    # What is right and not proved is unknown, with what was not found, and never refuted.
    assert report.verdict == module.get("EXPECTED", "proved"), str(report)
    assert all(r.note for r in report.results if r.verdict == "unknown")


def test_an_element_has_the_names_of_the_spec() -> None:
    def step(a: Any, c: Any) -> dict[str, Any]:
        m = maximum(a.m, c.s)
        return {"m": m, "o": a.o * exp(a.m - m) + exp(c.s - m) * c.v}

    found = claim(attention.SPEC, init=lambda: {"m": -oo, "o": 0}, step=step, finish=lambda a: a.o)
    assert {str(s): e for s, e in found.elements} == {
        "s": attention.s.expr, "v": attention.v[attention.j, attention.e].expr,
    }  # fmt: skip


def law(**changed: Any) -> dict[str, Any]:
    """A claim about softmax that is not looked at before its parts are."""
    right: dict[str, Any] = {
        "element": {"x": x[i, j]},
        "init": {"l": 0},
        "step": lambda a, c: {"l": a.l + exp(c.x)},
        "finish": lambda a, c: exp(c.x) / a.l,
    }
    return right | changed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"element": {"x": fold.max(x[i, j], over=j)}}, "carry that fold in the state"),
        ({"step": lambda a, c: {"l": a.l + exp(x[i, j])}}, "step reads along j by itself"),
        ({"finish": lambda a: exp(x[i, j]) / a.l}, "finish reads along j by itself"),
        ({"step": lambda a, c: {"l": a.k}}, "step reads .k, which is in neither init nor element"),
        ({"step": lambda a, c: {"k": a.l}}, "step gives k: give a dict of l"),
        ({"step": lambda a, c: 3.0}, "step gives a float: give a dict of l"),
        ({"step": lambda a, c: None}, r"step gives nothing \(is a return missing\?\): give a dict of l"),
        ({"step": lambda a, c: {"l": None}}, "step gives l = None, a NoneType: give a number or an expression"),
        ({"step": lambda a, c: {"l": math.exp(c.x)}}, "step fails: TypeError: must be real number, not Value: its arg"),
        ({"step": lambda a, c: {"l": np.exp(c.x)}}, "so use exp, log, sqrt, maximum, where of refold and no other"),
        ({"step": lambda a, c: {"l": a.l if c.x > a.l else 1}}, "step fails: the condition .* has no truth value"),
        ({"step": lambda a, c: {"l": 1 if a.l else 0}}, "step fails: a value is not known while .*: use where"),
        ({"step": lambda a, c: {"l": max(a.l, c.x)}}, "step fails: the condition .* has no truth value .* where"),
        ({"step": lambda a, c: {"l": where(c.x > x[i, j], 1, 0)}}, r"step fails: .* is data, .* use maximum, minimum"),
        ({"step": lambda a, c: setattr(a, "l", 1)}, "step sets .l of a state: leave states as they are"),
        ({"step": lambda a: {"l": a.l}}, r"step\(a\) does not take what it is given: write it as step\(state, element"),
        ({"step": {"l": 0}}, "step is a dict: give a function"),
        ({"step": lambda a, c: {"l": undefined}}, "step fails: NameError: .* 'undefined' is not defined: correct"),  # type: ignore[name-defined]  # noqa: F821
        ({"merge": lambda a: {"l": a.l}}, r"merge\(a\) does not take what it is given: write it as merge\(left, right"),
        ({"init": 0}, "init is 0: give the empty state as a dict"),
        ({"init": {"l": "0"}}, "init gives l = '0', a str: give a number"),
        (
            {"element": None, "step": lambda a, c: {"l": a.l + c.z}},
            "step reads .z, .*the state has l, the element j, x",
        ),
    ],
)
def test_what_is_no_single_pass_is_no_claim(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ClaimError, match=message):
        claim(SPEC, **law(**changed))


def stateful() -> Any:
    calls = iter(range(100))
    return lambda a, c: {"l": a.l + exp(c.x) * (next(calls) + 1)}


def told_apart(a: Any, c: Any) -> dict[str, Any]:
    return {"l": a.l + (1 if isinstance(c.x, float) else exp(c.x))}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"step": stateful()}, "step gives another form each time it is called: let it depend on its arguments"),
        ({"step": lambda a, c: {"l": a.l + exp(c.x) * random.random()}}, "without a state of its own or random"),
        ({"init": lambda: {"l": random.random()}}, "init gives another form each time"),
        ({"step": told_apart}, r"step gives l = 1\.75 on numbers and 3\.14.* on symbols: .* without isinstance"),
    ],
)
def test_what_is_no_function_is_no_claim(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ClaimError, match=message):
        claim(SPEC, **law(**changed))
