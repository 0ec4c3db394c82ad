"""`pytest --refold` collects pipelines, forms and proof files, and fails with the words of the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from refold.verify.certificate import recheck
from refold.verify.certificate.document import seal

SOFT = """from refold import Tensor, axes, exp, fold, pipeline
i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(l=fold.sum(exp(x[i, j] - fold.max(x[i, j], over=j)), over=j)[i])
"""
FORM = """from soft import SPEC
from refold import exp, maximum, oo
init = {"m": -oo, "l": 0}
def step(a, c):
    m = maximum(a.m, c.x)
    return {"m": m, "l": a.l + exp(c.x - m)}
def finish(a):
    return a.l
"""


def proof(*obligations: dict[str, Any]) -> str:
    """The text of a proof file."""
    stated = [{**LAW, "name": name} for name in DEMANDED if obligations]
    nothing: dict[str, list[str]] = {"reading": [], "guard": [], "index": [], "refinement": []}
    program = {"accumulators": {"m": ["max"]}, "finish": ["y"], **nothing}
    return seal({"format": recheck.FORMAT, "name": "n", "spec": "s", "plan": "p", "versions": {"refold": "0"},
                 "program": program, "obligations": [*stated, *obligations], "answers": {}})  # fmt: skip


DEMANDED = ["structure", "unit m", "lift m", "merge m: associative", "merge m: commutative", "finish y"]
LAW = {"name": "law", "claim": "a² = a", "verdict": "proved",
       "proof": [{"case": {"given": ["a == 1"], "show": ["a*a == a"], "equations": {"a*a == a": [["a", "a == 1"]]}}}]
       }  # fmt: skip
FALSE = {**LAW, "proof": [{"case": {"given": ["a == 1"], "show": ["a*a == 2*a"],
                                    "equations": {"a*a == 2*a": [["a", "a == 1"]]}}}]}  # fmt: skip


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    # By its name: what an entry point adds, `-p` does without an installation.
    loaded = [] if "refold" in _entry_points() else ["-p", "refold.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", *loaded, "-p", "no:cacheprovider", "-p", "no:xdist", *args]
    env = {**os.environ, "PYTEST_ADDOPTS": "", "COLUMNS": "80", "PYTHONDONTWRITEBYTECODE": "1",
           "REFOLD_CACHE": str(folder / "kept")}  # fmt: skip
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def _entry_points() -> set[str]:
    from importlib.metadata import entry_points

    return {e.name for e in entry_points(group="pytest11")}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "soft.py").write_text(SOFT)
    (tmp_path / "mine.py").write_text(FORM)
    (tmp_path / "other.py").write_text("raise RuntimeError('imported')\n")
    (tmp_path / "good.proof.json").write_text(proof(LAW))
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    return tmp_path


def test_what_is_collected_and_how_it_fails(project: Path) -> None:
    shown = run(project, "--refold", "-v", "--junitxml=out.xml")
    assert shown.returncode == 1, shown.stdout + shown.stderr
    for line in ("soft.py::SPEC PASSED", "mine.py::form FAILED", "good.proof.json::proof PASSED", "test_own PASSED"):
        assert line in shown.stdout
    assert "1 failed, 3 passed" in shown.stdout
    assert "step l is refuted   l = l₁ + exp(x - max(m₁, x))" in shown.stdout
    assert "wrong  after element 1 (x = 1): l = 2, should be 1.367879 (l = Σ_j exp(x - m))" in shown.stdout
    assert "FAILED mine.py::form - 0 of 1 obligations proved in 0.00 s; refuted: step l" in shown.stdout
    assert "Traceback" not in shown.stdout and "pytest_plugin.py" not in shown.stdout
    assert '<property name="refold_verdict" value="refuted" />' in (project / "out.xml").read_text()


def test_without_the_option_nothing_is_collected(project: Path) -> None:
    shown = run(project, "-v")
    assert shown.returncode == 0 and "1 passed" in shown.stdout


def test_unknown_and_what_cannot_be_used(project: Path) -> None:
    (project / "mine.py").unlink()
    (project / "bad.py").write_text("SPEC = 3\n")
    (project / "wrong.proof.json").write_text(proof(LAW, {**LAW, "verdict": "unknown"}))
    (project / "false.proof.json").write_text(proof(LAW, FALSE))
    (project / "edited.proof.json").write_text(proof(LAW).replace("a² = a", "a² = 2·a"))
    (project / "none.proof.json").write_text(proof())
    (project / "text.proof.json").write_text("{")
    shown = run(project, "--refold", "--refold-timeout=0")
    assert "7 failed, 2 passed" in shown.stdout
    for text in (
        "the time limit of 0 s ran out",
        "bad.py:1: SPEC is of type int and no pipeline: write SPEC =",
        "wrong.proof.json: rejected: obligation law: it is unknown",
        "false.proof.json: rejected: obligation law: a*a == 2*a is not the combination that its cofactors say",
        "edited.proof.json: rejected: the file is not the one that its key was made from",
        "none.proof.json: rejected: obligations that the program demands are missing",
        "text.proof.json is not JSON",
    ):
        assert text in shown.stdout, shown.stdout
    shown = run(project, "--refold", "--refold-timeout=0", "--refold-fail-on=refuted", "soft.py", "-rs")
    assert shown.returncode == 0 and "1 skipped" in shown.stdout


MANY = """import refold
from soft import SPEC as imported
from refold import Tensor, axes, exp, fold, pipeline
i, j = axes("i j")
x = Tensor("x", i, j)


