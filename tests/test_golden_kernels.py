"""The whole text of every example's kernel file, found by glob: what a change of emit changes is read as a difference.

`pytest tests/test_golden_kernels.py --update-golden` writes the files anew.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from support.examples import NAMES

from refold import Plan, derive, emit
from refold.emit import runtime
from refold.verify import Proof, Result


@pytest.mark.parametrize("name", NAMES)
def test_the_kernel_file_is_the_golden_one(name: str, golden: Callable[[str, str], None]) -> None:
    plan = derive(importlib.import_module(f"refold.examples.{name}").SPEC)
    assert isinstance(plan, Plan), str(plan)
    # What is emitted does not depend on the proof.
    kernel = emit(Proof(plan, (Result("stand-in", "", "proved", 0.0, ""),), ()), name)
    # A change of a file that is loaded is read in that file, and not here too.
    for file, text in {f"{name}.py": kernel.source, f"{name}_hopper.py": kernel.hopper}.items():
        content = runtime.content(kernel.runtime)
        assert not text or text.count(content) == 1
        text = text.replace(runtime.content(kernel.hopper), "of that file").replace(content, "of the runtime")
        if text:
            golden(file, text)


def test_a_person_can_read_the_kernel_file_of_attention() -> None:
    golden = Path(__file__).parent / "golden" / Path(__file__).stem / "attention.py"
    assert len(golden.read_text(encoding="utf-8").splitlines()) < 300


def test_no_golden_file_is_left_over(request: pytest.FixtureRequest) -> None:
    folder = request.path.parent / "golden" / request.path.stem
    assert sorted({path.stem.removesuffix("_hopper") for path in folder.iterdir()}) == NAMES
