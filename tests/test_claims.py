"""Claimed forms: each of tests/rejected is refuted by an input that runs, each of tests/claimed is proved."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from refold import claim, exp, fold
from refold.algebra.derive import fold_axis
from refold.errors import ClaimError
from refold.examples.softmax import SPEC, i, j, x
from refold.verify import verify_claim
from refold.verify.claimed import ClaimRunner
from refold.verify.replay import arrays, differs, orders

FOLDER = Path(__file__).parent
REJECTED = sorted((FOLDER / "rejected").glob("*.py"))
CLAIMED = sorted((FOLDER / "claimed").glob("*.py"))


@pytest.mark.parametrize("path", REJECTED, ids=lambda path: path.stem)
def test_wrong_law_is_refuted(path: Path) -> None:
    module = runpy.run_path(str(path))
    wrong = module["CLAIM"]
    report = verify_claim(wrong)
    assert report.verdict == "refuted", str(report)
    assert module["EXPECTED"] in str(report)
    example = next(r.counterexample for r in report.results if r.counterexample is not None)
    inputs = arrays(wrong.spec, example)
    length = inputs[fold_axis(wrong.spec).name]
    every = [*orders(length, True, False), *orders(length, True, True)]
    order = next(order for order, how in every if how == example.how)
    got = ClaimRunner(wrong, fold_axis(wrong.spec)).run(inputs, order)
    wanted = wrong.spec(**inputs)
    wanted = wanted if isinstance(wanted, dict) else {wrong.spec.outputs[0].name: wanted}
    assert differs(wanted, got)


@pytest.mark.parametrize("path", CLAIMED, ids=lambda path: path.stem)
def test_right_law_is_proved(path: Path) -> None:
    report = verify_claim(runpy.run_path(str(path))["CLAIM"])
    assert report.verdict == "proved", str(report)


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
    ],
)
def test_what_is_no_single_pass_is_no_claim(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ClaimError, match=message):
        claim(SPEC, **law(**changed))
