"""On a GPU: times kernels that are bound by products beside their peers, in one run; prints a line for each.

python bench/products.py emit FOLDER             derives, proves and emits what is timed: no GPU is needed
python bench/products.py run FOLDER [--before FOLDER]   on the GPU; `--before`: the folder that an older tree emitted

Each cell is checked against float64 on a part of its result, then timed by CUDA graphs, two rounds by turns. The first
peer is what the others are held against: the library's own kernel, or the matrix product alone.
"""

from __future__ import annotations

import argparse
import gc
import math
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PATHS = ("examples/attention.py", "examples/causal_attention.py", "examples/differential_attention.py",
         "examples/linear_cross_entropy.py", "examples/stages/latent_attention.py",
         "examples/stages/linear_attention.py", "examples/stages/sparton.py")  # fmt: skip
# Batches, heads, positions and the head dimension.
SHAPES = {
    "attention": ((4, 32, 4096, 64), (2, 16, 4096, 128), (2, 16, 4096, 192), (2, 16, 4096, 256), (16, 12, 512, 64),
                  (1, 32, 512, 128), (1, 32, 1024, 128), (2, 16, 1024, 256)),
    "causal_attention": ((8, 16, 2048, 64), (2, 16, 4096, 192), (2, 16, 4096, 256), (16, 12, 1024, 64),
                         (1, 32, 512, 128), (1, 32, 1024, 128)),
}  # fmt: skip
Run = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """What is timed: calls by their names, the error of a result, and how many operations each takes."""

    runs: dict[str, Run]
    error: Callable[[Any], float]
    flops: float


def normal(*shape: int, scale: float = 1.0) -> Any:
    import torch

    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16) * scale


def apart(found: Any, wanted: Any) -> float:
    return float((found.double() - wanted).norm() / wanted.norm())


def exact(q: Any, k: Any, v: Any, *, causal: bool = False) -> Any:
    """Attention of the last head in float64."""
    import torch

    q, k, v = (t[-1, -1].double() for t in (q, k, v))
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if causal:
        s = s.masked_fill(torch.ones_like(s, dtype=torch.bool).triu(1), -math.inf)
    return s.softmax(-1) @ v


def attention(kernels: dict[str, Any], name: str, shape: tuple[int, ...]) -> Cell:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    q, k, v = (normal(*shape) for _ in range(3))
    causal = name != "attention"

    def cudnn() -> Any:
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

    want = exact(q, k, v, causal=causal)
    b, h, n, d = shape
    flops = 4.0 * b * h * n * n * d / (2 if causal else 1)
    runs = {"cuDNN": cudnn} | {label: partial(f, q, k, v) for label, f in kernels.items()}
    return Cell(runs, lambda o: apart(o[-1, -1], want), flops)


def differential(kernels: dict[str, Any], one: Any) -> Cell:
    import torch
    from torch.nn.attention.flex_attention import flex_attention

    b, h, n, d, e = 1, 16, 4096, 64, 128
    q1, k1, q2, k2, v = (*(normal(b, h, n, d) for _ in range(4)), normal(b, h, n, e))
    flex = torch.compile(flex_attention)
    want = exact(q1, k1, v) - 0.3 * exact(q2, k2, v)
    runs = {"two FlexAttention": lambda: flex(q1, k1, v) - 0.3 * flex(q2, k2, v)}
    runs |= {label: partial(f, q1, k1, q2, k2, v, lam=0.3) for label, f in kernels.items()}
    runs["two attentions of refold"] = lambda: one(q1, k1, v) - 0.3 * one(q2, k2, v)
    return Cell(runs, lambda o: apart(o[-1, -1], want), 4.0 * b * h * n * n * (d + e))


