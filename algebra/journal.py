"""The journal of a derivation: its steps, each once, in the order in which they were found."""

from __future__ import annotations

import sympy as sp

from refold.algebra.plan import State, Step


class Journal:
    """Collects steps."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def step(self, rule: str, before: sp.Basic | None, after: sp.Basic | None, note: str = "") -> None:
        """Notes that `rule` made `after` of `before`."""
        step = Step(rule, before, after, note)
        if step not in self.steps:
            self.steps.append(step)

    def without(self, dropped: set[State]) -> tuple[Step, ...]:
        """The steps that made something that is still there."""
        return tuple(s for s in self.steps if not {s.before, s.after} & dropped)
