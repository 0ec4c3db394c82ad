"""On a GPU: times the bundles of two trees side by side, in one run on one card; prints the ratio of every cell.

python bench/pair.py OLD NEW       two folders that `bench/table.py emit` wrote, each by its own tree

Both kernels of a cell get the same inputs and must give the same values; they are timed by turns, as CUDA graphs.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from operators import OPERATORS, Operator

from refold.measure.case import read

# Of the largest magnitude: both round in other places, in 16 bits.
SAME = 0.02


def calls(folders: list[Path], operator: Operator, length: int) -> list[Callable[[], Any]]:
    """A call of each folder's kernel, on the same inputs."""
    from refold.measure import inputs as drawing

    case = read(folders[-1] / operator.name / f"{operator.name}.bench.json")
    size = case.at(length)
    modules = [drawing.load(folder / operator.name, case.name) for folder in folders]
    # The newest says what its inputs are; what they mean has not changed, which `apart` sees.
    inputs, words = drawing.draw(case, modules[-1], size, "cuda"), drawing.keywords(case, size)
    return [partial(getattr(module, case.name), *inputs.values(), **words) for module in modules]


def compiled(folders: list[Path], name: str, length: int) -> None:
    """In a process of its own: both kernels called once, so that Triton's cache on disk has them."""
    for call in calls(folders, next(o for o in OPERATORS if o.name == name), length):
        call()


def apart(a: Any, b: Any) -> float:
    """The largest difference of two results, as a share of the largest magnitude."""
    import torch

    pairs = zip(a.values(), b.values(), strict=True) if isinstance(a, dict) else [(a, b)]
    worst = 0.0
    for x, y in pairs:
        x, y = torch.nan_to_num(x.double()), torch.nan_to_num(y.double())
        worst = max(worst, float((x - y).abs().max() / x.abs().max().clamp(min=1e-6)))
    return worst


def cell(folders: list[Path], operator: Operator, length: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of both, the median of some rounds by turns, and how far the results are apart."""
    from refold.measure import timing

    old, new = calls(folders, operator, length)
    found: dict[str, Any] = {"operator": operator.name, "kind": operator.kind, "length": length}
    found["apart"] = apart(old(), new())
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for run, kept in zip((old, new), times, strict=True):
            kept.append(timing.graphed(run, "cuda") or timing.median(run, "cuda"))
    found["old_ms"], found["new_ms"] = map(statistics.median, times)
    return found | {"ratio": found["old_ms"] / found["new_ms"]}


def main() -> None:
    """A line for each cell, then the geometric mean and the least ratio of each kind of operator."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=60.0, help="begins no further cell after so long")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    import torch

    folders, start = [options.old, options.new], time.monotonic()
    work = [(o, n) for o in OPERATORS for n in read(options.new / o.name / f"{o.name}.bench.json").lengths]
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in [pool.submit(compiled, folders, o.name, n) for o, n in work]:
            done.exception()  # what fails is told where it is timed
    print(f"{torch.cuda.get_device_name()}, compiled after {time.monotonic() - start:.0f} s", flush=True)
    cells = []
    for operator, length in work:
        if time.monotonic() - start > 60 * options.minutes:
            print("no time for the rest")
            break
        cells.append(cell(folders, operator, length, options.rounds))
        c = cells[-1]
        told = "" if c["apart"] <= SAME else f"  APART {c['apart']:.3g}"
        times = f"{c['old_ms']:9.4f} {c['new_ms']:9.4f} {c['ratio']:6.3f}"
        print(f"{operator.name:24} {length:6} {times}{told}", flush=True)
        gc.collect()
        torch.cuda.empty_cache()
    for kind in dict.fromkeys(c["kind"] for c in cells):
        ratios = [c["ratio"] for c in cells if c["kind"] == kind]
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        print(f"{kind}: old/new in time, geometric mean {mean:.3f}, least {min(ratios):.3f}, of {len(ratios)} cells")
    if options.json:
        options.json.write_text(json.dumps(cells, indent=1) + "\n", encoding="utf-8")
    if any(c["apart"] > SAME for c in cells):
        raise SystemExit("results differ")


if __name__ == "__main__":
    main()
