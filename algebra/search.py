"""Looks for the stages of a pipeline: as few as are found, and of several ways to cut it the one that costs least."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from refold.algebra.cuts import cuts
from refold.algebra.derive import plan_of
from refold.algebra.flatten import Flat, flatten
from refold.algebra.plan import Plan
from refold.algebra.refuse import Refused
from refold.algebra.roles import layout
from refold.algebra.worth import Cost, cost
from refold.errors import UnsupportedSpec
from refold.spec import Index, Param, Read, Spec

Plans = tuple[Plan, ...]
# No pipeline is cut into more stages.
MOST = 4


@dataclass(frozen=True, slots=True)
class Pieces:
    """The plans of a pipeline, over one axis for two of each of `flats`; their cost, None where one has no kernel."""

    plans: Plans
    flats: tuple[Flat, ...]
    cost: Cost | None


@dataclass(frozen=True, slots=True)
class Search:
    """One search, the axes in `long` taken to be long; `lengths` are what pieces take for those of axes they lost."""

    long: frozenset[str]
    lengths: dict[Param, Index] = field(default_factory=dict)
    plans: dict[Spec, Plan | None] = field(default_factory=dict)
    costs: dict[Plans, Cost | None] = field(default_factory=dict)

    def whole(self, spec: Spec) -> Pieces | None:
        """A pipeline in one pass, if there is a kernel of it that holds no long axis whole."""
        plan = self.plan(spec)
        whole = None if plan is None else self.cost((plan,))
        return None if plan is None or whole is None else Pieces((plan,), (), whole)

    def pieces(self, spec: Spec) -> Pieces | None:
        """A pipeline in one pass as it is, else in stages; None where it has neither."""
        plan = self.plan(spec)
        flats: list[Flat] = []
        flat = spec
        if plan is None or self.cost((plan,)) is None:
            while (found := flatten(flat)) is not None:
                flat = found.after
                flats.append(found)
        plans = self.several(flat)
        if flats and plan is not None and (plans is None or self.cost(plans) is None):
            plans, flats = self.several(spec), []
        return None if plans is None else Pieces(plans, tuple(flats), self.cost(plans))

    def several(self, spec: Spec, taken: frozenset[str] = frozenset(), most: int = MOST) -> Plans | None:
        """The plans of at most so many pieces; what is handed on has none of the names that are `taken`.

        Where one piece would hold a long axis whole, two may do without.
        """
        plan = self.plan(spec)
        if plan is None:
            return self.in_two(spec, taken, most)
        if self.cost((plan,)) is not None:
            return (plan,)
        plans = self.in_two(spec, taken, most)
        if plans is None or (layout(plan) is not None and (self.cost(plans) is None or self.hands_on_scores(plans))):
            return (plan,)
        return plans

    def in_two(self, spec: Spec, taken: frozenset[str], most: int) -> Plans | None:
        """The plans of the two pieces of a pipeline that cost least, of those that have some.

        A first piece without a kernel is cut itself where every other cut has such a one. What an output is where its
        reductions range over nothing is for the stage to say that reduces, and none but the last writes it.
        """
        if most < 2 or spec.empty is not sp.nan:
            return None
        ways = cuts(spec, taken, self.lengths)
        whole = [way for way in ways if (plan := self.plan(way[0])) and self.cost((plan,)) is not None]
        found: dict[Plans, float] = {}
        for first, rest in whole or ways:
            begun = self.several(first, taken | _names(rest), most - 1)
            least = min(found.values(), default=math.inf)
            if begun is not None and (least == math.inf or self.worth(self.cost(begun)) < least):
                named = taken.union(*(_names(plan.spec) for plan in begun))
                after = self.several(rest, named, most - len(begun))
                if after is not None:
                    found[*begun, *after] = self.worth(self.cost((*begun, *after)))
        return min(found, key=found.__getitem__, default=None)

    def hands_on_scores(self, plans: Plans) -> bool:
        """Whether a stage writes for a later one what has more long axes than each tensor that it reads."""
        wanted = {t.name for plan in plans for t in plan.spec.tensors}
        passed = (o for plan in plans for o in plan.spec.outputs if o.name in wanted)
        return any(self.lengthy(o.axes) > max(self.lengthy(r.tensor.axes) for r in o.expr.atoms(Read)) for o in passed)

    def lengthy(self, axes: tuple[Index, ...]) -> int:
        """How many of some axes are long."""
        return sum(a.name in self.long for a in axes)

    def plan(self, spec: Spec) -> Plan | None:
        """The plan of a pipeline in one pass, looked for once."""
        if spec not in self.plans:
            try:
                self.plans[spec] = plan_of(spec)
            except (UnsupportedSpec, Refused):
                self.plans[spec] = None
        return self.plans[spec]

    def cost(self, plans: Plans) -> Cost | None:
        """What stages cost together."""
        if plans not in self.costs:
            self.costs[plans] = cost(plans, self.long)
        return self.costs[plans]

    def worth(self, whole: Cost | None) -> float:
        """A cost at typical lengths: more than all others where a stage has no kernel."""
        return math.inf if whole is None else whole.at(self.long)


def _names(spec: Spec) -> set[str]:
    """The names that a pipeline reads and writes by."""
    groups: tuple[tuple[Any, ...], ...] = (spec.tensors, spec.outputs, spec.params)
    return {str(x.name) for group in groups for x in group}
