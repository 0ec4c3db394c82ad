"""What kernels give for NaN, infinities and indices off their axes: what the pipeline says or NaN, no wrong number."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from emit_cases import SCHEDULES
from nonfinite_cases import CASES

# Where every number of a row is -oo, its maximum is, as that of a row that is masked altogether, whose sum is 0.
KNOWN = dict.fromkeys(("maximum and softmax", "softmax below a mask"), ("-inf {", "r[5]: 0.0 for nan"))


@pytest.fixture(scope="module")
def answers() -> Any:
    program = Path(__file__).with_name("nonfinite_cases.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(program)], capture_output=True, text=True,
        env=os.environ | {"TRITON_INTERPRET": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", CASES)
def test_no_number_is_wrong(name: str, answers: Any) -> None:
    known = KNOWN.get(name, ("no such mistake",))
    others = [m for m in answers["wrong"][name] if not all(part in m for part in known)]
    assert others == []


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_an_index_off_its_axis_gives_nan(schedule: str, answers: Any) -> None:
    # The fifth target is the one that is ignored; of the pages only those count that are not masked.
    found = answers["gathers"]
    loss = found[f"loss, {schedule}"]
    assert [math.isnan(x) for x in loss] == [False, True, True, True, False, True]
    assert loss[0] == pytest.approx(found["wanted"][0], rel=1e-6) and loss[4] == 0
    first, *others = found[f"pages, {schedule}"]
    assert first == 9 and all(math.isnan(x) for x in others)
    values = found[f"values, {schedule}"]
    assert values[:3] == [1.0] * 3 and all(math.isnan(x) for x in values[3:])


def test_a_result_is_written_over_nothing_that_is_read(answers: Any) -> None:
    over = "out shares memory with x for r: give a tensor of its own"
    said = {name: text.partition(": ")[2] for name, text in answers["places"].items()}
    assert said == {
        "the input": over,
        "a part of it": over,
        "an expanded one": "out has several elements at one place for r: give a tensor that is not expanded",
        "the other result": "out shares memory with a for b: give a tensor of its own",
        "beside it": "",
        "between its rows": "",
        "an own tensor": "",
        "the input again": over,
    }
