"""The plan in base 2 is shown to be the plan, and one that is another is not."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace

import pytest
import sympy as sp
from support.examples import NAMES

from refold import Plan, derive
from refold.algebra.base2 import exp2, in_base2
from refold.verify.kernel.base2 import change_of_base


def derived(name: str) -> Plan:
    plan = derive(importlib.import_module(f"refold.examples.{name}").SPEC)
    assert isinstance(plan, Plan), str(plan)
    return plan


@pytest.mark.parametrize("name", NAMES)
def test_base_2_is_a_change_of_variables(name: str) -> None:
    plan = derived(name)
    changed = in_base2(plan)
    results = [*change_of_base(plan, changed)]
    assert [r.verdict for r in results] == ["proved"] * (changed != plan)
    assert all(r.note for r in results), "what has no certificate says how it was shown"


def doubled(plan: Plan) -> Plan:
    """Exponents of one correction twice as large."""
    *others, last = plan.accumulators
    doubled = last.correction.replace(exp2, lambda x: exp2(2 * x))
    return replace(plan, accumulators=(*others, replace(last, correction=doubled)))


def unscaled(plan: Plan) -> Plan:
    """Exponentials of scores in units of log(2)."""
    *others, last = plan.accumulators
    return replace(plan, accumulators=(*others, replace(last, element=last.element.replace(exp2, sp.exp))))


def shifted(plan: Plan) -> Plan:
    """Scores that are one too large."""
    first, *others = plan.elements
    return replace(plan, elements=(replace(first, expr=first.expr + 1), *others))


def limited(plan: Plan) -> Plan:
    """An anchor that is regular elsewhere."""
    (anchor,) = plan.anchors
    return replace(plan, anchors=(replace(anchor, regular=sp.Gt(anchor.expr, 0)),))


def elsewhere(plan: Plan) -> Plan:
    """Another anchor where no position counts."""
    (anchor,) = plan.anchors
    return replace(plan, anchors=(replace(anchor, default=sp.S.One),))


@pytest.mark.parametrize("change", [doubled, unscaled, shifted, limited, elsewhere])
def test_another_plan_is_not_the_plan(change: Callable[[Plan], Plan]) -> None:
    plan = derived("attention")
    assert [r.verdict for r in change_of_base(plan, change(in_base2(plan)))] == ["unknown"]
