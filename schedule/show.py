"""Terms as text, for a reader who looks for a mistake."""

from __future__ import annotations

from collections import Counter

from refold.schedule import integers
from refold.schedule.terms import Term, real_of, rebuild

_INFIX = ("+", "-", "*", "/", "//", "%", "==", "<", "<=", "and", "or", "&", "|", "^")


def show(term: Term, depth: int = 7) -> str:
    """A term; what is deeper is left out."""
    if depth == 0 and term.args:
        return "..."
    return _joined(term, [show(a, depth - 1) for a in term.args])


def listing(term: Term) -> list[str]:
    """A term line by line: what stands in it more than once has a line and a name of its own."""
    ordered: dict[Term, Term] = {}
    rebuild(term, lambda t, _: t, ordered)
    uses = Counter(a for t in ordered for a in t.args)
    names: dict[Term, str] = {}
    lines: list[str] = []
    for t in ordered:
        args = [names[a] for a in t.args]
        shown = _joined(t, args)
        if t is not term and t.args and uses[t] > 1:
            names[t] = f"t{len(lines) + 1}"
            lines.append(f"{names[t]} = {shown}")
        else:
            names[t] = shown
    return [*lines, names[term]]


def _joined(term: Term, args: list[str]) -> str:
    """A term over the text of its arguments."""
    match term.op:
        case "number":
            return repr(real_of(term))
        case "polynomial":
            return _polynomial(term, dict(zip(term.args, args, strict=True)))
        case ">=0" | "==0":
            return f"{args[0]} {term.op[:2]} 0"
        case "pointer":
            return f"{term.data} + {args[0]}"
        case "read":
            tensor, *_ = term.data if isinstance(term.data, tuple) else (term.data,)
            return f"{tensor}[{args[0]}]"
        case "fetch":
            tensor, *_ = term.data if isinstance(term.data, tuple) else (term.data,)
            return f"{tensor}[{', '.join(args)}]"
        case "symbol":
            name, _, axis = str(term.data).partition(" ")
            return f"{name}({axis})" if axis else name
        case "state" | "last":
            number, name, lane = term.data if isinstance(term.data, tuple) else ("", term.data, "")
            return f"{name}.{lane}{' after' if term.op == 'last' else ' in'} loop {number}"
        case "iteration" | "trips":
            return f"{term.op} of loop {term.data}"
        case op if op in _INFIX and len(args) > 1:
            return f"({f' {op} '.join(args)})"
    return f"{term.op}({', '.join(args)})" if args else term.op


def _polynomial(term: Term, shown: dict[Term, str]) -> str:
    products = integers.products(term)
    factors = {p: "*".join(sorted(shown[a] for a in p)) for p in products}
    parts = [
        f"{c}" if not p else factors[p] if c == 1 else f"{c}*{factors[p]}"
        for p, c in sorted(products.items(), key=lambda item: (not item[0], factors[item[0]]))
    ]
    return f"({' + '.join(parts)})" if len(parts) > 1 else "".join(parts) or "0"
