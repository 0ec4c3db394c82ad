"""The figures of `bench/table.py` as markdown: a table for attention, one for row reductions, and geometric means."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from operators import OPERATORS, Operator

OURS, FLEX, COMPILE = "refold", "FlexAttention", "torch.compile"
LIBRARIES = ("SDPA flash", "SDPA cuDNN")
CALL = "refold, a plain call"


def markdown(found: dict[str, Any]) -> str:
    """All that was found, in words that stand on their own."""
    picked = [o for o in OPERATORS if o.name in found["operators"]]
    first = next(iter(found["operators"].values()))
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    ceilings = first["ceilings"]
    peaks = f"copy {ceilings['copy_gbs']:.0f} GB/s, bf16 product {ceilings['matmul_tflops']:.0f} TFLOP/s"
    lines = [
        f"{first['device']}, {versions}, {first['date']}; {found['seconds']:.0f} s. In the same run {peaks}.",
        "Medians of CUDA graph replays for everybody, caches flushed; beside them ours called plainly.",
        "",
    ]
    for kind, write in (("prefill", _attention), ("decode", _attention), ("rows", _rows)):
        some = [o for o in picked if o.kind == kind]
        if some:
            lines += write(some, found["operators"], ceilings)
    return "\n".join(lines) + "\n"


def _attention(some: list[Operator], found: dict[str, Any], ceilings: dict[str, float]) -> list[str]:
    prefill = some[0].kind == "prefill"
    who = (OURS, FLEX, *LIBRARIES)
    lines = _head(f"{some[0].kind}, {'TFLOP/s' if prefill else 'GB/s'}", "S", (*who, CALL, "over Flex", "over SDPA"))
    flex, best = [], []
    for o in some:
        for run in found[o.name]["runs"]:
            ms = {t["name"]: _ms(t) for t in run["times"]}
            work = o.flops(run["length"]) * 1e-9 if prefill else run["bytes"] * 1e-6
            libraries = [ms[n] for n in LIBRARIES if n in ms]
            flex.append(ms[FLEX] / ms[OURS] if FLEX in ms else None)
            best.append(min(libraries) / ms[OURS] if libraries else None)
            lines.append(_line(o, run, [*(_rate(work, ms.get(n)) for n in who), _rate(work, run["times"][0]["ms"]),
                                        _x(flex[-1]), _x(best[-1])]))  # fmt: skip
    return [*lines, "", f"Geometric means: over FlexAttention {_x(_mean(flex))}, over the best of SDPA "
            f"{_x(_mean(best))}.", ""]  # fmt: skip


def _rows(some: list[Operator], found: dict[str, Any], ceilings: dict[str, float]) -> list[str]:
    who = (OURS, "eager", COMPILE, "torch", "Liger")
    lines = _head("rows, GB/s", "width", (*who, CALL, f"over {COMPILE}", "of the copy"))
    over, share = [], []
    for o in some:
        for run in found[o.name]["runs"]:
            ms = {_column(t["name"]): _ms(t) for t in run["times"]}
            work = run["bytes"] * 1e-6
            over.append(ms[COMPILE] / ms[OURS] if COMPILE in ms else None)
            share.append(work / ms[OURS] / ceilings["copy_gbs"])
            lines.append(_line(o, run, [*(_rate(work, ms.get(n)) for n in who), _rate(work, run["times"][0]["ms"]),
                                        _x(over[-1]), f"{share[-1]:.2f}"]))  # fmt: skip
    return [*lines, "", f"Geometric means: over {COMPILE} {_x(_mean(over))}, of the copy {_mean(share):.2f}.", ""]


def _head(title: str, swept: str, columns: Iterable[str]) -> list[str]:
    columns = list(columns)
    return [f"| {title} | {swept} | {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) + 1)}"]


def _line(operator: Operator, run: dict[str, Any], cells: Iterable[str]) -> str:
    mark = "" if run["correct"] else " (not checked)" if run["correct"] is None else " **WRONG**"
    return f"| {operator.title}{mark} | {run['length']} | {' | '.join(cells)} |"


def _column(name: str) -> str:
    """A library's function under the library's name."""
    return "Liger" if name.startswith("Liger") else "torch" if name.startswith(("F.", "torch.l", "torch.a")) else name


def _ms(line: dict[str, Any]) -> float:
    """A graph's replay, for everybody: what the device does; where none can be captured its call is what there is."""
    return float(line["graph_ms"] or line["ms"])


def _rate(work: float, ms: float | None) -> str:
    return "-" if ms is None else f"{work / ms:.0f}"


def _x(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}x"


def _mean(ratios: Iterable[float | None]) -> float | None:
    values = [r for r in ratios if r is not None]
    return math.exp(sum(math.log(r) for r in values) / len(values)) if values else None
