"""Measures the rounding errors of emitted kernels against their bounds, at inputs that are chosen to be hard.

Two things are run. The kernel that `emit` writes runs in Triton's interpreter, whose arithmetic is NumPy's: float32
rounded to nearest, sums in NumPy's order, exp and division correctly rounded or nearly so. The tape runs the same
operations, sums one by one from the left; a device may do either. Errors are distances from the spec in float64.
With `--device cuda` the kernels run on a GPU instead of in the interpreter.
Exit code 1 if an error exceeds its bound, or if at the hardest input the bound is more than 100 times the error.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

if "--device" not in sys.argv:
    os.environ["TRITON_INTERPRET"] = "1"  # before triton is imported

from refold.algebra import Plan, derive
from refold.emit import emit
from refold.measure.build import case_of
from refold.schedule.lower.kernels import kernels
from refold.spec.evaluate import evaluate
from refold.verify import Proof, Result
from refold.verify.rounding.bounds import analyse
from refold.verify.rounding.kinds import Arithmetic

EXAMPLES = sorted(p.stem for p in (Path(__file__).parents[1] / "examples").glob("*.py") if not p.name.startswith("_"))
SCALARS = {"eps": 1e-5, "window": 50, "cap": 5.0, "slope": 0.25, "a": 0.7, "b": 0.3, "z": 0.5,
           "prefix": 20, "shared": 5, "step": 3, "block": 32}  # fmt: skip
LIMIT = 100.0


def normal(n: int, rng: Any) -> Any:
    return rng.standard_normal(n)


def smooth(n: int, rng: Any) -> Any:
    """Positive, all of about one size: every partial sum rounds."""
    return rng.uniform(0.5, 1.0, n)


def stagnant(n: int, rng: Any) -> Any:
    """One large value, then values so small that adding one of them to it changes nothing."""
    return np.where(np.arange(n) == 0, 1.0, rng.uniform(0.3, 0.49) * 2.0**-24)


def shifted(n: int, rng: Any) -> Any:
    """A large mean and a small variance."""
    return 1000.0 + rng.standard_normal(n)


# How a tensor varies along the folded axis.
PATTERNS = {
    "normal": normal,
    "large": lambda n, rng: 30 * rng.standard_normal(n),
    "huge": lambda n, rng: 1e4 * rng.standard_normal(n),
    "shifted": shifted,
    "far": lambda n, rng: 3000.0 + rng.uniform(0, 1e-1, n),
    "alternating": lambda n, rng: (-1.0) ** np.arange(n) * (1 + rng.uniform(0, 1e-3, n)),
    "dominant": lambda n, rng: np.where(np.arange(n) == n // 2, 20.0, rng.standard_normal(n)),
    "ascending": lambda n, rng: 0.3 * np.arange(n) + rng.uniform(0, 0.3, n),
    "smooth": smooth,
    "constant": lambda n, rng: np.full(n, rng.uniform(0.5, 1)),
    "stagnant": stagnant,
}


@dataclass(frozen=True, slots=True)
class Case:
    """A length of the folded axis, how many parts, the pattern of every tensor, the seed, and the tile."""

    length: int
    parts: int
    patterns: tuple[str, ...]
    seed: int
    block: int = 16


@dataclass(frozen=True, slots=True)
class Row:
    """What was found for one output, and how often an error exceeded its bound, by kernel or tape."""

    example: str
    output: str
    dtype: str
    runs: int
    worst: float  # the largest error of the emitted kernel
    limit: float  # the bound, there
    kernel: float  # the error of the emitted kernel where the bound is nearest to it
    bound: float  # the bound, there
    ratio: float  # bound / error, there
    model: float  # the smallest bound / error of the tape
    exceeded: int
    hardest: str


class Example:
    """The plan of an example and its emitted kernel, loaded."""

    def __init__(self, name: str, folder: Path, device: str) -> None:
        self.name, self.device = name, device
        plan = derive(importlib.import_module(f"refold.examples.{name}").SPEC)
        assert isinstance(plan, Plan)
        self.plan, self.spec, self.made = plan, plan.spec, kernels(plan, name)
        # What is emitted does not depend on the proof.
        kernel = emit(Proof(plan, (Result("stand-in", "", "proved", 0.0, ""),), ()), f"k_{name}")
        kernel.write(folder)
        path = folder / f"k_{name}.py"
        found = importlib.util.spec_from_file_location(path.stem, path)
        assert found is not None and found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        self.call = getattr(module, f"k_{name}")
        self.case = case_of(plan, name)
        self.floats = [t for t in self.spec.tensors if not t.is_integer]
        # Where positions of rows and of the folded axis are compared, rows are as many as positions.
        self.square = any(f"{plan.axis} <= i" in str(e.expr) for e in plan.elements)

    def inputs(self, case: Case, dtype: str) -> dict[str, Any]:
        rng = np.random.default_rng(case.seed)
        size = {a.name: 2 for a in self.spec.axes} | {"d": 4, "h": 4, self.plan.axis.name: case.length}
        size |= {"i": case.length if self.square else 1, "e": 1}
        size = replace(self.case, sizes=size, sweep=(), fill="").at(case.length)
        inputs: dict[str, Any] = {n: size[n] for n in self.case.keywords}
        patterns = dict(zip([t.name for t in self.floats], case.patterns, strict=True))
        for t in self.spec.tensors:
            shape = [size[a.name] for a in t.axes]
            if t.is_integer:
                along, _ = self.case.integers[t.name]
                inputs[t.name] = rng.integers(0, size[along] if along else min(case.length, 2), shape)
                continue
            dims = [n for n, a in enumerate(t.axes) if a == self.plan.axis]
            value = rng.uniform(0.5, 1.0, shape) * (1 if dims else rng.choice([-1.0, 1.0], shape))
            if dims:
                column = PATTERNS[patterns[t.name]](case.length, rng)
                value = np.empty(shape)
                value[...] = column.reshape([-1 if n in dims else 1 for n in range(len(shape))])
                if patterns[t.name] in ("normal", "large", "smooth"):
                    value = value * rng.uniform(0.9, 1.1, shape)
            inputs[t.name] = value.astype(dtype).astype(np.float64)
        scalars = {str(p.name): SCALARS[str(p.name)] for p in self.spec.params}
        whole = {str(p.name) for p in self.spec.params if p.is_integer}
        return inputs | {n: int(x) if n in whole else float(np.float32(x)) for n, x in scalars.items()}

    def kernel(self, inputs: dict[str, Any], case: Case, dtype: str) -> dict[str, Any]:
        """The outputs of the emitted kernel."""
        import torch

        args: dict[str, Any] = dict(inputs)
        for t in self.spec.tensors:
            kind = getattr(torch, t.dtype if t.is_integer else dtype)
            args[t.name] = torch.tensor(np.asarray(inputs[t.name])).to(kind).to(self.device)
        how = {"schedule": "split", "splits": case.parts} if case.parts > 1 else {"schedule": "rolling"}
        tensors = [args.pop(t.name) for t in self.spec.tensors]
        out = self.call(*tensors, **args, block_m=16, block_n=case.block, **how)
        values = out if isinstance(out, dict) else {self.plan.finish[0].name: out}
        return {n: v.double().cpu().numpy() for n, v in values.items()}

    def cases(self, lengths: tuple[int, ...], tries: int, long: int) -> Iterator[Case]:
        """Patterns of tensors at random, all with one pattern first; every length, one part and three.

        The long one is smooth; where there is no other, it is random and stagnant too.
        """
        rng = np.random.default_rng(len(self.name))
        names = list(PATTERNS)
        for n in range(max(tries, len(names)) if lengths else 0):
            chosen = (names[n],) * len(self.floats) if n < len(names) else tuple(rng.choice(names, len(self.floats)))
            yield Case(lengths[n % len(lengths)], 1 if n % 3 else 3, tuple(map(str, chosen)), n)
        if long and not self.square:
            for pattern in ("smooth",) if lengths else ("smooth", "normal", "stagnant"):
                yield Case(long, 1, (pattern,) * len(self.floats), 0, 64)


def measure(example: Example, dtype: str, cases: Iterator[Case], search: int) -> list[Row]:
    """The rows of one example: every case by tape and kernel, then steps from the hardest by other seeds."""
    best: dict[str, list[tuple[float, float, float, Case]]] = {}
    worst: dict[str, tuple[float, float]] = {}
    model: dict[str, float] = {}
    exceeded: dict[str, int] = {}
    runs = 0

    def run(case: Case) -> None:
        nonlocal runs
        runs += 1
        inputs = example.inputs(case, dtype)
        found = analyse(example.made, Arithmetic(case.block, case.parts, dtype, dtype), inputs)  # type: ignore[arg-type]
        with np.errstate(all="ignore"):
            want = evaluate(example.spec, inputs)
            got = example.kernel(inputs, case, dtype)
        for name, m in found.items():
            for kernel, values in ((True, got[name]), (False, m.computed)):
                error = np.where(np.isfinite(want[name]), np.abs(values - want[name]), 0.0)
                over = ~(error <= m.bound * (1 + 1e-9) + 2.0**-48 * np.abs(want[name]))
                over &= np.isfinite(want[name])
                exceeded[name] = exceeded.get(name, 0) + int(over.sum())
                if over.any() and "-v" in sys.argv:
                    at = np.unravel_index(np.argmax(over), over.shape)
                    print("exceeded", kernel, case, error[at], m.bound[at], want[name][at], file=sys.stderr)
                ratio = np.where(error > 0, m.bound / np.where(error > 0, error, 1.0), np.inf)
                if kernel and error.size:
                    peak = np.unravel_index(np.argmax(np.where(np.isfinite(m.bound), error, 0.0)), error.shape)
                    worst[name] = max(worst.get(name, (0.0, 0.0)), (float(error[peak]), float(m.bound[peak])))
                if kernel:
                    at = np.unravel_index(np.argmin(ratio), ratio.shape) if ratio.size else None
                    if at is not None and np.isfinite(ratio[at]):
                        best.setdefault(name, []).append((float(ratio[at]), float(error[at]), float(m.bound[at]), case))
                elif ratio.size:
                    model[name] = min(model.get(name, np.inf), float(ratio.min()))

    for case in cases:
        run(case)
    for name in list(best):
        for n in range(search):
            if (least := min(best[name], key=lambda b: b[0]))[0] <= LIMIT:
                break
            run(replace(least[3], seed=1000 + n))
    rows = []
    for f in example.plan.finish:
        if f.name not in exceeded:
            continue
        ratio, error, limit, case = min(best.get(f.name, []), default=(np.nan, 0.0, 0.0, None), key=lambda b: b[0])
        text = "" if case is None else f"N={case.length} P={case.parts} {'/'.join(case.patterns)}"
        rows.append(Row(example.name, f.name, dtype, runs, *worst.get(f.name, (0.0, 0.0)), error, limit, ratio,
                        model.get(f.name, np.nan), exceeded[f.name], text))  # fmt: skip
    return rows


def main() -> int:
    """Prints the table, or its rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("examples", nargs="*", default=EXAMPLES)
    parser.add_argument("--lengths", type=int, nargs="*", default=[1, 63, 64, 65, 1000], help="none: only the long one")
    parser.add_argument("--long", type=int, default=4096, help="one more length, once, in float32")
    parser.add_argument("--tries", type=int, default=16)
    parser.add_argument("--search", type=int, default=20)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float16"])
    parser.add_argument("--device", default="cpu", help="cuda: the kernels run there")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("-v", action="store_true", help="say where a bound is exceeded")
    options = parser.parse_args()
    rows: list[Row] = []
    start = time.process_time()
    if not options.json:
        print(f"{'example':30} {'output':6} {'dtype':8} {'worst':>8} {'bound':>8}   {'nearest':>8} {'bound':>8} "
              f"{'ratio':>6} {'tape':>6}  at")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for name in options.examples:
            example = Example(name, Path(folder), options.device)
            lengths = tuple(n for n in options.lengths if n <= 65 or not example.square)
            for dtype in options.dtypes:
                cases = example.cases(lengths, options.tries, options.long if dtype == "float32" else 0)
                for row in measure(example, dtype, cases, options.search):
                    rows.append(row)
                    if not options.json:
                        print(f"{row.example:30} {row.output:6} {row.dtype:8} {row.worst:8.1e} {row.limit:8.1e}   "
                              f"{row.kernel:8.1e} {row.bound:8.1e} {row.ratio:6.1f} {row.model:6.1f}  {row.hardest}"
                              f"{'  EXCEEDED' if row.exceeded else ''}", flush=True)  # fmt: skip
    if options.json:
        print(json.dumps([asdict(r) for r in rows]))
    else:
        print(f"{time.process_time() - start:.0f} s CPU, on {options.device}, tiles of 16, of 64 for 4096")
    return int(any(r.exceeded or r.ratio > LIMIT for r in rows))  # of what has no error the ratio is no number


if __name__ == "__main__":
    sys.exit(main())
