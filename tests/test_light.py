"""Without torch, Triton and pytest: what derives, proves and checks runs, and what does not says what to install."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
ABSENT = ("torch", "triton", "pytest")
# To Python a module that is None in sys.modules is not installed.
RUN = """import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
sys.modules.update(dict.fromkeys({absent!r}))
from refold.cli import main
ran = []
for args in json.loads(sys.argv[1]):
    sys.argv = ["refold", *args]
    out, err = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        ran.append([end.code or 0, out.getvalue(), err.getvalue()])
print(json.dumps(ran))
"""


def run(folder: Path, *commands: str, absent: tuple[str, ...] = ABSENT) -> list[list[Any]]:
    words = json.dumps([command.split() for command in commands])
    code = RUN.format(absent=absent)
    done = subprocess.run([sys.executable, "-c", code, words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: list[list[Any]] = json.loads(done.stdout)
    return found


def test_the_prover_needs_no_kernels(tmp_path: Path) -> None:
    commands = ("derive softmax", "verify logsumexp --format json", "emit logsumexp -o out",
                "recheck out/logsumexp.proof.json", "build logsumexp -o out --no-tests",
                "build logsumexp -o out --no-tests --format json")  # fmt: skip
    ran = run(tmp_path, *commands)
    assert [(code, err) for code, _, err in ran] == [(0, "")] * len(commands)
    assert json.loads(ran[1][1])["verdict"] == "proved"
    assert ran[4][1].endswith("- tests   not run\n")
    assert json.loads(ran[5][1])["tests"] is None


def test_one_message_says_what_to_install(tmp_path: Path) -> None:
    build, bench = run(tmp_path, "build logsumexp -o out", "bench logsumexp")
    assert (build[0], bench[0]) == (2, 2)
    assert build[2] == (
        "error: out is written and not tested, which takes pytest, torch and triton: "
        """run 'pip install "refold[torch,triton]" pytest', or say --no-tests\n"""
    )
    assert (tmp_path / "out" / "logsumexp.py").exists()
    assert bench[2] == (
        """error: measuring a kernel needs torch and triton: run 'pip install "refold[torch,triton]"'\n"""
    )
    (build,) = run(tmp_path, "build logsumexp -o out", absent=("pytest",))
    assert "run 'pip install pytest', or say --no-tests" in build[2]


def test_a_refusal_asks_for_nothing(tmp_path: Path) -> None:
    (build,) = run(tmp_path, f"build {ROOT / 'tests/refused/log_shift.py'} -o out --one-pass")
    assert (build[0], build[2]) == (1, "") and "refused" in build[1]


def test_compile_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    import refold
    from refold.examples.logsumexp import SPEC

    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(refold.RefoldError, match=r"compile needs torch and triton: run 'pip install \"refold\[triton"):
        refold.compile(SPEC)


def test_nothing_but_extras_names_torch_and_triton() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert not [d for d in project["dependencies"] if d.startswith(("torch", "triton", "pytest"))]
    extras = project["optional-dependencies"]
    assert set(extras) == {"torch", "triton", "dev"} and extras["dev"][0] == "refold[torch,triton]"
