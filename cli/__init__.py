"""The command line: arguments, calls into the layers, answers in the format asked for."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refold.errors import RefoldError, UsageError

if TYPE_CHECKING:
    from refold.cli.formats import Finding
    from refold.cli.loading import Loaded

EXIT = {"proved": 0, "refuted": 1, "unknown": 3}
SPEC_HELP = "file.py, file.py:NAME, or a name of the catalogue ('refold list')"


class Format(str, Enum):
    """How a verdict is printed."""

    pretty = "pretty"
    json = "json"
    junit = "junit"
    sarif = "sarif"
    github = "github"


Spec = Annotated[str, typer.Argument(metavar="SPEC", help=SPEC_HELP, show_default=False)]
Out = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the bundle.", show_default=False)]
As = Annotated[Format, typer.Option("--format", help="How the answer is printed.")]

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Fuse reduction pipelines into one pass: derive the corrections, prove them, emit Triton.",
    epilog="Exit codes: 0 proved, derived or emitted; 1 refuted or refused; 2 bad usage or input; 3 unknown.",
)  # fmt: skip


def main() -> None:
    """The entry point: runs a command and ends the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Unicode gets `?` and no crash
    with _politely():
        app(prog_name="refold")


@contextmanager
def _politely() -> Iterator[None]:
    """One message and an exit code for whatever goes wrong."""
    try:
        yield
    except RefoldError as error:
        _complain(str(error))
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        # Python flushes stdout once more at its end: it may, into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except Exception as error:
        if os.environ.get("REFOLD_TRACEBACK"):
            raise
        what = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
        _complain(f"refold failed, no verdict: {what}: this is a mistake in refold: report it with the output "
                  "under REFOLD_TRACEBACK=1")  # fmt: skip
        raise SystemExit(3) from None


def _complain(message: str) -> None:
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    head = "\x1b[1;31merror:\x1b[0m" if colour else "error:"
    sys.stderr.write(f"{head} {message}\n")


@app.callback(invoke_without_command=False)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True,
                                                callback=lambda value: _version(value))] = False) -> None:  # fmt: skip
    pass


def _version(wanted: bool) -> None:
    if wanted:
        from refold import __version__

        sys.stdout.write(f"refold {__version__}\n")
        raise SystemExit(0)


@app.command("list")
def list_() -> None:
    """The catalogue: name, class, rank, one line."""
    with _politely():
        from refold.cli import pretty
        from refold.cli.loading import catalogue

        with pretty.progress("deriving") as notify:
            rows = [_row(path, notify) for path in catalogue()]
        pretty.put(pretty.catalogue_table(rows), wide=True)


@app.command()
def derive(spec: Spec, format: As = Format.pretty) -> None:
    """The derivation of SPEC, step by step, as mathematics; or why there is none."""
    with _politely():
        loaded = _load(spec, "SPEC", "CLAIM")
        outcome, seconds = _derive(loaded)
        raise SystemExit(_show_derivation(loaded, outcome, seconds, format))


@app.command()
def verify(spec: Spec, format: As = Format.pretty) -> None:
    """The obligations of the fused form of SPEC, and their verdicts.

    A file that defines CLAIM, a fused form of one's own, has that verified instead.
    """
    with _politely():
        loaded = _load(spec, "CLAIM", "SPEC")
        report = _verify(loaded, format)
        if report is None:
            raise SystemExit(1)
        _show_report(loaded, report, format)
        raise SystemExit(EXIT[report.verdict])


@app.command()
def emit(spec: Spec, output: Out) -> None:
    """Write the kernel of SPEC with its proof and its tests to DIR."""
    with _politely():
        from refold.cli import bundle, pretty

        loaded = _load(spec, "SPEC")
        folder = bundle.output_folder(output)
        report = _verify(loaded, Format.pretty)
        if report is None or report.verdict != "proved":
            if report is not None:
                pretty.put(pretty.heading(loaded), "", pretty.obligations(report))
            raise SystemExit(1 if report is None else EXIT[report.verdict])
        pretty.put(pretty.files(_emit(report, loaded, folder)))


@app.command()
def build(spec: Spec, output: Out, format: As = Format.pretty) -> None:
    """Derive, verify, emit to DIR, and run the emitted tests."""
    with _politely():
        from refold.cli import bundle, formats, pretty

        people = format is Format.pretty
        loaded = _load(spec, "SPEC")
        bundle.need_pytest()
        folder = bundle.output_folder(output)
        outcome, seconds = _derive(loaded)
        if people:
            pretty.put(pretty.derivation(loaded, outcome), "")
        report = _verify(loaded, format, outcome, seconds)
        if report is None:
            raise SystemExit(1)
        if people:
            pretty.put(pretty.obligations(report), "")
        if report.verdict != "proved":
            if not people:
                _show_report(loaded, report, format)
            raise SystemExit(EXIT[report.verdict])
        paths = _emit(report, loaded, folder)
        if people:
            pretty.put(pretty.files(paths), "")
        with pretty.progress("testing the bundle") as notify:
            tests = bundle.run_tests(folder, notify)
        if people:
            pretty.put(pretty.tests_line(tests))
        elif format is Format.json:
            pretty.write(formats.build_json(loaded, report, paths, tests))
        else:
            verdict = "proved" if tests.passed else "refuted"
            ran = formats.Finding("tests", tests.summary, verdict, tests.seconds, "" if tests.passed else tests.output)
            _show_findings(loaded, [*_findings(report), ran], format)
        raise SystemExit(0 if tests.passed else 1)


