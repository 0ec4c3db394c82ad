"""The command line: arguments, calls into the layers, answers in the format asked for."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from refold.errors import RefoldError, UsageError

SPEC_HELP = "file.py, file.py:NAME, or a name of the catalogue ('refold list')"


class Format(StrEnum):
    """How a verdict is printed."""

    pretty = "pretty"
    json = "json"
    junit = "junit"
    sarif = "sarif"
    github = "github"


class Plain(StrEnum):
    """How an explanation is printed."""

    pretty = "pretty"
    json = "json"


class FailOn(StrEnum):
    """The mildest verdict with which a command fails."""

    unknown = "unknown"
    refuted = "refuted"
    never = "never"


Spec = Annotated[str, typer.Argument(metavar="SPEC", help=SPEC_HELP, show_default=False)]
Specs = Annotated[list[str], typer.Argument(metavar="SPEC...", help=SPEC_HELP, show_default=False)]
Jobs = Annotated[int | None, typer.Option(
    "--jobs", "-j", metavar="N", min=1, help="How many of several files at a time.", show_default="all processors",
)]  # fmt: skip
Out = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to write.", show_default=False)]
As = Annotated[Format, typer.Option("--format", help="How the answer is printed.")]
Fail = Annotated[FailOn, typer.Option("--fail-on", help="The mildest verdict with which the exit code is not 0.")]
Timeout = Annotated[float | None, typer.Option(
    "--timeout", metavar="SECONDS", min=0, help="What is not answered by then, in all, is unknown.", show_default=False,
)]  # fmt: skip
Against = Annotated[str | None, typer.Option("--against", metavar="SPEC", help="What a form of one's own is of.")]

Verbose = Annotated[bool, typer.Option(
    "--verbose", "-v", help="Every obligation, the guards, and the rounding of each output.",
)]  # fmt: skip
Fresh = Annotated[bool, typer.Option("--fresh", help="Prove again, whatever was kept.")]
OnePass = Annotated[bool, typer.Option("--one-pass", help="Refuse what takes several stages, with the reason.")]
Backward = Annotated[bool, typer.Option("--backward", help="Of the gradients, by every floating tensor.")]
Wrt = Annotated[
    str, typer.Option("--wrt", metavar="NAME,NAME", help="By which inputs, with --backward.", show_default=False)
]
Tests = Annotated[bool, typer.Option("--tests/--no-tests", help="Run what is emitted: takes pytest, torch and triton.")]
ProofFile = Annotated[
    Path, typer.Argument(metavar="PROOF.json", help="NAME.proof.json of a bundle.", show_default=False)
]
Single = Annotated[bool, typer.Option("--single-file", help="Put the runtime into NAME.py, instead of beside it.")]
Of = Annotated[str | None, typer.Option("--against", metavar="SPEC", help="Whose proof it has to be: derived anew.")]
Lean = Annotated[
    Path | None, typer.Option("--lean", metavar="FILE", help="Write the equations as Lean 4 text.", show_default=False)
]
Lengths = Annotated[
    str, typer.Option("--lengths", metavar="N,N", help="Of the axes that grow together.", show_default=False)
]
Sizes = Annotated[list[str] | None, typer.Option(
    "--sizes", metavar="AXIS=N,N", help="Of one axis: a number, or several to sweep over; repeat for more axes.",
    show_default=False,
)]  # fmt: skip
Scalars = Annotated[list[str] | None, typer.Option(
    "--scalars", metavar="NAME=X", help="A scalar argument; repeat for more.", show_default=False,
)]  # fmt: skip
Lead = Annotated[
    str, typer.Option("--lead", metavar="N,N", help="Leading dimensions: a batch, heads.", show_default=False)
]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE.svg", help="Draw speed over length.", show_default=False)
]
Kept = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Keep the bundle there.", show_default=False)
]

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Fuse reduction pipelines into one pass: derive the corrections, prove them, emit Triton.",
    epilog="Exit codes: 0 proved, derived or emitted; 1 refuted or refused; 2 bad usage or input; 3 unknown.",
)  # fmt: skip


def main() -> None:
    """The entry point: runs a command and ends the process with its exit code."""
    from refold.report.ascii import register

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=register())  # a terminal without Unicode gets words and no crash
    with _politely(), _interruptible():
        app(prog_name="refold")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends the process at once: an exception may come up inside of a destructor, where Python drops it."""

    def stop(*_: object) -> None:
        if sys.stderr.isatty():
            os.write(2, b"\x1b[?25h\n")  # the cursor, which a moving line hides
        os._exit(130)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _politely(given: str = "", format: str = "pretty") -> Iterator[None]:
    """One message and an exit code for whatever goes wrong, and the document of a format for machines too."""
    try:
        yield
    except RefoldError as error:
        _fail(str(error), 2, given, format)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        # Python flushes stdout once more at its end: it may, into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except Exception as error:
        if os.environ.get("REFOLD_TRACEBACK"):
            raise
        from refold.report.failures import mistake

        _fail(mistake(error), 3, given, format)


