"""Writes a bundle into a folder, and runs the tests that were emitted with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refold.errors import UsageError
from refold.needs import KERNELS, advice, missing


@dataclass(frozen=True, slots=True)
class TestRun:
    """How the emitted tests ended: pytest's own last line, and what it printed where they failed."""

    passed: bool
    summary: str
    output: str
    seconds: float


def output_folder(path: Path) -> Path:
    """Makes a folder to write to, or says in one message why that cannot be."""
    for part in (path, *path.parents):
        if part.exists():
            if not part.is_dir():
                raise UsageError(f"{part} is a file: give a folder to write the bundle to, as in -o build/NAME")
            break
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".refold-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: cannot be written to: {why}: give another folder with -o") from None
    return path


def write_bundle(kernel: Any, folder: Path) -> tuple[Path, ...]:
    """The files of a kernel, written."""
    try:
        return tuple(kernel.write(folder))
    except OSError as error:
        raise UsageError(
            f"{error.filename or folder}: cannot be written: {error.strerror}: give another folder"
        ) from None


def need_tests(folder: Path) -> None:
    """Raises a `UsageError` where the tests of a bundle that is written cannot run here."""
    gone = missing("pytest", *KERNELS)
    if gone:
        raise UsageError(
            f"{folder} is written and not tested, which takes pytest, {' and '.join(KERNELS)}: {advice(gone)}, "
            "or say --no-tests"
        )


def run_tests(folder: Path, notify: Callable[[str], None]) -> TestRun:
    """Runs pytest on a bundle, apart from the settings of the project around it; Triton interprets without a GPU."""
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PY_COLORS": "0", "PYTEST_ADDOPTS": ""}
    if not (os.path.exists("/dev/nvidia0") or os.path.exists("/dev/kfd")):
        env.setdefault("TRITON_INTERPRET", "1")
    root = str(folder.resolve())
    options = ["-v", "--tb=short", "--no-header", "-p", "no:cacheprovider", "-c", os.devnull]
    options += [f"--rootdir={root}", f"--confcutdir={root}"]
    command = [sys.executable, "-m", "pytest", *options, root]
    start = time.perf_counter()
    lines: list[str] = []
    passed = failed = 0
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    with subprocess.Popen(command, **streams, encoding="utf-8", errors="replace", env=env, cwd=folder) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                passed += " PASSED" in line
                failed += " FAILED" in line or " ERROR " in line
                percent = re.search(r"\[ *(\d+%)\]", line)
                if percent:
                    notify(f"{percent[1]}, {passed} passed{f', {failed} failed' if failed else ''}")
        except BaseException:
            process.kill()
            raise
    summary = lines[-1].strip("= ") if lines else "pytest said nothing"
    return TestRun(process.returncode == 0, summary, "\n".join(_failures(lines)), time.perf_counter() - start)


def _failures(lines: list[str]) -> list[str]:
    """The part of pytest's output that says what failed: at most 60 lines."""
    start = next((n for n, line in enumerate(lines) if re.match(r"=+ (FAILURES|ERRORS) =+", line)), 0)
    return lines[start:][-60:]
