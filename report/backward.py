"""What commands do with `--backward`: the gradients of what was loaded, printed, verified, and emitted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

from refold.errors import RefoldError, UsageError
from refold.report import bundle, formats, pretty
from refold.report.formats import Finding
from refold.report.loading import Loaded, load


@dataclass(frozen=True, slots=True)
class Asked:
    """How the verdict on a gradient was asked for."""

    format: str
    fail_on: str
    timeout: float | None
    fresh: bool
    verbose: bool


def derive(spec: str, format: str, wrt: str) -> int:
    """Derives and prints; the exit code."""
    start = time.perf_counter()
    loaded, found = _gradient(spec, wrt)
    match format:
        case "pretty":
            pretty.put(derivation(loaded, found))
        case "json":
            pretty.write(formats.dumps(data(loaded, found)))
        case _:
            claim = f"{len(found.pipelines)} pipelines of gradients by {', '.join(found.wrt)}"
            finding = Finding("derivation", claim, "proved", time.perf_counter() - start, word="derived")
            pretty.write(formats.WRITERS[format]([(loaded, [finding])]))
    return 0


def verify(spec: str, asked: Asked, wrt: str) -> int:
    """The verdict on the gradients, and on each pipeline that computes them; the exit code."""
    from refold.report import steps
    from refold.verify.certificate import store
    from refold.verify.differentiated import verify_gradient

    loaded, found = _gradient(spec, wrt)
    with pretty.progress(f"verifying the gradients of {loaded.name}") as notify:
        report = verify_gradient(found, notify, asked.timeout, partial(store.verified, fresh=asked.fresh))
    steps.show_report(loaded, report, asked.format, verbose=asked.verbose)
    return steps.exit_code(report.verdict, asked.fail_on)


def emit(spec: str, output: Path, wrt: str) -> int:
    """Writes the bundle of a pipeline and its gradients; the exit code."""
    from refold.report import steps

    folder = bundle.output_folder(output)
    loaded, report, write = _emitted(spec, folder, Asked("pretty", "unknown", None, fresh=False, verbose=False), wrt)
    if report.verdict == "proved":
        pretty.put(pretty.files(*write()))
    else:
        steps.show_report(loaded, report, "pretty")
    return steps.EXIT[report.verdict]


def build(spec: str, output: Path, asked: Asked, wrt: str, *, tests: bool) -> int:
    """Every step in turn: derives and verifies the gradients, emits them with the pipeline, and runs the tests."""
    from refold.report import steps

    loaded, report, write = _emitted(spec, bundle.output_folder(output), asked, wrt)
    return steps.built(loaded, report, write, asked.format, asked.fail_on, tests=tests)


def _emitted(spec: str, folder: Path, asked: Asked, wrt: str) -> tuple[Loaded, Any, Any]:
    """What was loaded, the report on its gradients or on the pipeline itself if that fails, and what writes both."""
    from refold.emit.trainable import need_pieces
    from refold.report import steps
    from refold.verify.certificate import store
    from refold.verify.differentiated import part_of, verify_gradient

    loaded, found = _gradient(spec, wrt)
    with steps.placed(loaded):
        need_pieces(found, loaded.name)
    if asked.format == "pretty":
        pretty.put(derivation(loaded, found), "")
    prove = partial(store.verified, fresh=asked.fresh)
    with pretty.progress(f"verifying the gradients of {loaded.name}") as notify:
        report: Any = verify_gradient(found, notify, asked.timeout, prove)
        plain = part_of(found.spec, notify, asked.timeout, prove).report if found.saved else None
    if plain is not None and report.verdict == "proved" != plain.verdict:
        report = plain
    return loaded, report, partial(steps.emit_loaded, report, loaded, folder, plain=plain)


def _gradient(spec: str, wrt: str) -> tuple[Loaded, Any]:
    """What was loaded, and its gradients by some inputs."""
    from refold.algebra import gradient

    loaded = load(spec)
    names = [name for name in wrt.split(",") if name]
    with pretty.progress(f"deriving the gradients of {loaded.name}"):
        try:
            return loaded, gradient(loaded.value, names or None)
        except RefoldError as error:
            raise UsageError(f"{loaded.place}:{loaded.line}: {error}") from error


def derivation(loaded: Loaded, found: Any) -> Group:
    """The sections of a gradient, and one line that says how many walks it takes."""
    from refold.algebra.adjoint.display import gradient_sections

    walks = len(found.before) + len(found.pipelines)
    kept = ", ".join([o.name for o in found.spec.outputs] + list(found.saved))
    count = f"{walks} pipeline{'s' if walks > 1 else ''}"
    last = Text.assemble(("✓ derived", "green"), f"   {count}, of the inputs and {kept}")
    return Group(pretty.heading(loaded), pretty.sections(gradient_sections(found)), Text(), last)


def data(loaded: Loaded, found: Any) -> dict[str, Any]:
    """The pipelines as data."""

    def lines(spec: Any) -> dict[str, Any]:
        return {"outputs": [o.name for o in spec.outputs], "pipeline": str(spec)}

    return {
        "spec": loaded.given, "status": "derived", "wrt": list(found.wrt), "saved": list(found.saved),
        "forward": lines(found.forward), "before": [lines(s) for s in found.before],
        "gradients": [lines(s) for s in found.pipelines],
    }  # fmt: skip
