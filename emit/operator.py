"""Prints the torch operator of a kernel file: what torch.compile and torch.export see in the place of a call."""

from __future__ import annotations

from refold.algebra import Plan
from refold.emit.source import block, wrap

OPERATOR = '''
def _operator(schema, run, shapes):
    """The operator, and the library that holds it; of a file that is loaded again the operator has another name."""
    library = torch.library.Library("refold", "FRAGMENT")
    name = next(n for n in ("{name}", *(f"{name}_{{k}}" for k in range(2, 10000))) if not hasattr(torch.ops.refold, n))
    library.define(name + schema)
    library.impl(name, run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"refold::{{name}}", shapes, lib=library)
    return getattr(torch.ops.refold, name).default, library
'''


def call_lines(plan: Plan, arguments: list[str]) -> list[str]:
    """What the launcher does while it is traced; else the operator would cost a call some microseconds."""
    call = f"_OPERATOR({', '.join(arguments)})"
    one = len(plan.spec.outputs) == 1
    return block(
        "if torch.compiler.is_compiling() and out is None:",
        [f"return {call}" if one else f"return dict(zip(OUTPUTS, {call}))"],
    )


def operator_text(plan: Plan, tensors: list[str], words: list[str], sizes: list[str], whole: str) -> str:
    """The operator: its run, which is a call; the shapes of its outputs, by the lines that set `inputs` and `size`."""
    spec, arguments = plan.spec, [*tensors, *words]
    kinds = dict.fromkeys(tensors, "Tensor") | {"schedule": "str"}
    kinds |= {p.name: "int" if p.is_integer else "float" for p in spec.params}
    kinds |= {a.name: "SymInt" for a in spec.axes if a.name in words}
    schema = ", ".join(f"{kinds.get(a, 'int?')} {a}" for a in arguments)
    one = len(spec.outputs) == 1
    result = "Tensor" if one else f"({', '.join(['Tensor'] * len(spec.outputs))})"
    call = wrap("out = _call(", ["_prepare", as_tuple(tensors), "None", as_tuple(words)], ")", 4)
    run = [*call, "return out" if one else "return tuple(out.values())"]
    shapes = [
        *sizes,
        f"layout, _ = _outputs({{}}, inputs, _broadcast(inputs), size, whole=({whole}))",
        f"out = [torch.empty(shape, dtype=kind, device={tensors[0]}.device) for shape, kind in layout.values()]",
        "return out[0]" if one else "return tuple(out)",
    ]
    lines = [*wrap("def _run(", arguments, "):"), *(f"    {line}" for line in run), "", ""]
    lines += [*wrap("def _shapes(", arguments, "):"), *(f"    {line}" for line in shapes), "", ""]
    lines += ["# A call that is not traced goes past it, and saves some microseconds."]
    lines += ["_OPERATOR, _LIBRARY = _operator(", f'    "({schema}) -> {result}",', "    _run, _shapes,", ")"]
    return "\n".join(lines) + "\n"


def as_tuple(names: list[str]) -> str:
    """Names as the text of a tuple."""
    return f"({', '.join(names)}{',' * (len(names) == 1)})"