def _fail(message: str, code: int, given: str, format: str) -> NoReturn:
    """Ends the process with a message on stderr, and on stdout what the format asked for says of an error."""
    if format != "pretty":
        from refold.report.failures import document

        sys.stdout.write(document(message, given, format))
        sys.stdout.flush()
    _complain(message)
    raise SystemExit(code) from None


def _complain(message: str) -> None:
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    head = "\x1b[1;31merror:\x1b[0m" if colour else "error:"
    sys.stderr.write(f"{head} {message}\n")


def _version(wanted: bool) -> None:
    if wanted:
        from refold import __version__

        sys.stdout.write(f"refold {__version__}\n")
        raise SystemExit(0)


Version = Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)]


@app.callback()
def _root(version: Version = False) -> None:
    pass


@app.command("list")
def list_() -> None:
    """The catalogue by groups: name, class, rank, what it computes."""
    with _politely():
        from refold.report import listing

        raise SystemExit(listing.show())


@app.command()
def derive(
    spec: Spec, format: As = Format.pretty, one_pass: OnePass = False, backward: Backward = False, wrt: Wrt = ""
) -> None:
    """The derivation of SPEC, step by step, as mathematics; or why there is none.

    What no single pass computes is cut into stages, each of which is derived. With --backward, the derivation of its
    gradients: as pipelines, of what the forward pass keeps.
    """
    with _politely(spec, format):
        from refold.report import steps

        if backward or wrt:
            from refold.report import backward as gradients

            raise SystemExit(gradients.derive(spec, format, wrt))
        raise SystemExit(steps.derive(spec, format, one_pass=one_pass))


@app.command()
def explain(
    spec: Spec,
    format: Annotated[Plain, typer.Option("--format", help="How the answer is printed.")] = Plain.pretty,
    one_pass: OnePass = False,
) -> None:
    """In sentences: why SPEC fuses, or what stops it; its stages and kernels; what it costs against its eager form."""
    with _politely(spec, format):
        from refold.report import steps

        raise SystemExit(steps.explain(spec, format, one_pass=one_pass))


@app.command()
def verify(
    specs: Specs,
    against: Against = None,
    format: As = Format.pretty,
    fail_on: Fail = FailOn.unknown,
    timeout: Timeout = None,
    fresh: Fresh = False,
    verbose: Verbose = False,
    jobs: Jobs = None,
    one_pass: OnePass = False,
    backward: Backward = False,
    wrt: Wrt = "",
) -> None:
    """The verdict on the fused form of SPEC, and what was proved, in groups; -v lists every obligation.

    With --backward, that on its gradients: their identities, the forward pass with what it keeps, and each pipeline.

    Of several, or of all in a folder, the verdicts and what is not proved, in their order; they are verified side by
    side.

    A file with init, step, merge and finish, a fused form of one's own, has that verified instead: a form of the SPEC
    that it defines or imports, or of the one given by --against.
    A proof of the very same plan by the same code and solvers is kept, rechecked and shown.
    """
    with _politely(specs[0], format):
        from refold.report import several

        files = several.files_of(specs)
        if backward or wrt:
            if len(files) > 1:
                raise UsageError("--backward is of one pipeline: name one SPEC")
            from refold.report import backward as gradients

            asked = gradients.Asked(format, fail_on, timeout, fresh, verbose)
            raise SystemExit(gradients.verify(files[0], asked, wrt))
        if len(files) == 1:
            from refold.report import steps

            code = steps.verify(
                files[0], format, against, fail_on, timeout, fresh=fresh, verbose=verbose, one_pass=one_pass
            )
            raise SystemExit(code)
        every = several.Question(format=format, against=against, fail_on=fail_on, timeout=timeout, fresh=fresh,
                                 verbose=verbose, one_pass=one_pass)  # fmt: skip
        raise SystemExit(several.verify(files, every, jobs))


