"""What kernels keep for a component of a state: its value, or another number where that is the unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp

from refold.algebra.monoid import Component
from refold.schedule import ir
from refold.schedule.lower.definitions import UNITS
from refold.spec.heads import UNITS as ALGEBRA
from refold.spec.heads import Where


@dataclass(frozen=True, slots=True)
class Kept:
    """`x -> (number where x = unit, else x)`, of values below the number.

    A kernel that begins at what it keeps for the unit, takes what it keeps for a state to what it keeps for the next
    one, and stores the finish of the state that it keeps, computes the monoid, whatever `number` is.
    """

    unit: Any
    number: Any

    @property
    def is_plain(self) -> bool:
        """Whether every value is kept as it is."""
        return bool(self.number == self.unit)

    def of(self, value: Any) -> Any:
        """What is kept for a value."""
        return value if self.is_plain else Where(self._is_unit(value), self.number, value)

    def fits(self, value: Any) -> Any:
        """That no value but the unit is kept as the number that the unit is; true of every reachable one."""
        return sp.true if self.is_plain else sp.Lt(value, self.number, evaluate=False)

    def _is_unit(self, value: Any) -> Any:
        return sp.Eq(value, self.unit, evaluate=value.is_number)


def kept(c: Component) -> Kept:
    """How kernels keep a component, as the table of their units says."""
    unit, number = (ALGEBRA[c.reducer], UNITS[c.reducer]) if c.reducer is not None else (sp.S.Zero, ir.Number(0))
    assert isinstance(number, ir.Number)
    return Kept(unit, unit if float(unit) == float(number.value) else sp.Integer(number.value))
