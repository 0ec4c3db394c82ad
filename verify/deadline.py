"""One time limit for everything that a verification asks and runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_END: ContextVar[tuple[float, float] | None] = ContextVar("refold_deadline", default=None)


@contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Within, nothing is asked after so many seconds; None sets no limit. The earlier of two limits holds."""
    outer = _END.get()
    end = None if seconds is None else (time.monotonic() + seconds, seconds)
    token = _END.set(min((e for e in (outer, end) if e is not None), default=None))
    try:
        yield
    finally:
        _END.reset(token)


def remaining() -> float:
    """The seconds that are left; infinite without a limit."""
    end = _END.get()
    return float("inf") if end is None else max(0.0, end[0] - time.monotonic())


def ran_out() -> str:
    """What to say of a question that the limit left unanswered; nothing while there is time."""
    end = _END.get()
    return "" if end is None or remaining() > 0 else f"the time limit of {end[1]:g} s ran out"