def _later(name: str, what: str, instead: str) -> Callable[..., None]:
    def command(ctx: typer.Context) -> None:
        with _politely():
            raise UsageError(f"this version has no '{name}' yet ({what}): {instead}")

    command.__doc__ = f"{what[0].upper()}{what[1:]} (not in this version)."
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    return app.command(name, context_settings=settings)(command)


_later("check", "a foreign Triton kernel against a spec", "verify a CLAIM beside the SPEC with 'refold verify FILE.py'")
_later("recheck", "the certificates of a proof alone, without a solver", "run 'refold verify SPEC' again")
_later("bench", "time the kernel on a GPU", "time the emitted kernel with triton.testing.do_bench")


def _load(spec: str, *names: str) -> Loaded:
    from refold.cli.loading import load

    return load(spec, names)


def _derive(loaded: Loaded) -> tuple[Any, float]:
    """The plan or the refusal of what was loaded, and the seconds it took."""
    from refold.algebra import derive as run
    from refold.cli import pretty
    from refold.spec import Spec

    start = time.perf_counter()
    with pretty.progress(f"deriving {loaded.name}"):
        try:
            outcome = run(loaded.value if isinstance(loaded.value, Spec) else loaded.value.spec)
        except RefoldError as error:
            raise UsageError(f"{loaded.place}:{loaded.line}: {error}") from error
    return outcome, time.perf_counter() - start


def _verify(loaded: Loaded, format: Format, outcome: Any = None, seconds: float = 0.0) -> Any:
    """The report on what was loaded; None where its derivation is refused, which is then printed."""
    from refold.algebra import Refusal
    from refold.cli import pretty
    from refold.spec import Spec

    if not isinstance(loaded.value, Spec):
        from refold.verify import verify_claim

        with pretty.progress(f"verifying {loaded.name}") as notify:
            return verify_claim(loaded.value, progress=notify)
    from refold.verify import verify as run

    told = outcome is not None and format is Format.pretty
    if outcome is None:
        outcome, seconds = _derive(loaded)
    if isinstance(outcome, Refusal):
        if not told:
            _show_derivation(loaded, outcome, seconds, format)
        return None
    with pretty.progress(f"verifying {loaded.name}") as notify:
        return run(outcome, progress=notify)


def _emit(proof: Any, loaded: Loaded, folder: Path) -> tuple[Path, ...]:
    from refold.cli import bundle, pretty
    from refold.emit import emit as run

    with pretty.progress(f"emitting {loaded.name}"):
        try:
            return bundle.write_bundle(run(proof, loaded.name), folder)
        except UsageError:
            raise
        except RefoldError as error:
            raise UsageError(f"{loaded.place}:{loaded.line}: {error}") from error


def _show_derivation(loaded: Loaded, outcome: Any, seconds: float, format: Format) -> int:
    """Prints a plan or a refusal; the exit code."""
    from refold.algebra import Refusal
    from refold.cli import formats, pretty

    refused = isinstance(outcome, Refusal)
    match format:
        case Format.pretty:
            pretty.put(pretty.derivation(loaded, outcome))
        case Format.json:
            pretty.write(formats.derivation_json(loaded, outcome))
        case _:
            claim = outcome.reason if refused else f"class {outcome.kind}, {len(outcome.accumulators)} accumulators"
            verdict = "refuted" if refused else "proved"
            _show_findings(loaded, [formats.Finding("derive", claim, verdict, seconds, str(outcome) if refused else "")], format)
    return 1 if refused else 0


def _show_report(loaded: Loaded, report: Any, format: Format) -> None:
    from refold.cli import formats, pretty

    match format:
        case Format.pretty:
            pretty.put(pretty.heading(loaded), "", pretty.obligations(report))
        case Format.json:
            pretty.write(formats.report_json(loaded, report))
        case _:
            _show_findings(loaded, _findings(report), format)


def _findings(report: Any) -> list[Finding]:
    from refold.cli.formats import Finding
    from refold.verify.display import unproved_lines

    return [Finding(r.name, r.claim, r.verdict, r.seconds, "" if r.verdict == "proved" else "\n".join(unproved_lines(r)))
            for r in report.results]  # fmt: skip


def _show_findings(loaded: Loaded, findings: list[Finding], format: Format) -> None:
    from refold.cli import formats, pretty

    writers = {Format.junit: formats.junit, Format.sarif: formats.sarif, Format.github: formats.github}
    pretty.write(writers[format](loaded, findings))


def _row(path: Path, notify: Callable[[str], None]) -> tuple[str, str, str, str]:
    """One line of the catalogue, its class and rank as derived now."""
    import ast

    from refold.algebra import Refusal
    from refold.algebra import derive as run

    notify(path.stem)
    line = (ast.get_docstring(ast.parse(path.read_bytes())) or "").partition("\n")[0]
    try:
        plan = run(_load(str(path), "SPEC").value)
    except RefoldError:
        return path.stem, "?", "?", line
    if isinstance(plan, Refusal):
        return path.stem, "refused", "", line
    return path.stem, plan.kind, str(max((a.rank for a in plan.accumulators), default=0)), line
