"""What is proved as a bundle: of one plan, of the stages of a pipeline, or of a pipeline with its gradients."""

from __future__ import annotations

from typing import overload

from refold.emit import trial
from refold.emit.bundle import Kernel, emit_plan
from refold.emit.staged import StagedKernel, emit_stages
from refold.emit.trainable import TrainableKernel, emit_trainable
from refold.errors import EmitError
from refold.verify.differentiated import Differentiated
from refold.verify.result import Proof
from refold.verify.staged import Composed


@overload
def emit(proof: Proof, name: str = "fused", *, single_file: bool = False) -> Kernel: ...


@overload
def emit(proof: Composed, name: str = "fused", *, single_file: bool = False) -> StagedKernel: ...


@overload
def emit(
    proof: Differentiated, name: str = "fused", *, single_file: bool = False, plain: Proof | Composed | None = None
) -> TrainableKernel: ...


def emit(
    proof: Proof | Composed | Differentiated,
    name: str = "fused",
    *,
    single_file: bool = False,
    plain: Proof | Composed | None = None,
) -> Kernel | StagedKernel | TrainableKernel:
    """The bundle of what `refold.verify` returns when all is proved: of a plan, of stages, or of gradients.

    With `single_file` NAME.py holds what it else loads from files beside it. `plain` goes with gradients: the proof of
    the pipeline itself, whose kernels run where no gradient is asked for; without it those run that also keep what
    gradients need. Raises `EmitError` for anything but a proof, for a pipeline of no known kernel, and for several
    kernel files in a single one.
    """
    if isinstance(proof, Composed | Differentiated) and single_file:
        many = "stage" if isinstance(proof, Composed) else "gradient"
        raise EmitError(
            f"{name} takes a kernel file a {many}, and no single file holds them yet: leave that option out"
        )
    if isinstance(proof, Differentiated):
        return emit_trainable(proof, name, plain)
    return emit_stages(proof, name) if isinstance(proof, Composed) else emit_plan(proof, name, single_file=single_file)


def tried(kernel: Kernel | StagedKernel | TrainableKernel) -> Kernel | StagedKernel | TrainableKernel:
    """The same, after each of its kernels has run once."""
    return kernel.tried() if isinstance(kernel, StagedKernel | TrainableKernel) else trial.tried(kernel)
