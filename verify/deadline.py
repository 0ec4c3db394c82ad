"""One limit of time for all that a verification derives, runs and asks, in whatever thread it is at work.

When the time is over, a second thread stops what runs outside of Python (a solver, another process) and raises
`OutOfTime` inside of the first, where it leaves SymPy, NumPy and refold's own loops at their next step. It does so
again until the block is left, because an exception that comes up inside of a destructor is dropped there.
"""

from __future__ import annotations

import _thread
import ctypes
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

AGAIN_S = 0.02
Stop = Callable[[], Any]
Clock = Callable[[], float]
T = TypeVar("T")


class OutOfTime(BaseException):
    """The time is over. No `Exception`, so that nobody else takes it for a failure of what was at work."""


@dataclass(slots=True)
class Limit:
    """One limit: the seconds that it gives (None: any), what is at work now, and whether its time ran out.

    `clock` makes the clock that they are read from: time that passes, or `work_clock`.
    """

    seconds: float | None
    clock: Callable[[], Clock] = lambda: time.monotonic
    outer: Limit | None = None
    thread: int = 0
    doing: str = ""
    over: bool = False
    stops: list[Stop] = field(default_factory=list)

    @property
    def note(self) -> str:
        """The sentence that says where the time went."""
        where = f" {self.doing}" if self.doing else ""
        return f"the time limit of {self.seconds:g} s ran out{where}"


_LIMIT: ContextVar[Limit | None] = ContextVar("refold_limit", default=None)


def within(limit: Limit, work: Callable[[], T]) -> T | None:
    """The result of `work`; None where its time ran out first, which `limit.over` says then.

    Work that ends as it is stopped is late too: a solver that is stopped says that it does not know. The earlier of two
    limits holds. No `with` block: what comes up as one is left would be outside of it.
    """
    outer = _LIMIT.get()
    limit.thread = threading.get_ident()
    limit.outer = outer if outer is not None and outer.thread == limit.thread else None
    token = _LIMIT.set(limit)
    watch = _Watch(limit)
    value: T | None = None
    try:
        if limit.seconds is not None:
            watch.start(limit.seconds)
        value = work()
    except OutOfTime:
        if not watch.stopping:
            # The time of a limit around this one.
            raise
        limit.over = True
    finally:
        while not watch.ended:
            try:
                watch.close()
            except OutOfTime:
                limit.over = watch.stopping
        _LIMIT.reset(token)
    limit.over = limit.over or watch.stopping
    return None if limit.over else value


def doing(what: str) -> None:
    """Says what is at work, for the sentence of a limit that runs out."""
    limit = _LIMIT.get()
    while limit is not None:
        limit.doing, limit = what, limit.outer


@contextmanager
def stoppable(stop: Stop) -> Iterator[None]:
    """Within, `stop` ends what runs outside of Python when the time is over."""
    limits = []
    limit = _LIMIT.get()
    while limit is not None:
        limits.append(limit)
        limit.stops.append(stop)
        limit = limit.outer
    try:
        yield
    finally:
        for limit in limits:
            limit.stops.remove(stop)


class _Watch:
    """The second thread of one limit. It shares no lock with the first, which could be stopped while it holds one."""

    def __init__(self, limit: Limit) -> None:
        self.limit, self.closed, self.stopping, self.raising, self.ended = limit, False, False, False, False
        self.asleep = threading.Lock()
        self.asleep.acquire()

    def start(self, seconds: float) -> None:
        """Begins to watch."""
        now = self.limit.clock()
        _thread.start_new_thread(self.run, (now, now() + seconds))

    def run(self, now: Clock, end: float) -> None:
        while (left := end - now()) > 0:
            # No clock goes faster than time passes.
            if self.asleep.acquire(timeout=min(threading.TIMEOUT_MAX, left)):
                return
        with _SILENCE:
            while not self.closed:
                self.stopping = True
                for stop in list(self.limit.stops):
                    stop()
                self.raising = True
                if not self.closed:
                    _raise(self.limit.thread, OutOfTime)
                self.raising = False
                self.asleep.acquire(timeout=AGAIN_S)

    def close(self) -> None:
        """Ends the thread, and takes back what it raised and nothing has met yet."""
        self.closed = True
        if self.asleep.locked():
            self.asleep.release()
        while self.raising:
            time.sleep(0.0005)
        _raise(self.limit.thread, None)
        self.ended = True


def _raise(thread: int, what: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(what) if what else None)


class _Silence:
    """Keeps Python from printing that a destructor dropped an `OutOfTime`."""

    def __init__(self) -> None:
        self.lock, self.users, self.before = threading.Lock(), 0, sys.unraisablehook

    def __enter__(self) -> None:
        with self.lock:
            self.users += 1
            if self.users == 1:
                self.before, sys.unraisablehook = sys.unraisablehook, self.hook

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.users -= 1
            if not self.users and sys.unraisablehook == self.hook:
                sys.unraisablehook = self.before

    def hook(self, dropped: Any) -> None:
        if dropped.exc_type is not OutOfTime:
            self.before(dropped)


_SILENCE = _Silence()
