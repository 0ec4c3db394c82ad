"""Measures a bundle at every length: correctness first, then time beside each peer; the result is plain data."""

from __future__ import annotations

import datetime
import gc
import math
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from refold.measure import inputs as drawing
from refold.measure import peers, timing
from refold.measure.case import Case
from refold.measure.oracle import Exact, exact

OURS = "refold"


def environment(device: str) -> dict[str, Any]:
    """Where and with what the figures were obtained."""
    name = "CPU" if device == "cpu" else torch.cuda.get_device_name()
    versions = {"torch": torch.__version__}
    for package in ("triton", "refold", "liger-kernel"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"device": name, "versions": versions, "date": today}


def measure(
    case: Case,
    folder: Path,
    device: str = "cuda",
    wanted: tuple[str, ...] = peers.NAMES,
    notify: Callable[[str], None] = lambda _: None,
    ceilings: dict[str, float] | None = None,
) -> dict[str, Any]:
    """One object: `case`, `environment`, `ceilings`, and `runs`, one for each length."""
    if ceilings is None:
        notify("ceilings")
        ceilings = timing.ceilings(device)
    module = drawing.load(folder, case.name)
    runs = []
    for length in case.lengths:
        runs.append(at_length(case, module, length, device, wanted, notify))
        gc.collect()
        clear(device)
    return {
        "name": case.name, "spec": case.spec, "dtype": case.dtype, "scalars": dict(case.scalars),
        "lead": list(case.lead), "sweep": list(case.sweep), **environment(device), "ceilings": ceilings, "runs": runs,
    }  # fmt: skip


def clear(device: str) -> None:
    """Frees what a peer took, and lets torch compile for the next one however many there were before."""
    torch._dynamo.reset()
    if device != "cpu":
        torch.cuda.empty_cache()


def room(device: str) -> float:
    """Bytes that an eager form may take."""
    return 2**30 if device == "cpu" else 0.8 * torch.cuda.mem_get_info()[0]


def at_length(
    case: Case, module: ModuleType, length: int, device: str, wanted: tuple[str, ...], notify: Callable[[str], None]
) -> dict[str, Any]:
    """What was found at one length: the sizes, the verdict, and a line for each that ran or did not."""
    size = case.at(length)
    inputs = drawing.draw(case, module, size, device)
    words = drawing.keywords(case, size)
    kernel = getattr(module, case.name)
    run = lambda: kernel(*inputs.values(), **words)  # noqa: E731
    notify(f"{length}: first call")
    found: dict[str, Any] = {"length": length, "sizes": size}
    try:
        result, first = timing.first(run, device)
    except Exception as error:  # told like a wrong result: the other lengths and operators go on
        return found | {"correct": False, "checked": _failed(error), "times": [], "missing": []}
    ours = drawing.many(module, result)
    found |= work(case, size, inputs, ours)
    notify(f"{length}: float64 reference")
    oracle = exact(case, module, inputs, size, room(device))
    found |= _verdict(oracle, ours, size)
    del result, ours
    notify(f"{length}: {OURS}")
    times = [{"name": OURS, "first_ms": first, **_timed(run, device)}]
    missing: list[dict[str, Any]] = []
    for name, make in peers.makers(case, module, inputs, size, room(device), wanted).items():
        notify(f"{length}: {name}")
        line = _beside(name, make, device, oracle)
        (missing if "why" in line else times).append(line)
        clear(device)
    found["times"] = [line | {"ratio": line["ms"] / times[0]["ms"]} | _graph_ratio(line, times[0]) for line in times]
    found["missing"] = missing
    return found


