"""Obligations about memory are read off the kernels: proved of them, and not of kernels in which one thing is wrong."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import cache
from itertools import chain
from typing import Any

import pytest

from refold import Plan, derive
from refold.schedule import integers, ir
from refold.schedule.conditions import nonnegative, zero
from refold.schedule.integers import add, least, multiply, subtract
from refold.schedule.launch import Launch, launch
from refold.schedule.lower.kernels import Kernels
from refold.schedule.terms import Term, symbol
from refold.spec import Tensor, axes, exp, fold, log, oo, pipeline, where
from refold.verify.kernel.accesses import access_questions
from refold.verify.kernel.asked import Asked
from refold.verify.kernel.cover import cover_questions
from refold.verify.kernel.emitted import kernels_of
from refold.verify.kernel.lane import lanes_of
from refold.verify.kernel.lemmas import Known, Lemmas
from refold.verify.kernel.linear import Linear
from refold.verify.kernel.merged import merge_questions
from refold.verify.kernel.parts import part_questions
from refold.verify.kernel.questions import answer
from refold.verify.kernel.visits import visit_questions
from refold.verify.smt.formulas import own_context

# A second that a solver cannot decide is enough to see that a mutant is not proved.
LIMIT_MS = 1_000


@cache
def made(name: str) -> Kernels:
    plan = derive(importlib.import_module(f"refold.examples.{name}").SPEC)
    assert isinstance(plan, Plan)
    kernels = kernels_of(plan)
    assert kernels is not None
    return kernels


def open_of(kernels: Kernels, wanted: set[str] | None = None, how: Launch | None = None) -> set[str]:
    """The obligations that are not proved, of some or of all."""
    how = how or launch(kernels)
    with own_context():
        read, asked = lanes_of(kernels, how), Asked()
        loops = visit_questions(kernels, how, read, asked)
        memory = access_questions(kernels, how, read, asked)
        # Questions take longer to make than to answer.
        rows = cover_questions(kernels, how, read, asked)
        merges = merge_questions(kernels, how, read, asked)
        cuts = part_questions(kernels, how, read, asked)
        kinds = {"loops": loops, "grid": rows, "merge": merges, "parts": cuts}
        every = chain(*kinds.values(), memory) if wanted is None else kinds.get(min(wanted).partition(":")[0], memory)
        chosen = [q for q in every if wanted is None or q.name.removeprefix("index ") in wanted]
        results = [answer(q, LIMIT_MS) for q in chosen]
    return {r.name.removeprefix("index ") for r in results if r.verdict != "proved"}


def changed(node: Any, change: Callable[[Any], Any]) -> Any:
    """A node with `change` applied to every node in it, from the inside out."""
    if isinstance(node, tuple):
        return tuple(changed(n, change) for n in node)
    if is_dataclass(node) and not isinstance(node, type):
        new = {f.name: changed(getattr(node, f.name), change) for f in fields(node) if f.name != "axes"}
        return change(replace(node, **new))
    return node


def with_change(name: str, change: Callable[[Any], Any]) -> Kernels:
    """The kernels of an example with every node of all functions changed."""
    old = made(name)
    functions = tuple(replace(f, body=changed(f.body, change)) for f in old.functions)
    stages = {s: replace(f, body=changed(f.body, change)) for s, f in old.stages.items()}
    assert (functions, stages) != (old.functions, old.stages)
    return replace(old, functions=functions, stages=stages)


def tensor_of(place: ir.Value) -> str:
    """Whose element a place is."""
    while not isinstance(place, ir.Name):
        place = place.x if isinstance(place, ir.Spread) else place.a  # type: ignore[union-attr]
    return place.text


def unmasked_load(node: Any) -> Any:
    if isinstance(node, ir.Load) and tensor_of(node.place) in ("k_ptr", "x_ptr") and node.mask is not None:
        return replace(node, mask=None, other=None)
    return node


def unmasked_store(node: Any) -> Any:
    if isinstance(node, ir.Store) and tensor_of(node.place) in ("o_ptr", "y_ptr"):
        return replace(node, mask=None)
    return node


def at_most(node: Any) -> Any:
    """`i <= size_i` where `i < size_i` was."""
    if isinstance(node, ir.Let) and node.target.text == "in_i" and isinstance(node.value, ir.Binary):
        return replace(node, value=replace(node.value, op="<="))
    return node


def other_stride(node: Any) -> Any:
    """Two axes of a tensor with each other's stride."""
    names = {"o_i": "o_e", "o_e": "o_i", "x_i": "x_j", "x_j": "x_i"}
    if isinstance(node, ir.Binary) and node.op == "*" and isinstance(node.b, ir.Name) and node.b.text in names:
        return replace(node, b=ir.Name(names[node.b.text]))
    return node


