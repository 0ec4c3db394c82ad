"""What is open names the line of the user's file, in every format, and lines are no part of what a pipeline is."""

from __future__ import annotations

import copy
import gc
import importlib
import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from refold.algebra import Plan, derive
from refold.cli import main
from refold.report.loading import load
from refold.spec import Ref, Tensor, axes, exp, fold, pipeline, places
from refold.verify import Checked, Disproof, Result
from refold.verify.certificate.words import fingerprint
from refold.verify.places import place_of

TEXT = """from refold import Tensor, axes, exp, fold, pipeline
i, j = axes("i j")
x = Tensor("x", i, j)
m = fold.max(x[i, j], over=j)
t = fold.sum(
    exp(x[i, j] - m),
    over=j,
)
SPEC = pipeline(
    top=m[i],
    o=t[i],
)
"""
FORM = """from refold import claim, exp, maximum, oo
from spec import SPEC

def step(a, c):
    m = maximum(a.m, c.x)
    return {
        "m": m,
        "l": a.l + exp(c.x - m),
    }

def finish(a):
    return {"top": a.m, "o": a.l}

CLAIM = claim(SPEC, init={"m": -oo, "l": 0}, step=step, finish=finish)
"""
NAMES = {"range l: step": 5, "unit m": 4, "reading 2": 5, "finish top": 10, "conditions o": 11, "index grid": 9}


def loaded_spec(path: Path, text: str = TEXT) -> Any:
    path.write_text(text)
    return load(str(path)).value


def place(report: Any, name: str) -> places.Place | None:
    return place_of(report, Result(name, "", "unknown", 0.0, ""))


@pytest.mark.parametrize(("name", "line"), NAMES.items())
def test_the_line_of_the_fold_or_the_output(name: str, line: int, tmp_path: Path) -> None:
    plan = derive(loaded_spec(tmp_path / "spec.py"))
    assert isinstance(plan, Plan)
    assert place(Disproof(plan, (), ()), name) == places.Place(str(tmp_path / "spec.py"), line)


def test_the_line_of_the_component_that_a_claim_gives(tmp_path: Path) -> None:
    loaded_spec(tmp_path / "spec.py")
    path = tmp_path / "form.py"
    path.write_text(FORM)
    claim = load(str(path), ("CLAIM",)).value
    report = Checked(claim.spec, (), (), claim)
    for name, line in {"step l": 8, "step m: defined": 7, "finish o": 12, "init l": 14, "claim": 14}.items():
        assert place(report, name) == places.Place(str(path), line), name


def test_equal_pipelines_of_two_files_keep_their_own_lines(tmp_path: Path) -> None:
    one, two = loaded_spec(tmp_path / "a.py"), loaded_spec(tmp_path / "b.py", "# A comment.\n" + TEXT)
    assert one == two and hash(one) == hash(two) and fingerprint(one) == fingerprint(two)
    assert pickle.dumps(one) == pickle.dumps(two) and str(one) == str(two) and repr(one) == repr(two)
    for spec, file, line in ((one, "a.py", 5), (two, "b.py", 6)):
        plan = derive(spec)
        assert isinstance(plan, Plan)
        assert place(Disproof(plan, (), ()), "merge l") == places.Place(str(tmp_path / file), line)
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        plan = derive(other)
        assert other == one and isinstance(plan, Plan) and place(Disproof(plan, (), ()), "merge l") is None


def test_lines_go_with_their_pipeline() -> None:
    i, j = axes("i j")
    before = len(places._KEPT)
    spec = pipeline(o=fold.sum(Tensor("x", i, j)[i, j], over=j)[i])
    assert len(places._KEPT) == before + 1 and places.places(spec)
    del spec
    gc.collect()
    assert len(places._KEPT) <= before


def test_a_fold_that_a_ref_stands_for_has_its_line() -> None:
    i, j, k = axes("i j k")
    x, y = Tensor("x", i, j), Tensor("y", k, j)
    m = fold.max(x[i, j], over=j)
    line = sys._getframe().f_lineno - 1
    spec = pipeline(m=m[i], o=fold.sum(exp(y[k, j] - Ref("m", i)[k]), over=j)[k])
    lines = sorted(p.line for part, p in places.places(spec).items() if part != places.WHOLE)
    assert lines == [line, line, line + 2]


@pytest.mark.parametrize("format", ["pretty", "json", "junit", "sarif", "github"])
def test_every_format_says_it(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REFOLD_CACHE", os.devnull)

    def verify(plan: Plan, *_: Any) -> Disproof:
        results = [Result("unit l", "", "proved", 0.0, ""), Result("range l: step", "x < 0", "unknown", 0.0, "")]
        return Disproof(plan, tuple(results), ())

    monkeypatch.setattr(importlib.import_module("refold.verify.certificate.store"), "verify", verify)
    Path("spec.py").write_text(TEXT)
    monkeypatch.setattr(sys, "argv", ["refold", "verify", "spec.py", "--format", format])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 3
    out = capsys.readouterr().out
    match format:
        case "pretty":
            assert "  at   spec.py:5   t = fold.sum(\n" in out
        case "json":
            proved, unknown = json.loads(out)["obligations"]
            assert "at" not in proved and unknown["at"] == {"file": "spec.py", "line": 5}
        case "junit":
            # What is proved stands at the pipeline.
            assert [c.get("line") for c in ElementTree.fromstring(out).iter("testcase")] == ["9", "5"]
        case "sarif":
            found = [r["locations"][0]["physicalLocation"] for r in json.loads(out)["runs"][0]["results"]]
            assert [p["region"]["startLine"] for p in found] == [9, 5]
            assert {p["artifactLocation"]["uri"] for p in found} == {"spec.py"}
        case _:
            assert out.startswith("::warning file=spec.py,line=5,")
