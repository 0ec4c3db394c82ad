"""The derived law of every differentiable example, in eager torch, against differences: torch's own `gradcheck`."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.examples import NAMES

from refold import gradient
from refold.errors import NoGradient

ROOT = Path(__file__).parents[1]
EVERY = [*NAMES, *(f"stages.{p.stem}" for p in sorted((ROOT / "examples" / "stages").glob("[!_]*.py")))]
# An output varies with an axis that the input lacks, or the input with one that the gradient lacks.
WITHOUT = {
    "dpo": "the gradient by won is the same for each t",
    "perplexity": "the gradient by log_p is the same for each j",
}
CHECKED = [n for n in EVERY if n not in WITHOUT]


@pytest.mark.parametrize("names", [CHECKED[k : k + 12] for k in range(0, len(CHECKED), 12)], ids=lambda n: n[0])
def test_the_derived_law_passes_gradcheck(names: list[str]) -> None:
    program = Path(__file__).parent / "gradcheck_cases.py"
    done = subprocess.run([sys.executable, "-W", "ignore", program, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == dict.fromkeys(names, "")


@pytest.mark.parametrize("name", WITHOUT)
def test_what_has_no_gradient_says_why(name: str) -> None:
    with pytest.raises(NoGradient, match=WITHOUT[name]):
        gradient(importlib.import_module(f"refold.examples.{name}").SPEC)