def no_step(node: Any) -> Any:
    """Every program has the first rows."""
    return replace(node, value=ir.Number(0)) if isinstance(node, ir.Let) and node.target.text == "i0" else node


def one_tile_more(node: Any) -> Any:
    """The loops without masks go on for one tile."""
    if isinstance(node, ir.For) and isinstance(node.stop, ir.Name) and node.stop.text == "free_hi":
        return replace(node, stop=ir.Binary("+", node.stop, ir.Name("BLOCK_N", kind="constant")))
    return node


def shared_part(node: Any) -> Any:
    """All parts leave their state at one place."""
    if isinstance(node, ir.Store) and tensor_of(node.place).startswith("part_"):
        return replace(node, place=changed(node.place, lambda n: ir.Number(0) if n == ir.Name("part") else n))
    return node


def doubled_step(node: Any) -> Any:
    if isinstance(node, ir.For) and node.step == ir.Name("BLOCK_N", kind="constant"):
        return replace(node, step=ir.Binary("*", node.step, ir.Number(2)))
    return node


def without_loop(node: Any) -> Any:
    """Without the loop that asks no masks."""
    if isinstance(node, ir.For) and isinstance(node.stop, ir.Name) and node.stop.text in ("free_hi", "last"):
        return ir.Note("nothing")
    return node


def without_masks(node: Any) -> Any:
    """The loop to the end of the range without masks, too."""
    if isinstance(node, ir.For) and isinstance(node.stop, ir.Name) and node.stop.text == "hi":
        return changed(node, lambda n: ir.Number(False) if n == ir.Number(True) else n)
    return node


def twice(node: Any) -> Any:
    """The last loop from the beginning."""
    if isinstance(node, ir.For) and isinstance(node.start, ir.Name) and node.start.text == "free_hi":
        return replace(node, start=ir.Name("lo"))
    return node


def joins(change: Callable[[ir.For], ir.For]) -> Callable[[Any], Any]:
    """The loop over parts changed."""
    return lambda node: change(node) if isinstance(node, ir.For) and node.index.text == "part" else node


def without_first_part(loop: ir.For) -> ir.For:
    return replace(loop, start=ir.Number(1))


def without_last_part(loop: ir.For) -> ir.For:
    return replace(loop, stop=ir.Binary("-", loop.stop, ir.Number(1)))


def every_other_part(loop: ir.For) -> ir.For:
    return replace(loop, step=ir.Number(2))


def first_part_always(loop: ir.For) -> ir.For:
    return replace(loop, body=changed(loop.body, lambda n: ir.Number(0) if n == ir.Name("part") else n))


def heaviest_twice(node: Any) -> Any:
    """Each turn takes a batch less than it is told."""
    if isinstance(node, ir.Let) and node.target.text == "place":
        return replace(node, value=ir.Binary("maximum", ir.Binary("-", node.value, ir.Number(1)), ir.Number(0)))
    return node


def one_row_less(node: Any) -> Any:
    """The causal end of the range one position early."""
    if node == ir.Binary("+", ir.Name("last_row"), ir.Number(1)):
        return ir.Name("last_row")
    return node


