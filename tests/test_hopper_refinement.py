"""The kernel for Hopper computes the monoid of its plan, and none in which a piece of it is wrong does."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from refold import Plan, derive
from refold.schedule import ir
from refold.schedule.lower.buffers import BUFFERS, GONE, HI, J0, LO, ONE, STAGE, TURN, TWO, at
from refold.schedule.lower.kernels import kernels
from refold.schedule.lower.words import BLOCK_M, BLOCK_N
from refold.schedule.tiles import NoMeaning
from refold.verify.kernel.cases import Unread
from refold.verify.kernel.hopper import functions_of, hopper_obligations, hopper_refinement, steps_of
from refold.verify.kernel.prover import Prover
from refold.verify.verify import invariants_of

GOLDEN = Path(__file__).parent / "golden" / "test_golden_kernels"
HAVE = sorted(p.stem.removesuffix("_hopper") for p in GOLDEN.glob("*_hopper.py"))
SOME = ("causal_attention",)
Functions = tuple[ir.Function, ...]


@cache
def prover_of(name: str) -> Prover:
    plan = derive(importlib.import_module(f"refold.examples.{name}").SPEC)
    assert isinstance(plan, Plan)
    return Prover(kernels(plan, name), invariants_of(plan))


@pytest.mark.parametrize("name", [*SOME, *(pytest.param(n, marks=pytest.mark.slow) for n in HAVE if n not in SOME)])
def test_the_kernel_computes_the_monoid(name: str) -> None:
    prover = prover_of(name)
    results = [*hopper_refinement(prover.made, prover)]
    assert [(r.name, r.verdict) for r in results] == [(name, "proved") for name in hopper_obligations(prover.made)]
    assert len(results) > 3


def test_a_plan_without_such_a_kernel_has_nothing_to_show() -> None:
    prover = prover_of("softmax")
    assert not [*hopper_refinement(prover.made, prover)] and not [*hopper_obligations(prover.made)]


def open_of(name: str, functions: Functions) -> str | None:
    """The first fault that is found of functions in the place of those that the plan has."""
    prover = prover_of(name)
    try:
        return next((f"{s.step}: {s.fault}" for s in steps_of(prover.made, prover, functions) if s.fault), None)
    except (NoMeaning, Unread) as error:
        return str(error)


def changed(node: Any, change: Callable[[Any], Any]) -> Any:
    """A node with a change of every node in it: another node, None for a statement that goes, or the same node."""
    if isinstance(node, tuple):
        return tuple(new for n in node if (new := changed(n, change)) is not None)
    if not is_dataclass(node) or isinstance(node, type):
        return node
    new = change(node)
    if new is not node:
        return new
    kept = ("axes", "comment")
    parts = {f.name: changed(getattr(node, f.name), change) for f in fields(node) if f.name not in kept}
    return replace(node, **parts)


def put(old: Any, new: Any) -> Callable[[Any], Any]:
    return lambda node: new if node == old else node


def without(word: str, about: ir.Value | None = None) -> Callable[[Any], Any]:
    """Leaves out the statements that call a word, of a barrier about its stage."""

    def change(node: Any) -> Any:
        match node:
            case ir.Evaluate(ir.Method(_, name, args)) if name == word and args and args[0] == about:
                return None
            case ir.Let(_, ir.Call(name)) | ir.Unpack(_, ir.Call(name)) if name == word:
                return None
        return node

    return change


def pending(number: int) -> Callable[[Any], Any]:
    """Waits for fewer products."""

    def change(node: Any) -> Any:
        if isinstance(node, ir.Call) and node.function == "warpgroup_mma_wait" and node.args == (ir.Number(number),):
            return replace(node, args=(ir.Number(number + 1),))
        return node

    return change


def unscaled(node: Any) -> Any:
    """Leaves out what moves the sum of the second product."""
    return (
        None if isinstance(node, ir.Let) and node.target.text == "acc" and isinstance(node.value, ir.Binary) else node
    )


def bare(node: Any) -> Any:
    """The first tile without its masks."""
    if isinstance(node, ir.Invoke) and node.function == "_scored":
        return replace(node, args=tuple(ir.Number(False) if a == ir.Number(True) else a for a in node.args))
    return node


def corner(tensor: str, of: ir.Value, to: ir.Value) -> Callable[[Any], Any]:
    """Copies a tensor from another corner."""

    def change(node: Any) -> Any:
        if isinstance(node, ir.Call) and node.function == "_copy" and node.args[0] == ir.Name(tensor, kind="pointer"):
            return changed(node, put(of, to)) if of in node.args[1].values else replace(node)  # type: ignore[union-attr]
        return node

    return change


def early(node: Any) -> Any:
    """Stores before the tiles are visited."""
    if isinstance(node, ir.Function):
        place = next(n for n, s in enumerate(node.body) if isinstance(s, ir.If))
        body = (*node.body[:place], *node.body[place + 1 : -1], node.body[place], node.body[-1])
        return replace(node, body=body)
    return node


def begun(value: float) -> Callable[[Any], Any]:
    """Another unit of the maximum."""

    def change(node: Any) -> Any:
        if isinstance(node, ir.Let) and node.target.text == "m" and isinstance(node.value, ir.Method):
            shape, _, *rest = node.value.args or ()
            return replace(node, value=replace(node.value, args=(shape, ir.Number(value), *rest)))
        return node

    return change


def rows_of_tiles_alone(node: Any) -> Any:
    """Waits for its rows, and gives them back, only where there is a tile."""
    if isinstance(node, ir.Function):
        place = next(n for n, s in enumerate(node.body) if isinstance(s, ir.If))
        wait, held, visits, arrive = node.body[place - 2 : place + 2]
        assert isinstance(visits, ir.If)
        inside = replace(visits, body=(wait, held, *visits.body, arrive))
        return replace(node, body=(*node.body[: place - 2], inside, *node.body[place + 2 :]))
    return node


def one_batch(node: Any) -> Any:
    """As many pieces of work as one batch has."""
    return node.a if isinstance(node, ir.Binary) and getattr(node.b, "text", "") == "size_batch" else node


def counted(node: Any) -> Any:
    """A barrier that counts one group where both arrive."""
    if isinstance(node, ir.Method) and node.name == "init" and node.keywords == (("count", TWO),):
        return replace(node, keywords=(("count", ONE),))
    return node


BEFORE, ROUND = ir.Binary("-", TURN, ONE), ir.Binary("&", ir.Binary("//", TURN, BUFFERS), ONE)
SHIFT = ir.Binary("*", GONE, BLOCK_N)
GROUP_1 = ir.Binary("+", ir.Name("i0"), ir.Binary("*", ONE, BLOCK_M))
VISITED = ir.Binary("//", ir.Binary("-", HI, LO), BLOCK_N)
SECOND = ir.Binary("maximum", ir.Name("free_hi"), ir.Binary("+", LO, BLOCK_N))
MUTANTS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "v of the tile that is scored": ("_next", put(BEFORE, TURN)),
    "scores before they are there": ("_next", pending(1)),
    "a sum that is not moved": ("_next", unscaled),
    "the first tile without masks": ("_rows", bare),
    "a read by another parity": ("_next", put(ROUND, ir.Binary("&", TURN, ONE))),
    "v from another corner": ("_load", corner("v_desc", J0, LO)),
    "turns off by one": ("_rows", put(SHIFT, ir.Binary("*", ir.Binary("+", GONE, ONE), BLOCK_N))),
    "the last product left out": ("_rows", without("warpgroup_mma")),
    "stores before the tiles": ("_rows", early),
}
AFTER_FIRST, AFTER_LAST = (ir.Binary("+", ir.Name(n), ONE) for n in ("first_row", "last_row"))
ROWS_OF_WORK = ir.Binary("-", ir.Name("tiles"), ONE)
DOWN = ir.Binary("-", ir.Name("programs"), ONE)
MORE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    # What every role has wrong alike, so that they fit each other.
    "a first piece of no rows": ("_load _rows", put(ROWS_OF_WORK, ir.Name("tiles"))),
    "rounds that leave a piece out": ("_fill _empty", put(DOWN, ir.Name("programs"))),
    "rows that are not given back": ("_rows", rows_of_tiles_alone),
    "pieces of one batch": ("_fill _empty", one_batch),
    "turns that begin at one": ("_fill _empty", put(ir.Let(GONE, ir.Number(0)), ir.Let(GONE, ONE))),
    "a sum before it is there": ("_rows", pending(0)),
    "no wait for the last product": ("_rows", without("warpgroup_mma_wait")),
    "a copy by the parity of a read": ("_load", put(ir.Binary("^", ROUND, ONE), ROUND)),
    "k from another corner": ("_load", corner("k_desc", J0, ir.Binary("+", J0, BLOCK_N))),
    "rows of another group": ("_load", corner("q_desc", GROUP_1, ir.Name("i0"))),
    "no wait for k": ("_next", without("wait", at("k_full", STAGE))),
    "no wait for an empty stage": ("_load", without("wait", at("v_empty", STAGE))),
    "k not given back": ("_next", without("arrive", at("k_empty", STAGE))),
    "turns that begin again": ("_rows", put(ir.Binary("+", GONE, VISITED), VISITED)),
    "a tile twice": ("_rows", put(SECOND, ir.Name("free_hi"))),
    "a first that is not of the group": ("_rows", put(ir.Binary("-", LO, SHIFT), LO)),
    "another unit": ("_rows", begun(0.0)),
    "tiles of no mask too soon": (
        "_rows",
        put(ir.Binary("+", ir.Name("first_row"), ONE), ir.Binary("+", ir.Name("last_row"), ONE)),
    ),
    "tiles left out": ("_rows", put(AFTER_LAST, ir.Name("last_row"))),
    "a barrier of one": ("causal_attention_hopper", counted),
    "other pieces of work": ("_fill", put(ir.Binary("*", ir.Name("nth"), ir.Name("programs")), ir.Name("nth"))),
    "the same row tile for all pieces": ("_rows", put(ir.Binary("%", ir.Name("work"), ir.Name("tiles")), ir.Number(0))),
}


@pytest.mark.parametrize("what", [*MUTANTS, *(pytest.param(n, marks=pytest.mark.slow) for n in MORE)])
def test_a_wrong_kernel_is_not_shown(what: str) -> None:
    where, change = (MUTANTS | MORE)[what]
    functions = functions_of(prover_of("causal_attention").made)
    assert functions is not None
    wrong = tuple(changed(f, change) if f.name in where.split() else f for f in functions)
    assert wrong != functions, "the change is none"
    assert open_of("causal_attention", wrong) is not None


def test_a_wait_for_no_copy_is_refused() -> None:
    """The faults say what is wrong: here that the stage that is read is not the one that was waited for."""
    where, change = MORE["no wait for k"]
    functions = functions_of(prover_of("causal_attention").made)
    assert functions is not None
    wrong = tuple(changed(f, change) if f.name in where.split() else f for f in functions)
    assert (
        open_of("causal_attention", wrong) == "a stage of k_buffers that was not waited for by the parity of its turn"
    )
