"""One random pipeline all the way: derived, proved, emitted, run in Triton's interpreter, held to the plain oracle.

`python trial.py SEED ...` prints one JSON line a seed; `-` reads seeds from standard input, one a line. It is a
process of its own: TRITON_INTERPRET decides when triton is first imported. With TRITON_INTERPRET=0 it runs on a GPU.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import math
import os
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from support import pipelines, programs
from support.tree import UNIT_ROUNDOFF, Noise, Pipeline, Run, divisions_by_zero, exactly, infinite_within, value
from support.written import spec_of

DEVICE = "cuda" if os.environ.get("TRITON_INTERPRET") == "0" else "cpu"
TIMEOUT = 45.0  # seconds of work for a proof, so that what becomes of a pipeline does not hang on what else runs
LIMIT = 150.0  # seconds of work for all of it
NOISY_RUNS = 4
PROGRAMS = 1_000_000
NO_VALUE = -1.0  # in the place of an allowance
# Kept until the process ends: all kernels share one runtime, and Triton reads its text where it was loaded from.
FOLDER = tempfile.TemporaryDirectory(prefix="refold-trial-")
SIZES = (
    {"i": 5, "j": 37, "d": 24, "e": 5, "m": 7, "f": 6},
    {"i": 3, "j": 1, "d": 3, "e": 2, "m": 2, "f": 1},
    {"i": 2, "j": 0, "d": 5, "e": 1, "m": 3, "f": 2},
    {"i": 19, "j": 18, "d": 1, "e": 3, "m": 4, "f": 3},
)
SCHEDULES = ({}, {"schedule": "rolling"}, {"schedule": "split", "splits": 3})


def trial(seed: int) -> dict[str, Any]:
    """What became of a pipeline: its outcome in a word, and what to look at."""
    from refold.verify.deadline import Limit, within
    from refold.verify.processor import work_clock

    start = time.perf_counter()
    try:
        found = within(Limit(LIMIT, clock=work_clock), lambda: judged(drawn(seed), seed))
        outcome, detail = found or ("beyond the time limit", f"{LIMIT:g} s")
    except Exception as error:
        outcome, detail = "crash", "".join(traceback.format_exception(error)[-3:])
    return {"seed": seed, "outcome": outcome, "detail": detail, "seconds": round(time.perf_counter() - start, 1)}


def drawn(seed: int) -> Pipeline:
    """From a million on those of several inner axes and stages."""
    return (programs if seed >= PROGRAMS else pipelines).draw(seed)


def judged(p: Pipeline, seed: int) -> tuple[str, str]:
    from refold import RefoldError, emit, stages, verify
    from refold.algebra import Refusal
    from refold.verify.deadline import Limit, within
    from refold.verify.processor import work_clock

    try:
        spec = spec_of(p)
        plan = stages(spec)
    except RefoldError as error:
        return "refused by a message", f"{type(error).__name__}: {error}"
    if isinstance(plan, Refusal):
        return "refused", plan.reason
    limit = Limit(TIMEOUT, clock=work_clock)
    report = within(limit, lambda: verify(plan))
    if report is None:
        return "unknown", f"time: {limit.note}"
    if report.verdict != "proved":
        open_ = [f"{r.name}: {r.claim} [{r.note}]" for r in report.results if r.verdict != "proved"]
        return report.verdict, "\n".join(open_)[:2000]
    try:
        kernel = emit(report, "fused")
    except RefoldError as error:
        # Without a tensor there is nothing to load, and a row's program writes no total of all; the rest has a kernel.
        differ = len({"i" in axes for _, axes in p.outputs.values()}) > 1
        return "refused by a message" if differ or not p.tensors else "no kernel", str(error)
    folder = Path(FOLDER.name) / str(seed)
    kernel.write(folder)
    path = folder / "fused.py"
    found = importlib.util.spec_from_file_location(f"fused_{seed}", path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return compared(p, module, seed)


def compared(p: Pipeline, module: Any, seed: int) -> tuple[str, str]:
    """Every schedule at every size beside the oracle.

    What stages hand on is to be finite: nothing is said of rows in which it is not, but that they give no wrong number.
    """
    several = hasattr(module, "_STAGES")
    counted = delicate = 0
    for sizes in SIZES:
        if not sizes["j"] and any(kind == "int target" for _, kind in p.tensors.values()):
            continue  # there is no position for a target
        rng = random.Random(seed)
        tensors, scalars = inputs(p, sizes, rng)
        wanted, run = expected(p, sizes, tensors, scalars, rng), Run(sizes, tensors, scalars, exactly)
        infinite = {name: infinite_within(p, run, name) for name in p.outputs} if several else {}
        for options in SCHEDULES:
            try:
                results = launched(p, module, sizes, tensors, scalars, options)
            except ValueError as error:
                if sizes["j"] or "axis j is 0 long" not in str(error):
                    raise
                continue  # a message is as good as an output without a value
            for name, (exact, allowed) in wanted.items():
                got = results[name]
                if len(got) != len(exact):
                    return "wrong", f"{name}: {len(got)} elements for {len(exact)} at {sizes} {options}"
                for n, (a, b, far) in enumerate(zip(exact, got, allowed, strict=True)):
                    counted += 1
                    if far is None:
                        delicate += 1
                    elif far == NO_VALUE:
                        if math.isfinite(b):
                            return "wrong", f"{name}[{n}]: {b} for no value ({a}) at {sizes} {options}"
                    elif b != b and name in infinite and infinite[name][n]:
                        delicate += 1
                    elif not (a == b or abs(a - b) <= far):
                        return "wrong", f"{name}[{n}]: {b} for {a} (allowed {far:.3g}) at {sizes} {options}"
    return "right", f"{counted} elements, {delicate} of them delicate"


def inputs(p: Pipeline, sizes: dict[str, int], rng: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors as nested lists of numbers that float32 holds, and scalars."""

    def number(kind: str) -> Any:
        match kind:
            case "float":
                return float32(rng.gauss(0, 1))
            case "positive":
                return float32(rng.uniform(0.25, 2))
            case "int small":
                return rng.randrange(3)
            case "int length":
                return rng.randrange(sizes["j"] + 2)
            case "int page":
                return rng.randrange(sizes["m"])
            case "int target":
                return rng.randrange(max(sizes["j"], 1))
            case "int limit":
                return rng.choice((2**31 - 1, rng.randrange(sizes["j"] + 1), -1))
        raise AssertionError(kind)

    def nested(axes: tuple[str, ...], kind: str) -> Any:
        return [nested(axes[1:], kind) for _ in range(sizes[axes[0]])] if axes else number(kind)

    tensors = {name: nested(axes, kind) for name, (axes, kind) in p.tensors.items()}
    return tensors, {name: v if kind.startswith("int") else float32(v) for name, (kind, v) in p.scalars.items()}


