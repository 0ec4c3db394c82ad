"""From a proof to a Triton kernel that stands alone, with its test and its proof beside it."""

from refold.emit.bundle import Kernel, compile, emit

__all__ = ["Kernel", "compile", "emit"]
