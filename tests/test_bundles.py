"""Every example becomes a bundle that passes its own tests; found by glob, a few of them in a process of their own."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.examples import FEW, NAMES

from refold import derive, emit
from refold.verify.certificate import store

# One of each shape of kernel, with every test of its bundle; of the others those of one dtype and plain strides, and
# none that asks the solver again what it was just asked.
WHOLE = ["argmax", "causal_attention", "cross_entropy", "decode", "document", "layer_norm"]
SOME = "not float16 and not leading and not tall and not constant and not solver and not (length and empty)"


def passes(names: list[str], folder: Path, chosen: str, *, single_file: bool = False) -> None:
    """Writes bundles and runs their tests in one process, as loading torch takes seconds."""
    for name in names:
        (folder / name).mkdir()
        plan = derive(importlib.import_module(f"refold.examples.{name}").SPEC)
        emit(store.verified(plan), name, single_file=single_file).write(folder / name)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-k",
        chosen,
        str(folder),
    ]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env)
    assert done.returncode == 0, done.stdout[-2000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout


def groups(names: list[str], size: int = 4) -> list[list[str]]:
    return [names[n : n + size] for n in range(0, len(names), size)]


@pytest.mark.parametrize("names", groups(WHOLE, 2), ids=" ".join)
def test_bundles_pass_their_own_tests(names: list[str], tmp_path: Path) -> None:
    passes(names, tmp_path, "")


def test_a_bundle_of_a_single_file_passes_its_own_tests(tmp_path: Path) -> None:
    passes(["logsumexp"], tmp_path, SOME, single_file=True)


REST = groups([n for n in NAMES if n in FEW and n not in WHOLE])
MORE = groups([n for n in NAMES if n not in FEW])
# Every fourth group is quick; the others wait for make slow, and all of what is not among the few.
PARTS = [pytest.param(names, marks=pytest.mark.slow) if n % 4 else names for n, names in enumerate(REST)]
PARTS += [pytest.param(names, marks=pytest.mark.slow) for names in MORE]


@pytest.mark.parametrize("names", PARTS, ids=" ".join)
def test_bundles_pass_some_of_their_own_tests(names: list[str], tmp_path: Path) -> None:
    passes(names, tmp_path, SOME)


@pytest.mark.slow
@pytest.mark.parametrize("names", [*REST, *MORE], ids=" ".join)
def test_the_other_bundles_pass_all_of_their_own_tests(names: list[str], tmp_path: Path) -> None:
    passes(names, tmp_path, f"not ({SOME})")
