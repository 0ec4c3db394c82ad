"""Index obligations: proved of what is emitted, and refuted with numbers of whatever is off by one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sympy as sp
from emit_cases import attention, i, j, plan_of, score, window
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.algebra import Plan, derive
from refold.algebra.bounds import Bound, bounds_of, implied, slope
from refold.algebra.roles import Roles, assign
from refold.algebra.tiles import FREE_HI, FREE_LO, HI, LO, Choose, Down, TileRanges, Up, tile_ranges
from refold.emit import emit
from refold.spec import Predicate, Tensor, exp, fold, log, oo, pipeline, where
from refold.verify import Proof, Result, verify
from refold.verify.kernel.chosen import tile_questions
from refold.verify.kernel.questions import IndexQuestion, answer
from refold.verify.laws import obligations
from refold.verify.laws.reach import Reach
from refold.verify.obligation import discharge
from refold.verify.smt import formulas as z3

I, J, W = i.expr, j.expr, window.expr
BOTH = (j <= i) & (j > i - window)


def layout(mask: Predicate) -> tuple[Roles, TileRanges]:
    plan = derive(attention(where(mask, score, -oo), empty=0))
    assert isinstance(plan, Plan)
    roles = assign(plan)
    return roles, tile_ranges(plan, roles)


def verdicts(roles: Roles, ranges: Any) -> dict[str, Result]:
    return {q.name: answer(q) for q in tile_questions(roles, ranges)}


@pytest.mark.parametrize(
    "mask",
    [j <= i, j > i, BOTH, j + 0 == i, i + j >= window, j <= 2 * i, j <= i + (j.size - i.size), j >= j.size - window,
     (j < window) | (j <= i), (j < window) | ((j <= i) & (j > i - window)), ~(j > i), j // window <= i // window,
     j // window == i // window, (i - j) % window == 0,
     # A quotient against what is none: times the divisor, which a symbol is too.
     j // 5 > i, j // 3 <= j.size - i, j // window > window + i // 5, -(j // window) >= i // 2,
     (j - 1) // 3 == j.size - i, j // window >= i + i % 5],
    ids=str,
)  # fmt: skip
def test_ranges_are_proved(mask: Predicate) -> None:
    found = verdicts(*layout(mask))
    assert {r.name: r.note for r in found.values() if r.verdict != "proved"} == {}


@pytest.mark.parametrize(
    ("side", "change", "name"),
    [
        ("skip_bounds", lambda b: b.expr - 1 if b.side == "upper" else b.expr, "index skipped: rolling"),
        ("skip_bounds", lambda b: b.expr + 1 if b.side == "lower" else b.expr, "index skipped: split"),
        ("free_bounds", lambda b: b.expr + 1 if b.side == "upper" else b.expr, "index unmasked: rolling"),
        ("free_bounds", lambda b: b.expr - 1 if b.side == "lower" else b.expr, "index unmasked: split"),
    ],
)
def test_a_bound_off_by_one_is_refuted(side: str, change: Callable[[Bound], sp.Expr], name: str) -> None:
    roles, ranges = layout(BOTH)
    wrong = tuple(Bound(b.side, change(b)) for b in getattr(ranges, side))
    result = verdicts(roles, replace(ranges, **{side: wrong}))[name]
    assert result.verdict == "refuted"
    for symbol in ("BLOCK_N = ", "first_row = ", "i = ", "j = ", "|j| = ", "tile = ", "window = "):
        assert symbol in result.note


DATA = Tensor("mask", i, j, dtype="int32")[i, j] > 0


@pytest.mark.parametrize(
    "mask", [DATA, DATA | (j > i), (j <= i) & DATA, (j < window) | ((j > i - window) & (j <= i))], ids=str
)
def test_a_summary_of_data_and_of_unions_is_proved(mask: Predicate) -> None:
    roles, ranges = layout(mask)
    found = verdicts(roles, ranges)
    assert ranges.asked and {r.note for r in found.values() if r.verdict != "proved"} == set()
    assert {"index summary: rolling", "index summary: split"} <= set(found)


def test_no_summary_is_asked_of_what_is_a_bound_or_true_somewhere_in_every_tile() -> None:
    assert layout(BOTH)[1].asked == () == layout((i - j) % window == 0)[1].asked


def test_a_summary_of_something_else_is_refuted() -> None:
    roles, ranges = layout(DATA)
    result = verdicts(roles, replace(ranges, asked=(sp.And(*ranges.asked), J > 5)))["index summary: rolling"]
    assert result.verdict == "refuted" and "j = " in result.note


def test_what_is_skipped_adds_nothing_or_is_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, verdict in ((-oo, {"proved"}), (0, {"refuted"})):
        # Where j > i a score of 0 counts, as `live_where` knows: here it is made to say otherwise.
        plan = derive(attention(where(j <= i, score, value), empty=0))
        assert isinstance(plan, Plan)
        monkeypatch.setattr(obligations, "live_where", lambda plan, a: {J <= I} if str(a.symbol) != "m" else set())
        found = {o.name: discharge(o, plan).verdict for o in obligations.masked(plan, Reach.of(plan))}
        assert set(found) == {"masked l", "masked acc"} and set(found.values()) == verdict


class Edited:
    """A choice of tiles with one of its lines changed."""

    def __init__(self, ranges: TileRanges, edit: Callable[[Choose], Choose | None]) -> None:
        self.ranges, self.edit = ranges, edit

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ranges, name)

    def choices(self, roles: Roles, start: sp.Expr, stop: sp.Expr) -> tuple[Choose, ...]:
        lines = (self.edit(c) for c in self.ranges.choices(roles, start, stop))
        return tuple(c for c in lines if c is not None)


def without(name: sp.Symbol, head: Any) -> Callable[[Choose], Choose | None]:
    return lambda c: None if c.name == name and c.expr.has(head) else c


def swapped(name: sp.Symbol, old: Any, new: Any) -> Callable[[Choose], Choose]:
    return lambda c: Choose(c.name, c.kind, c.expr.replace(old, new)) if c.name == name else c


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        (without(LO, Down), "index visit: rolling"),
        (swapped(LO, Down, Up), "index skipped: rolling"),
        (swapped(HI, Up, Down), "index skipped: rolling"),
        (swapped(FREE_LO, Up, Down), "index unmasked: rolling"),
        (swapped(FREE_HI, Down, Up), "index unmasked: rolling"),
        (lambda c: Choose(c.name, c.kind, j.size.expr) if c.name == HI and not c.kind and not c.expr.has(Up) else c,
         "index visit: split"),
        (lambda c: Choose(c.name, c.kind, Down(FREE_HI)) if c.name == FREE_HI and isinstance(c.expr, sp.Min) else c,
         "index visit: rolling"),
    ],
    ids=["lo not rounded", "lo up", "hi down", "free_lo down", "free_hi up", "no chunk", "free_hi before free_lo"],
)  # fmt: skip
def test_a_wrong_line_is_refuted(edit: Callable[[Choose], Choose | None], name: str) -> None:
    roles, ranges = layout(BOTH)
    result = verdicts(roles, Edited(ranges, edit))[name]
    assert result.verdict == "refuted", result
    assert result.note.startswith("not so at BLOCK_N = ")


def test_a_read_beyond_its_axis_is_refuted() -> None:
    n, size = z3.Ints("n size")
    assert answer(IndexQuestion("index loads x", "", (n >= 0, n <= size), n < size)).verdict == "refuted"


def test_hypotheses_without_a_model_prove_nothing() -> None:
    n = z3.Int("n")
    assert answer(IndexQuestion("index", "", (n < 0, n > 0), n == 7)).verdict == "unknown"


def test_a_model_of_what_is_no_multiple_is_no_refutation() -> None:
    a, block = z3.Ints("a BLOCK_N")
    # True of multiples alone, and nothing says that they are apart: neither proved nor refuted.
    goal = z3.Implies(a > 0, a >= block)
    assert answer(IndexQuestion("index", "", (block >= 1,), goal, (a,), block)).verdict == "unknown"


def test_a_proof_holds_the_index_obligations() -> None:
    proof = verify(plan_of("causal"))
    assert isinstance(proof, Proof)
    names = [r.name for r in proof.results if r.name.startswith("index ")]
    assert len(names) == len(set(names))
    assert {"index skipped: split", "index parts", "index write once o", "index loads k"} <= set(names)


@pytest.mark.parametrize("name", ["band", "block_causal"])
def test_masks_by_sizes_and_blocks_are_proved(name: str) -> None:
    plan = plan_of(name)
    roles = assign(plan)
    asked = tile_questions(roles, tile_ranges(plan, roles))
    assert {answer(q).verdict for q in asked} == {"proved"}


def test_slope() -> None:
    assert slope(I, I) == 1
    assert slope(3 - I, I) == -1
    assert slope(sp.Max(I, W), I) == 1
    assert slope(sp.floor(I / W) * W, I) == 1
    assert slope(W, I) == 0
    assert slope(I * (I - 3), I) is None
    assert slope(sp.Max(I - 3, 3 - I), I) is None


TERMS = st.builds(
    lambda a, b, c, d: (J if d else sp.floor(J / sp.Integer(a))) * b + c * I,
    st.integers(2, 4), st.sampled_from([-1, 1]), st.integers(-2, 2), st.booleans(),
)  # fmt: skip
ATOMS = st.builds(
    lambda t, r, n: r(t, n), TERMS, st.sampled_from([sp.Le, sp.Lt, sp.Ge, sp.Gt, sp.Eq]), st.integers(-6, 6)
)
PREDICATES = st.recursive(ATOMS, lambda p: st.builds(lambda op, a, b: op(a, b), st.sampled_from([sp.And, sp.Or]), p, p))


@settings(max_examples=150)
@given(PREDICATES, st.integers(0, 8))
def test_bounds_against_brute_force(predicate: Any, row: int) -> None:
    roles = Roles(J, I, (), (), None, False)

    def allowed(bounds: tuple[Bound, ...], at: int) -> bool:
        ends = [(b.side, int(b.expr.subs(I, row))) for b in bounds]
        return all(at <= e if side == "upper" else at >= e for side, e in ends)

    exact, wide = bounds_of(predicate, roles), implied(predicate, roles)
    for at in range(12):
        holds = bool(predicate.subs({I: row, J: at}))
        assert not holds or allowed(wide, at)
        assert not exact or holds == allowed(exact, at)


def test_the_first_program_of_the_finish_alone_writes_what_has_no_fold_axis() -> None:
    x = Tensor("x", i, j)
    top = fold.max(x[i, j], over=j)
    mass = fold.sum(exp(x[i, j] - top), over=j)
    proof = verify(derive(pipeline(lse=(top + log(mass))[i], p=(exp(x[i, j] - top) / mass)[i, j])))
    assert isinstance(proof, Proof)
    text = emit(proof, "two").source
    stored = text[text.index("def two_finish") :].split("tl.store(lse_ptr")[0]
    assert stored.rstrip().endswith("if tl.program_id(1) == 0:")
    # Over an axis of no position there still is one program, or nobody would write lse.
    assert 'max(1, triton.cdiv(size["j"], chunk))' in text
