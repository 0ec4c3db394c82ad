"""What was measured as lines of cells, for any table: who, how fast, how much slower than ours, and what it costs."""

from __future__ import annotations

from typing import Any

from refold.measure.chart import speed, unit_of

HEAD = ("length", "who", "ms", "graph", "", "peak", "takes", "host", "first", "error")
LEGEND = (
    "ms and graph: medians of a call and of a CUDA graph's replay, caches flushed; the speed and takes, its time over "
    "ours, are by the graph; host: what a call keeps it; first: the first call, compiled"
)
# Numbers are set flush right.
RIGHT = (True, False, True, True, True, True, True, True, True, True)


def head(found: dict[str, Any]) -> tuple[str, ...]:
    """The titles of the columns; the speed is in the unit of what bounds it, and the next its share of the ceiling."""
    unit, ceiling = unit_of(found)
    return tuple({"": unit, "peak": "peak" if ceiling else ""}.get(title, title) for title in HEAD)


def cells(found: dict[str, Any], run: dict[str, Any]) -> list[tuple[str, ...]]:
    """The lines of one length: ours first."""
    unit, ceiling = unit_of(found)
    lines: list[tuple[str, ...]] = []
    for n, line in enumerate(run["times"]):
        rate = speed(run, line, unit)
        ratio = line["graph_ratio"] or line["ratio"]
        error = run.get("error") if n == 0 else line.get("error")
        lines.append((
            str(run["length"]) if n == 0 else "",
            line["name"],
            f"{line['ms']:.4g}",
            "-" if line["graph_ms"] is None else f"{line['graph_ms']:.4g}",
            f"{rate:.4g}",
            f"{rate / ceiling:.0%}" if ceiling else "",
            "" if n == 0 else f"{ratio:.2f}x",
            f"{line['host_us']:.0f} us",
            f"{line['first_ms'] / 1e3:.2f} s",
            "-" if error is None else f"{error:.1e}",
        ))  # fmt: skip
    return lines


def remarks(found: dict[str, Any]) -> list[str]:
    """One line for each verdict, each note and each peer that is missing, the same ones once."""
    said = []
    for run in found["runs"]:
        where = f"length {run['length']}"
        if run["correct"]:
            error = f"error {run['error']:.2g} from float64, {run['bound']:.2g} allowed"
            said.append(f"correct at {where}: {error} ({run['checked']})")
        else:
            said.append(f"{'not checked' if run['correct'] is None else 'refuted'} at {where}: {run['checked']}")
    notes = [f"{t['name']}: {t['note']}" for run in found["runs"] for t in run["times"] if t.get("note")]
    reasons: dict[str, list[str]] = {}
    for name, why in dict.fromkeys((m["name"], m["why"]) for run in found["runs"] for m in run["missing"]):
        reasons.setdefault(why, []).append(name)
    missing = [f"without {', '.join(names)}: {why}" for why, names in reasons.items()]
    return said + list(dict.fromkeys(notes)) + missing


def about(found: dict[str, Any]) -> str:
    """Where and with what, and the ceilings of that run."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    ceilings = found["ceilings"]
    peak = (
        f"; copy {ceilings['copy_gbs']:.0f} GB/s, bf16 product {ceilings['matmul_tflops']:.0f} TFLOP/s"
        if ceilings
        else ""
    )
    fixed = {a: n for a, n in found["runs"][0]["sizes"].items() if a not in found["sweep"]}
    sizes = ", ".join([f"{a} {n}" for a, n in (fixed | found["scalars"]).items()])
    lead = f", leading {'x'.join(map(str, found['lead']))}" if found["lead"] else ""
    swept = " = ".join(found["sweep"])
    return f"{found['device']}, {versions}, {found['date']}{peak}\n{found['dtype']}, over {swept} at {sizes}{lead}"


def verdict(found: dict[str, Any]) -> str:
    """proved-like words for the exit code: refuted where a result is wrong, unknown where one was not checked."""
    correct = [run["correct"] for run in found["runs"]]
    return "refuted" if False in correct else "unknown" if None in correct else "proved"


def plain(found: dict[str, Any]) -> str:
    """All of it as aligned text."""
    rows = [head(found), *(line for run in found["runs"] for line in cells(found, run))]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEAD))]
    lines = [
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, RIGHT, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([found["name"], about(found), "", *lines, "", LEGEND, *remarks(found), ""])
