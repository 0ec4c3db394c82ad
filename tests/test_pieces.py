"""Inner axes that are folded a piece after the other: what the kernels give, and that a wrong loop is not proved."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pieces_cases import CASES, DOT, FARTHEST, NESTED, d, e, i, j, u, v, weighted, x, y
from test_refinement import changed_kernels, open_of

from refold import Plan, Spec, derive, fold, pipeline
from refold.algebra.roles import assign
from refold.errors import EmitError
from refold.schedule import ir
from refold.schedule.lower.kernels import kernels
from refold.verify.kernel.refinement import Prover
from refold.verify.verify import invariants_of


def plan_of(spec: Spec) -> Plan:
    plan = derive(spec)
    assert isinstance(plan, Plan)
    return plan


@pytest.mark.parametrize(
    ("spec", "pieces", "singles"),
    [
        (weighted(DOT, u[j], i), "d", ""),
        (weighted(-FARTHEST, u[j], i), "d", ""),
        (weighted(DOT, v[j, e], i, e), "", ""),
        (weighted(NESTED, v[j, e], i, e), "ad", "a"),
        (weighted(NESTED, u[j], i), "ad", "a"),
    ],
    ids=["dot", "extremum", "values", "nested, values", "nested"],
)
def test_what_is_folded_by_pieces(spec: Spec, pieces: str, singles: str) -> None:
    """All that no state has, unless one has another; beside that one, only what would be a third."""
    roles = assign(plan_of(spec))
    assert ["".join(sorted(x.name for x in found)) for found in (roles.pieces, roles.singles)] == [pieces, singles]


def test_pieces_give_the_fold_of_the_axis() -> None:
    """Against NumPy in float64; a process of its own, since TRITON_INTERPRET decides when triton is first imported."""
    program = Path(__file__).parent / "pieces_cases.py"
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True)
    errors = json.loads(done.stdout)
    assert {*errors} == {*CASES}
    assert max(errors.values()) < 1e-5


# --- wrong loops ---------------------------------------------------------------------------------------------------


def later(node: Any) -> Iterator[Any]:
    """The first piece is left out."""
    if is_of_pieces(node):
        yield replace(node, start=node.step)


def sparser(node: Any) -> Iterator[Any]:
    """Every other piece is left out."""
    if is_of_pieces(node):
        yield replace(node, step=ir.Binary("+", node.step, node.step))


def longer(node: Any) -> Iterator[Any]:
    """A piece comes after the last, in lanes that are none; and of those that are, none is asked."""
    if isinstance(node, ir.Let) and node.target.text == "in_d":
        yield replace(node, value=ir.Binary(">", node.value.a, node.value.b))


def forgetful(node: Any) -> Iterator[Any]:
    """The last piece alone."""
    if isinstance(node, ir.Dot) and node.into is not None and node.into.axes == (i, j):
        yield replace(node, into=None)


def standing(node: Any) -> Iterator[Any]:
    """The same piece again and again."""
    if isinstance(node, ir.Binary) and node.op == "+" and isinstance(node.b, ir.Lanes) and node.b.axes == (d,):
        yield node.b


def is_of_pieces(node: Any) -> bool:
    return isinstance(node, ir.For) and isinstance(node.step, ir.Name) and node.step.text == "BLOCK_d"


@pytest.mark.parametrize("change", [later, sparser, longer, forgetful, standing])
def test_a_wrong_loop_over_pieces_is_not_proved(change: Any) -> None:
    prover = prover_of()
    made = [*changed_kernels(prover.made, "rolling", change)]
    assert made
    assert all([*open_of(m, prover)] for m in made)


@cache
def prover_of() -> Prover:
    plan = plan_of(weighted(DOT, u[j], i))
    return Prover(kernels(plan, "f"), invariants_of(plan))


def test_the_right_loop_is_proved() -> None:
    assert not [*open_of(prover_of().made, prover_of())]


# --- what does not vary with the tile --------------------------------------------------------------------------------


def test_a_loop_over_pieces_that_no_tile_changes_stands_before_the_tiles() -> None:
    norm = fold.sum(x[i, d] ** 2, over=d)
    made = kernels(plan_of(weighted(DOT / (1 + norm), u[j], i)), "f")
    before = [s for s in made.rolling.body if isinstance(s, ir.For) and is_of_pieces(s)]
    inside = [s for f in made.functions if f.name == "_step" for s in f.body if isinstance(s, ir.For)]
    assert len(before) == 1 and len(inside) == 1


def test_an_axis_that_is_folded_within_and_that_outputs_have_is_refused() -> None:
    length = fold.sum(x[i, d] ** 2, over=d)
    spec = pipeline(o=(x[i, d] * fold.sum(length * y[j, d] / fold.max(length * u[j], over=j), over=j))[i, d])
    with pytest.raises(EmitError, match="d is folded within the loop, and outputs vary with it: fold it in a pipeline"):
        assign(plan_of(spec))
