"""The kernels of a plan, for whoever asks about them."""

from __future__ import annotations

from refold.algebra import Plan
from refold.errors import EmitError
from refold.schedule.lower.kernels import Kernels, kernels


def kernels_of(plan: Plan) -> Kernels | None:
    """The kernels that a plan is emitted as, under no name of its own; None for a shape of pipeline that has none."""
    try:
        return kernels(plan, "kernel")
    except EmitError:
        return None