@app.command()
def emit(
    spec: Spec,
    output: Out,
    single_file: Single = False,
    one_pass: OnePass = False,
    backward: Backward = False,
    wrt: Wrt = "",
) -> None:
    """Write the kernel of SPEC with its proof and its tests to DIR.

    With --backward also those of its gradients, and a function that autograd goes through.
    Of a file with init, step, merge and finish it is that form which is proved and written.
    """
    with _politely():
        from refold.report import steps

        if backward or wrt:
            from refold.report import backward as gradients

            _without_gradients(single_file=single_file, one_pass=one_pass)
            raise SystemExit(gradients.emit(spec, output, wrt))
        raise SystemExit(steps.emit(spec, output, single_file=single_file, one_pass=one_pass))


@app.command()
def build(
    spec: Spec,
    output: Out,
    format: As = Format.pretty,
    fail_on: Fail = FailOn.unknown,
    timeout: Timeout = None,
    tests: Tests = True,
    single_file: Single = False,
    one_pass: OnePass = False,
    backward: Backward = False,
    wrt: Wrt = "",
) -> None:
    """Derive, verify, emit to DIR, and run the emitted tests; with --backward, of the gradients too."""
    with _politely(spec, format):
        from refold.report import steps

        if backward or wrt:
            from refold.report import backward as gradients

            _without_gradients(single_file=single_file, one_pass=one_pass)
            asked = gradients.Asked(format, fail_on, timeout, fresh=False, verbose=False)
            raise SystemExit(gradients.build(spec, output, asked, wrt, tests=tests))
        code = steps.build(
            spec, output, format, fail_on, timeout, tests=tests, single_file=single_file, one_pass=one_pass
        )
        raise SystemExit(code)


def _without_gradients(**options: bool) -> None:
    """Refuses options that say nothing of a bundle with gradients."""
    for name, given in options.items():
        if given:
            raise UsageError(f"--{name.replace('_', '-')} does not go with --backward: leave one of the two out")


@app.command()
def recheck(proof: ProofFile, lean: Lean = None, against: Of = None) -> None:
    """The certificates of a proof alone: no solver, no SymPy, under 200 lines of Python that one can read.

    With --against, the obligations of SPEC are derived anew, still without a solver, and compared one by one.

    Exit codes: 0 it holds, 1 it does not, 2 it is no proof file.
    """
    with _politely():
        from refold.report import rechecking

        raise SystemExit(rechecking.recheck(proof, lean, against))


@app.command()
def bench(
    spec: Spec,
    lengths: Lengths = "",
    sizes: Sizes = None,
    scalars: Scalars = None,
    lead: Lead = "",
    dtype: Annotated[str, typer.Option("--dtype", help="float16, bfloat16 or float32.", show_default=False)] = "",
    format: As = Format.pretty,
    plot: Plot = None,
    output: Kept = None,
    tune: Annotated[bool, typer.Option("--tune", help="Look for faster tiles too; what was found is kept.")] = False,
) -> None:
    """On a GPU: whether the kernel of SPEC is right, then its time beside what one would use instead.

    Beside eager torch, torch.compile, and SDPA and FlexAttention where they can say it, functions of torch and Liger
    that compute the same, and the copy and the product that bound it. Sizes come from what each axis is for.
    Exit codes: 0 measured and right, 1 wrong or no kernel, 2 no GPU, 3 not checked.
    """
    with _politely(spec, format):
        from refold.report import benching

        wish = benching.Wish(_words(sizes), lengths, _words(scalars), lead, dtype, plot, output, tune)
        raise SystemExit(benching.bench(spec, format, wish))


def _words(given: list[str] | None) -> tuple[str, ...]:
    return tuple(word for text in given or () for word in text.split())


def _later(name: str, what: str, instead: str) -> Callable[..., None]:
    def command(ctx: typer.Context) -> None:
        with _politely():
            raise UsageError(f"this version has no '{name}' yet ({what}): {instead}")

    command.__doc__ = f"{what[0].upper()}{what[1:]} (not in this version)."
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    return app.command(name, context_settings=settings)(command)


_later("check", "a foreign Triton kernel against a spec", "write its form as CLAIM and run 'refold verify FILE.py'")
