"""What holds of the suite itself: no test has a deadline, none measures time."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest
from hypothesis import settings

FILES = sorted(Path(__file__).parent.glob("*.py"))
CLOCKS = {"perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time", "thread_time"}


def test_examples_have_no_deadline() -> None:
    assert settings.default.deadline is None


def timings(source: str) -> list[str]:
    """The deadlines of single tests and the clocks that a text reads."""
    nodes = list(ast.walk(ast.parse(source)))
    deadlines = [
        f"deadline, line {n.value.lineno}" for n in nodes if isinstance(n, ast.keyword) and n.arg == "deadline"
    ]
    names = [n for n in nodes if isinstance(n, ast.Name | ast.Attribute)]
    clocks = [n for n in names if (n.id if isinstance(n, ast.Name) else n.attr) in CLOCKS]
    return deadlines + [f"clock, line {n.lineno}" for n in clocks]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_test_measures_time(path: Path) -> None:
    # conftest.py holds the one profile.
    assert path.name == "conftest.py" or timings(path.read_text()) == []


def test_a_timing_is_noticed() -> None:
    assert timings("@settings(deadline=None)\ndef f(): pass") == ["deadline, line 1"]
    assert timings("import time\nstart = time.perf_counter()") == ["clock, line 2"]


def test_what_is_kept_is_of_this_run_alone() -> None:
    kept = [Path(os.environ[name]) for name in ("REFOLD_CACHE", "TRITON_CACHE_DIR", "XDG_STATE_HOME")]
    assert len({path.parent for path in kept}) == 1 and kept[0].parent.name.startswith("refold-tests-")


SLOW = (Path(__file__).parent / "slow.txt").read_text(encoding="utf-8").splitlines()


def test_what_waits_for_make_slow_is_there() -> None:
    """No line of slow.txt is of a test that has another name by now."""
    gone = []
    for line in SLOW:
        path, _, test = line.partition("[")[0].partition("::")
        source = Path(__file__).parents[1] / path
        if not source.exists() or (test and f"def {test}(" not in source.read_text(encoding="utf-8")):
            gone.append(line)
    assert gone == [] and len({*SLOW}) == len(SLOW)
