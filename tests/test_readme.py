"""The README's Python passes the type checker, its first example runs, and its picture shows the measured table."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import refold

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall("```python\n(.*?)```", README, re.DOTALL)
# As a user has it: refold is a library there, and its own libraries have no types that hold.
SETTINGS = """[mypy]
check_untyped_defs = true
[mypy-refold.*]
follow_imports = silent
[mypy-cvc5.*,mpmath.*,sympy.*,torch.*,triton.*,z3.*]
follow_imports = skip
ignore_missing_imports = true
"""


def scripts() -> dict[str, str]:
    """The snippets as files: one that goes on from a SPEC has that of the one before."""
    found: dict[str, str] = {}
    before = ""
    for n, text in enumerate(SNIPPETS):
        goes_on = "SPEC" in text and "import SPEC" not in text and "SPEC =" not in text
        found[f"snippet_{n}.py"] = before + text if goes_on else text
        before = text
    return found


def mypy(folder: Path, files: dict[str, str], *options: str) -> str:
    for name, text in {**files, "mypy.ini": SETTINGS}.items():
        (folder / name).write_text(text)
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", *options, *files]
    env = {**os.environ, "MYPYPATH": str(ROOT / ".typings"), "PYTHONPATH": ""}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True).stdout


def test_the_snippets_pass_mypy(tmp_path: Path) -> None:
    files = scripts()
    assert len(files) == 4 and sum("refold.derive(SPEC)" in text for text in files.values()) == 1
    assert mypy(tmp_path, files).startswith("Success: no issues found in 4 source files")
    assert "incompatible type" in mypy(tmp_path, {"wrong.py": "import refold\nrefold.emit(3)\n"})


def test_the_first_minute_runs() -> None:
    env = {**os.environ, "TRITON_INTERPRET": "1"}
    (text,) = (text for text in SNIPPETS if "torch.randn" in text)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", text], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "✓ proved" in done.stdout and "attention.py" in done.stdout


def test_the_ten_lines_are_proved() -> None:
    """A scalar with a minus before it was passed without it, and the proof looked for the one with it."""
    (text,) = (text for text in SNIPPETS if "SPEC = pipeline" in text and "decay" in text)
    names: dict[str, Any] = {}
    exec(text, names)
    plan = refold.derive(names["SPEC"])
    assert isinstance(plan, refold.Plan)
    report = refold.verify(plan)
    assert isinstance(report, refold.Proof), report
    assert f"proves {len(report.results)} obligations" in README


def test_the_picture_is_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "bench")
    monkeypatch.delitem(sys.modules, "picture", raising=False)
    picture = importlib.import_module("picture")
    table = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    assert picture.picture(table) == (ROOT / "docs" / "speed.svg").read_text(encoding="utf-8"), "run bench/picture.py"
    shown = {bar.operator: bar.ratio for bar in picture.bars(table)}
    assert len(shown) == 15 and shown["prefill causal 32/32"] == 1.56 and shown["softmax"] == 1.65
    assert "](docs/speed.svg)" in README
