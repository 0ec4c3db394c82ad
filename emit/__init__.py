"""From a proof to a Triton kernel that stands alone, with its test and its proof beside it."""

from refold.emit.bundle import Kernel, need_kernel
from refold.emit.callable import Operator, compile, load
from refold.emit.door import emit, tried
from refold.emit.staged import StagedKernel
from refold.emit.trainable import TrainableKernel

__all__ = [
    "Kernel",
    "Operator",
    "StagedKernel",
    "TrainableKernel",
    "compile",
    "emit",
    "load",
    "need_kernel",
    "tried",
]
