"""Claimed forms: each of tests/rejected is refuted by an input that runs, each of tests/claimed is proved."""

from __future__ import annotations

import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refold import claim, exp, fold, maximum, oo
from refold.errors import ClaimError
from refold.examples import attention
from refold.examples.softmax import SPEC, i, j, x
from refold.verify import verify_claim
from refold.verify.claim_run import run_claim
from refold.verify.replay import arrays, differs

FOLDER = Path(__file__).parent
REJECTED = sorted((FOLDER / "rejected").glob("*.py"))
CLAIMED = sorted((FOLDER / "claimed").glob("*.py"))


BLAMED = {
    "argmax-last_of_ties": ("step at", "after element 1 (at = 1)"),
    "attention-dropped_factor": ("merge o", "merging [0] with [1]"),
    "attention-merge_of_outputs": ("merge o", "merging [0] with [1]"),
    "attention-missing_rescale": ("step o", "after element 1 (s = 1, v = 0)"),
    "attention-stale_weight": ("step o", "after element 0 (s = 0, v = 0)"),
    "attention-swapped": ("step o", "after element 0 (s = 0, v = 0)"),
    "attention-unnormalised": ("finish o", "at the end"),
    "attention-wrong_unit": ("init m", "of nothing"),
    "attention_sink-forgotten": ("finish o", "at the end"),
    "attention_sink-twice": ("merge l", "merging [0] with [1]"),
    "causal_attention-masked_first": ("step l", "after element 1 (s = -inf)"),
    "entropy-rank_one": ("step t", "after element 1 (x = 1)"),
    "layer_norm-fresh_mean_twice": ("step M2", "after element 1 (x = 1)"),
    "layer_norm-merge_adds": ("merge M2", "merging [0] with [1]"),
    "layer_norm-merge_dropped_factor": ("merge M2", "merging [0] with [1]"),
    "layer_norm-merge_plain_mean": ("merge mean", "merging [0] with [1, 2]"),
    "layer_norm-padded_lanes": ("merge M2", "merging [0] with [1]"),
    "layer_norm-stale_mean_twice": ("step M2", "after element 1 (x = 1)"),
    "layer_norm-unbiased": ("finish y", "at the end"),
    "layer_norm-wrong_unit": ("init n", "of nothing"),
    "logsumexp-base_two": ("finish y", "at the end"),
    "logsumexp-sum_of_parts": ("merge lse", "merging [0] with [1]"),
    "sigmoid_attention-dropped_factor": ("step o", "after element 0 (s = -1, v = 1)"),
    "sigmoid_attention-rescaled": ("step o", "after element 1 (s = -1, v = 0)"),
    "sigmoid_attention-softmax_merge": ("merge o", "merging [0] with [1]"),
    "sigmoid_attention-wrong_unit": ("init o", "of nothing"),
    "softmax-finish_without_max": ("finish y", "at the end"),
    "softmax-merge_adds": ("merge l", "merging [0] with [1]"),
    "softmax-merge_drops_part": ("merge l", "merging [0] with [1]"),
    "softmax-merge_swapped": ("merge l", "merging [0] with [1, 2]"),
    "softmax-missing_guard": ("merge l", "merging [] with []"),
    "softmax-missing_rescale": ("step l", "after element 1 (x = 1)"),
    "softmax-swapped": ("step l", "after element 0 (x = 0)"),
    "softmax-wrong_unit_sum": ("init m", "of nothing"),
}  # fmt: skip
# Its scores are shifted by 60000, so that nothing that is tried is its running maximum.
UNREAD = {"softmax-finite_running_max"}


@pytest.mark.parametrize("path", REJECTED, ids=lambda path: path.stem)
def test_wrong_law_is_refuted(path: Path) -> None:
    module = runpy.run_path(str(path))
    wrong = module["CLAIM"]
    report = verify_claim(wrong)
    assert report.verdict == "refuted", str(report)
    assert module["EXPECTED"] in str(report)
    example = next(r.counterexample for r in report.results if r.counterexample is not None)
    inputs = arrays(wrong.spec, example)
    got = run_claim(wrong, inputs, example.order)
    wanted = wrong.spec(**inputs)
    wanted = wanted if isinstance(wanted, dict) else {wrong.spec.outputs[0].name: wanted}
    assert differs(wanted, got)
    called = eval(example.call, {"SPEC": wrong.spec})
    called = called if isinstance(called, dict) else {wrong.spec.outputs[0].name: called}
    assert not differs(wanted, called)
    assert example.call in str(report)
    if path.stem not in UNREAD:
        assert BLAMED[path.stem] == (report.results[0].name, example.parting and example.parting.when)
    else:
        assert example.parting is None and example.trace and report.results[0].name == "claim"


@pytest.mark.parametrize("path", CLAIMED, ids=lambda path: path.stem)
def test_right_law_is_proved(path: Path) -> None:
    report = verify_claim(runpy.run_path(str(path))["CLAIM"])
    assert report.verdict == "proved", str(report)


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
        ({"step": lambda a, c: {"l": a.l if c.x > a.l else 1}}, "step fails: x is data, .* use maximum, minimum or"),
        ({"step": lambda a, c: {"l": 1 if a.l else 0}}, "step fails: a value is not known while .*: use where"),
        ({"step": lambda a, c: {"l": max(a.l, c.x)}}, "step fails: .* is data, .* use maximum, minimum or relu"),
        ({"step": lambda a, c: setattr(a, "l", 1)}, "step sets .l of a state: leave states as they are"),
        ({"step": lambda a: {"l": a.l}}, r"step\(a\) does not take what it is given: write it as step\(state, element"),
        ({"step": {"l": 0}}, "step is a dict: give a function"),
        ({"step": lambda a, c: {"l": undefined}}, "step fails: NameError: .* 'undefined' is not defined: correct"),  # type: ignore[name-defined]  # noqa: F821
        ({"merge": lambda a: {"l": a.l}}, r"merge\(a\) does not take what it is given: write it as merge\(left, right"),
        ({"init": 0}, "init is 0: give the state of nothing as a dict"),
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
