"""The figures of `bench/table.py` as markdown: a table for each kind of operator, and geometric means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from operators import OPERATORS, Operator

TUNED = "refold, tuned"
OURS, FLEX, COMPILE, EAGER = "refold", "FlexAttention", "torch.compile", "eager"
LIBRARIES = ("SDPA flash", "SDPA cuDNN")
SDPA, COPY, CALLS = "the best of SDPA", "the copy rate", f"{FLEX}, as calls"


@dataclass(slots=True)
class Table:
    """The lines of one kind of operator, and the ratios that go into the means, by whom they are to."""

    lines: list[str]
    ratios: dict[str, list[float]] = field(default_factory=dict)

    def ratio(self, to: str, value: float | None) -> str:
        """The cell of a ratio, noted for the mean; "-" where there is none."""
        found = self.ratios.setdefault(to, [])
        if value is None:
            return "-"
        found.append(value)
        return f"{value:.2f}"

    def row(self, operator: Operator, run: dict[str, Any], cells: Iterable[str]) -> None:
        """One line; a wrong result or a kernel that fails is told where its figures would be."""
        mark = " (not checked)" if run["correct"] is None else "" if run["correct"] else f" **{run['checked']}**"
        self.lines.append(f"| {operator.title}{mark} | {run['length']} | {' | '.join(cells)} |")


def markdown(found: dict[str, Any]) -> str:
    """All that was found, in words that stand on their own."""
    picked = [o for o in OPERATORS if o.name in found["operators"]]
    first = next(iter(found["operators"].values()))
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    ceilings = first["ceilings"]
    peaks = f"copy {ceilings['copy_gbs']:.0f} GB/s, bf16 product {ceilings['matmul_tflops']:.0f} TFLOP/s"
    lines = [
        f"{first['device']}, {versions}, {first['date']}; {found['seconds']:.0f} s. In the same run {peaks}.",
        "Medians of CUDA graph replays for everybody, caches flushed before each; beside them ours as a plain call.",
        "",
    ]
    tables = []
    for kind in ("prefill", "decode", "rows"):
        some = [(o, run) for o in picked if o.kind == kind for run in found["operators"][o.name]["runs"]]
        if some:
            tables.append(_rows(some, ceilings["copy_gbs"]) if kind == "rows" else _attention(some, kind))
            lines += [*tables[-1].lines, "", _means(tables[-1].ratios), ""]
    flex = [r for t in tables for r in t.ratios.get(FLEX, [])]
    if flex:
        lines += [f"All attention over FlexAttention: geometric mean {_mean(flex):.2f} of {len(flex)}.", ""]
    return "\n".join(lines)


def _attention(some: Sequence[tuple[Operator, dict[str, Any]]], kind: str) -> Table:
    who = (*_ours(some), FLEX, *LIBRARIES)
    unit = "TFLOP/s" if kind == "prefill" else "GB/s"
    table = Table(_head(f"{kind}, {unit}", "S", (*who, "as a call", f"over {FLEX}", f"over {CALLS}", f"over {SDPA}")))
    for operator, run in some:
        work = operator.flops(run["length"]) * 1e-9 if kind == "prefill" else run.get("bytes", 0.0) * 1e-6
        ms = {t["name"]: _ms(t) for t in run["times"]}
        best = min((ms[n] for n in LIBRARIES if n in ms), default=None)
        rates = [_rate(work, ms.get(n)) for n in who] + [_rate(work, _call(run))]
        calls = {t["name"]: float(t["ms"]) for t in run["times"]}
        over = [table.ratio(FLEX, _over(ms.get(FLEX), ms)), table.ratio(CALLS, _over(calls.get(FLEX), calls))]
        table.row(operator, run, [*rates, *over, table.ratio(SDPA, _over(best, ms))])
    return table


def _rows(some: Sequence[tuple[Operator, dict[str, Any]]], copy: float) -> Table:
    who = (*_ours(some), EAGER, COMPILE, "torch", "Liger")
    table = Table(_head("rows, GB/s", "width", (*who, "as a call", f"over {COMPILE}", f"of {COPY}")))
    for operator, run in some:
        work = run.get("bytes", 0.0) * 1e-6
        ms = {_column(t["name"]): _ms(t) for t in run["times"]}
        rates = [_rate(work, ms.get(n)) for n in who] + [_rate(work, _call(run))]
        share = work / ms.get(TUNED, ms[OURS]) / copy if OURS in ms else None
        table.row(operator, run, [*rates, table.ratio(COMPILE, _over(ms.get(COMPILE), ms)), table.ratio(COPY, share)])
    return table


def _head(title: str, swept: str, columns: Sequence[str]) -> list[str]:
    return [f"| {title} | {swept} | {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) + 1)}"]


def _ours(some: Sequence[tuple[Operator, dict[str, Any]]]) -> tuple[str, ...]:
    tuned = any(t["name"] == TUNED for _, run in some for t in run["times"])
    return (TUNED, OURS) if tuned else (OURS,)


def _column(name: str) -> str:
    """A library's function under the library's name."""
    return "Liger" if name.startswith("Liger") else "torch" if name.startswith(("F.", "torch.l", "torch.a")) else name


def _ms(line: dict[str, Any]) -> float:
    """A graph's replay: what the device does; where none can be captured its call is what there is."""
    return float(line["graph_ms"] or line["ms"])


def _call(run: dict[str, Any]) -> float | None:
    return float(run["times"][0]["ms"]) if run["times"] else None


def _rate(work: float, ms: float | None) -> str:
    return "-" if ms is None else f"{work / ms:.0f}"


def _over(theirs: float | None, ms: dict[str, float]) -> float | None:
    """Tuned where it was tuned."""
    return theirs / ms.get(TUNED, ms[OURS]) if theirs is not None and OURS in ms else None


def _means(ratios: dict[str, list[float]]) -> str:
    told = [f"{_mean(values):.2f} of {to} ({len(values)})" for to, values in ratios.items() if values]
    return f"Geometric means of the speed: {', '.join(told)}." if told else "Nothing to compare with."


def _mean(values: Sequence[float]) -> float:
    return math.exp(sum(math.log(v) for v in values) / len(values))
