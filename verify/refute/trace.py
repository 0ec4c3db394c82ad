"""What a counterexample shows of the run: its moments, and the first value at which a form parts from the right one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Moment:
    """A state and what led to it: `of no element`, `after element 1 (x = 2.0)`, `merging [0] with [1, 2]`."""

    when: str
    state: tuple[tuple[str, Any], ...]

    def __str__(self) -> str:
        return f"{self.when}: " + ", ".join(f"{name} = {number(value)}" for name, value in self.state)


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first intermediate value that is wrong: `component`, as `function` computes it, at `moment`.

    `before` are the states that went in, which are right. `meaning` says as mathematics what the component is
    `wanted` to be; `entry` which of its elements this is, where there are several.
    """

    function: str
    component: str
    when: str
    got: float
    wanted: float
    meaning: str
    entry: str
    before: tuple[Moment, ...]

    def __str__(self) -> str:
        name = f"{self.component}[{self.entry}]" if self.entry else self.component
        meaning = f" ({self.meaning})" if self.meaning else ""
        return f"{self.when}: {name} = {number(self.got)}, should be {number(self.wanted)}{meaning}"


def number(value: Any) -> str:
    """A float as short as seven digits allow; anything else as Python writes it."""
    return f"{value:.7g}" if isinstance(value, float) else str(value)
