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
        return SpecFile.from_parent(parent, path=file_path) if concerns(file_path) else None
    return None


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    # Given by name a file would be imported as tests too, whatever its name is.
    tests = any(fnmatch(module_path.name, p) for p in parent.config.getini("python_files"))
    if parent.config.getoption("--refold-only") or (_asked(parent.config) and not tests and concerns(module_path)):
        return NoTests.from_parent(parent, path=module_path)
    return None


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.getoption("--refold-only") and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


def _asked(config: pytest.Config) -> bool:
    return bool(config.getoption("--refold") or config.getoption("--refold-only"))


def concerns(path: Path) -> bool:
    """Whether a file may define a pipeline or a form, by its text alone: it imports refold, or has names that say so.

    Of text that is not Python the word `refold` is enough, so that a broken file fails instead of passing unseen.
    """
    try:
        text = path.read_bytes()
    except OSError:
        return True
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return b"refold" in text
    nodes = [node for statement in body for node in _run_at_load(statement)]
    named = {t.id for node in nodes for t in _targets(node)} | {n.name for n in nodes if isinstance(n, ast.FunctionDef)}
    modules = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    modules |= {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}
    return bool({"SPEC", "CLAIM"} & named or {"step", "finish"} <= named) or "refold" in {
        module.partition(".")[0] for module in modules
    }


def _run_at_load(node: ast.stmt) -> Iterator[ast.stmt]:
    """A statement, and those within it that run when the file is loaded."""
    yield node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        for field in ("body", "orelse", "finalbody", "handlers"):
            for inner in getattr(node, field, ()):
                yield from _run_at_load(inner)


def _targets(node: ast.stmt) -> Iterator[ast.Name]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return (n for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))


class NoTests(pytest.Module):
    """A file that is not imported as a module of tests."""

    def collect(self) -> list[pytest.Item | pytest.Collector]:
        return []


class SpecFile(pytest.File):
    """A file with pipelines and claimed forms: an item each, by whatever name, or one that says why it fails."""

    def collect(self) -> Iterator[pytest.Item]:
        from refold.errors import RefoldError
        from refold.report.loading import load_all

        try:
            members = load_all(self.path)
        except RefoldError as error:
            yield LoadItem.from_parent(self, name="load", error=error)
            return
        for name, loaded in members:
            yield SpecItem.from_parent(self, name=name, loaded=loaded)


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


class LoadItem(Item):
    """A file that cannot be loaded: it fails with the place and what to do."""

    def __init__(self, *, error: Exception, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.error = error

    def runtest(self) -> None:
        raise self.error


class SpecItem(Item):
    """One pipeline or claimed form: all of its obligations."""

    def __init__(self, *, loaded: Any, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.loaded = loaded

    def runtest(self) -> None:
        from refold.report.steps import outcome_of

        outcome = outcome_of(self.loaded, self.config.getoption("--refold-timeout"))
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
