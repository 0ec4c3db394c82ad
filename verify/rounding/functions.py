"""What the kernels' functions are on a tape: value, derivative, and the documented error of what Triton calls."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Function:
    """`value(x)`, `slope(x, value)` and `error(x)`: units of 2^-24 by which the result may be off, relative to it.

    One ulp is at most two such units. `bend(x, value, e)` bounds `|value(x + t) - value - slope t|` for `|t| <= e`.
    """

    value: Callable[[Any], Any]
    slope: Callable[[Any, Any], Any]
    error: Callable[[Any], Any]
    bend: Callable[[Any, Any, Any], Any]


def _curved(second: float) -> Callable[[Any, Any, Any], Any]:
    """The remainder of a function whose second derivative is at most `second` in size."""
    return lambda x, z, e: second / 2 * e * e


def _grows(base: float) -> Callable[[Any, Any, Any], Any]:
    """That of `exp(base x)`: `e^t - 1 - t <= t^2 e^t / 2`."""
    return lambda x, z, e: z * (base * e) ** 2 / 2 * np.exp(base * e)


def _bends_log(x: Any, z: Any, e: Any) -> Any:
    return np.where(e < x, (e / x) ** 2 / 2 / (1 - e / x), np.inf)


def _bends_root(x: Any, z: Any, e: Any) -> Any:
    return np.where(e < x, z * (e / x) ** 2 / 8 / (1 - e / x) ** 1.5, np.inf)


def _sigmoid(x: Any) -> Any:
    half = x.dtype.type(0.5)
    return half * (1 + np.tanh(half * x))


def _steps(value: Callable[[Any], Any], below: float, above: float) -> Function:
    """A function to whole numbers, `z` from `z - below` to `z + above`: exact, and a step off beyond either end.

    No derivative bounds a jump. An argument that is off by less than it is away from the next jump gives the same
    whole number; by any other `e` at most `e + 1` away.
    """

    def bend(x: Any, z: Any, e: Any) -> Any:
        return np.where((e < x - (z - below)) & (e < z + above - x), 0.0, e + 1)

    return Function(value, lambda x, z: np.zeros_like(z), _ulps(0), bend)


def _ulps(count: float) -> Callable[[Any], Any]:
    return lambda x: 2 * count


def _size(x: Any) -> Any:
    return np.where(np.isfinite(x), np.abs(x), 0.0)


# ex2.approx, sqrt.approx: 2 ulp (PTX ISA). log, sin, cos, erf are libdevice's: 1, 2, 2 and 2 ulp (CUDA C++ Programming
# Guide, mathematical functions). tl.exp is ex2.approx(x log2(e)): constant and product round the exponent by a
# unit each. The last two are of emit/runtime/refold_runtime.py: with t = exp(-2|x|) off by 4|x| + 4 units,
# (1 - t)/(1 + t) is by 4(|x| + 1)/sinh(2|x|) + 6, at most 16 where |x| >= 1/4; the polynomial below 1/4 is by less.
# With t = exp(-|x|), 1/(1 + t) is off by 5 + t(2|x| + 4)/(1 + t) < 8, and t/(1 + t) by 2|x| + 10.
FUNCTIONS: dict[str, Function] = {
    "exp": Function(np.exp, lambda x, z: z, lambda x: 4 + 2 * _size(x), _grows(1)),
    "exp2": Function(np.exp2, lambda x, z: math.log(2) * z, _ulps(2), _grows(math.log(2))),
    "log": Function(np.log, lambda x, z: 1 / x, _ulps(2), _bends_log),
    "sqrt": Function(np.sqrt, lambda x, z: 0.5 / z, _ulps(2), _bends_root),
    "sin": Function(np.sin, lambda x, z: np.cos(x), _ulps(2), _curved(1)),
    "cos": Function(np.cos, lambda x, z: -np.sin(x), _ulps(2), _curved(1)),
    "erf": Function(
        np.vectorize(math.erf, otypes=[np.float64]),
        lambda x, z: 2 / math.sqrt(math.pi) * np.exp(-x * x),
        _ulps(2),
        _curved(1),
    ),
    "abs": Function(np.abs, lambda x, z: np.sign(x), _ulps(0), lambda x, z, e: np.where(z < e, 2 * e, 0.0)),
    "tanh": Function(np.tanh, lambda x, z: 1 - z * z, _ulps(8), _curved(0.77)),
    "sigmoid": Function(_sigmoid, lambda x, z: z * (1 - z), lambda x: 10 + 2 * _size(np.minimum(x, 0)), _curved(0.1)),
}
FUNCTIONS |= {
    "floor": _steps(np.floor, 0.0, 1.0),
    "ceil": _steps(np.ceil, 1.0, 0.0),
    "round": _steps(np.round, 0.5, 0.5),
}
# tanh.approx.f32 is within 2^-11, relative (PTX ISA); the kernels take it for 16-bit data, on NVIDIA.
FUNCTIONS["tanh.approx"] = replace(FUNCTIONS["tanh"], error=_ulps(2**12))
# `a / b` is div.full: 2 ulp (PTX ISA).
QUOTIENT = 4.0
