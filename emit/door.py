"""What is proved as a bundle: of one plan, or of the stages of a pipeline."""

from __future__ import annotations

from typing import overload

from refold.emit.bundle import Kernel, emit_plan
from refold.emit.staged import StagedKernel, emit_stages
from refold.errors import EmitError
from refold.verify.result import Proof
from refold.verify.staged import Composed


@overload
def emit(proof: Proof, name: str = "fused", *, single_file: bool = False) -> Kernel: ...


@overload
def emit(proof: Composed, name: str = "fused", *, single_file: bool = False) -> StagedKernel: ...


def emit(proof: Proof | Composed, name: str = "fused", *, single_file: bool = False) -> Kernel | StagedKernel:
    """The bundle of what `refold.verify` returns when all is proved: of a plan, or of stages.

    With `single_file` NAME.py holds what it else loads from files beside it. Raises `EmitError` for anything but a
    proof, for a pipeline of no known kernel, and for stages in a single file.
    """
    if not isinstance(proof, Composed):
        return emit_plan(proof, name, single_file=single_file)
    if single_file:
        raise EmitError(f"{name} takes a kernel file a stage, and no single file holds them yet: leave that option out")
    return emit_stages(proof, name)
