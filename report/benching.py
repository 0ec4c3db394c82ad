"""`refold bench`: proves and emits, measures on the GPU, and shows what was found as a table, JSON and a picture."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from refold.errors import UsageError
from refold.report import bundle, pretty, steps
from refold.report.loading import load

DTYPES = ("float16", "bfloat16", "float32")


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line: each part empty where it was not."""

    sizes: tuple[str, ...] = ()
    lengths: str = ""
    scalars: tuple[str, ...] = ()
    lead: str = ""
    dtype: str = ""
    plot: Path | None = None
    output: Path | None = None
    tune: bool = False


def bench(spec: str, format: str, wish: Wish) -> int:
    """The exit code: 1 where a result is wrong (or there is no kernel), 3 where one could not be checked."""
    from refold.measure.device import reason

    if format not in ("pretty", "json"):
        raise UsageError(f"bench has no {format}: give --format pretty or json")
    if wish.dtype and wish.dtype not in DTYPES:
        raise UsageError(f"dtype {wish.dtype}: give one of {', '.join(DTYPES)}")
    if wish.plot is not None and (wish.plot.suffix != ".svg" or not wish.plot.parent.is_dir()):
        raise UsageError(f"--plot {wish.plot}: give a file NAME.svg in a folder that is there")
    why = reason()
    if why and wish.output is None:
        raise UsageError(why)
    with tempfile.TemporaryDirectory(prefix="refold-bench-") as scratch:
        folder = bundle.output_folder(wish.output or Path(scratch))
        return _measured(spec, format, wish, folder, why)


def _measured(spec: str, format: str, wish: Wish, folder: Path, why: str) -> int:
    from refold.measure.build import case_of
    from refold.measure.case import adjusted
    from refold.measure.chart import chart
    from refold.measure.lines import verdict

    loaded = load(spec)
    report = steps.verify_loaded(loaded, "pretty")
    if report is None:
        return 1
    if report.verdict != "proved":
        steps.show_report(loaded, report, "pretty")
        return steps.EXIT[report.verdict]
    case = adjusted(case_of(report.plan, loaded.name), wish.sizes, wish.lengths, wish.dtype, wish.scalars, wish.lead)
    paths, note = steps.emit_loaded(report, loaded, folder)
    paths = (*paths, case.write(folder))
    if why:
        carry = f"Carry {folder} to one that has a GPU and run: python -m refold.measure {folder.name}"
        pretty.put(pretty.files(paths, note), "", Text(f"Not measured: {why.partition(':')[0]}. {carry}"))
        return 0
    from refold.measure.run import measure
    from refold.verify.certificate import store

    with pretty.progress(f"measuring {loaded.name}") as notify:
        found = measure(case, folder, notify=notify, tuning=store.folder() / "tuned.json" if wish.tune else None)
    if format == "json":
        pretty.write(json.dumps(found, indent=2))
    else:
        pretty.put(pretty.heading(loaded), "", table(found), wide=True)
    if wish.plot is not None:
        wish.plot.write_text(chart(found), encoding="utf-8")
    return steps.EXIT[verdict(found)]


def table(found: dict[str, Any]) -> Group:
    """Every line that was timed, ours in bold, then what was checked and who is missing."""
    from refold.measure import lines

    grid = Table(box=None, padding=(0, 1), pad_edge=False, collapse_padding=True, header_style="bold")
    for title, right in zip(lines.head(found), lines.RIGHT, strict=True):
        # A long name goes on in the next line before a figure is cut.
        grid.add_column(title, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for run in found["runs"]:
        for n, row in enumerate(lines.cells(found, run)):
            grid.add_row(*(Text(cell) for cell in row), style="bold green" if n == 0 else "")
    said = [Text(line, style="bold red" if line.startswith("refuted") else "dim") for line in lines.remarks(found)]
    return Group(Text(lines.about(found)), Text(), grid, Text(), Text(lines.LEGEND, style="dim"), *said)
