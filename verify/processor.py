"""Stops what takes too long by the clock of the processor, so that it gets its time on a busy machine too."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def within_seconds(seconds: float, stop: Callable[[], Any]) -> Iterator[None]:
    """Within, `stop` is called once this thread has worked for so many seconds; to wait for others is no work."""
    ended, now = threading.Event(), work_clock()
    end = now() + seconds

    def watch() -> None:
        while (left := end - now()) > 0:
            # It cannot have worked for longer than has passed.
            if ended.wait(left):
                return
        stop()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()


def work_clock() -> Callable[[], float]:
    """The work of this thread, for whatever thread asks; where the system does not tell, the time that passes."""
    if not hasattr(time, "pthread_getcpuclockid"):  # macOS and Windows
        return time.monotonic
    clock = time.pthread_getcpuclockid(threading.get_ident())
    return lambda: time.clock_gettime(clock)