def rows_end_elsewhere(name: str, by: int) -> Callable[[Any], Any]:
    """What a program takes for its first or its last row: the ends of its loops are made of it."""
    return lambda n: replace(n, value=ir.Binary("+", n.value, ir.Number(by))) if _is_let(n, name) else n


def _is_let(node: Any, name: str) -> bool:
    return isinstance(node, ir.Let) and node.target.text == name


def writes_begin_late(node: Any) -> Any:
    """Loops that write leave their first tile out."""
    if isinstance(node, ir.For) and any(isinstance(s, ir.Evaluate) for s in node.body):
        return replace(node, start=ir.Binary("+", node.start, ir.Name("BLOCK_N", kind="constant")))
    return node


def last_tile_unwritten(node: Any) -> Any:
    if isinstance(node, ir.Evaluate) and isinstance(node.value, ir.Invoke) and ir.Name("last") in node.value.args:
        return ir.Note("nothing")
    return node


def starts_elsewhere(change: Callable[[ir.Value], ir.Value]) -> Callable[[Any], Any]:
    """The part that a program takes is another one."""
    return lambda n: replace(n, value=change(n.value)) if isinstance(n, ir.Let) and n.target.text == "part" else n


def next_part(number: ir.Value) -> ir.Value:
    return ir.Binary("+", number, ir.Number(1))


def half_part(number: ir.Value) -> ir.Value:
    return ir.Binary("//", number, ir.Number(2))


@pytest.mark.parametrize(
    ("name", "change", "wanted"),
    [
        *(("logsumexp", starts_elsewhere(change), {"parts"}) for change in (next_part, half_part)),
        ("softmax", writes_begin_late, {"loops: rolling", "loops: split"}),
        ("softmax", last_tile_unwritten, {"loops: rolling"}),
        *(("causal_attention", change, {"loops: rolling"}) for change in (
            doubled_step, without_masks, one_row_less, rows_end_elsewhere("last_row", -1),
            rows_end_elsewhere("last_row", 1), rows_end_elsewhere("first_row", 1),
        )),
        ("logsumexp", without_loop, {"loops: rolling", "loops: split"}),
        ("causal_attention", heaviest_twice, {"grid"}),
        *(("logsumexp", joins(change), {"merge"}) for change in (
            without_first_part, without_last_part, every_other_part, first_part_always)),
        ("logsumexp", unmasked_load, {"loads x"}),
        ("logsumexp", unmasked_store, {"stores y"}),
        ("logsumexp", at_most, {"stores y", "workspace m, l"}),
        ("logsumexp", other_stride, {"loads x"}),
        ("logsumexp", no_step, {"write once y", "workspace m, l"}),
        ("logsumexp", shared_part, {"workspace m, l"}),
        *(pytest.param("attention", *case, marks=pytest.mark.slow) for case in (
            (unmasked_load, {"loads k"}), (unmasked_store, {"stores o"}), (other_stride, {"stores o"}),
            (one_tile_more, {"loads k", "loads v"}),
        )),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (
            ("softmax", unmasked_store, {"stores y"}), ("causal_attention", twice, {"loops: rolling"}),
            ("logsumexp", doubled_step, {"loops: rolling", "loops: split"}),
            ("document", without_loop, {"loops: rolling"}),
        )),
    ],
)  # fmt: skip
def test_a_wrong_kernel_is_not_proved(name: str, change: Callable[[Any], Any], wanted: set[str]) -> None:
    assert open_of(with_change(name, change), wanted) == wanted


