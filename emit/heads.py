"""What every SymPy head is in the three texts that are printed: Triton, eager torch, and the launcher's Python."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from refold.algebra.base2 import exp2
from refold.spec.heads import sigmoid


@dataclass(frozen=True, slots=True)
class Forms:
    """One head as text over its argument `{x}`; `helper` names the function of the kernel file that it calls."""

    triton: str
    torch: str
    host: str
    helper: str = ""


# tl has no tanh, log1p or expm1 that runs in the interpreter, on cuda and on hip alike.
FORMS: dict[type[sp.Basic], Forms] = {
    sp.exp: Forms("_exp({x})", "torch.exp({x})", "math.exp({x})", "_exp"),
    exp2: Forms("tl.exp2({x})", "torch.exp2({x})", "2.0 ** ({x})"),
    sp.log: Forms("tl.log({x})", "torch.log({x})", "math.log({x})"),
    sp.tanh: Forms("_tanh({x}, FAST)", "torch.tanh({x})", "math.tanh({x})", "_tanh"),
    sigmoid: Forms("_sigmoid({x})", "torch.sigmoid({x})", "0.5 + 0.5 * math.tanh(0.5 * ({x}))", "_sigmoid"),
    sp.sin: Forms("tl.sin({x})", "torch.sin({x})", "math.sin({x})"),
    sp.cos: Forms("tl.cos({x})", "torch.cos({x})", "math.cos({x})"),
    sp.erf: Forms("tl.erf({x})", "torch.erf({x})", "math.erf({x})"),
    sp.Abs: Forms("tl.abs({x})", "torch.abs({x})", "abs({x})"),
}

# Heads that are arithmetic, structure or data, which every printer has a case for.
STRUCTURAL = ("Add", "Mul", "Pow", "Max", "Min", "floor", "Mod", "Read", "Fold", "Where")

HELPERS = {
    "_exp": '''@triton.jit
def _exp(x):
    # As tl.exp computes it, but 0 where the result is below 2^-126: on cuda three instructions less.
    return tl.exp2(x * 1.4426950408889634)
''',
    "_tanh": '''@triton.jit
def _tanh(x, FAST: tl.constexpr):
    if FAST:
        # Within 2^-11 of it, relative (PTX ISA): one unit of float16, an eighth of bfloat16's.
        return tl.inline_asm_elementwise(
            "tanh.approx.f32 $0, $1;", "=r,r", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    # Near 0 the quotient cancels: an odd polynomial there, 2e-7 relative everywhere.
    a = tl.abs(x)
    t = tl.exp2(-2.8853900817779268 * a)
    b = a * a
    p = 1.0 + b * (-0.3333333333 + b * (0.1333333333 + b * (-0.0539682540 + b * 0.0218694885)))
    r = tl.where(a < 0.25, a * p, (1.0 - t) / (1.0 + t))
    return tl.where(x < 0.0, -r, r)
''',
    "_sigmoid": '''@triton.jit
def _sigmoid(x):
    # Of exp(-|x|), which cannot overflow.
    t = tl.exp2(-1.4426950408889634 * tl.abs(x))
    r = 1.0 / (1.0 + t)
    return tl.where(x < 0.0, t * r, r)
''',
    "_multiply": '''@triton.jit
def _multiply(a, b):
    return a * b
''',
    "_floordiv": '''@triton.jit
def _floordiv(a, b):
    # `//` truncates toward zero in Triton.
    return a // b - ((a % b != 0) & ((a < 0) != (b < 0))).to(tl.int32)
''',
}  # fmt: skip