def linear_cross_entropy(kernels: dict[str, Any]) -> Cell:
    import torch
    from torch.nn.functional import cross_entropy

    rows, d, classes, some = 8192, 4096, 128256, 256
    x, w = normal(rows, d), normal(classes, d, scale=1 / 64)
    t, logits = torch.randint(0, classes, (rows,), device="cuda"), normal(rows, classes)
    want = torch.logsumexp(x[:some].double() @ w.double().T, 1) - (x[:some].double() * w[t[:some]].double()).sum(1)
    compiled = torch.compile(lambda: cross_entropy(x @ w.T, t, reduction="none"))
    runs = {"product": lambda: torch.mm(x, w.T, out=logits), "torch.compile": compiled}
    runs |= {label: partial(f, x, w, t) for label, f in kernels.items()}
    return Cell(runs, lambda o: apart(o[:some], want) if o.dim() == 1 else math.nan, 2.0 * rows * d * classes)


def latent(kernels: dict[str, Any]) -> Cell:
    import torch

    h, i, j, d, r, x, e = 16, 512, 16384, 128, 512, 64, 128
    given = {"q": normal(h, i, d), "q_rope": normal(h, i, x), "c": normal(j, r), "k_rope": normal(j, x),
             "w_k": normal(h, d, r, scale=r**-0.5), "w_v": normal(h, e, r, scale=r**-0.5)}  # fmt: skip
    q, rope, c, k_rope, w_k, w_v = given.values()
    a, b, s = normal(h * i, r + x), normal(j, r + x), normal(h * i, j)

    def eager() -> Any:
        scores = torch.einsum("hid,hdr->hir", q, w_k) @ c.T + rope @ k_rope.T
        return torch.einsum("hir,her->hie", (scores / math.sqrt(d + x)).softmax(-1) @ c, w_v)

    key, value = (c.double() @ w[-1].double().mT for w in (w_k, w_v))
    last = (q[-1].double() @ key.T + rope[-1].double() @ k_rope.double().T) / math.sqrt(d + x)
    want = last.softmax(-1) @ value
    runs = {"products": lambda: (torch.mm(a, b.T, out=s), s @ c)[1], "eager": eager}
    runs |= {label: partial(f, **given) for label, f in kernels.items()}
    return Cell(runs, lambda o: apart(o[-1], want) if o.dim() == 3 else math.nan, 2.0 * h * i * j * (2 * r + x))


def sparton(kernels: dict[str, Any]) -> Cell:
    import torch

    b, t, v, d = 8, 512, 250_000, 768
    h, e = normal(b, t, d), normal(v, d, scale=d**-0.5)
    length, scores = torch.randint(100, t, (b,), device="cuda", dtype=torch.int32), normal(b * t, v)

    def eager() -> Any:
        hidden = torch.arange(t, device="cuda")[None, :] >= length[:, None]
        return torch.log1p(torch.relu(h @ e.T)).masked_fill(hidden[..., None], -math.inf).amax(1)

    want = torch.log1p(torch.relu(h[-1, : int(length[-1])].double() @ e[:1000].double().T)).amax(0)
    runs = {"product": lambda: torch.mm(h.view(-1, d), e.T, out=scores), "torch.compile": torch.compile(eager)}
    runs |= {label: partial(f, h=h, e=e, length=length) for label, f in kernels.items()}
    return Cell(runs, lambda o: apart(o[-1, :1000], want) if o.shape[0] == b else math.nan, 2.0 * b * t * v * d)


def linear_attention(kernels: dict[str, Any]) -> Cell:
    import torch

    h, n, d = 16, 8192, 128
    q, k, v = (normal(h, n, d) for _ in range(3))

    def eager() -> Any:
        a, b = 1 + torch.relu(q), 1 + torch.relu(k)
        return (a @ (b.mT @ v)) / (a @ b.sum(1)[..., None])

    a, b = (1 + torch.relu(x[-1].double()) for x in (q, k))
    want = a @ (b.mT @ v[-1].double()) / (a @ b.sum(0)[:, None])
    runs = {"eager": eager, "torch.compile": torch.compile(eager)} | {
        m: partial(f, q, k, v) for m, f in kernels.items()
    }
    return Cell(runs, lambda o: apart(o[-1], want), 4.0 * h * n * d * d)