def test_an_extreme_of_rows_is_not_the_other_one() -> None:
    """Where a row's positions begin and end as data says, the loops go from a minimum to a maximum over rows."""
    i, j = axes("i j")
    x, mark = Tensor("x", i, j)[i, j], Tensor("mark", i, dtype="int32")[i]
    near = (j >= mark) & (j <= mark)
    plan = derive(pipeline(y=log(fold.sum(exp(where(near, x, -oo)), over=j))[i]))
    assert isinstance(plan, Plan)
    kernels = kernels_of(plan)
    assert kernels is not None and not open_of(kernels, {"loops: rolling"})

    def exchanged(node: Any) -> Any:
        other = {"max": "min", "min": "max"}
        return replace(node, reducer=other[node.reducer]) if isinstance(node, ir.Reduce) and node.place == 0 else node

    rolling = kernels.stages["rolling"]
    wrong = replace(rolling, body=changed(rolling.body, exchanged))
    assert wrong != rolling
    assert open_of(replace(kernels, stages={**kernels.stages, "rolling": wrong}), {"loops: rolling"})


@pytest.mark.parametrize("mask", [lambda i, j: j <= i, lambda i, j: j >= i], ids=["first", "last"])
def test_ends_that_are_made_of_one_end_of_the_rows_ask_for_that_one_alone(mask: Any) -> None:
    """No tile of an argmax is skipped, so that the kernel has no need of its last row, or of its first."""
    i, j = axes("i j")
    kernels = kernels_of(derive(pipeline(y=fold.argmax(where(mask(i, j), Tensor("x", i, j)[i, j], -oo), over=j)[i])))
    assert kernels is not None and not open_of(kernels, {"loops: rolling"})


def test_a_state_without_rows_is_the_same_for_all_programs_of_a_batch() -> None:
    """It was refuted, since a program leaves it where others do: the batch that it depends on is theirs too."""
    i, j, e = axes("i j e")
    x, w, v = Tensor("x", i, j)[i, j], Tensor("w", j)[j], Tensor("v", j, e)[j, e]
    spec = pipeline(o=(fold.sum(x * v, over=j) - fold.sum(w * v, over=j) / fold.sum(w, over=j))[i, e])
    plan = derive(spec)
    assert isinstance(plan, Plan)
    kernels = kernels_of(plan)
    assert kernels is not None
    states: dict[int, list[str]] = {}
    for a in plan.accumulators:
        states.setdefault(len(a.axes), []).append(str(a.symbol))
    assert states[0] and states[1]  # of no row, and of a column
    assert not {name for name in open_of(kernels) if name.startswith("workspace")}


@pytest.mark.parametrize("name", ["logsumexp", pytest.param("paged_decode", marks=pytest.mark.slow)])
def test_right_kernels_are_proved(name: str) -> None:
    assert open_of(made(name)) == set()


@pytest.mark.parametrize(("more", "wanted"), [(1, "loads x"), (-1, "grid")])
def test_a_grid_of_another_length_is_not_proved(more: int, wanted: str) -> None:
    """A program too many is at a batch that does not exist; one too few leaves rows to nobody."""
    old = launch(made("logsumexp"))
    other = tuple((s, tuple(ir.Binary("+", n, ir.Number(more)) for n in grid)) for s, grid in old.grids)
    assert open_of(made("logsumexp"), {wanted}, replace(old, grids=other)) == {wanted}


@pytest.mark.parametrize("stage", ["parts", "finish"])
def test_a_grid_of_fewer_parts_is_not_proved(stage: str) -> None:
    """The last positions would be no program's, or nobody would write along them."""
    old = launch(made("softmax"))
    grids = {s: (grid[0], ir.Binary("-", grid[1], ir.Number(1))) if s == stage else grid for s, grid in old.grids}
    assert open_of(made("softmax"), {"parts"}, replace(old, grids=tuple(grids.items()))) == {"parts"}


def test_parts_that_the_launcher_does_not_check_are_not_proved() -> None:
    kernels, old = made("attention"), launch(made("attention"))
    assert old.cut is not None
    assert open_of(kernels, {"parts"}) == set()
    for cut in (None, replace(old.cut, end=old.cut.chunk), replace(old.cut, length=ir.Number(0))):
        assert open_of(kernels, {"parts"}, replace(old, cut=cut)) == {"parts"}
    # Nothing is known of a chunk that is not looked at: neither what loops begin with, nor that they are tiles.
    assert "loops: split" in open_of(kernels, {"loops: split"}, replace(old, cut=None))


