"""Whether a run violates an obligation: its assumptions hold at the values of the run, and a goal does not.

A solver's model of a false claim is no run. A difference of outputs shows that something is wrong, and not that this
claim is: it is refuted by values that occur together in a run, or it is not refuted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.relational import Relational

from refold.algebra import Plan
from refold.algebra.monoid import guarded, monoid
from refold.algebra.run import Order, Runner, Values
from refold.errors import SpecError
from refold.spec.evaluate import Inputs
from refold.spec.walk import Array
from refold.verify.obligation import Defined, Obligation
from refold.verify.refute.replay import TOLERANCE
from refold.verify.refute.schedule import Merge, Step, instructions, perform

Bound = dict[Any, Any]


def violated(obligation: Obligation, plan: Plan, inputs: Mapping[str, Any], order: Order) -> bool:
    """Whether some values of a run violate an obligation; False where it speaks of what no run has."""
    with np.errstate(all="ignore"):
        runner = Runner(monoid(plan), Inputs.of(plan.spec, inputs))
        return any(_fails(obligation, runner, values) for values in _moments(plan, runner, order))


def _moments(plan: Plan, runner: Runner, order: Order) -> Iterator[Bound]:
    """The values that stand for the symbols of obligations, together: of each step, of each merge, and at the end."""
    stack: list[Values] = []
    held: list[tuple[int, ...]] = []
    for instruction in instructions(order):
        stack, taken = perform(runner, instruction, stack)
        inside = held[len(held) - len(taken) :]
        held = held[: len(held) - len(taken)]
        new = stack[-1]
        match instruction:
            case Step(position):
                held.append((*inside[0], position))
                before = runner.here(position)
                yield before | _marked(plan, runner, {"₁": taken[0], "₂": new, "": new})
                yield before | _marked(plan, runner, {"₁": new, "₂": new})
                yield _marked(plan, runner, {"": taken[0], "₂": new})
            case Merge():
                left, right = taken
                held.append((*inside[0], *inside[1]))
                yield _marked(plan, runner, {"₁": left, "₂": right, "₃": new})
                yield _marked(plan, runner, {"₁": right, "₂": left, "₃": new})
                for part, positions in zip(taken, inside, strict=True):
                    yield _marked(plan, runner, {"": part, "₂": new})
                    for position in positions:
                        yield runner.here(position) | _marked(plan, runner, {"₁": part, "₂": new, "": new})
            case _:
                held.append(())
    end = _marked(plan, runner, dict.fromkeys(("", "₁", "₂"), stack[-1]))
    yield end
    for position in held[-1]:
        yield runner.here(position) | end


def _marked(plan: Plan, runner: Runner, states: Mapping[str, Values]) -> Bound:
    """States under the names that their marks give them; fresh anchors are those of the last."""
    newest = runner.walk(list(states.values())[-1])
    own = {s: s for s in runner.form.symbols}
    found: Bound = {x.fresh: newest(guarded(x, own)) for x in plan.anchors}
    for mark, state in states.items():
        found |= {symbol: state[s] for s, symbol in runner.form.marked(mark).items()}
    return found


def _fails(obligation: Obligation, runner: Runner, values: Bound) -> bool:
    walk = runner.given.walk(values)
    try:
        assumed = [_truth(a, walk) for a in obligation.assumptions]
        holds = [_truth(g, walk) | (obligation.partial & _valueless(g, walk)) for g in obligation.goals]
    except SpecError:
        return False
    here = np.asarray(True)
    for fact in assumed:
        here = here & fact
    return any(bool(np.any(here & ~fact)) for fact in holds)


def _truth(formula: sp.Basic, walk: Any) -> Array:
    """Where a formula is true, numbers apart by more than rounding; an equation with no value on one side is not."""
    match formula:
        case Defined():
            return ~np.isnan(_number(formula.args[0], walk))
        case sp.And():
            return np.logical_and.reduce(np.broadcast_arrays(*(_truth(a, walk) for a in formula.args)))
        case sp.Or():
            return np.logical_or.reduce(np.broadcast_arrays(*(_truth(a, walk) for a in formula.args)))
        case sp.Not():
            return ~_truth(formula.args[0], walk)
        case Relational() if formula.rel_op in ("==", "<=", ">="):
            left, right = _number(formula.lhs, walk), _number(formula.rhs, walk)
            near = (left == right) | (np.abs(left - right) <= TOLERANCE * (1 + np.abs(right))) & np.isfinite(left)
            return near if formula.rel_op == "==" else near | (left < right if formula.rel_op == "<=" else left > right)
    return np.asarray(walk(formula), dtype=bool)


def _valueless(goal: sp.Basic, walk: Any) -> Array:
    """Where a side of a goal has no value."""
    sides = goal.args if isinstance(goal, Relational) else ()
    return np.logical_or.reduce(np.broadcast_arrays(False, *(np.isnan(_number(a, walk)) for a in sides)))


def _number(expr: sp.Basic, walk: Any) -> Array:
    return np.asarray(walk(expr), dtype=np.float64)
