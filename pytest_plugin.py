"""Collects pipelines, claimed forms and proof files: `pytest --refold` verifies what a repository holds."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

# Nothing of refold is imported here: pytest loads this file in every run, with or without --refold.


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("refold", "fused reductions and their proofs")
    group.addoption("--refold", action="store_true", help="verify pipelines, claimed forms and proof files")
    group.addoption("--refold-only", action="store_true",
                    help="as --refold, and no other tests: files without a pipeline are no failure")  # fmt: skip
    group.addoption(
        "--refold-timeout", type=float, metavar="SECONDS", help="what a file leaves open by then is unknown"
    )
    group.addoption("--refold-fail-on", choices=("unknown", "refuted"), default="unknown",
                    help="refuted: skip what is unknown instead of failing (default: unknown)")  # fmt: skip
    parser.addini("refold_files", "patterns of the Python files that --refold looks into", "args", ["*.py"])


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if not _asked(parent.config):
        return None
    if file_path.name.endswith(".proof.json"):
        return ProofFile.from_parent(parent, path=file_path)
    if file_path.suffix == ".py" and any(fnmatch(file_path.name, p) for p in parent.config.getini("refold_files")):
        return SpecFile.from_parent(parent, path=file_path) if defined(file_path) else None
    return None


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    # Given by name a file would be imported as tests too, whatever its name is.
    tests = any(fnmatch(module_path.name, p) for p in parent.config.getini("python_files"))
    if parent.config.getoption("--refold-only") or (_asked(parent.config) and not tests and defined(module_path)):
        return NoTests.from_parent(parent, path=module_path)
    return None


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.getoption("--refold-only") and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


def _asked(config: pytest.Config) -> bool:
    return bool(config.getoption("--refold") or config.getoption("--refold-only"))


def defined(path: Path) -> tuple[str, ...]:
    """What of SPEC, CLAIM and a form (`step`, with `finish`) a file defines at its top, by its text alone."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return ()  # a file that is broken is for whoever imports it to report
    targets = [t for node in body for t in _targets(node)]
    functions = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    imported = {a.asname or a.name for node in body if isinstance(node, ast.ImportFrom) for a in node.names}
    found: list[str] = [name for name in ("SPEC", "CLAIM") if name in targets]
    if "CLAIM" not in found and {"step", "finish"} <= functions and "SPEC" in {*targets, *imported}:
        found.append("form")
    return tuple(found)


def _targets(node: ast.stmt) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return (t.id for t in targets if isinstance(t, ast.Name))


class NoTests(pytest.Module):
    """A file that is not imported as a module of tests."""

    def collect(self) -> list[pytest.Item | pytest.Collector]:
        return []


class SpecFile(pytest.File):
    """A file with a pipeline or a claimed form: an item each."""

    def collect(self) -> Iterator[pytest.Item]:
        for name in defined(self.path):
            yield SpecItem.from_parent(self, name=name)


class ProofFile(pytest.File):
    """A file with a proof."""

    def collect(self) -> Iterator[pytest.Item]:
        yield ProofItem.from_parent(self, name="proof")


class NotProved(Exception):
    """Carries what the command line would print."""


class Item(pytest.Item):
    """Something that is proved, or fails with the text of the command line and no traceback."""

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from refold.errors import RefoldError

        if isinstance(excinfo.value, NotProved | RefoldError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"refold {self.path.name}::{self.name}"


class SpecItem(Item):
    """One pipeline or claimed form: all of its obligations."""

    def runtest(self) -> None:
        from refold.report.steps import outcome_of

        given = str(self.path) if self.name == "form" else f"{self.path}:{self.name}"
        outcome = outcome_of(given, self.config.getoption("--refold-timeout"))
        self.user_properties += [("refold_verdict", outcome.verdict), ("refold_obligations", outcome.obligations)]
        if outcome.verdict == "unknown" and self.config.getoption("--refold-fail-on") == "refuted":
            pytest.skip(f"unknown: {outcome.summary}")
        if outcome.verdict != "proved":
            raise NotProved(f"{outcome.summary}\n\n{outcome.text}")


class ProofItem(Item):
    """One proof file, checked again."""

    def runtest(self) -> None:
        from refold.report.rechecking import checker, read

        try:
            checker().recheck(read(self.path))
        except checker().Rejected as error:
            raise NotProved(f"{self.path.name}: rejected: {error}") from None