def test_both_solvers_answer_for_parts() -> None:
    """A core that Z3 needs less for may be one that cvc5 gives up on."""
    kernels = made("softmax")
    with own_context():
        read = lanes_of(kernels, launch(kernels))
        (found,) = [answer(q) for q in part_questions(kernels, launch(kernels), read, Asked())]
    assert (found.verdict, found.alone) == ("proved", "")


def test_an_index_that_the_launcher_does_not_check_is_not_proved() -> None:
    old = launch(made("gqa"))
    assert old.inside
    assert open_of(made("gqa"), {"loads q", "loads k"}, replace(old, inside=())) == {"loads k"}


def test_an_index_that_is_clamped_needs_an_axis_with_a_position() -> None:
    """Along an axis of length 0 it would be -1, which no mask stops: the launcher refuses that."""
    b, i, j, n = axes("b i j n")
    x, table = Tensor("x", n, i, j), Tensor("table", b, dtype="int32")
    plan = derive(pipeline(y=log(fold.sum(exp(x[table[b], i, j]), over=j))[b, i]))
    assert isinstance(plan, Plan)
    kernels = kernels_of(plan)
    assert kernels is not None
    how = launch(kernels)
    assert [a.name for a in how.filled] == ["n"]
    assert open_of(kernels, {"loads x", "loads table"}) == set()
    assert open_of(kernels, {"loads x", "loads table"}, replace(how, filled=())) == {"loads x"}


def test_a_mask_by_data_of_rows_parts_tiles_that_need_no_mask() -> None:
    """The kernel reads the data under the mask of its rows, and folds it over them under the same mask."""
    i, j = axes("i j")
    x, limit = Tensor("x", i, j)[i, j], Tensor("limit", i, dtype="int32")[i]
    plan = derive(pipeline(y=fold.sum(where(j <= limit, x, 2 * x), over=j)[i]))
    assert isinstance(plan, Plan)
    kernels = kernels_of(plan)
    assert kernels is not None and kernels.ranges.free_bounds
    assert open_of(kernels, {"loops: rolling", "loops: split"}) == set()


def test_the_text_of_a_question_does_not_hang_on_what_was_made_before() -> None:
    """Terms are ordered by their age, which hangs on what else a process has verified; a proof file may not."""

    def texts(mark: str, order: str) -> list[str]:
        made = {n: symbol(f"{n}_{mark}", "int") for n in order}
        a, b, c = (made[n] for n in "abc")
        terms = (zero(subtract(multiply(a, b), c)), nonnegative(add(multiply(c, a), b, least(a, c))))
        with own_context():
            return [str(f).replace(f"_{mark}", "") for f in Linear().all(terms)]

    wanted = {re.sub(r"_[0-9a-f]{8}", "", text) for text in texts("one", "abc")}
    assert {re.sub(r"_[0-9a-f]{8}", "", text) for text in texts("two", "cba")} == wanted


def test_the_lemmas_of_a_question_do_not_hang_on_what_was_asked_before() -> None:
    a, b, c = (symbol(f"lemma_{n}", "int") for n in "abc")
    q = integers.quotient(add(multiply(a, b), c), b)
    questions = [
        [nonnegative(subtract(q, a))],
        [zero(multiply(q, b))],
        [nonnegative(subtract(least(a, c), multiply(a, c)))],
    ]
    known = Known()

    def texts(known: Known, conditions: list[Term]) -> list[str]:
        facts = Lemmas({}, known).gather(conditions)
        with own_context():
            return [*map(str, Linear().all(facts))]

    for conditions in (*questions, *questions):
        assert texts(known, conditions) == texts(Known(), conditions) != []
