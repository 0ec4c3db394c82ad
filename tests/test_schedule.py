"""The kernel language: every emitted kernel is legal, what is not legal is named, and each kind of node is printed."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest
from support.examples import NAMES

from refold import Plan, derive
from refold.emit.triton import VALUES, _statement, lines, text
from refold.errors import EmitError
from refold.schedule import ir
from refold.schedule.checks import RULES, problems
from refold.schedule.execute import Machine
from refold.schedule.lower.gluon import gluon_kernel
from refold.schedule.lower.kernels import kernels
from refold.schedule.passes.warps import warp_specialise
from refold.schedule.values import value
from refold.verify.rounding.run import Run
from refold.verify.rounding.values import VALUES as ROUNDED

ROW, COLUMN, DEPTH = "row", "column", "depth"
X, Y, N = ir.Name("x", (ROW,)), ir.Name("y", (COLUMN,)), ir.Name("n")
TILE, OTHER = ir.Name("tile", (ROW, COLUMN)), ir.Name("other", (COLUMN, DEPTH))
P, BLOCK = ir.Name("p_ptr", kind="pointer"), ir.Name("BLOCK", kind="constant")
EVERY = (X, Y, N, TILE, OTHER, P, BLOCK)
SOME = ("attention", "causal_attention", "argmax", "layer_norm", "paged_decode", "block_diffusion", "kl", "gqa_decode")


def module_of(name: str) -> list[list[ir.Function]]:
    """The functions of the plain kernels of an example, and those of its kernel for Hopper."""
    plan = derive(importlib.import_module(f"refold.examples.{name}").SPEC)
    assert isinstance(plan, Plan)
    try:
        made = kernels(plan, name)
    except EmitError:
        pytest.skip(f"{name} has no kernel yet, as emit says")
    warps = gluon_kernel(made, name)
    return [[*made.functions, made.rolling, made.parts, made.finish], [*warp_specialise(warps)] if warps else []]


@pytest.mark.parametrize(
    "name", [n if n in SOME else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]
)  # fmt: skip
def test_every_emitted_kernel_is_legal(name: str) -> None:
    for functions in module_of(name):
        assert problems(functions) == []


def test_a_kernel_without_one_of_its_statements_is_not() -> None:
    """Whatever is assigned once and read later cannot go."""
    ((*others, step),) = [[f for f in module_of("attention")[0] if f.name == "_step"]]
    assert not others
    for n, s in enumerate(step.body):
        if isinstance(s, ir.Let):
            less = replace(step, body=(*step.body[:n], *step.body[n + 1 :]))
            assert any(f"{s.target.text} has no value yet" in p for p in problems([less])), s.target.text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (ir.Name("z"), "z has no value yet"),
        (ir.Name("x"), "x is read with the axes [], and has [row]"),
        (ir.Binary("+", X, Y), "'+' of tiles over [column] and [row]"),
        (ir.Select(X, TILE, N), "a choice of tiles"),
        (ir.Spread(X, (COLUMN, DEPTH)), "is spread over [column, depth]"),
        (ir.Spread(TILE, (COLUMN, ROW)), "is spread over [column, row]"),
        (ir.Dot(TILE, TILE), "a dot of tiles over [row, column] and [row, column]"),
        (ir.Dot(TILE, OTHER, TILE), "is added to a tile over [row, column]"),
        (ir.Reduce("sum", X, 1), "is folded along dimension 1"),
        (ir.Transpose(TILE, (0, 0)), "is transposed by (0, 0)"),
        (ir.Load(P, X), "a load of one element has the mask of a tile"),
        (ir.Load(ir.Binary("+", P, X), Y), "a load of tiles over"),
        (ir.Full((BLOCK, BLOCK), N, "float32", (ROW,)), "a tile of 2 dimensions has the axes [row]"),
        (ir.Invoke("g", ()), "there is no function g"),
        (ir.Invoke("f", ()), "f takes 7 arguments, and is given 0"),
    ],
)  # fmt: skip
def test_an_illegal_value_is_named(value: ir.Value, words: str) -> None:
    found = problems([ir.Function("f", EVERY, (ir.Let(ir.Name("new", value.axes), value),))])
    assert any(words in p for p in found), found


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (ir.Let(BLOCK, N), "BLOCK is a constant, and is assigned"),
        (ir.Let(N, X), "n has the axes [], and is given [row]"),
        (ir.Let(ir.Name("n", (ROW,)), X), "n had the axes [] before, and gets [row]"),
        (ir.Unpack((N,), ir.Sequence((N, N))), "1 names are given 2 values"),
        (ir.Store(ir.Binary("+", P, X), Y), "a store of tiles"),
        (ir.If(X, ()), "a condition of a branch is a tile"),
        (ir.For(ir.Name("k"), N, X, None, ()), "an end of the loop over k is a tile"),
    ],
)  # fmt: skip
def test_an_illegal_statement_is_named(statement: ir.Statement, words: str) -> None:
    found = problems([ir.Function("f", EVERY, (statement,))])
    assert any(words in p for p in found), found


def cases_of(function: Callable[..., Any]) -> set[type]:
    """The kinds of nodes that the cases of a function are about."""
    patterns = [n for n in ast.walk(ast.parse(inspect.getsource(function))) if isinstance(n, ast.MatchClass)]
    names = {ast.unparse(p.cls).removeprefix("ir.") for p in patterns}
    return {getattr(ir, n) for n in names if hasattr(ir, n)}


def test_every_kind_of_value_has_every_reading() -> None:
    """The texts of Triton and of Gluon, symbolic execution with the integers of one lane, and rounding."""
    kinds = {*get_args(ir.Value)}
    assert {*VALUES} == {*ROUNDED} == cases_of(value) == kinds
    assert {*RULES} <= kinds


def test_every_kind_of_statement_has_every_reading() -> None:
    kinds = {*get_args(ir.Statement)}
    assert kinds <= cases_of(_statement)
    assert kinds <= cases_of(Machine)
    assert kinds <= cases_of(Run)


def test_what_only_foreign_kernels_have_is_not_written() -> None:
    with pytest.raises(EmitError, match="comes from a kernel that is checked"):
        text(ir.Atomic("add", ir.Binary("+", P, X), X))


def test_a_sum_keeps_the_order_in_which_it_is_added() -> None:
    """Floats are not associative: what is printed is the value, and no other of the same numbers."""
    a, b, c = (ir.Name(n) for n in "abc")
    assert text(ir.Binary("+", a, ir.Binary("+", b, c))) == "a + (b + c)"
    assert text(ir.Binary("+", ir.Binary("+", a, b), c)) == "a + b + c"
    assert text(ir.Binary("*", a, ir.Binary("*", b, c))) == "a * (b * c)"


def test_statements_as_lines() -> None:
    body = (
        ir.Let(P, ir.Binary("+", P, ir.Binary("+", N, N))),
        ir.If(BLOCK, (ir.Let(N, ir.Number(1.0)),), (ir.Let(N, ir.Number(2.0), "why"),)),
        ir.For(ir.Name("k"), ir.Number(0), N, BLOCK, (ir.Store(P, N),), (("num_stages", ir.Number(2)),)),
        ir.Return((N,)),
    )
    assert lines(body) == [
        "p_ptr += n + n",
        "if BLOCK:",
        "    n = 1.0",
        "else:",
        "    n = 2.0  # why",
        "for k in tl.range(0, n, BLOCK, num_stages=2):",
        "    tl.store(p_ptr, n)",
        "return n,",
    ]
