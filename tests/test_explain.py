"""`refold explain`: its sentences by golden files, and its costs against counts made by hand and by loops."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refold import Plan, Staged, Tensor, axes, exp, fold, pipeline, stages
from refold.algebra.cost import as_written, example_sizes, fused
from refold.report import steps
from refold.report.explain import chapters
from refold.report.loading import load
from refold.spec import Size

ROOT = Path(__file__).parents[1]
REFUSED = ROOT / "tests" / "refused"
i, j = axes("i j")
x = Tensor("x", i, j)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("name", ["attention", "layer_norm", "entropy", "sigmoid_attention", "sinkhorn", "log_shift"])
def test_text(name: str, golden: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]) -> None:
    refused = name == "log_shift"
    given = str(REFUSED / f"{name}.py") if refused else name
    assert steps.explain(given, "pretty", one_pass=refused) == int(refused)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    golden(f"{name}.txt", printed.partition("\n")[2])


def told(spec: Any) -> str:
    """What is said of a pipeline."""
    return " ".join(s for c in chapters(stages(spec), spec) for s in c.sentences)


def test_what_nobody_wrote_is_said() -> None:
    ratio = fold.sum(exp(x[i, j]) * x[i, j], over=j) / fold.sum(exp(x[i, j]), over=j)
    said = told(pipeline(y=ratio[i]))
    assert "would overflow for large exponents" in said and "is multiplied by the same exp(m - m′)" in said
    said = told(pipeline(y=fold.sum(x[i, j], over=j)[i]))
    assert "no fold waits for another" in said and "overflow" not in said and "multiplied" not in said


@pytest.mark.parametrize("name", ["exp_product", "log_shift", "reciprocal"])
def test_a_refusal_names_the_term_that_mixes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert steps.explain(str(REFUSED / f"{name}.py"), "json", one_pass=True) == 1
    data = json.loads(capsys.readouterr().out)
    (said,) = data["sentences"].values()
    term = {"exp_product": "exp(r·c)", "log_shift": "log(r + c)", "reciprocal": "1/(r + c)"}[name]
    assert data["status"] == "refused" and any(s.startswith(f"What stops it is {term}: it mixes r") for s in said)


def test_json_has_the_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert steps.explain("attention", "json") == 0
    cost = json.loads(capsys.readouterr().out)["cost"]
    n, d = cost["sizes"]["j"], cost["sizes"]["d"]
    assert cost["fused"]["example"]["bytes"] == 2 * 4 * n * d, "q, k, v and o, once each"
    assert cost["written"]["example"]["bytes"] == 2 * (4 * n * d + 5 * n * n + 2 * n), "s, p and m too"


def counted(a: int, b: int) -> int:
    """The operations of a softmax of rows, as a kernel of two walks does them."""
    count = 0
    for _ in range(a):
        for _ in range(b):
            count += 1  # the maximum
            count += 2 + 1  # x - m, exp, and the sum
        for _ in range(b):
            count += 2 + 1  # x - m, exp, and the quotient
    return count


def test_operations_of_a_softmax_are_those_of_its_loops() -> None:
    spec = load("softmax").value
    plan = stages(spec)
    assert isinstance(plan, Plan)
    for a, b in ((3, 7), (1, 1), (5, 2)):
        sizes = {Size("i"): a, Size("j"): b}
        assert fused(plan).at(sizes) == (3 * a * b, counted(a, b))
        # m reads x; p reads x and m; y reads p twice and writes, as its sum is finished before.
        assert as_written(spec).at(sizes)[0] == (a * b + a) + (2 * a * b + a) + 3 * a * b


def test_stages_cost_the_sum_of_theirs() -> None:
    spec = load("sinkhorn").value
    cut = stages(spec)
    assert isinstance(cut, Staged)
    assert fused(cut) == fused(cut.plans[0]) + fused(cut.plans[1])


def test_two_axes_in_one_cost_what_both_do() -> None:
    spec = load("group_norm").value
    cost = fused(stages(spec))
    assert {s.name for s in cost.moved.free_symbols} == {"n", "g", "c", "p"}
    sizes = {Size("n"): 2, Size("g"): 3, Size("c"): 5, Size("p"): 7}
    assert cost.at(sizes)[0] == 3 * 210 + 2 * 15


def test_every_axis_has_a_length_in_the_example() -> None:
    for name in ("attention", "gqa", "group_norm", "clip_loss", "cross_entropy"):
        spec = load(name).value
        outcome = stages(spec)
        for cost in (as_written(spec), fused(outcome)):
            assert all(n > 0 for n in cost.at(example_sizes(outcome, spec)))
