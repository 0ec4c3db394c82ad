"""The steps between arguments and answers: derive, verify and emit what was loaded, and print it as asked for."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refold.errors import RefoldError, UsageError
from refold.report import bundle, formats, pretty, states
from refold.report.formats import Finding
from refold.report.loading import Loaded, catalogue, load

EXIT = {"proved": 0, "refuted": 1, "unknown": 3}
FAILS = {"unknown": ("refuted", "unknown"), "refuted": ("refuted",), "never": ()}


def exit_code(verdict: str, fail_on: str) -> int:
    """That of a verdict, or 0 where `--fail-on` lets it pass; a refusal counts as refuted."""
    return EXIT[verdict] if verdict in FAILS[fail_on] else 0


def list_catalogue() -> int:
    with pretty.progress("deriving") as notify:
        rows = [catalogue_row(path, notify) for path in catalogue()]
    pretty.put(pretty.catalogue_table(rows), wide=True)
    return 0


def derive(spec: str, format: str) -> int:
    loaded = load(spec, ("SPEC", "CLAIM"))
    outcome, seconds = derive_loaded(loaded)
    return show_derivation(loaded, outcome, seconds, format)


def verify(
    spec: str,
    format: str,
    against: str | None = None,
    fail_on: str = "unknown",
    timeout: float | None = None,
    fresh: bool = False,
) -> int:
    loaded = load(spec, ("CLAIM", "SPEC"), None if against is None else load(against).value)
    report = verify_loaded(loaded, format, timeout=timeout, fresh=fresh)
    if report is None:
        return exit_code("refuted", fail_on)
    show_report(loaded, report, format)
    return exit_code(report.verdict, fail_on)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `verify` found of one file, in the words of the command line, without colour."""

    verdict: str
    obligations: int
    summary: str
    text: str


def outcome_of(spec: str, timeout: float | None = None) -> Outcome:
    """Verifies as `refold verify` does, and prints nothing. Raises a `UsageError` for what cannot be loaded."""
    from refold.algebra import Refusal
    from refold.verify.display import summary

    loaded = load(spec, ("CLAIM", "SPEC"))
    outcome: Any = None
    if not is_claim(loaded):
        outcome, _ = derive_loaded(loaded)
    if isinstance(outcome, Refusal):
        return Outcome("refuted", 0, outcome.reason, pretty.plain(pretty.derivation(loaded, outcome)))
    report = verify_loaded(loaded, "pretty", outcome, timeout=timeout)
    shown = pretty.plain(pretty.heading(loaded), "", pretty.unproved(report))
    return Outcome(report.verdict, len(report.results), summary(report), shown)


def emit(spec: str, output: Path) -> int:
    loaded = load(spec)
    folder = bundle.output_folder(output)
    report = verify_loaded(loaded, "pretty")
    if report is None:
        return 1
    if report.verdict == "proved":
        pretty.put(pretty.files(emit_loaded(report, loaded, folder)))
    else:
        show_report(loaded, report, "pretty")
    return EXIT[report.verdict]


def build(spec: str, output: Path, format: str, fail_on: str = "unknown", timeout: float | None = None) -> int:
    """Every step in turn, each printed for people as soon as it is done, and for machines at the end.

    Nothing is emitted of what is not proved, whatever `fail_on` lets pass.
    """
    people = format == "pretty"
    loaded = load(spec)
    bundle.need_pytest()
    folder = bundle.output_folder(output)
    outcome, seconds = derive_loaded(loaded)
    if people:
        show_derivation(loaded, outcome, seconds, format)
        pretty.put("")
    report = verify_loaded(loaded, format, outcome, seconds, timeout)
    if report is None:
        return exit_code("refuted", fail_on)
    if people:
        pretty.put(*states.sections(report), pretty.obligations(report), "")
    if report.verdict != "proved":
        if not people:
            show_report(loaded, report, format)
        return exit_code(report.verdict, fail_on)
    paths = emit_loaded(report, loaded, folder)
    if people:
        pretty.put(pretty.files(paths), "")
    with pretty.progress("testing the bundle") as notify:
        tests = bundle.run_tests(folder, notify)
    match format:
        case "pretty":
            pretty.put(pretty.tests_line(tests))
        case "json":
            pretty.write(formats.build_json(loaded, report, paths, tests))
        case _:
            show_findings(loaded, [*findings(report), formats.tests_finding(tests)], format)
    return exit_code("proved" if tests.passed else "refuted", fail_on)