def total(value):
    return pipeline(l=fold.sum(value, over=j)[i])


first, second = total(x[i, j]), total(x[i, j] ** 2)
again = first
_more = [total(exp(x[i, j]))]
BY_NAME = {"cubes": total(x[i, j] ** 3)}
if True:
    WRONG = refold.claim(first, init={"l": 0}, step=lambda a, c: {"l": a.l}, finish=lambda a: a.l)
PLAN = refold.derive(first)
"""


def test_every_pipeline_and_claim_by_whatever_name(project: Path) -> None:
    (project / "many.py").write_text(MANY)
    shown = run(project, "--refold-only", "--collect-only", "-q", "many.py")
    names = [line.partition("::")[2] for line in shown.stdout.splitlines() if "::" in line]
    assert names == ["first", "second", "_more[0]", "BY_NAME['cubes']", "WRONG"], shown.stdout
    shown = run(project, "--refold-only", "-v", "many.py", "-k", "first or WRONG")
    assert "many.py::first PASSED" in shown.stdout and "many.py::WRONG FAILED" in shown.stdout, shown.stdout


def test_a_file_that_fails_to_load_fails(project: Path) -> None:
    (project / "broken.py").write_text("from refold import (\n")
    (project / "raises.py").write_text("import refold\nNAME = 1 / 0\n")
    (project / "gone.py").write_text("from refold import nonesuch\n")
    (project / "theirs.py").write_text("x = (\n")
    shown = run(project, "--refold-only", "broken.py", "raises.py", "gone.py", "theirs.py")
    assert shown.returncode == 1 and "3 failed" in shown.stdout, shown.stdout
    for text in ("broken.py:1: Python syntax error", "raises.py:2: the file fails when it is read: ZeroDivisionError",
                 "gone.py:1: the file fails when it is read: ImportError"):  # fmt: skip
        assert text in shown.stdout
    assert "Traceback" not in shown.stdout


def test_only_what_is_refolds(project: Path) -> None:
    shown = run(project, "--refold-only", "soft.py", "other.py", "test_own.py")
    assert shown.returncode == 0 and "1 passed" in shown.stdout, shown.stdout
    shown = run(project, "--refold-only", "other.py")
    assert shown.returncode == 0 and "no tests ran" in shown.stdout