def float32(x: float) -> float:
    import numpy as np

    return float(np.float32(x))


def expected(
    p: Pipeline, sizes: dict[str, int], tensors: Any, scalars: Any, rng: random.Random
) -> dict[str, tuple[list[float], list[float | None]]]:
    """Every output, and how far a program in float32 may be from it; None where noise alone changes its kind.

    Where the pipeline itself has no value (data make it divide by 0; infinities of both signs are summed), NaN and an
    infinity are right, and no number is: that is all that is proved there.
    """
    found = {}
    for name in p.outputs:
        run = Run(sizes, tensors, scalars, exactly)
        exact = value(p, run, name)
        void = [divides or x != x for divides, x in zip(divisions_by_zero(p, run, name), exact, strict=True)]
        noisy = [value(p, Run(sizes, tensors, scalars, Noise(rng)), name) for _ in range(NOISY_RUNS)]
        allowed = [NO_VALUE if void[n] else bound(a, [other[n] for other in noisy]) for n, a in enumerate(exact)]
        found[name] = (exact, allowed)
    return found


def bound(exact: float, noisy: list[float]) -> float | None:
    if any(kind(exact) != kind(x) for x in noisy):
        return None
    if not math.isfinite(exact):
        return 0.0
    return 10 * max(abs(exact - x) for x in noisy) + 16 * UNIT_ROUNDOFF * abs(exact) + 1e-30


def kind(x: float) -> str:
    return "nan" if x != x else str(x) if x in (math.inf, -math.inf) else "finite"


def launched(
    p: Pipeline, module: Any, sizes: dict[str, int], tensors: Any, scalars: Any, options: dict[str, Any]
) -> dict[str, list[float]]:
    """The kernel's outputs, each flat."""
    import torch

    arguments = {}
    for name, (axes, kind_) in p.tensors.items():
        dtype = torch.int32 if kind_.startswith("int") else torch.float32
        data = torch.tensor(tensors[name], dtype=dtype, device=DEVICE)
        arguments[name] = data.reshape([sizes[a] for a in axes])
    # What the launcher cannot read off a tensor it takes by name.
    lengths = {a: sizes[a] for a in inspect.signature(module.fused).parameters if a in sizes}
    result = module.fused(**arguments, **scalars, **lengths, block_m=16, block_n=16, **options)
    results = result if isinstance(result, dict) else {next(iter(p.outputs)): result}
    return {name: r.double().flatten().tolist() for name, r in results.items()}


def main() -> None:
    """Seeds from the command line, or from standard input one by one."""
    import warnings

    os.environ.setdefault("TRITON_INTERPRET", "1")
    warnings.filterwarnings("ignore")
    for word in sys.stdin if sys.argv[1:] == ["-"] else sys.argv[1:]:
        print(json.dumps(trial(int(word))), flush=True)


if __name__ == "__main__":
    main()
