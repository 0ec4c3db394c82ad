"""Verifies several files side by side, each in a process, and prints what was found in the order of the files."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.text import Text

from refold.errors import RefoldError
from refold.report import failures, formats, pretty, states, steps

# The graver of two exit codes is that of a command about several files: what could not be read, what is wrong, what is
# not known.
GRAVITY = (2, 1, 3, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of every file."""

    format: str
    against: str | None
    fail_on: str
    timeout: float | None
    fresh: bool
    verbose: bool
    one_pass: bool


@dataclass(frozen=True, slots=True)
class Told:
    """What was found of one file, as the format asked for says it: findings, data, or text for people."""

    code: int
    word: str
    answer: formats.Answer
    says: str = ""
    text: str = ""
    data: Any = None

    @property
    def line(self) -> Text:
        """One line for people."""
        from refold.verify.display import SYMBOLS

        mark, style = SYMBOLS.get(self.word, "✗"), pretty.STYLES.get(self.word, "bold red")
        word = "" if self.word == "proved" else f"{self.word}   "
        return Text.assemble((f"{mark} ", style), (self.answer[0].name, "bold"), "   ", (word, style), self.says)


def files_of(specs: Sequence[str]) -> list[str]:
    """The files that are given; of a folder all that are in it, but for those whose names begin with an underscore."""
    found: list[str] = []
    for spec in specs:
        inside = sorted(map(str, Path(spec).rglob("[!_]*.py"))) if spec and os.path.isdir(spec) else []
        found += inside or [spec]
    return found


def verify(specs: Sequence[str], question: Question, jobs: int | None) -> int:
    """Verifies all of them, `jobs` at a time (as many as there are processors); the gravest exit code."""
    start, told = time.perf_counter(), []
    for found in _in_order(specs, question, jobs or _processors()):
        told.append(found)
        if question.format == "pretty":
            pretty.put(found.line, *([Text(found.text)] if found.text else []))
    if question.format == "pretty":
        counts = Counter(t.word for t in told)
        words = ", ".join(f"{n} {word}" for word, n in counts.items())
        pretty.put("", Text(f"{len(told)} files in {time.perf_counter() - start:.0f} s: {words}"))
    elif question.format == "json":
        pretty.write(formats.dumps([t.data for t in told]))
    else:
        pretty.write(formats.WRITERS[question.format]([t.answer for t in told]))
    return min((t.code for t in told), key=GRAVITY.index)


def _in_order(specs: Sequence[str], question: Question, jobs: int) -> Iterator[Told]:
    """What is found of each, as soon as it is and all before it are."""
    context = multiprocessing.get_context("spawn")  # a solver does not outlive a fork
    with (
        pretty.progress("verifying") as notify,
        ProcessPoolExecutor(min(jobs, len(specs)), context, initializer=_quiet) as pool,
    ):
        work = {spec: pool.submit(partial(told, question=question), spec) for spec in dict.fromkeys(specs)}
        for n, (spec, future) in enumerate(work.items(), 1):
            notify(f"{n} of {len(work)}: {spec}")
            yield _ended(spec, future)


def _ended(spec: str, future: Future[Told]) -> Told:
    try:
        return future.result()
    except BrokenProcessPool:
        message = f"{spec}: the process that verified it, or one beside it, was killed: give it to --jobs 1"
        return _failed(message, spec, 3)


def _quiet() -> None:
    """Ctrl-C ends a process without a word: the first one has said it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def told(spec: str, question: Question) -> Told:
    """Verifies one file, and says what was found of it."""
    from refold.algebra import Refusal
    from refold.verify.display import summary

    try:
        loaded = steps.load_for(spec, question.against)
        report, seconds = steps.judged(loaded, question.timeout, fresh=question.fresh, one_pass=question.one_pass)
        known, people = replace(loaded, value=None), question.format == "pretty"
        if isinstance(report, Refusal):
            found = [steps.derivation_finding(report, seconds)]
            text = pretty.plain("", pretty.derivation(loaded, report), "") if people else ""
            return Told(steps.exit_code("refuted", question.fail_on), "refused", (known, found), report.reason, text,
                        formats.derivation_data(loaded, report))  # fmt: skip
        answer = known, () if people else steps.findings(report)
        text = _text(loaded, report, verbose=question.verbose) if people else ""
        data = formats.report_data(loaded, report) if question.format == "json" else None
        code = steps.exit_code(report.verdict, question.fail_on)
        return Told(code, report.verdict, answer, summary(report), text, data)
    except RefoldError as error:
        return _failed(str(error), spec, 2)
    except Exception as error:
        if os.environ.get("REFOLD_TRACEBACK"):
            raise
        return _failed(failures.mistake(error), spec, 3)


def _text(loaded: Any, report: Any, *, verbose: bool) -> str:
    """What stands below the line: all of it where it is asked for, else what is not proved."""
    if verbose:
        return pretty.plain("", *states.sections(report), pretty.obligations(report), "")
    return "" if report.verdict == "proved" else pretty.plain("", pretty.heading(loaded), pretty.unproved(report), "")


def _failed(message: str, spec: str, code: int) -> Told:
    return Told(code, formats.ERROR, failures.answer(message, spec), message, data=failures.data(message, spec))