def cells(folders: dict[str, Path]) -> dict[str, Callable[[], Cell]]:
    """All that is timed, by its name; the kernels of one name by the label of their folder."""
    from refold.measure import inputs

    def of(name: str) -> dict[str, Any]:
        return {label: getattr(inputs.load(folder / name, name), name) for label, folder in folders.items()}

    found: dict[str, Callable[[], Cell]] = {
        "linear_cross_entropy": lambda: linear_cross_entropy(of("linear_cross_entropy"))
    }
    for name, shapes in SHAPES.items():
        for shape in shapes:
            title = f"{name} {'x'.join(map(str, shape))}"
            found[title] = lambda name=name, shape=shape: attention(of(name), name, shape)  # type: ignore[misc]
    one = lambda: [*of("attention").values()][-1]  # noqa: E731
    found["differential_attention"] = lambda: differential(of("differential_attention"), one())
    for make in (latent, sparton, linear_attention):
        name = "latent_attention" if make is latent else make.__name__
        found[name] = lambda make=make, name=name: make(of(name))  # type: ignore[misc]
    return found


def ahead(folders: dict[str, Path], name: str) -> None:
    """In a process of its own: every call once, so that what is compiled is in the caches on disk."""
    import torch

    for run in cells(folders)[name]().runs.values():
        run()
    torch.cuda.synchronize()


def timed(cell: Cell, rounds: int) -> None:
    """Checks every call of a cell, and prints its times and how fast it is beside the first."""
    import torch

    from refold.measure import timing

    errors, memory = {}, {}
    for label, run in cell.runs.items():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        errors[label] = cell.error(run())
        memory[label] = (torch.cuda.max_memory_allocated() - before) / 1e6
    times: dict[str, list[float]] = {label: [] for label in cell.runs}
    for _ in range(rounds):
        for label, run in cell.runs.items():
            times[label].append(timing.graphed(run, "cuda", 60) or timing.median(run, "cuda", 60))
    first = min(next(iter(times.values())))
    for label, found in times.items():
        shown = " ".join(f"{t:8.4f}" for t in found)
        rate, ratio = cell.flops / min(found) * 1e-9, first / min(found)
        print(f"   {label:26} {shown} ms {rate:5.0f} TFLOP/s {ratio:5.2f}  error {errors[label]:.4f}  "
              f"{memory[label]:.0f} MB", flush=True)  # fmt: skip


def emit(folder: Path) -> None:
    """Writes the bundle of every pipeline that is timed."""
    from refold.report.loading import load
    from refold.report.steps import emit_loaded, verify_loaded

    for path in PATHS:
        loaded = load(str(ROOT / path))
        proof = verify_loaded(loaded, "pretty")
        if proof is None or proof.verdict != "proved":
            raise SystemExit(f"{path} is not proved: no kernel")
        (folder / Path(path).stem).mkdir(parents=True, exist_ok=True)
        emit_loaded(proof, loaded, folder / Path(path).stem)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=("emit", "run"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--before", type=Path, help="a folder that an older tree emitted, timed in the same run")
    parser.add_argument("--jobs", type=int, default=14, help="processes that compile ahead")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.action == "emit":
        emit(options.folder)
        return
    import torch

    start = time.monotonic()
    folders = ({"refold before": options.before} if options.before else {}) | {"refold": options.folder}
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in [pool.submit(ahead, folders, name) for name in cells(folders)]:
            if done.exception() is not None:
                print("compiling ahead failed:", done.exception(), flush=True)
    print(f"{torch.cuda.get_device_name()}, compiled after {time.monotonic() - start:.0f} s", flush=True)
    for name, make in cells(folders).items():
        print(f"-- {name}", flush=True)
        torch.manual_seed(0)
        timed(make(), options.rounds)
        gc.collect()
        torch.cuda.empty_cache()
    print(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
