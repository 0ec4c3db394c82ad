"""What is read at the outer of two positions is read once a tile, where no tile crosses from one to the next."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from emit_cases import emitted

from refold import Plan, Scalar, Tensor, axes, derive, fold, pipeline
from refold.emit.runtime import refold_runtime as rt
from refold.schedule import ir
from refold.schedule.launch import launch
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.words import ALIGNED, BLOCK_N, MASKED, scalar
from refold.schedule.walk import rewritten
from refold.verify.kernel.aligned import aligned_questions
from refold.verify.kernel.asked import Asked
from refold.verify.kernel.emitted import kernels_of
from refold.verify.kernel.lane import lanes_of
from refold.verify.kernel.questions import answer
from refold.verify.smt.formulas import own_context

LIMIT_MS = 2_000
LENGTH = scalar("n")


@cache
def plan() -> Plan:
    """A row over its sum, each element times the weight of its run of n positions."""
    i, j, c = axes("i j c")
    x, w, n = Tensor("x", i, j), Tensor("w", i, c), Scalar("n", integer=True, positive=True)
    found = derive(pipeline(y=(x[i, j] * w[i, j // n] + fold.sum(x[i, j], over=j))[i, j]))
    assert isinstance(found, Plan)
    return found


@cache
def made() -> Kernels:
    kernels = kernels_of(plan())
    assert kernels is not None
    return kernels


def verdicts(kernels: Kernels) -> set[str]:
    how = launch(kernels)
    with own_context():
        questions = [*aligned_questions(kernels, how, lanes_of(kernels, how), Asked())]
        return {answer(q, LIMIT_MS).verdict for q in questions}


def choices(change: Callable[[ir.Choice], Any]) -> Callable[[Any], Any]:
    return lambda n: change(n) if isinstance(n, ir.Choice) and n.flag == ALIGNED else n


def first(position: ir.Value) -> Callable[[Any], Any]:
    """The quotient of another position in the place of that of the tile's first one."""
    at = ir.Binary("//", position, LENGTH)
    return choices(lambda n: replace(n, then=replace(n.then, value=at)))


J0 = scalar("j0")
WRONG = {
    "the next tile": first(ir.Binary("+", J0, BLOCK_N)),
    "the tile before": first(ir.Binary("-", J0, BLOCK_N)),
    "the next position": first(ir.Binary("+", J0, ir.Number(1))),
    "another length": choices(lambda n: replace(n, then=replace(n.then, value=ir.Binary("//", J0, scalar("size_j"))))),
    "no quotient": choices(lambda n: replace(n, then=replace(n.then, value=J0))),
    "a whole tile": choices(lambda n: replace(n, then=replace(n.then, shape=(ir.Number(2),)))),
    "another flag": lambda n: replace(n, condition=ALIGNED) if isinstance(n, ir.If) and n.condition == MASKED else n,
}


def changed(change: Callable[[Any], Any]) -> Kernels:
    kernels = made()
    of = {f.name: replace(f, body=rewritten(f.body, change)) for f in kernels.module}
    stages = {name: of[f.name] for name, f in kernels.stages.items()}
    return replace(kernels, functions=tuple(of[f.name] for f in kernels.functions), stages=stages)


def test_a_quotient_of_a_tile_is_that_of_its_positions() -> None:
    assert verdicts(made()) == {"proved"}


@pytest.mark.parametrize("wrong", WRONG)
def test_another_quotient_is_not_proved(wrong: str) -> None:
    kernels = changed(WRONG[wrong])
    assert kernels.module != made().module
    assert "proved" not in verdicts(kernels)


RUN = """
import importlib.util, sys, torch
found = importlib.util.spec_from_file_location("k", sys.argv[1])
module = importlib.util.module_from_spec(found)
found.loader.exec_module(module)
x, w = torch.randn(3, 96), torch.randn(3, 3)
wanted = x.double() * w.double().repeat_interleave(32, 1) + x.double().sum(1, keepdim=True)
for options in ({"block_n": 32}, {"block_n": 16}, {"block_n": 16, "splits": 3}, {"block_n": 64}):
    y = module.k(x, w, n=32, **options)
    assert (y.double() - wanted).abs().max() < 1e-5, options
    (call,) = module._call.known.values()
    flags = {one.rest[[n for n in one.kernel.arg_names if not n.endswith("_ptr")].index("ALIGNED")]
             for one in call.launches if "ALIGNED" in one.kernel.arg_names}
    assert flags == {options["block_n"] <= 32}, (options, flags)
    module._call.known.clear()
print("right")
"""


def test_kernels_compute_the_same_where_tiles_are_aligned_and_where_not(tmp_path: Path) -> None:
    emitted(plan(), "k").write(tmp_path)
    env = os.environ | {"TRITON_INTERPRET": "1"}
    command = [sys.executable, "-c", RUN, str(tmp_path / "k.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.stdout.strip() == "right", done.stderr[-2000:]


@pytest.mark.parametrize(("length", "tile"), [(4096, 4096), (3136, 4096), (1024 * 6, 2048), (2**20, 4096)])
def test_a_tile_divides_a_length_where_one_that_is_not_short_can(length: int, tile: int) -> None:
    tables = rt.Tables("rows", {}, {}, {}, rt.Limits(1, 1, 1, 1, 1), streams=1, rereads=True)
    _, block_n = rt.row_blocks(tables, None, None, 32, 32 * length, 8, 2, 132, lengths=(length,))
    assert block_n == tile


def test_tiles_of_columns_are_of_rows_that_lie_side_by_side() -> None:
    torch = pytest.importorskip("torch")
    tables = rt.Tables("columns", {"x": ("i", "j")}, {}, {}, rt.Limits(1, 1, 1, 1, 1), streams=1)
    x = torch.empty(1, 1, 64, 512)
    assert rt.across(tables, {"x": x}, "j", "i")
    assert not rt.across(tables, {"x": x}, "i", "j")
    assert rt.across(tables, {"x": x.transpose(2, 3)}, "i", "j")
    assert not rt.across(tables, {"x": x[..., ::2]}, "j", "i"), "neither lies side by side"
    block_m, block_n = rt.row_blocks(tables, None, None, 512, 64, 1, 2, 132, across=True)
    assert block_m >= 16 and block_m * block_n <= 8192


def test_a_call_may_have_descriptors_of_some_inputs_alone() -> None:
    """The kernel for Hopper has none of a gate, which the plain kernel reads by one: each call ended in a KeyError."""
    axes = {"q": ("i", "d"), "gate": ("i", "d")}
    blocks = dict.fromkeys(axes, (1, 1, "BLOCK_M", "BLOCK_d"))
    tables = rt.Tables(
        "f", axes, {"o": ("i", "d")}, dict.fromkeys(axes, "float"), rt.Limits(8, 8, 8, 8, 8), descriptors=blocks
    )
    call = rt.Call(tables, torch.device("cpu"), {}, descriptors={"gate": (lambda t, *rest: (t, rest), "shape")})
    assert call.described(["of q", "of gate"]) == [None, ("of gate", ("shape",))]
