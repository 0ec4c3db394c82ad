"""A spec as a line of text, and back: what a bundle's tests derive the obligations from, where refold is installed."""

from __future__ import annotations

import sympy as sp
from sympy.core.symbol import Str

from refold.spec import heads
from refold.spec.pipeline import Output, Spec

# More than a person wants to have in a test file; what is shared within an expression is written out.
LONGEST = 30_000


def dumps(spec: Spec) -> str:
    """A spec as nested constructors; nothing where that is too long or too deep to be read back."""
    outputs = [f"({o.name!r}, {_text(o.expr)}, [{', '.join(map(_text, o.axes))}])" for o in spec.outputs]
    parts = [outputs, *([_text(x) for x in group] for group in (spec.tensors, spec.params, spec.axes))]
    words = [_text(spec.empty), repr(spec.centred), repr(spec.as_written)]
    text = "; ".join([f"[{', '.join(part)}]" for part in parts] + words)
    try:
        return text if len(text) <= LONGEST and loads(text) == spec else ""
    except (SyntaxError, MemoryError, RecursionError):
        return ""


def loads(text: str) -> Spec:
    """The spec of a text that `dumps` made; the text is code, and as much to be trusted as the file that it is in."""
    names = {**vars(sp), **{name: value for name, value in vars(heads).items() if isinstance(value, type)}}
    outputs, tensors, params, axes, empty, centred, as_written = (eval(part, names) for part in text.split("; "))
    results = tuple(Output(name, expr, tuple(order)) for name, expr, order in outputs)
    return Spec(results, tuple(tensors), tuple(params), tuple(axes), empty, centred, as_written)


def _text(expr: sp.Basic) -> str:
    match expr:
        case Str():
            return repr(str(expr.name))
        case heads.Index() | heads.Size():
            return f"{type(expr).__name__}({expr.name!r})"
        case heads.TensorName():
            order = "".join(f"{_text(axis)}, " for axis in expr.axes)
            return f"TensorName({expr.name!r}, ({order}), {expr.dtype!r}, {expr.ref})"
        case sp.Symbol():
            known = ", ".join(f"{k}={v}" for k, v in sorted(expr.assumptions0.items()) if k in expr._assumptions_orig)
            return f"{type(expr).__name__}({expr.name!r}{', ' if known else ''}{known})"
    if not expr.args:
        return sp.srepr(expr)
    return f"{type(expr).__name__}({', '.join(map(_text, expr.args))})"
