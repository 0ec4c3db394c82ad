"""A kernel that trains: its operator under autograd, functorch, torch.compile, export, checkpoints and autocast."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
from autograd_cases import SHAPES, WAYS, example, trainable

from refold import gradient, pipeline
from refold.emit.trainable import need_pieces
from refold.errors import EmitError
from refold.spec import Scalar, Tensor, axes, fold

ROOT = Path(__file__).parent


@lru_cache
def answers(name: str) -> dict[str, float | str]:
    program = ROOT / "autograd_cases.py"
    done = subprocess.run([sys.executable, "-W", "ignore", program, name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SHAPES)
def test_the_kernels_give_what_autograd_gives_of_the_eager_form(name: str, way: str) -> None:
    """Of float32, against float64."""
    found = answers(name)[way]
    assert isinstance(found, float), found
    assert found < 2e-6


def test_a_bundle_has_a_file_for_each_pipeline_and_one_that_autograd_goes_through() -> None:
    kernel = trainable(example("attention"), "attention")
    names = [p.name for p in kernel.every]
    assert names == ["attention_plain", *(f"attention_{n}" for n in ("forward", "delta", "dq", "dk"))]
    assert {"attention.py", "refold_runtime.py", "refold_autograd.py"} <= {*kernel.code}
    assert '"delta": ' not in kernel.source and '{"q": "dq", "k": "dk", "v": "dv"}, {"o": "do"}' in kernel.source
    assert "test_gradients" in kernel.test and "import refold\n" not in kernel.test


def test_where_nothing_is_kept_there_is_one_forward_pass() -> None:
    assert [p.name for p in trainable(example("softmax"), "softmax").every] == ["softmax_forward", "softmax_dx"]


def test_a_number_of_torch_has_no_gradient() -> None:
    i, j = axes("i j")
    x, t = Tensor("x", i, j), Scalar("t")
    spec = pipeline(y=(fold.sum(t * x[i, j], over=j))[i])
    with pytest.raises(EmitError, match=r"t is a number to torch.* give the pipeline a Tensor without axes"):
        need_pieces(gradient(spec, ["t"]), "y")
