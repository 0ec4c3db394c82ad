"""The correction law: from a pipeline to a plan that runs in one pass or over any split, or a refusal."""

from refold.algebra.adjoint.gradient import Gradient, gradient
from refold.algebra.derive import derive
from refold.algebra.plan import (
    Accumulator,
    Anchor,
    Condition,
    Element,
    Evidence,
    Family,
    Finish,
    Fresh,
    Plan,
    Reading,
    Refusal,
    State,
    Step,
    Varying,
)
from refold.algebra.stages import Staged, stages
from refold.spec.heads import UNITS

__all__ = [
    "UNITS", "Accumulator", "Anchor", "Condition", "Element", "Evidence", "Family", "Finish", "Fresh", "Gradient",
    "Plan", "Reading", "Refusal", "Staged", "State", "Step", "Varying", "derive", "gradient", "stages",
]  # fmt: skip
