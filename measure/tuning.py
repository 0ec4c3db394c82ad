"""Finds a kernel's fastest tile, warps, stages and parts for given inputs, and keeps what it found."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import triton
from triton.runtime.errors import OutOfResources, PTXASError

from refold.measure import timing

WORKERS, FINALISTS, SECONDS = 16, 4, 50.0
# Registers a thread has, less what addresses and masks take; a spilled tile is never the fastest.
REGISTERS = 216
Words = dict[str, int]


@dataclass(frozen=True, slots=True)
class Tuned:
    """The words that pin the fastest form, and how it was found; `kept`: in an earlier run."""

    words: Words
    tried: int
    left_out: int
    seconds: float
    kept: bool = False

    def line(self, name: str, tensors: Iterable[str]) -> str:
        """The call that pins it."""
        return f"{name}({', '.join([*tensors, *(f'{k}={v}' for k, v in self.words.items())])})"


@dataclass(frozen=True, slots=True)
class Tuner:
    """One kernel with its inputs: `words` are those that the launcher always needs."""

    module: ModuleType
    name: str
    inputs: dict[str, Any]
    words: dict[str, Any]
    device: str

    def run(self, choice: Words) -> Any:
        return getattr(self.module, self.name)(*self.inputs.values(), **self.words, **choice)

    def laid_out(self, choice: Words) -> Any:
        """What the launcher would do, without doing it."""
        wanted = inspect.signature(self.module._prepare).parameters
        given = self.inputs | self.words | {"given": {}, "schedule": "auto"} | choice
        return self.module._prepare(*(given.get(p) for p in wanted))

    def arguments(self, choice: Words) -> dict[str, Any]:
        """The arguments of its first kernel that are neither pointers nor descriptors."""
        launch = self.laid_out(choice).launches[0]
        names = [n for n in launch.kernel.arg_names if not n.endswith(("_ptr", "_desc"))]
        return dict(zip(names, launch.rest, strict=True)) | launch.options


def tune(
    tuner: Tuner, keep: Path | None = None, spec: str = "", notify: Callable[[str], None] = lambda _: None
) -> Tuned:
    """The fastest of the configurations that fit, by the median of several runs; the default is one of them."""
    start = time.perf_counter()
    key = _key(tuner, spec)
    kept = _read(keep).get(key)
    if kept is not None:
        return Tuned(kept, 0, 0, 0.0, kept=True)
    choices = [{}, *candidates(tuner)]
    fitting = [c for c in choices if not c or fits(tuner, c)]
    built = list(_built(tuner, fitting, notify))
    times: list[tuple[float, int]] = []
    for n, choice in enumerate(built):
        if n and time.perf_counter() - start > SECONDS:
            break
        notify(f"timing {n + 1} of {len(built)}")
        times.append((timing.median(lambda c=choice: tuner.run(c), tuner.device, 10), n))  # type: ignore[misc]
    best = sorted(times)[:FINALISTS]
    final = [(timing.median(lambda c=built[n]: tuner.run(c), tuner.device, 60), n) for _, n in best]  # type: ignore[misc]
    words = built[min(final)[1]]
    _write(keep, key, words)
    return Tuned(words, len(times), len(choices) - len(times), time.perf_counter() - start)


def candidates(tuner: Tuner) -> Iterator[Words]:
    """Tiles about the default one, with warps, stages, and parts about the default number where the axis is split."""
    usual = tuner.arguments({})
    rows, keys = usual.get("BLOCK_M", 1), usual["BLOCK_N"]
    heights: tuple[int, ...]
    widths: tuple[int, ...]
    warps: tuple[int, ...]
    stages: tuple[int, ...]
    if tuner.module.TABLES.dots:
        heights = (rows,) if rows < 64 else (64, 128)
        widths, warps, stages = (32, 64, 128), (4, 8), (2, 3, 4)
    else:
        heights = tuple(sorted({max(1, rows // 2), rows, 2 * rows}))
        widths = tuple(sorted({max(16, keys // 4), max(16, keys // 2), keys, 2 * keys}))
        warps, stages = (1, 2, 4, 8, 16), (3,)
    launches = tuner.laid_out({}).launches
    parts = launches[0].grid[1] if len(launches) > 1 else 0
    splits: tuple[int | None, ...] = tuple(sorted({max(2, parts // 2), parts, 2 * parts})) if parts else (None,)
    for m, n, w, s, k in itertools.product(heights, widths, warps, stages, splits):
        choice = {"block_m": m, "block_n": n, "num_warps": w, "num_stages": s}
        yield choice | ({"splits": k} if k is not None else {})


def fits(tuner: Tuner, choice: Words) -> bool:
    """Whether a tile's values fit into registers, and what its loads keep ahead into shared memory, by their sizes."""
    given = tuner.arguments(choice)
    inner = [v for n, v in given.items() if n.startswith("BLOCK_") and n not in ("BLOCK_M", "BLOCK_N")]
    rows, keys = given.get("BLOCK_M", 1), given["BLOCK_N"]
    lanes = 32 * choice["num_warps"]
    # Float32 values: scores or contributions, and the accumulator of the widest axis.
    if (rows * keys + rows * max(inner, default=0)) / lanes > REGISTERS or rows * keys < lanes:
        return False
    if not tuner.module.TABLES.dots:
        return True
    itemsize = next(t.element_size() for t in tuner.inputs.values() if t.is_floating_point())
    held = itemsize * (choice["num_stages"] * keys * sum(inner) + rows * max(inner, default=0))
    return held <= room(tuner.device)


def room(device: str) -> int:
    """The bytes of shared memory of one program; a CPU has what a Hopper has, for the sake of tests."""
    if device == "cpu":
        return 232448
    return int(torch.cuda.get_device_properties(device).shared_memory_per_block_optin)


def _built(tuner: Tuner, choices: list[Words], notify: Callable[[str], None]) -> Iterator[Words]:
    """Those that compile, several at a time, and of which the compiler says that nothing spills; the default anyway."""

    def fine(choice: Words) -> bool:
        call = tuner.laid_out(choice)
        try:
            call([*tuner.inputs.values()], {})
        except (OutOfResources, PTXASError):
            return not choice
        return not choice or not any(getattr(launch.compiled, "n_spills", 0) for launch in call.launches)

    # Descriptors are made in a thread that has a context of the device, which its first tensor gives it.
    begin = partial(torch.zeros, 1, device=tuner.device)
    with ThreadPoolExecutor(WORKERS if tuner.device != "cpu" else 1, initializer=begin) as pool:
        for n, (choice, good) in enumerate(zip(choices, pool.map(fine, choices), strict=True)):
            notify(f"compiled {n + 1} of {len(choices)}")
            if good:
                yield choice


def _key(tuner: Tuner, spec: str) -> str:
    """Pipeline, dtypes, device, compiler, and the shapes, of which lengths between two powers of two are alike."""
    device = "CPU" if tuner.device == "cpu" else torch.cuda.get_device_name()
    shapes = {n: [1 << (d - 1).bit_length() if d > 256 else d for d in t.shape] for n, t in tuner.inputs.items()}
    kinds = sorted({str(t.dtype) for t in tuner.inputs.values()})
    said = json.dumps([spec, shapes, tuner.words, kinds], sort_keys=True)
    return f"{tuner.name} {hashlib.sha256(said.encode()).hexdigest()[:16]} {device} triton {triton.__version__}"


def _read(path: Path | None) -> dict[str, Words]:
    """What was found before: nothing where the file is not there or not ours."""
    if path is None or not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path | None, key: str, words: Words) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_read(path) | {key: words}, indent=1, sort_keys=True) + "\n"
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
