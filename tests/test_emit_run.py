"""Emitted kernels in Triton's interpreter: against the oracle, as mutants, and with inputs that do not fit."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from emit_cases import BOXED, CASES, FAR, LAYOUTS, MUTANTS, SCHEDULES

HERE = Path(__file__).parent
GRADIENT = "q requires a gradient and this kernel has none: emit it with --backward, or call it under torch.no_grad()"


def answers(mode: str, *names: str) -> Any:
    """What `emit_cases.py` prints, in a process whose triton interprets."""
    env = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / "emit_cases.py"), mode, *names],
        capture_output=True,
        text=True,
        env=env,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def descriptors() -> Any:
    return answers("descriptors")


# One of each shape of kernel in every run, the others in make slow.
FEW = ("attention", "causal", "grouped", "layer_norm", "argmax", "cross_entropy")


@pytest.fixture(scope="module")
def errors_of_few() -> Any:
    return answers("run", *FEW)


@pytest.fixture(scope="module")
def errors_of_others() -> Any:
    return answers("run", *(name for name in CASES if name not in FEW))


@pytest.fixture(scope="module")
def mutants() -> Any:
    return answers("mutants")


@pytest.fixture(scope="module")
def messages() -> Any:
    return answers("errors")


def agrees(errors: Any) -> None:
    assert set(errors) == {*SCHEDULES, "more rows than positions"}
    # float32 against float64, over sums of 37 terms.
    assert max(errors.values()) < 1e-6


@pytest.mark.parametrize("name", FEW)
def test_agrees_with_the_oracle(name: str, errors_of_few: Any) -> None:
    agrees(errors_of_few[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name not in FEW])
def test_the_others_agree_with_the_oracle(name: str, errors_of_others: Any) -> None:
    agrees(errors_of_others[name])


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m[-1])
def test_a_mutant_is_noticed(mutant: Any, mutants: Any) -> None:
    assert mutants[mutant[-1]] > 1e-3


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", BOXED)
def test_descriptors_read_what_pointers_do(name: str, layout: str, descriptors: Any) -> None:
    assert descriptors[f"{name}, {layout}"] == [layout in ("aligned", "broadcast"), True]


def test_a_tile_of_another_document_is_not_run() -> None:
    # 0 · NaN is NaN: a masked tile that is run shows.
    assert answers("skips") == dict.fromkeys(SCHEDULES, True)


def test_integers_that_leave_32_bits_are_right() -> None:
    found = answers("far")
    assert found.pop("a near stride") == "int32"
    assert found.pop("a far stride") == "int64"
    assert {*found} == {*FAR}
    assert max(found.values()) < 1e-5


def test_torch_compiles_through_a_call() -> None:
    cases = [f"{what}, {n}" for n in (33, 40) for what in ("attention", "two outputs")]
    assert answers("traced") == dict.fromkeys(cases, True)


def test_a_call_is_repeated_by_all_that_it_depends_on() -> None:
    found = answers("again")
    for name in ("attention", "grouped_decode", "layer_norm", "argmax", "cross_entropy"):
        assert found[name]["error"] < 1e-6
        assert found[name]["keys"] == len(SCHEDULES)
    assert found["said"] == {
        "a float that is equal": "k_attention: splits is 2.0: give a positive int",
        "no hash": "k_attention: splits is [2]: give a positive int",
        "a gradient": f"k_attention: {GRADIENT}",
        "out": "k_attention: out is a list for o: give a torch.Tensor",
    }
    assert found["keys"] == 2  # with gradients and without
    assert found["copied, 1.0"] and found["copied, 2.0"]
    assert found["bounded"] == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("no tensor", "TypeError: k_attention: q is a list: give a torch.Tensor"),
        ("rank", "ValueError: k_attention: q has 1 dimensions: give [..., i, d]"),
        ("size", "ValueError: k_attention: axis j is 5 long in k and 3 in v: make them equal"),
        ("dtype", "TypeError: k_attention: k is torch.float16 and q torch.float32: convert one of them"),
        ("kind", "TypeError: k_attention: q is torch.float64: give float32, float16 or bfloat16"),
        ("lead", "do not broadcast: make them equal or 1"),
        ("grad", GRADIENT),
        ("out", "out has [3, 3] torch.float32 on cpu for o: give [3, 2] torch.float32 on cpu"),
        ("schedule", "schedule is 'fast': give 'auto', 'rolling' or 'split'"),
        ("splits", "splits is 0: give a positive int"),
        ("block", "block_n is 24: give a power of two of at least 16"),
        ("half a tile", "parts are 24 long, no multiple of 16: give another block_n"),
        ("no tile", "parts are 0 long, no multiple of 16: give another block_n"),
        ("too few parts", "parts end at 16, before 17, their axis: give more splits"),
        ("inner", "axis d is 0 long: give it at least one position"),
        ("index", "k is read outside of its axis g, 2 long"),
        ("last", "x is read outside of its axis j, 5 long, at sizes {'i': 3, 'j': 5, 'n': 5}"),
        ("positive", "eps is -1.0: give a positive number"),
        ("number", "TypeError: k_layer_norm: eps is '1': give a number"),
        ("integer", "TypeError: k_cross_entropy: ignore is 0.5: give an int"),
        ("integers", "t is torch.float32: give int64"),
    ],
)
def test_what_does_not_fit_is_said(call: str, message: str, messages: Any) -> None:
    assert message in messages[call]
