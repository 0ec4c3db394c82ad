"""Whether there is something to measure on, and one message where there is not."""

from __future__ import annotations

import os

from refold.errors import UsageError
from refold.needs import KERNELS, need

ELSEWHERE = (
    "run it where there is one, or write the bundle here with 'refold bench SPEC -o DIR', carry DIR over, and run "
    "'python -m refold.measure DIR' there, which needs torch and triton alone"
)


def reason() -> str:
    """Why nothing can be measured here; "" where it can.

    Raises a `UsageError` where torch or triton is missing.
    """
    need("measuring a kernel", *KERNELS)
    import torch

    if os.environ.get("TRITON_INTERPRET") == "1":
        return "TRITON_INTERPRET=1 is set, and Triton's interpreter says nothing about speed: unset it"
    if not torch.cuda.is_available():
        return f"torch sees no GPU on this machine: {ELSEWHERE}"
    return ""


def usable() -> None:
    """Raises a `UsageError` where nothing can be measured."""
    why = reason()
    if why:
        raise UsageError(why)
