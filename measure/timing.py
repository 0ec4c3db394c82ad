"""Times a call: on the device, as a graph's replay, on the host, and the first time; and the ceilings of a device."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
import triton
from triton.testing import do_bench

Run = Callable[[], Any]


def median(run: Run, device: str, rep: int = 100) -> float:
    """Milliseconds of a call by the device's clock, caches flushed before each: the median over `rep` milliseconds."""
    if device == "cpu":
        return statistics.median(_host(run, device) for _ in range(3)) * 1e3
    return float(do_bench(run, warmup=max(10, rep // 4), rep=rep, return_mode="median"))


def graphed(run: Run, device: str, rep: int = 100) -> float | None:
    """Milliseconds of one call captured as a CUDA graph; None where it cannot be captured."""
    if device == "cpu":
        return None
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            run()
    except RuntimeError:
        torch.cuda.synchronize()
        return None
    return median(graph.replay, device, rep)


def overhead(run: Run, device: str, calls: int = 20) -> float:
    """Microseconds that a call keeps the host, the device idle before it: the median."""
    return statistics.median(_launch(run, device) for _ in range(calls if device != "cpu" else 3)) * 1e6


def first(run: Run, device: str) -> tuple[Any, float]:
    """What a call gives and the milliseconds until it is there, compilation by Triton included."""
    with tempfile.TemporaryDirectory(prefix="refold-bench-") as folder, triton.knobs.cache.scope():
        triton.knobs.cache.dir = folder
        _wait(device)
        start = time.perf_counter()
        result = run()
        _wait(device)
        return result, (time.perf_counter() - start) * 1e3


def ceilings(device: str) -> dict[str, float]:
    """GB/s of a copy of 1 GiB, read and written, and TFLOP/s of a bf16 product of 8192 x 8192 x 8192."""
    if device == "cpu":
        return {}
    source = torch.randn(1 << 29, device=device, dtype=torch.bfloat16)
    target = torch.empty_like(source)
    copy = 2 * source.numel() * 2 / median(lambda: target.copy_(source), device, 200) * 1e-6
    a, b = (torch.randn(8192, 8192, device=device, dtype=torch.bfloat16) for _ in range(2))
    matmul = 2 * 8192**3 / median(lambda: a @ b, device, 200) * 1e-9
    return {"copy_gbs": copy, "matmul_tflops": matmul}


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def _host(run: Run, device: str) -> float:
    start = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - start


def _launch(run: Run, device: str) -> float:
    _wait(device)
    start = time.perf_counter()
    run()
    found = time.perf_counter() - start
    _wait(device)
    return found
