"""The figures of `bench/table.py` as markdown: a table for attention, one for row reductions, and geometric means."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from operators import OPERATORS, Operator

OURS, FLEX, COMPILE = "refold", "FlexAttention", "torch.compile"
LIBRARIES = ("SDPA flash", "SDPA cuDNN")


def markdown(found: dict[str, Any]) -> str:
    """All that was found, in words that stand on their own."""
    picked = [o for o in OPERATORS if o.name in found["operators"]]
    first = next(iter(found["operators"].values()))
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    ceilings = first["ceilings"]
    lines = [
        f"{first['device']}, {versions}, {first['date']}; {found['seconds']:.0f} s for all of it. Copy "
        f"{ceilings['copy_gbs']:.0f} GB/s, bf16 product {ceilings['matmul_tflops']:.0f} TFLOP/s, in the same run.",
        "",
    ]
    for kind, write in (("prefill", _attention), ("decode", _attention), ("rows", _rows)):
        some = [o for o in picked if o.kind == kind]
        if some:
            lines += write(some, found["operators"], ceilings)
    return "\n".join(lines) + "\n"


def _attention(some: list[Operator], found: dict[str, Any], ceilings: dict[str, float]) -> list[str]:
    unit = "TFLOP/s" if some[0].kind == "prefill" else "GB/s"
    lines = [
        f"| {some[0].kind}, {unit} | S | refold | FlexAttention | SDPA flash | SDPA cuDNN | over Flex | over the best of SDPA |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    flex, best = [], []
    for o in some:
        for run in found[o.name]["runs"]:
            ms = {t["name"]: _ms(t, o) for t in run["times"]}
            rate = o.flops(run["length"]) * 1e-9 if o.kind == "prefill" else run["bytes"] * 1e-6
            libraries = [ms[n] for n in LIBRARIES if n in ms]
            over = (ms[FLEX] / ms[OURS] if FLEX in ms else None, min(libraries) / ms[OURS] if libraries else None)
            flex += [over[0]] if over[0] else []
            best += [over[1]] if over[1] else []
            cells = [f"{rate / ms[n]:.0f}" if n in ms else "-" for n in (OURS, FLEX, *LIBRARIES)]
            mark = "" if run["correct"] else " (not checked)" if run["correct"] is None else " **WRONG**"
            lines.append(f"| {o.title}{mark} | {run['length']} | {' | '.join(cells)} | {_x(over[0])} | {_x(over[1])} |")
    lines += ["", f"Geometric mean over FlexAttention {_x(_mean(flex))}, over the best of SDPA {_x(_mean(best))}.", ""]
    return lines


def _rows(some: list[Operator], found: dict[str, Any], ceilings: dict[str, float]) -> list[str]:
    columns = [OURS, "eager", COMPILE, "torch", "Liger"]
    lines = [
        f"| rows, GB/s | width | {' | '.join(columns)} | over torch.compile | of the copy |",
        "|---|---:|" + "---:|" * (len(columns) + 2),
    ]
    over, share = [], []
    for o in some:
        for run in found[o.name]["runs"]:
            ms = {_column(t["name"]): _ms(t, o) for t in run["times"]}
            rate = run["bytes"] * 1e-6
            ratio = ms[COMPILE] / ms[OURS] if COMPILE in ms else None
            over += [ratio] if ratio else []
            share.append(rate / ms[OURS] / ceilings["copy_gbs"])
            cells = [f"{rate / ms[n]:.0f}" if n in ms else "-" for n in columns]
            mark = "" if run["correct"] else " (not checked)" if run["correct"] is None else " **WRONG**"
            lines.append(
                f"| {o.title}{mark} | {run['length']} | {' | '.join(cells)} | {_x(ratio)} | {share[-1]:.2f} |"
            )
    return [*lines, "", f"Geometric mean over torch.compile {_x(_mean(over))}, of the copy {_mean(share):.2f}.", ""]


def _column(name: str) -> str:
    """A library's function under the library's name."""
    return "Liger" if name.startswith("Liger") else "torch" if name.startswith(("F.", "torch.l", "torch.a")) else name


def _ms(line: dict[str, Any], operator: Operator) -> float:
    """Decode is timed as a graph's replay, for everybody; where one cannot be captured its call is what there is."""
    return float(line["graph_ms"] or line["ms"]) if operator.kind == "decode" else float(line["ms"])


def _x(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}x"


def _mean(ratios: Iterable[float]) -> float | None:
    values = list(ratios)
    return math.exp(sum(math.log(r) for r in values) / len(values)) if values else None
