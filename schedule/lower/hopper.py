"""What Hopper's kernel is made of: the laws of a plan as statements, and the tiles that they read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from refold.algebra.roles import Roles
from refold.schedule import ir
from refold.schedule.lower.buffers import Place, scores_of, weights_of
from refold.spec import Index


@dataclass(frozen=True, slots=True)
class Hopper:
    """The laws of a plan as statements, and the tiles that they read; `wide` is the sum of the second product."""

    name: str
    roles: Roles
    scored: ir.Function
    carried: tuple[ir.Name, ...]
    corrected: ir.Value
    columns: Index
    spans: tuple[Any, ...]
    choices: tuple[ir.Statement, ...]
    prologue: tuple[ir.Statement, ...]
    epilogue: tuple[ir.Statement, ...]
    places: tuple[Place, Place, Place]
    states: tuple[tuple[ir.Name, ir.Value, bool], ...]
    pointers: tuple[str, ...]
    rises: bool

    @property
    def row(self) -> Index:
        assert self.roles.rows is not None
        return self.roles.rows

    @property
    def scores(self) -> ir.Name:
        """The first product of a tile."""
        return scores_of(self.roles)

    @property
    def weights(self) -> ir.Name:
        """What the second product takes of a tile; `following` of the next one."""
        return weights_of(self.roles)

    @property
    def following(self) -> ir.Name:
        return ir.Name("following", self.weights.axes)

    @property
    def wide(self) -> ir.Name:
        (name,) = (s for s, _, wide in self.states if wide)
        return name
