"""Times reductions of long rows, of several axes and of columns beside torch.compile and a copy, in one run on one GPU.

python bench/axes.py emit FOLDER      derives, proves and emits all of them into FOLDER: no GPU is needed
python bench/axes.py run FOLDER       on the GPU, which needs torch, triton and this folder; options: --help
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

ROOT, EPS = Path(__file__).parents[1], 1e-5
WIDTHS, ELEMENTS = (32768, 65536, 131072, 262144), 1 << 26


@dataclass(frozen=True, slots=True)
class Operator:
    """One line: the shapes of its inputs, how often each element of the first is read or written, and what torch says.

    `like`: the function of torch; `words`: the scalars of ours.
    """

    name: str
    shapes: tuple[tuple[int, ...], ...]
    passes: int
    like: Callable[..., Any]
    words: dict[str, float] = field(default_factory=dict)


def operators() -> Iterator[Operator]:
    """All lines of the table."""
    import torch
    import torch.nn.functional as F

    eps = {"eps": EPS}

    def group(x: Any, w: Any, b: Any) -> Any:
        n, g, c, p = x.shape
        return F.group_norm(x.view(n, g * c, p), g, w.flatten(), b.flatten(), EPS).view(x.shape)

    def batch(x: Any, w: Any, b: Any) -> Any:
        return F.batch_norm(x, None, None, w, b, training=True, eps=EPS)

    def sweep(c: Any) -> Any:
        f = -torch.logsumexp(c, 1)
        return f, -torch.logsumexp(c + f[:, None], 0)

    yield Operator("group_norm", ((8, 32, 16, 4096), (32, 16), (32, 16)), 2, group, eps)
    yield Operator("batch_norm", ((32, 256, 3136), (256,), (256,)), 2, batch, eps)
    yield Operator("instance_norm", ((32, 256, 64, 64), (256,), (256,)), 2,
                   lambda x, w, b: F.instance_norm(x, weight=w, bias=b, eps=EPS), eps)  # fmt: skip
    for side in (256, 512):
        count = ELEMENTS // side**2
        yield Operator("patch_softmax", ((count, side, side),), 2, lambda x: F.softmax(x.flatten(1), -1).view(x.shape))
    yield Operator("sinkhorn", ((8192, 8192),), 2, sweep)
    for width in WIDTHS:
        rows = (ELEMENTS // width, width)
        last = (width,)
        yield Operator("softmax", (rows,), 2, lambda x: F.softmax(x, -1))
        yield Operator("layer_norm", (rows, last, last), 2, lambda x, w, b: F.layer_norm(x, w.shape, w, b, EPS), eps)
        yield Operator("rms_norm", (rows, last), 2, lambda x, w: F.rms_norm(x, w.shape, w, EPS), eps)
        yield Operator("logsumexp", (rows,), 1, lambda x: torch.logsumexp(x, -1))


def emit(folder: Path) -> None:
    """Writes the bundle of every operator."""
    for name in dict.fromkeys(o.name for o in operators()):
        command = [sys.executable, "-m", "refold", "emit", name, "-o", str(folder / name)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        print(f"{name}: proved and emitted", flush=True)


def inputs(operator: Operator) -> list[Any]:
    import torch

    g = torch.Generator("cuda").manual_seed(0)
    return [torch.randn(s, generator=g, device="cuda").bfloat16() for s in operator.shapes]


def values(result: Any) -> list[Any]:
    return [*result.values()] if isinstance(result, dict) else [*result] if isinstance(result, tuple) else [result]


def apart(operator: Operator, given: list[Any], result: Any) -> float:
    """The largest difference from float64, as a share of what an output of that magnitude may differ by in bfloat16.

    What torch does not give, such as BatchNorm's mean, is not compared.
    """
    import torch

    exact = values(operator.like(*(x.double() for x in given)))
    worst = 0.0
    for a, b in zip(values(result), exact, strict=False):
        unit = 2**-8 * b.abs().clamp(min=float(b.abs().mean()))
        worst = max(worst, float(((a.double() - b).abs() / unit).nan_to_num(torch.inf).max()))
    return worst


def compiled(operator: Operator) -> None:
    """In a process of its own: what torch compiles, so that its cache on disk has it."""
    import torch

    torch.compile(operator.like, dynamic=False)(*inputs(operator))
    torch.cuda.synchronize()


def ahead(index: int) -> None:
    compiled([*operators()][index])


def run(folder: Path, only: list[str]) -> None:
    """A line for each operator and shape: microseconds, and the two ratios that count."""
    import torch

    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, bf16; microseconds of a graph's replay")
    print("| operator | shape | refold | torch.compile | torch | a copy | over torch.compile | of the copy | error |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for operator in operators():
        if not only or operator.name in only:
            print(line(folder, operator), flush=True)
            torch._dynamo.reset()


def line(folder: Path, operator: Operator) -> str:
    import torch

    from refold.measure import inputs as drawing
    from refold.measure import timing

    given = inputs(operator)
    call = partial(getattr(drawing.load(folder / operator.name, operator.name), operator.name), **operator.words)
    theirs = torch.compile(operator.like, dynamic=False)
    half = torch.randn(given[0].numel() * operator.passes // 2, device="cuda").bfloat16()
    target = torch.empty_like(half)
    error = apart(operator, given, call(*given))
    runs = [partial(f, *given) for f in (call, theirs, operator.like)] + [lambda: target.copy_(half)]
    us = [1e3 * (timing.graphed(one, "cuda", 60) or math.nan) for one in runs]
    shape = " x ".join(map(str, operator.shapes[0]))
    cells = [*(f"{t:.1f}" for t in us), f"{us[1] / us[0]:.2f}", f"{us[3] / us[0]:.2f}", f"{error:.2f}"]
    return f"| {operator.name} | {shape} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=("emit", "run"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="these operators alone")
    parser.add_argument("--jobs", type=int, default=8, help="processes that compile torch's kernels ahead; 1 for none")
    options = parser.parse_args()
    if options.action == "emit":
        emit(options.folder)
        return
    if options.jobs > 1:
        import multiprocessing

        with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
            pool.map(ahead, range(len([*operators()])), chunksize=1)
    run(options.folder, options.only)


if __name__ == "__main__":
    main()