def _graph_ratio(line: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    both = line["graph_ms"] is not None and ours["graph_ms"] is not None
    return {"graph_ratio": line["graph_ms"] / ours["graph_ms"] if both else None}


def _timed(run: timing.Run, device: str) -> dict[str, Any]:
    return {
        "ms": timing.median(run, device),
        "graph_ms": timing.graphed(run, device),
        "host_us": timing.overhead(run, device),
    }


def _verdict(oracle: Exact | None, ours: dict[str, Any], size: dict[str, int]) -> dict[str, Any]:
    if oracle is None:
        return {"correct": None, "checked": "nothing: the float64 reference has no room in memory"}
    verdict = oracle.judge(ours)
    cut = [f"{a} {n} of {size[a]}" for a, n in oracle.size.items() if n != size[a]]
    cut += ["the first of the leading dimensions"] if oracle.lead != oracle.case.lead else []
    checked = f"a part: {', '.join(cut)}" if cut else "all of it"
    if not verdict.correct:
        allowed = f"error {verdict.error:.2g} where {verdict.bound:.2g} is allowed"
        wrong = allowed if math.isfinite(verdict.error) else "infinite or undefined where float64 is not"
        return {"correct": False, "checked": f"WRONG, {checked}: {wrong}"}
    return {"correct": True, "error": verdict.error, "bound": verdict.bound, "checked": checked}


def _beside(
    name: str, make: Callable[[], peers.Peer | peers.Missing], device: str, oracle: Exact | None
) -> dict[str, Any]:
    """The line of one peer, or why there is none. What a library raises is its answer, not our failure."""
    try:
        peer = make()
        if isinstance(peer, peers.Missing):
            return {"name": peer.name, "why": peer.why}
        with peer.within():
            result, first = timing.first(peer.run, device)
            verdict = None if oracle is None else oracle.judge(peer.outputs(result))
            del result
            line = {"name": peer.name, "first_ms": first, **_timed(peer.run, device)}
    except Exception as error:
        return {"name": name, "why": _failed(error)}
    notes = [peer.note] if peer.note else []
    if verdict is not None:
        line["error"] = verdict.error if math.isfinite(verdict.error) else None
        if not verdict.correct:
            notes.append(f"error {verdict.error:.2g} where {verdict.bound:.2g} is allowed")
    return line | ({"note": "; ".join(notes)} if notes else {})


def _failed(error: Exception) -> str:
    return f"fails: {type(error).__name__}: {' '.join(str(error).split())[:160]}"


def work(case: Case, size: dict[str, int], inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, float]:
    """Bytes, each input read and each output written once; operations of the contractions, where the mask lets any in.

    The share of pairs that a mask leaves is counted with the predicate itself.
    """
    moved = sum(x.numel() * x.element_size() for x in (*inputs.values(), *outputs.values()))
    lead = math.prod(case.lead) if case.led else 1
    flops = float(sum(2 * lead * math.prod(size[a] for a in dot) for dot in case.dots))
    return {"bytes": float(moved), "flops": flops * visible(case, size, inputs)}


def visible(case: Case, size: dict[str, int], inputs: dict[str, Any]) -> float:
    """The share of (row, key) pairs that the mask leaves, over the heads where it varies with them."""
    a = case.attention
    if a is None or not a.mask:
        return 1.0
    mask = peers.mod(peers.MASK, a.mask, case, size, inputs)
    device = next(iter(inputs.values())).device
    j = torch.arange(size[a.keys], device=device)
    heads = [size[x] for x in a.batch] if "h_idx" in a.mask or "b_idx" in a.mask else []
    batch = [torch.arange(n, device=device) for n in (*[1] * (2 - len(heads)), *heads)]
    rows = size[a.rows] if a.rows else 1
    total = 0
    for start in range(0, rows, 1024):
        i = torch.arange(start, min(rows, start + 1024), device=device)
        seen = mask(batch[0][:, None, None, None], batch[1][:, None, None], i[:, None], j)
        total += int(torch.broadcast_to(seen, (len(batch[0]), len(batch[1]), len(i), len(j))).sum())
    return total / (len(batch[0]) * len(batch[1]) * rows * size[a.keys])
