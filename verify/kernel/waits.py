"""That a kernel which may begin early waits for the one before it, ahead of the first read of what that one leaves."""

from __future__ import annotations

from refold.schedule import ir
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.words import OVERLAP
from refold.schedule.walk import every, names


def hasty(made: Kernels, stage: str) -> str | None:
    """What a stage reads of another before it has waited for it; None where it waits, or reads nothing of the kind.

    Only what stands at the first level of the kernel counts as a wait: it is then done whatever the data are.
    """
    passed = {f"{tensor.name}_ptr" for program in made.programs for tensor in program.passed()}
    for statement in made.stages[stage].body:
        if _waits(statement):
            return None
        for node in every(statement):
            if isinstance(node, ir.Load | ir.Fetch | ir.Atomic | ir.Invoke):
                read = {name.text for part in every(node) if isinstance(part, ir.Name) for name in names(part)}
                if read & passed:
                    return min(read & passed)
    return None


def _waits(statement: ir.Statement) -> bool:
    match statement:
        case ir.If(condition, (first, *_)) if condition == OVERLAP:
            return _waits(first)
        case ir.Evaluate(ir.Method(name="gdc_wait")):
            return True
    return False
