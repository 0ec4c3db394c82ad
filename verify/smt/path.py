"""The path on which a formula is translated: which conditions were decided on the way, and how."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from refold.verify.smt import formulas as z3


class Undecided(Exception):
    """A path needs to know whether `condition` holds."""

    def __init__(self, condition: z3.BoolRef) -> None:
        super().__init__("a path has to know whether a condition holds")
        self.condition = condition


@dataclass(frozen=True, slots=True)
class Path:
    """The conditions that are decided, each by its number with what was decided of it."""

    decided: dict[int, tuple[Any, bool]] = field(default_factory=dict)
    # Conditions without what stands in them twice; each is kept: Z3 gives the number of one that is gone to another.
    tidied: dict[int, tuple[Any, Any]] = field(default_factory=dict)

    def where(self, condition: Any, *, holds: bool) -> Path:
        """The path on which one more condition is decided."""
        return replace(self, decided={**self.decided, z3.key(condition): (condition, holds)})

    def fails(self, condition: Any) -> bool:
        """Whether it was decided that a condition does not hold."""
        return self.decided.get(z3.key(condition), (None, True))[1] is False

    def decide(self, condition: Any) -> bool:
        """Whether a condition holds on the path. Raises `Undecided`."""
        key = z3.key(condition)
        if key not in self.tidied:
            self.tidied[key] = condition, _decidable(condition)
        found = self.truth(self.tidied[key][1])
        if not isinstance(found, bool):
            raise Undecided(found)
        return found

    def truth(self, condition: Any) -> Any:
        """Whether a condition holds on the path; where that hangs on what was not decided, the first atom of it."""
        if z3.is_not(condition):
            inner = self.truth(condition.arg(0))
            return not inner if isinstance(inner, bool) else inner
        if z3.is_and(condition) or z3.is_or(condition):
            settles = z3.is_or(condition)
            found = [self.truth(part) for part in z3.children(condition)]
            return settles if settles in found else next((f for f in found if not isinstance(f, bool)), not settles)
        if _constant(condition):
            return z3.is_true(condition)
        return self.decided[z3.key(condition)][1] if z3.key(condition) in self.decided else condition


def _decidable(condition: Any) -> Any:
    """A condition as a path decides it: true or false where it is that for Z3."""
    simple = z3.simplify(condition)
    # Which side of an equation Z3 puts first depends on all that it has seen before; a proof file must not.
    return simple if _constant(simple) else tidy(condition)


def tidy(condition: Any) -> Any:
    """A condition without the constants in it, and without what stands in it twice."""
    if z3.is_not(condition):
        inner = tidy(condition.arg(0))
        if _constant(inner):
            return z3.BoolVal(z3.is_false(inner))
        return inner.arg(0) if z3.is_not(inner) else z3.Not(inner)
    if not (z3.is_and(condition) or z3.is_or(condition)):
        return condition
    parts = list({part.sexpr(): part for part in map(tidy, z3.children(condition))}.values())
    settles = z3.is_false if z3.is_and(condition) else z3.is_true
    if any(settles(part) for part in parts):
        return z3.BoolVal(z3.is_or(condition))
    parts = [part for part in parts if not _constant(part)]
    join = z3.And if z3.is_and(condition) else z3.Or
    return parts[0] if len(parts) == 1 else join(*parts) if parts else z3.BoolVal(z3.is_and(condition))


def _constant(condition: Any) -> bool:
    return bool(z3.is_true(condition) or z3.is_false(condition))
