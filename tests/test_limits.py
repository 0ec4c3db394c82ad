"""Time limits and threads: what holds whatever a solver, SymPy or a loop of refold's own is at."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sympy as sp

from refold import Tensor, axes, fold, pipeline
from refold.algebra import Plan, derive
from refold.examples import logsumexp, softmax
from refold.verify import Checked, derive_within, verify
from refold.verify.deadline import Limit, OutOfTime, doing, stoppable, within
from refold.verify.processor import within_seconds, work_clock
from refold.verify.result import Disproof
from refold.verify.smt import formulas as z3
from refold.verify.smt import second, solver
from refold.verify.smt.solver import settle

# A script that keeps cvc5 busy for long, whatever it counts: the cubes of reals at which a form of degree 9 is small.
HARD = """(set-logic ALL)
(declare-fun x () Real) (declare-fun y () Real) (declare-fun z () Real)
(assert (= (+ (* x x x y y) (* y y y z) (* z z z x x)) 7.0))
(assert (= (+ (* x y y z z z) (* x x z)) 11.0))
(assert (> (+ (* x x y z z) (* y y y y x)) (* 3.0 x y z z z z)))
(check-sat)
"""


def in_thread(work: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def forever() -> None:
    while True:
        sp.symbols("x")


def destructors() -> None:
    """Objects whose destructors are most of the time that passes."""

    class Busy:
        def __del__(self) -> None:
            for _ in range(100):
                pass

    while True:
        Busy()


def cubes() -> None:
    """Z3, without a timeout of its own."""
    with z3.own_context():
        x, y, z = z3.Ints("x y z")
        solver = z3.Solver()
        solver.add(x * x * x + y * y * y + z * z * z == 42)
        solver.check()


def cvc5() -> None:
    second.opinion(HARD, 10**9)


@pytest.mark.parametrize("work", [forever, destructors, cubes, cvc5, lambda: time.sleep(0.3)])
@pytest.mark.parametrize("place", [lambda work: work(), in_thread], ids=["main", "thread"])
def test_a_limit_is_kept_whatever_is_at_work(work: Callable[[], None], place: Callable[[Any], Any]) -> None:
    def run() -> Any:
        limit = Limit(0.2)
        doing("before it")
        within(limit, lambda: [doing("while it was tried"), work()])
        return limit

    limit = place(run)
    # Work that is not stopped goes on for minutes, and never says that its time ran out.
    assert limit.over
    assert limit.note == "the time limit of 0.2 s ran out while it was tried"
    # Nothing comes after it.
    assert within(calm := Limit(None), lambda: [sp.symbols("x") for _ in range(1000)])
    assert not calm.over


def test_the_earlier_of_two_limits_holds() -> None:
    outer, inner = Limit(0.1), Limit(100)
    within(outer, lambda: [within(inner, forever), forever()])
    assert outer.over and not inner.over
    outer, inner = Limit(100), Limit(0.1)
    assert within(outer, lambda: [within(inner, forever), time.sleep(0.05)]) == [None, None]
    assert inner.over and not outer.over


def test_a_limit_that_runs_out_as_its_work_ends_leaves_nothing_behind() -> None:
    def busy() -> int:
        return sum(len(str(n)) for n in range(30))

    for n in range(150):
        outer, inner = Limit(n / 100_000), Limit((150 - n) / 100_000)
        value = within(outer, lambda: within(inner, busy))  # noqa: B023
        assert value == 50 or outer.over or inner.over
    assert sum(busy() for _ in range(2000)) == 100_000


def test_what_is_done_in_time_is_not_stopped() -> None:
    stops: list[int] = []

    def work() -> str:
        with stoppable(lambda: stops.append(1)):
            return settle([z3.Real("a") > 1], [z3.Real("a") > 0]).verdict

    limit = Limit(100)
    assert within(limit, work) == "proved" and not limit.over and not stops


def test_a_limit_of_work_counts_no_time_that_passes() -> None:
    limit = Limit(0.2, clock=work_clock)
    assert within(limit, lambda: [time.sleep(0.5)]) == [None] and not limit.over
    within(limit, forever)
    assert limit.over
    outer, inner = Limit(0.1, clock=work_clock), Limit(100)
    within(outer, lambda: within(inner, forever))
    assert outer.over and not inner.over


def test_work_that_ends_as_it_is_stopped_is_late() -> None:
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        time.sleep(0.2)

    def work() -> str:
        with stoppable(stop):
            stopped.wait()
        return "canceled"

    limit = Limit(0.1)
    assert within(limit, work) is None and limit.over


def test_an_error_is_no_time_out() -> None:
    def fails() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        within(Limit(5), fails)
    with pytest.raises(OutOfTime):
        raise OutOfTime


def test_what_was_answered_in_time_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = derive(softmax.SPEC)
    assert isinstance(plan, Plan)
    late = False

    def stuck(*_: object) -> Any:
        nonlocal late
        late = True
        while True:
            time.sleep(0.01)

    monkeypatch.setattr(sys.modules["refold.verify.laws.obligations"], "finishes", stuck)
    # What comes before takes a second or two.
    report = verify(plan, timeout=30)
    assert isinstance(report, Disproof) and report.verdict == "unknown" and late
    assert sum(r.verdict == "proved" for r in report.results) > 5
    assert report.results[-1].note.startswith("the time limit of 30 s ran out while ")


def test_time_that_passes_costs_cvc5_nothing() -> None:
    yes = "(set-logic ALL)(declare-fun u () Real)(assert (< (* u u) {}.0))(check-sat)"
    assert second.opinion(yes.format(-1)) == "unsat"
    running = second._OWN.process
    assert running is not None
    # Another has the processor for longer than the limit is.
    running.popen.send_signal(signal.SIGSTOP)
    threading.Timer(1.0, running.popen.send_signal, [signal.SIGCONT]).start()
    assert second.opinion(yes.format(-2), cpu_s=0.5) == "unsat" and second._OWN.process is running


def test_cvc5_ends_by_the_clock_of_the_processor() -> None:
    assert second.opinion(HARD, 10**9, cpu_s=0.2) == "unknown" and second._OWN.process is None
    assert second.opinion("(set-logic ALL)(assert false)(check-sat)") == "unsat"


def test_the_clock_of_a_thread_counts_its_work_alone() -> None:
    stops: list[str] = []
    with within_seconds(0.2, lambda: stops.append("waiting")):
        time.sleep(0.5)
    assert stops == []
    with within_seconds(0.2, lambda: stops.append("working")):
        while not stops:
            sp.symbols("x")
    assert stops == ["working"]
    with within_seconds(0.1, lambda: stops.append("late")):
        pass
    time.sleep(0.2)
    assert stops == ["working"]


def test_work_that_z3_does_not_count_is_stopped() -> None:
    with z3.own_context():
        x, y, z = z3.Ints("x y z")
        assert solver.check([x * x * x + y * y * y + z * z * z == 42], 100, 10**9)[0] == z3.unknown


def test_z3_stops_at_the_same_place_whatever_the_time() -> None:
    def effort() -> int:
        with z3.own_context():
            x, y, z = z3.Ints("x y z")
            outcome, found = solver.check([x * x * x + y * y * y + z * z * z == 42], 10_000, 100_000)
            assert outcome == z3.unknown
            return int(found.statistics().get_key_value("rlimit count"))

    # A limit of seconds would be another place each time.
    assert 100_000 < effort() == effort() < 200_000


def test_a_derivation_that_hangs_is_unknown() -> None:
    i, j = axes("i j")
    x, z = Tensor("x", i, j), Tensor("z", i, j)
    a, b = fold.sum(x[i, j], over=j), fold.sum(z[i, j], over=j)
    spec = pipeline(y=fold.sum((x[i, j] * a + z[i, j] * b + a * b) ** 12, over=j)[i])
    report = derive_within(spec, 0.5, derive)
    assert isinstance(report, Checked) and report.verdict == "unknown"
    assert [r.note for r in report.results] == ["the time limit of 0.5 s ran out while the fused form was derived"]


def test_four_threads_verify_side_by_side() -> None:
    # Z3 is not safe in one context for all: this ended the process.
    plans = [p for _ in range(4) if isinstance(p := derive(logsumexp.SPEC), Plan)]
    found: list[str] = []
    threads = [threading.Thread(target=lambda p=p: found.append(verify(p).verdict)) for p in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["proved"] * 4


def test_nothing_is_in_z3s_global_context() -> None:
    code = """
import z3
from refold.algebra import derive
from refold.examples.logsumexp import SPEC
from refold.verify import verify
assert verify(derive(SPEC)).verdict == "proved"
assert z3.z3._main_ctx is None
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)


def test_no_file_but_one_takes_z3_itself() -> None:
    # What Z3 makes without a context is in the global one.
    folder = Path(__file__).parents[1] / "verify"
    direct = [p.name for p in folder.rglob("*.py") if re.search(r"^\s*(import|from) z3\b", p.read_text(), re.M)]
    assert direct == ["formulas.py"]
