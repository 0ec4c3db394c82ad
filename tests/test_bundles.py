"""Every example becomes a bundle that passes its own tests; found by glob, each in a process of its own."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import refold.examples
from refold import derive, emit
from refold.verify import store

NAMES = sorted(path.stem for path in Path(next(iter(refold.examples.__path__))).glob("[!_]*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_bundle_of_example_passes_its_own_tests(name: str, tmp_path: Path) -> None:
    emit(store.verified(derive(importlib.import_module(f"refold.examples.{name}").SPEC)), name).write(tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(tmp_path)]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout[-2000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout
