"""The steps between arguments and answers: derive, verify and emit what was loaded, and print it as asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from refold.errors import RefoldError, UsageError
from refold.report import bundle, formats, pretty, states
from refold.report.formats import Finding
from refold.report.loading import Loaded, load

# Writes a bundle: its files, and whether its kernel has run.
Write = Callable[[], tuple[tuple[Path, ...], str]]
EXIT = {"proved": 0, "refuted": 1, "unknown": 3}
FAILS = {"unknown": ("refuted", "unknown"), "refuted": ("refuted",), "never": ()}


def exit_code(verdict: str, fail_on: str) -> int:
    """That of a verdict, or 0 where `--fail-on` lets it pass; a refusal counts as refuted."""
    return EXIT[verdict] if verdict in FAILS[fail_on] else 0


def derive(spec: str, format: str, *, one_pass: bool = False) -> int:
    loaded = load(spec, ("SPEC", "CLAIM"))
    outcome, seconds = derive_loaded(loaded, one_pass=one_pass)
    return show_derivation(loaded, outcome, seconds, format)


def explain(spec: str, format: str, *, one_pass: bool = False) -> int:
    from refold.algebra import Refusal
    from refold.report import explain as explaining

    loaded = load(spec, ("SPEC", "CLAIM"))
    outcome, _ = derive_loaded(loaded, one_pass=one_pass)
    if format == "json":
        pretty.write(formats.dumps(explaining.data(loaded, outcome)))
    else:
        pretty.put(pretty.explanation(loaded, explaining.chapters(outcome, outcome.spec)))
    return 1 if isinstance(outcome, Refusal) else 0


def verify(
    spec: str,
    format: str,
    against: str | None = None,
    fail_on: str = "unknown",
    timeout: float | None = None,
    *,
    fresh: bool = False,
    verbose: bool = False,
    one_pass: bool = False,
) -> int:
    loaded = load_for(spec, against)
    report = verify_loaded(loaded, format, timeout=timeout, fresh=fresh, one_pass=one_pass)
    if report is None:
        return exit_code("refuted", fail_on)
    show_report(loaded, report, format, verbose=verbose)
    return exit_code(report.verdict, fail_on)


def load_for(spec: str, against: str | None) -> Loaded:
    """What is verified: a claim or a form before a pipeline; a form `against` another file's pipeline."""
    return load(spec, ("CLAIM", "SPEC"), None if against is None else load(against).value)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `verify` found of one file, in the words of the command line, without colour."""

    verdict: str
    obligations: int
    summary: str
    text: str


def outcome_of(loaded: Loaded, timeout: float | None = None) -> Outcome:
    """Verifies as `refold verify` does, and prints nothing."""
    from refold.algebra import Refusal
    from refold.verify.display import summary

    report, _ = judged(loaded, timeout)
    if isinstance(report, Refusal):
        return Outcome("refuted", 0, report.reason, pretty.plain(pretty.derivation(loaded, report)))
    shown = pretty.plain(pretty.heading(loaded), "", pretty.unproved(report))
    return Outcome(report.verdict, len(report.results), summary(report), shown)


def judged(
    loaded: Loaded, timeout: float | None = None, *, fresh: bool = False, one_pass: bool = False
) -> tuple[Any, float]:
    """The report on what was loaded, or the refusal of its derivation, which took so many seconds."""
    from refold.algebra import Refusal

    outcome, seconds = (None, 0.0) if is_claim(loaded) else derive_loaded(loaded, timeout, one_pass=one_pass)
    if isinstance(outcome, Refusal):
        return outcome, seconds
    return verify_loaded(loaded, "pretty", outcome, seconds, timeout, fresh=fresh), seconds


def emit(spec: str, output: Path, *, single_file: bool = False, one_pass: bool = False) -> int:
    from refold.algebra import Refusal

    loaded = load(spec, ("CLAIM", "SPEC"))
    folder = bundle.output_folder(output)
    outcome, seconds = plan_loaded(loaded, "pretty", one_pass=one_pass)
    if isinstance(outcome, Refusal):
        show_derivation(loaded, outcome, seconds, "pretty")
        return 1
    need_kernel(loaded, outcome)
    report = verify_loaded(loaded, "pretty", outcome)
    if report.verdict == "proved":
        pretty.put(pretty.files(*emit_loaded(report, loaded, folder, single_file=single_file)))
    else:
        show_report(loaded, report, "pretty")
    return EXIT[report.verdict]


def build(
    spec: str,
    output: Path,
    format: str,
    fail_on: str = "unknown",
    timeout: float | None = None,
    *,
    tests: bool = True,
    single_file: bool = False,
    one_pass: bool = False,
) -> int:
    """Every step in turn, each printed for people as soon as it is done, and for machines at the end.

    Nothing is emitted of what is not proved, whatever `fail_on` lets pass. Without `tests` the last step is left out.
    """
    people = format == "pretty"
    loaded = load(spec, ("CLAIM", "SPEC"))
    folder = bundle.output_folder(output)
    outcome, seconds = plan_loaded(loaded, format, timeout, one_pass=one_pass)
    need_kernel(loaded, outcome)
    if people and not is_report(outcome):
        show_derivation(loaded, outcome, seconds, format)
        pretty.put("")
    report = verify_loaded(loaded, format, outcome, seconds, timeout)
    if report is None:
        return exit_code("refuted", fail_on)
    write = partial(emit_loaded, report, loaded, folder, single_file=single_file)
    return built(loaded, report, write, format, fail_on, tests=tests)


def built(loaded: Loaded, report: Any, write: Write, format: str, fail_on: str, *, tests: bool) -> int:
    """The second half of `build`, of what was verified; the exit code."""
    people = format == "pretty"
    if people:
        pretty.put(pretty.groups(report), "")
    if report.verdict != "proved":
        if not people:
            show_report(loaded, report, format)
        return exit_code(report.verdict, fail_on)
    paths, note = write()
    if people:
        pretty.put(pretty.files(paths, note), "")
    run = _run_tests(paths[0].parent) if tests else None
    match format:
        case "pretty":
            pretty.put(pretty.tests_line(run))
        case "json":
            pretty.write(formats.build_json(loaded, report, paths, note, run))
        case _:
            show_findings(loaded, [*findings(report), *formats.tests_findings(run)], format)
    return exit_code("proved" if run is None or run.passed else "refuted", fail_on)


def _run_tests(folder: Path) -> bundle.TestRun:
    bundle.need_tests(folder)
    with pretty.progress("testing the bundle") as notify:
        return bundle.run_tests(folder, notify)


@contextmanager
def placed(loaded: Loaded) -> Iterator[None]:
    """Puts the place of the pipeline before what a layer says of it."""
    try:
        yield
    except RefoldError as error:
        raise UsageError(f"{loaded.place}:{loaded.line}: {error}") from error


def derive_loaded(loaded: Loaded, timeout: float | None = None, *, one_pass: bool = False) -> tuple[Any, float]:
    """The plan of what was loaded, its stages or its refusal, and the seconds it took; a report if time ran out first.

    A claim is one of a form in one pass, and so is what `one_pass` asks for: there are no stages.
    """
    from refold.algebra import derive, stages
    from refold.spec import Spec

    start = time.perf_counter()
    spec = loaded.value if isinstance(loaded.value, Spec) else loaded.value.spec
    run = derive if one_pass or is_claim(loaded) else stages
    with pretty.progress(f"deriving {loaded.name}"), placed(loaded):
        if timeout is None:
            outcome: Any = run(spec)
        else:
            from refold.verify import derive_within

            outcome = derive_within(spec, timeout, run)
    return outcome, time.perf_counter() - start


def plan_loaded(
    loaded: Loaded, format: str, timeout: float | None = None, *, one_pass: bool = False
) -> tuple[Any, float]:
    """The plan of which a kernel is made, derived or of a claimed form; a report where that is not proved."""
    if not is_claim(loaded):
        return derive_loaded(loaded, timeout, one_pass=one_pass)
    from refold.verify.claim.plan import plan_of

    report = verify_loaded(loaded, format, timeout=timeout)
    if report.verdict != "proved":
        return report, report.seconds
    with placed(loaded):
        return plan_of(loaded.value), report.seconds


def left_of(timeout: float | None, seconds: float) -> float | None:
    """What an earlier step leaves of a time limit."""
    return None if timeout is None else max(0.0, round(timeout - seconds, 1))


def is_report(outcome: Any) -> bool:
    """Whether a derivation ended in a report: its time ran out."""
    from refold.verify import Checked

    return isinstance(outcome, Checked)


def need_kernel(loaded: Loaded, outcome: Any) -> None:
    """Says before the proof of a plan that it has no kernel."""
    from refold.algebra import Plan, Staged
    from refold.emit import need_kernel as need
    from refold.emit.staged import need_stages

    with placed(loaded):
        if isinstance(outcome, Plan):
            need(outcome, loaded.name)
        elif isinstance(outcome, Staged):
            need_stages(outcome.plans, loaded.name)


def verify_loaded(
    loaded: Loaded,
    format: str,
    outcome: Any = None,
    seconds: float = 0.0,
    timeout: float | None = None,
    *,
    fresh: bool = False,
    one_pass: bool = False,
) -> Any:
    """The report on what was loaded; None where its derivation is refused, which is then printed."""
    from refold.algebra import Refusal, Staged

    if is_claim(loaded) and outcome is None:
        from refold.verify import verify_claim

        with pretty.progress(f"verifying {loaded.name}") as notify, placed(loaded):
            return verify_claim(loaded.value, progress=notify, timeout=timeout)
    from refold.verify import Checked
    from refold.verify.certificate import store

    told = outcome is not None and format == "pretty"
    if outcome is None:
        outcome, seconds = derive_loaded(loaded, timeout, one_pass=one_pass)
    if isinstance(outcome, Checked):
        return outcome
    timeout = left_of(timeout, seconds)
    if isinstance(outcome, Refusal):
        if not told:
            show_derivation(loaded, outcome, seconds, format)
        return None
    with pretty.progress(f"verifying {loaded.name}") as notify, placed(loaded):
        if isinstance(outcome, Staged):
            from refold.verify.staged import verify_stages

            return verify_stages(outcome, notify, timeout, partial(store.verified, fresh=fresh))
        return store.verified(outcome, notify, timeout, fresh=fresh)


def is_claim(loaded: Loaded) -> bool:
    from refold.spec import Spec

    return not isinstance(loaded.value, Spec)


def emit_loaded(proof: Any, loaded: Loaded, folder: Path, **options: Any) -> tuple[tuple[Path, ...], str]:
    """Writes the bundle, with the options of `refold.emit`; its files, and whether its kernel has run."""
    from refold.emit import emit as run
    from refold.emit import tried

    with pretty.progress(f"emitting {loaded.name}"):
        with placed(loaded):
            kernel: Any = tried(run(proof, loaded.name, **options))
        return bundle.write_bundle(kernel, folder), kernel.note


def show_derivation(loaded: Loaded, outcome: Any, seconds: float, format: str) -> int:
    """Prints a plan or a refusal; the exit code."""
    from refold.algebra import Refusal

    refused = isinstance(outcome, Refusal)
    match format:
        case "pretty":
            pretty.put(pretty.derivation(loaded, outcome))
        case "json":
            pretty.write(formats.dumps(formats.derivation_data(loaded, outcome)))
        case _:
            show_findings(loaded, [derivation_finding(outcome, seconds)], format)
    return 1 if refused else 0


def derivation_finding(outcome: Any, seconds: float) -> Finding:
    """A derivation, or its refusal, as a thing that was checked."""
    from refold.algebra import Refusal, Staged

    if isinstance(outcome, Refusal):
        return Finding("derivation", outcome.reason, "refuted", seconds, str(outcome), "refused")
    if isinstance(outcome, Staged):
        return Finding("derivation", f"{len(outcome.plans)} stages", "proved", seconds, word="derived")
    claim = f"class {outcome.kind}, {len(outcome.accumulators)} accumulators"
    return Finding("derivation", claim, "proved", seconds, word="derived")


def show_report(loaded: Loaded, report: Any, format: str, *, verbose: bool = False) -> None:
    """Prints a report: in groups, or with `verbose` obligation by obligation with guards and rounding."""
    match format:
        case "pretty" if verbose:
            pretty.put(pretty.heading(loaded), "", *states.sections(report), pretty.obligations(report))
        case "pretty":
            pretty.put(pretty.heading(loaded), "", pretty.groups(report))
        case "json":
            pretty.write(formats.dumps(formats.report_data(loaded, report)))
        case _:
            show_findings(loaded, findings(report), format)


def findings(report: Any) -> list[Finding]:
    from refold.verify.display import unproved_lines
    from refold.verify.places import place_of

    def place(r: Any) -> tuple[str, int] | None:
        found = None if r.verdict == "proved" else place_of(report, r)
        return None if found is None else (found.path, found.line)

    def detail(r: Any) -> str:
        return "" if r.verdict == "proved" else "\n".join(unproved_lines(r, report))

    return [
        Finding(
            r.name, r.claim, r.verdict, r.seconds, detail(r), note=r.remark, alone=r.alone,
            example=None if r.counterexample is None else formats.example_data(r.counterexample), place=place(r),
        )
        for r in report.results
    ]  # fmt: skip


def show_findings(loaded: Loaded, findings: list[Finding], format: str) -> None:
    pretty.write(formats.WRITERS[format]([(loaded, findings)]))
