"""Prints what emitted kernels give where the pipeline has no value beside what eager torch gives, as JSON."""

import json
from collections.abc import Callable
from typing import Any

import torch
from test_conditions import PIPELINES

import refold

ROWS = torch.tensor(
    [[0.0, 0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 0.5, 3.0, 1.5], [1.0, -1.0, 2.0, -2.0, 0.0], [-1.0, -2.0, -3.0, -0.5, -4.0]]
)
EAGER: dict[str, Callable[[Any], Any]] = {
    "rms norm without eps": lambda x: x / (x**2).mean(1, keepdim=True).sqrt(),
    "l1 norm": lambda x: x / x.abs().sum(1, keepdim=True),
    "max norm": lambda x: x / x.abs().amax(1, keepdim=True),
    "scaled to the range": lambda x: (
        (x - x.amin(1, keepdim=True)) / (x.amax(1, keepdim=True) - x.amin(1, keepdim=True))
    ),
    "harmonic mean": lambda x: x.shape[1] / (1 / x).sum(1),
    "geometric mean": lambda x: x.log().mean(1).exp(),
    "perplexity": lambda x: (-x.log().mean(1)).exp(),
    "log of a sum": lambda x: x.sum(1).log(),
    "mean over the maximum": lambda x: x.mean(1) / x.amax(1),
    "squares over the sum": lambda x: (x**2).sum(1) / x.sum(1),
}


def main() -> None:
    found = {}
    for name, eager in EAGER.items():
        kernel = refold.compile(PIPELINES[name]())
        wanted = eager(ROWS)
        got = {s: kernel(ROWS, schedule=s) for s in ("rolling", "split")}
        found[name] = {
            "undefined": int((~torch.isfinite(wanted)).sum()),
            **{s: bool(torch.allclose(v, wanted, rtol=1e-5, atol=1e-6, equal_nan=True)) for s, v in got.items()},
            "shown": [str(wanted.tolist()), *(str(v.tolist()) for v in got.values())],
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
