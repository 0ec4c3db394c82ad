"""On a GPU: runs the tests of emitted bundles, then times a few kernels beside what torch offers; prints two tables.

python bench/device.py FOLDER        FOLDER/<name>/ holds the bundle of <name>, as `refold emit` wrote it
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from triton.testing import do_bench

WORKERS = 8


def tested(folder: Path) -> str:
    """One line: the bundle, whether its tests pass, and what failed first."""
    start = time.time()
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=540)
    lines = done.stdout.strip().splitlines() or [done.stderr[-200:]]
    why = next((line for line in lines if line.startswith("E  ")), "")[:150]
    return f"{folder.name:32} rc={done.returncode} {time.time() - start:5.0f} s  {lines[-1]} {why}"


def kernel(folder: Path, name: str) -> Any:
    """The launcher of a bundle."""
    spec = importlib.util.spec_from_file_location(name, folder / name / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def median(run: Any) -> float:
    """Milliseconds, the median of many runs."""
    return float(do_bench(run, warmup=50, rep=200, return_mode="median"))


def row(name: str, size: str, unit: str, work: float, ours: float, theirs: float) -> None:
    """One line of a table: `work` over milliseconds is a rate in `unit`."""
    rates = f"ours {work / ours:6.0f} {unit}  torch {work / theirs:6.0f} {unit}"
    print(f"{name:24} {size:10} {rates}  ratio {theirs / ours:5.2f}", flush=True)


def attention(folder: Path) -> None:
    """Prefill, 32 heads of 128, fp16: TFLOP/s by 4 H S^2 (D + 1), halved for causal; the peer is SDPA's choice."""
    for name, causal in (("attention", False), ("causal_attention", True)):
        ours = kernel(folder, name)
        for length in (1024, 4096, 16384):
            q, k, v = (torch.randn(1, 32, length, 128, device="cuda", dtype=torch.float16) for _ in range(3))
            work = 4 * 32 * length**2 * 129 / (2 if causal else 1) * 1e-9
            mine = median(lambda q=q, k=k, v=v, f=ours: f(q, k, v))
            peer = median(lambda q=q, k=k, v=v, c=causal: F.scaled_dot_product_attention(q, k, v, is_causal=c))
            row(name, f"S={length}", "TFLOP/s", work, mine, peer)


def rows(folder: Path) -> None:
    """Row reductions, bf16, 64 Mi elements: GB/s of one read (and one write)."""
    for name, peer, passes in (
        ("softmax", lambda x: torch.softmax(x, -1), 2),
        ("log_softmax", lambda x: torch.log_softmax(x, -1), 2),
        ("logsumexp", lambda x: torch.logsumexp(x, -1), 1),
    ):
        ours = kernel(folder, name)
        for columns in (1024, 4096, 16384, 131072):
            x = torch.randn(2**26 // columns, columns, device="cuda", dtype=torch.bfloat16)
            mine, theirs = median(lambda x=x, f=ours: f(x)), median(lambda x=x, f=peer: f(x))
            row(name, f"N={columns}", "GB/s", passes * x.numel() * 2e-6, mine, theirs)


def decode(folder: Path) -> None:
    """One query row, 32 heads of 128, fp16: GB/s of one read of k and v; the peer is SDPA's choice."""
    ours = kernel(folder, "decode")
    for length in (4096, 16384):
        k, v = (torch.randn(1, 32, length, 128, device="cuda", dtype=torch.float16) for _ in range(2))
        q = torch.randn(1, 32, 128, device="cuda", dtype=torch.float16)
        mine = median(lambda q=q, k=k, v=v: ours(q, k, v))
        peer = median(lambda q=q, k=k, v=v: F.scaled_dot_product_attention(q[:, :, None], k, v))
        row("decode", f"S={length}", "GB/s", 2 * k.numel() * 2e-6, mine, peer)


def main() -> None:
    """Tests first; timings of a kernel that is wrong are of no use."""
    folder = Path(sys.argv[1])
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    with ThreadPoolExecutor(WORKERS) as pool:
        for line in pool.map(tested, sorted(p for p in folder.iterdir() if p.is_dir())):
            print(line, flush=True)
    for table in (attention, decode, rows):
        table(folder)


if __name__ == "__main__":
    main()
