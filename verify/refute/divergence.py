"""Finds the first intermediate value at which a run parts from the states that the definition gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import sympy as sp

from refold.algebra import Plan, State
from refold.algebra.display import short
from refold.algebra.monoid import definition, monoid
from refold.algebra.run import Order, Runner, Values
from refold.spec.evaluate import Inputs
from refold.spec.mathematics import text
from refold.verify.claim.claim import Claim
from refold.verify.claim.form import form_of
from refold.verify.claim.run import ClaimRunner
from refold.verify.claim.simulation import Relation, guarded
from refold.verify.refute.replay import TOLERANCE
from refold.verify.refute.schedule import Form, Instruction, Merge, Start, Step, instructions, perform
from refold.verify.refute.trace import Divergence, Moment

S = TypeVar("S", bound=Mapping[State, Any])


@dataclass(frozen=True, slots=True)
class Component:
    """One component of a state, how its values are called, what it should be, and what its step reads."""

    symbol: State
    name: str
    wanted: sp.Expr
    meaning: str
    reads: frozenset[sp.Basic]


def claim_divergence(
    claim: Claim, plan: Plan, relation: Relation, inputs: dict[str, Any], order: Order
) -> tuple[Divergence | None, tuple[Moment, ...]]:
    """Where the run of a claim leaves what its state means; and its moments, up to that one."""
    given = Inputs.of(claim.spec, inputs)
    with np.errstate(all="ignore"):
        return _claim_divergence(claim, plan, relation, given, order)


def _claim_divergence(
    claim: Claim, plan: Plan, relation: Relation, given: Inputs, order: Order
) -> tuple[Divergence | None, tuple[Moment, ...]]:
    rows = zip(claim.left, claim.names, claim.init, claim.step, strict=True)
    derived = {a.symbol: a.symbol for a in plan.accumulators}
    shown = [
        Component(s, name, guarded(plan, relation[s], init, derived) if s in relation else sp.nan,
                  said(plan, relation[s], name) if s in relation else "", frozenset(step.free_symbols))
        for s, name, init, step in rows
    ]  # fmt: skip
    mine = ClaimRunner(form_of(claim), given)
    divergence, moments, state = _follow(mine, mine.here, shown, plan, given, order)
    if divergence is None and set(relation) == set(claim.left):
        divergence = _finish(mine.finish(state), plan, given, moments)
    return divergence, moments


def plan_divergence(plan: Plan, inputs: dict[str, Any], order: Order) -> tuple[Divergence | None, tuple[Moment, ...]]:
    """Where the run of a plan leaves the states that its elements have by definition; and its moments."""
    given = Inputs.of(plan.spec, inputs)
    with np.errstate(all="ignore"):
        runner = Runner(monoid(plan), given)
    shown = [Component(a.symbol, str(a.symbol), a.symbol, said(plan, a.symbol, str(a.symbol)),
                       a.element.free_symbols | {f for s in a.anchors for f in plan.anchor(s).expr.free_symbols})
             for a in plan.accumulators]  # fmt: skip

    with np.errstate(all="ignore"):
        divergence, moments, _ = _follow(runner, runner.here, shown, plan, given, order)
    return divergence, moments


def said(plan: Plan, meaning: sp.Expr, name: str) -> str:
    """What a component should be, as mathematics over the elements: `l = Σ_j exp(x - m)`."""
    folds = {s.after: s.before for s in plan.steps if s.rule in ("accumulate", "argmax")}
    if meaning in folds:
        return f"{name} = {short(plan, folds[meaning])}"
    parts = [f"{s} = {short(plan, folds[s])}" for s in sorted(meaning.free_symbols, key=str) if s in folds]
    whole = [text(meaning)] if str(meaning) != name else []
    return " where ".join([*whole, ", ".join(parts)] if parts else whole)


def _follow(
    form: Form[S], here: Callable[[int], Mapping[Any, Any]], shown: list[Component], plan: Plan, given: Inputs,
    order: Order,
) -> tuple[Divergence | None, tuple[Moment, ...], S]:  # fmt: skip
    right = _Definition(plan, given)
    stack: list[S] = []
    held: list[tuple[int, ...]] = []
    moments: list[tuple[Moment, ...]] = []  # of each state on the stack, the last one its own
    for instruction in instructions(order):
        stack, taken = perform(form, instruction, stack)
        inside = held[len(held) - len(taken) :]
        before = moments[len(moments) - len(taken) :]
        held = [*held[: len(held) - len(taken)], _held(instruction, inside)]
        at = here(instruction.position) if isinstance(instruction, Step) else {}
        walk = given.walk(right.state_of(held[-1]))
        for c in shown:
            found = _difference(np.asarray(walk(c.wanted), dtype=np.float64), stack[-1][c.symbol])
            if found is not None:
                index, wanted, got = found
                reads = {s: v for s, v in at.items() if s in c.reads}
                divergence = Divergence(
                    _function(instruction), c.name, _when(instruction, inside, reads, index), got, wanted,
                    c.meaning, _entry(given, stack[-1][c.symbol], index), tuple(m[-1] for m in before),
                )  # fmt: skip
                return divergence, tuple(m for ms in moments for m in ms), stack[-1]
        state = tuple((c.name, _plain(stack[-1][c.symbol])) for c in shown)
        now = Moment(_when(instruction, inside, at, (0,) * len(given.order)), state)
        moments = [*moments[: len(moments) - len(taken)], (*(m for ms in before for m in ms), now)]
    (state_,) = stack
    return None, moments[0], state_


class _Definition:
    """The state of some positions as it is defined, without a correction."""

    def __init__(self, plan: Plan, given: Inputs) -> None:
        self.runner, self.operation = Runner(monoid(plan), given), definition(plan)

    def state_of(self, positions: tuple[int, ...]) -> Values:
        return self.runner.apply(self.operation, self.runner.entering(*sorted(positions)))


def _finish(got: Mapping[str, Any], plan: Plan, given: Inputs, moments: tuple[Moment, ...]) -> Divergence | None:
    """An output that is wrong although the state is right."""
    right = _Definition(plan, given)
    wanted = right.runner.finish(right.state_of(tuple(range(given.sizes[plan.axis]))))
    for output in plan.finish:
        found = _difference(wanted[output.name], got[output.name])
        if found is not None:
            index, want, have = found
            entry = ", ".join(f"{a}={n}" for a, n in zip(output.axes, index, strict=True) if given.sizes[a] > 1)
            return Divergence("finish", output.name, "at the end", have, want, "", entry, moments[-1:])
    return None


def _held(instruction: Instruction, inside: list[tuple[int, ...]]) -> tuple[int, ...]:
    positions = tuple(p for part in inside for p in part)
    return (*positions, instruction.position) if isinstance(instruction, Step) else positions


def _function(instruction: Instruction) -> str:
    match instruction:
        case Start():
            return "init"
        case Step():
            return "step"
        case Merge():
            return "merge"


def _when(
    instruction: Instruction, inside: list[tuple[int, ...]], at: Mapping[Any, Any], index: tuple[int, ...]
) -> str:
    match instruction:
        case Start():
            return "of no element"
        case Step(position):
            values = ", ".join(f"{s} = {_at(v, index):.7g}" for s, v in at.items())
            return f"after element {position}" + (f" ({values})" if values else "")
        case Merge():
            first, second = (list(part) for part in inside)
            return f"merging {first} with {second}"


def _difference(wanted: Any, got: Any) -> tuple[tuple[int, ...], float, float] | None:
    """The first element that differs by more than rounding where the wanted one is defined; both of its values."""
    want, have = np.broadcast_arrays(np.asarray(wanted, dtype=np.float64), np.asarray(got, dtype=np.float64))
    with np.errstate(invalid="ignore"):
        near = (want == have) | (np.abs(want - have) <= TOLERANCE * (1 + np.abs(want)))
    for index in np.argwhere(~np.isnan(want) & ~(near & ~np.isinf(want) | (want == have))):
        at = tuple(int(n) for n in index)
        return at, float(want[at]), float(have[at])
    return None


def _entry(given: Inputs, value: Any, index: tuple[int, ...]) -> str:
    shape = np.shape(value)
    places: Iterator[tuple[Any, int]] = iter(given.order.items())
    return ", ".join(f"{a}={index[n]}" for a, n in places if n < len(shape) and shape[n] > 1)


def _at(value: Any, index: tuple[int, ...]) -> float:
    """The element of a value that an index of a wider one stands on."""
    return float(np.asarray(value)[tuple(min(n, size - 1) for n, size in zip(index, np.shape(value), strict=True))])


def _plain(value: Any) -> Any:
    value = np.squeeze(np.asarray(value, dtype=np.float64))
    return value.tolist()
