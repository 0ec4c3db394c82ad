"""`refold verify A B C`: every file is verified, in its place, whatever becomes of the others."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from refold.report import several

HEAD = """from refold import Tensor, axes, exp, fold, log, pipeline
(j,) = axes("j")
(i,) = axes("i")
x = Tensor("x", i, j)
"""
FILES = {
    "total": HEAD + "SPEC = pipeline(t=fold.sum(x[i, j], over=j)[i])\n",
    "mixed": HEAD + "SPEC = pipeline(t=fold.sum(log(x[i, j] ** 2 + 1 + fold.max(x[i, j], over=j)), over=j)[i])\n",
    "broken": "import refold\nx = (\n",
    "largest": HEAD + "SPEC = pipeline(t=fold.max(x[i, j], over=j)[i])\n",
}


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


def written(folder: Path) -> list[str]:
    """The names of the files, written into a folder."""
    for name, text in FILES.items():
        (folder / f"{name}.py").write_text(text)
    return [f"{name}.py" for name in FILES]


def verify(folder: Path, *args: str) -> Ran:
    """Runs the command as a user does: its workers are processes, which have to find what they need by themselves."""
    command = [sys.executable, "-m", "refold", "verify", *written(folder), "--one-pass", *args]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "Traceback" not in ended.stdout + ended.stderr, ended.stderr
    return Ran(ended.returncode, ended.stdout, ended.stderr)


def test_people_get_a_line_a_file_in_the_order_given(tmp_path: Path) -> None:
    ran = verify(tmp_path, "--jobs", "2")
    heads = [line.split()[:2] for line in ran.out.splitlines() if re.match(r"[✓✗?] \w+   ", line)]
    assert heads[0] == ["✓", "total"] and heads[-1] == ["✓", "largest"]
    assert [h[1] for h in heads if h[1] in FILES] == list(FILES)
    assert "broken.py:2: Python syntax error" in ran.out
    assert re.search(r"4 files in \d+ s: 2 proved, 1 refused, 1 error", ran.out)
    assert ran.code == 2


def test_machines_get_one_document_from_several_processes(tmp_path: Path) -> None:
    ran = verify(tmp_path, "--format", "json", "--jobs", "2")
    assert ran.code == 2
    json_document(ran.out)


@pytest.mark.parametrize("format", ["json", "junit", "sarif", "github"])
def test_machines_get_one_document(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one process, which is all that differs: what every file is verified by has to be loaded in each."""

    def in_order(specs: list[str], question: several.Question, _: int) -> Iterator[several.Told]:
        return (several.told(spec, question) for spec in specs)

    monkeypatch.setattr(several, "_in_order", in_order)
    monkeypatch.chdir(tmp_path)
    question = several.Question(
        format=format, against=None, fail_on="unknown", timeout=None, fresh=False, verbose=False, one_pass=True
    )
    assert several.verify(written(tmp_path), question, 1) == 2
    check: Any = {"json": json_document, "junit": junit_document, "sarif": sarif_document, "github": annotations}
    check[format](capsys.readouterr().out)


def json_document(text: str) -> None:
    found = json.loads(text)
    assert [entry["spec"] for entry in found] == [f"{name}.py" for name in FILES]
    assert [entry.get("verdict", entry.get("status")) for entry in found] == ["proved", "refused", "error", "proved"]


def junit_document(text: str) -> None:
    root = ElementTree.fromstring(text)
    assert [suite.get("name") for suite in root] == [f"{name}.py" for name in FILES]
    assert int(root.get("tests", 0)) == sum(int(suite.get("tests", 0)) for suite in root) > 10
    assert root.get("failures") == root.get("errors") == "1"


def sarif_document(text: str) -> None:
    (run,) = json.loads(text)["runs"]
    results = run["results"]
    assert all(run["tool"]["driver"]["rules"][r["ruleIndex"]]["id"] == r["ruleId"] for r in results)
    assert not run["invocations"][0]["executionSuccessful"]
    files = Counter(r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in results)
    assert files.keys() == {f"{name}.py" for name in FILES} and files["broken.py"] == files["mixed.py"] == 1


def annotations(text: str) -> None:
    levels = Counter(re.match(r"::(\w+) file=(\w+)", line).groups() for line in text.splitlines())  # type: ignore[union-attr]
    assert levels["error", "broken"] == levels["error", "mixed"] == 1
    assert levels["notice", "total"] and levels["notice", "largest"]


def test_fail_on_never_still_fails_on_what_cannot_be_read(tmp_path: Path) -> None:
    assert verify(tmp_path, "--fail-on", "never").code == 2
    command = [sys.executable, "-m", "refold", "verify", "total.py", "mixed.py", "--one-pass", "--fail-on", "never"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_a_folder_stands_for_its_files(tmp_path: Path) -> None:
    for name in ("a/two.py", "one.py", "_helper.py", "__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = several.files_of([str(tmp_path), "softmax"])
    assert found == [str(tmp_path / "a" / "two.py"), str(tmp_path / "one.py"), "softmax"]
