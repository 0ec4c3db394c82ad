"""What refold does without until it is asked for: packages that only kernels need, and what to install for them."""

from __future__ import annotations

from importlib.util import find_spec

from refold.errors import UsageError

KERNELS = ("torch", "triton")
# Which extra of refold brings a package; what is in none has its own name.
EXTRAS = {"torch": "torch", "triton": "triton"}


def missing(*modules: str) -> tuple[str, ...]:
    """Those of some modules that this Python does not have, without loading any."""
    return tuple(m for m in modules if find_spec(m) is None)


def need(what: str, *modules: str) -> None:
    """Raises a `UsageError` that says what to install where `what` cannot be done; nothing where it can."""
    gone = missing(*modules)
    if gone:
        raise UsageError(f"{what} needs {' and '.join(modules)}: {advice(gone)}")


def advice(gone: tuple[str, ...]) -> str:
    """`run 'pip install "refold[torch,triton]"'`, with what refold has no extra for beside it."""
    extras = ",".join(EXTRAS[m] for m in gone if m in EXTRAS)
    words = [*([f'"refold[{extras}]"'] if extras else []), *(m for m in gone if m not in EXTRAS)]
    return f"run 'pip install {' '.join(words)}'"