@contextmanager
def _placed(loaded: Loaded) -> Iterator[None]:
    """Puts the place of the pipeline before what a layer says of it."""
    try:
        yield
    except RefoldError as error:
        raise UsageError(f"{loaded.place}:{loaded.line}: {error}") from error


def derive_loaded(loaded: Loaded) -> tuple[Any, float]:
    """The plan or the refusal of what was loaded, and the seconds it took."""
    from refold.algebra import derive as run
    from refold.spec import Spec

    start = time.perf_counter()
    with pretty.progress(f"deriving {loaded.name}"), _placed(loaded):
        outcome = run(loaded.value if isinstance(loaded.value, Spec) else loaded.value.spec)
    return outcome, time.perf_counter() - start


def verify_loaded(
    loaded: Loaded,
    format: str,
    outcome: Any = None,
    seconds: float = 0.0,
    timeout: float | None = None,
    *,
    fresh: bool = False,
) -> Any:
    """The report on what was loaded; None where its derivation is refused, which is then printed."""
    from refold.algebra import Refusal

    if is_claim(loaded):
        from refold.verify import verify_claim

        with pretty.progress(f"verifying {loaded.name}") as notify, _placed(loaded):
            return verify_claim(loaded.value, progress=notify, timeout=timeout)
    from refold.verify import Proof, store
    from refold.verify import verify as run

    told = outcome is not None and format == "pretty"
    if outcome is None:
        outcome, seconds = derive_loaded(loaded)
    if isinstance(outcome, Refusal):
        if not told:
            show_derivation(loaded, outcome, seconds, format)
        return None
    with pretty.progress(f"verifying {loaded.name}") as notify, _placed(loaded):
        if not fresh:
            return store.verified(outcome, notify, timeout)
        report = run(outcome, progress=notify, timeout=timeout)
    if isinstance(report, Proof):
        store.keep(report)
    return report


def is_claim(loaded: Loaded) -> bool:
    from refold.spec import Spec

    return not isinstance(loaded.value, Spec)


def emit_loaded(proof: Any, loaded: Loaded, folder: Path) -> tuple[Path, ...]:
    from refold.emit import emit as run

    with pretty.progress(f"emitting {loaded.name}"):
        with _placed(loaded):
            kernel = run(proof, loaded.name)
        return bundle.write_bundle(kernel, folder)


def show_derivation(loaded: Loaded, outcome: Any, seconds: float, format: str) -> int:
    """Prints a plan or a refusal; the exit code."""
    from refold.algebra import Refusal

    refused = isinstance(outcome, Refusal)
    match format:
        case "pretty":
            pretty.put(pretty.derivation(loaded, outcome))
        case "json":
            pretty.write(formats.derivation_json(loaded, outcome))
        case _:
            if refused:
                found = formats.Finding("derivation", outcome.reason, "refuted", seconds, str(outcome), "refused")
            else:
                claim = f"class {outcome.kind}, {len(outcome.accumulators)} accumulators"
                found = formats.Finding("derivation", claim, "proved", seconds, word="derived")
            show_findings(loaded, [found], format)
    return 1 if refused else 0


def show_report(loaded: Loaded, report: Any, format: str) -> None:
    match format:
        case "pretty":
            pretty.put(pretty.heading(loaded), "", *states.sections(report), pretty.obligations(report))
        case "json":
            pretty.write(formats.report_json(loaded, report))
        case _:
            show_findings(loaded, findings(report), format)


def findings(report: Any) -> list[Finding]:
    from refold.verify.display import unproved_lines

    return [
        Finding(
            r.name, r.claim, r.verdict, r.seconds, "" if r.verdict == "proved" else "\n".join(unproved_lines(r)),
            note=r.note, example=None if r.counterexample is None else formats.example_data(r.counterexample),
        )
        for r in report.results
    ]  # fmt: skip


def show_findings(loaded: Loaded, findings: list[Finding], format: str) -> None:
    writers = {"junit": formats.junit, "sarif": formats.sarif, "github": formats.github}
    pretty.write(writers[format](loaded, findings))


def catalogue_row(path: Path, notify: Callable[[str], None]) -> tuple[str, str, str, str]:
    """One line of the catalogue, its class and rank as derived now."""
    from refold.algebra import Refusal
    from refold.algebra import derive as run

    notify(path.stem)
    line = (ast.get_docstring(ast.parse(path.read_bytes())) or "").partition("\n")[0]
    try:
        plan = run(load(str(path)).value)
    except RefoldError:
        return path.stem, "?", "?", line
    if isinstance(plan, Refusal):
        return path.stem, "refused", "", line
    return path.stem, plan.kind, str(max((a.rank for a in plan.accumulators), default=0)), line
