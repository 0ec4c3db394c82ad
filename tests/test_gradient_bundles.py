"""Bundles with gradients pass their own tests, in a process of their own: adversarial inputs, every dtype."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from autograd_cases import example, trainable

BUNDLES = ["attention", "rms_norm"]


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_with_gradients_passes_its_own_tests(name: str, tmp_path: Path) -> None:
    kernel = trainable(example(name), name)
    kernel.write(tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [*command, str(tmp_path / f"test_{name}.py")], capture_output=True, text=True, cwd=tmp_path, env=env
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout
