"""The text of Triton's front end, taken apart: operations with their operands, attributes, types and regions.

What an operation means is in `spellings.py`. The printed form is that of MLIR: one operation a line, regions between
braces, places of the source in `loc(...)`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

_NAME = r"%[\w.$-]+(?:#\d+)?"
NAMES = re.compile(_NAME)
_LOC = re.compile(r"\s*\bloc\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)")
_RESULTS = re.compile(rf"({_NAME}(?::\d+)?(?:, {_NAME}(?::\d+)?)*) = ")
_KIND = re.compile(r'"?([a-z_]+(?:\.[\w.]+)?)"?')


class TextError(Exception):
    """A text that is not what Triton's front end prints, or an operation of which no meaning is known."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `body` is its line without results, types and places; `place` is where in the source it stands."""

    kind: str
    results: tuple[str, ...]
    operands: tuple[str, ...]
    body: str
    types: str
    place: str
    regions: tuple[Region, ...] = ()

    def fail(self, why: str = "no meaning is known of it") -> TextError:
        return TextError(f"{self.kind} at {self.place}: {why}")

    def integer(self, attribute: str) -> int:
        """An attribute that is an integer."""
        match = re.search(rf"\b{attribute} = (-?\d+)", self.body)
        if match is None:
            raise self.fail(f"it has no {attribute}")
        return int(match[1])


@dataclass(frozen=True, slots=True)
class Region:
    """Operations within an operation, over arguments of their own: pairs of name and type."""

    operations: tuple[Operation, ...]
    arguments: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Lines:
    lines: list[tuple[int, str]]
    places: dict[str, str] = field(default_factory=dict)
    at: int = 0

    def peek(self) -> str:
        if self.at >= len(self.lines):
            raise TextError("the text ends within an operation")
        return _LOC.sub("", self.lines[self.at][1]).strip()

    def take(self) -> tuple[str, str]:
        """The next line without its places, and the place of its operation."""
        text, place = self.peek(), self.place()
        self.at += 1
        return text, place

    def place(self) -> str:
        """Where the operation of the next line stands; one with regions says it where they end."""
        number, line = self.lines[self.at]
        ends = "" if line.rstrip().endswith(")") else line[: len(line) - len(line.lstrip())] + "}"
        for _, other in self.lines[self.at :]:
            found = re.search(r"\bloc\((.*)\)\s*$", other)
            if found is not None and (not ends or other.startswith(ends)):
                return self.resolve(found[1])
        return f"line {number} of the text"

    def resolve(self, loc: str) -> str:
        """The line of the user's source that a place leads to."""
        files: list[str] = []
        left, known = [loc], set[str]()
        while left:
            text = left.pop()
            files += [f"{path}:{line}" for path, line in re.findall(r'"([^"]*)":(\d+)', text)]
            for name in re.findall(r"#loc\d*", text)[::-1]:
                if name in self.places and name not in known:
                    known.add(name)
                    left.append(self.places[name])
        own = [f for f in files if "/triton/language/" not in f]
        return (own or files or ["an unknown place"])[0]


def parse(text: str) -> Operation:
    """The function of the module that the text is."""
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    places = dict(re.findall(r"^(#loc\d*) = loc\((.*)\)\s*$", text, re.MULTILINE))
    reader = _Lines([(n, line) for n, line in lines if not line.startswith("#")], places)
    module = _operation(reader)
    functions = [o for r in module.regions for o in r.operations if o.kind == "tt.func"]
    if module.kind != "module" or len(functions) != 1:
        raise TextError(f"one function is read at a time, and the text has {len(functions)}")
    return functions[0]


def _operation(lines: _Lines) -> Operation:
    text, place = lines.take()
    results, rest = _results(text)
    found = _KIND.match(rest)
    if found is None:
        raise TextError(f"{place}: {text!r} is no operation")
    kind = found[1]
    if kind in _WITH_REGIONS:
        return _WITH_REGIONS[kind](lines, results, rest, place)
    if rest.endswith("{"):
        raise Operation(kind, results, (), rest, "", place).fail()
    body, types = _typed(rest)
    return Operation(kind, results, _operands(kind, body), body, types, place)


def _results(text: str) -> tuple[tuple[str, ...], str]:
    match = _RESULTS.match(text)
    if match is None:
        return (), text
    names: list[str] = []
    for part in match[1].split(", "):
        name, _, count = part.partition(":")
        names += [f"{name[1:]}#{n}" for n in range(int(count))] if count else [name[1:]]
    return tuple(names), text[match.end() :]


def _typed(text: str) -> tuple[str, str]:
    """A line cut into operation and types: at the last colon outside of all brackets, or at the arrow after none."""
    bare = re.sub(r'"[^"]*"', lambda quoted: "_" * len(quoted[0]), text)
    depth, cut = 0, bare.find(" -> ")
    for k, char in enumerate(bare):
        arrow = char == ">" and k > 0 and bare[k - 1] == "-"
        depth += (char in "{[(<") - (char in "}])>" and not arrow)
        if depth == 0 and bare.startswith(" : ", k):
            cut = k
    return (text, "") if cut < 0 else (text[:cut], text[cut:].removeprefix(" : "))


def _operands(kind: str, body: str) -> tuple[str, ...]:
    bare = re.sub(r'"[^"]*"', "", body[len(kind) :])
    return tuple(n[1:] for n in NAMES.findall(re.sub(r"\{[^{}]*(?:\{[^{}]*\})*[^{}]*\}", "", bare)))


def _block(lines: _Lines) -> tuple[Operation, ...]:
    operations = []
    while not lines.peek().startswith("}"):
        operations.append(_operation(lines))
    return tuple(operations)


def _function(lines: _Lines, _: tuple[str, ...], text: str, place: str) -> Operation:
    inner = _Lines([(0, text)]).peek()
    end = inner.rindex(") attributes") if ") attributes" in inner else inner.rindex(")")
    arguments = _arguments(inner[inner.index("(") + 1 : end])
    name = inner.partition("@")[2].partition("(")[0]
    body = _block(lines)
    lines.take()
    return Operation("tt.func", (name,), (), text, "", place, (Region(body, arguments),))


def _arguments(text: str) -> tuple[tuple[str, str], ...]:
    """`%a: type, %b: type {attributes}`, the types with their own brackets."""
    text = re.sub(r" ?\{[^}]*\}", "", text)
    return tuple((n[1:], t.strip()) for n, t in re.findall(rf"({_NAME}): ((?:[^,<>()]|<(?:[^<>]|<[^<>]*>)*>)+)", text))


def _module(lines: _Lines, _: tuple[str, ...], text: str, place: str) -> Operation:
    body = _block(lines)
    lines.take()
    return Operation("module", (), (), text, "", place, (Region(body),))


def _for(lines: _Lines, results: tuple[str, ...], text: str, place: str) -> Operation:
    match = re.match(rf"scf\.for ({_NAME}) = ({_NAME}) to ({_NAME}) step ({_NAME})(.*)\{{$", text)
    if match is None:
        raise TextError(f"{place}: a loop that cannot be read: {text}")
    carried = re.findall(rf"({_NAME}) = ({_NAME})", match[5])
    head = match[5].partition(" -> ")[2].partition(" :")[0].strip().removeprefix("(").removesuffix(")")
    types = split_types(head)
    index = match[5].rpartition(" : ")[2].strip() if " : " in match[5] else "index"
    arguments = tuple((n[1:], t) for (n, _), t in zip(carried, types, strict=True))
    body = _block(lines)
    lines.take()
    operands = tuple(n[1:] for n in (*match.groups()[1:4], *(start for _, start in carried)))
    return Operation("scf.for", results, operands, match[1][1:], index, place, (Region(body, arguments),))


def _if(lines: _Lines, results: tuple[str, ...], text: str, place: str) -> Operation:
    operands = tuple(n[1:] for n in NAMES.findall(text))
    types = text.partition(" -> ")[2].removesuffix("{").strip().removeprefix("(").removesuffix(")")
    regions = [Region(_block(lines))]
    if lines.take()[0].startswith("} else"):
        regions.append(Region(_block(lines)))
        lines.take()
    return Operation("scf.if", results, operands, text, types, place, tuple(regions))


def _fold(lines: _Lines, results: tuple[str, ...], text: str, place: str) -> Operation:
    """`"tt.reduce"(%a) <{axis = 1 : i32}> ({ ^bb0(...): ... }) : (types) -> types`."""
    head, *_ = text.partition(" <{")
    label = lines.take()[0]
    arguments = _arguments(label[label.index("(") + 1 : label.rindex("):")])
    body = _block(lines)
    tail = lines.take()[0].partition(" : ")[2]
    kind = text.split('"')[1]
    operands = tuple(n[1:] for n in NAMES.findall(head))
    return Operation(kind, results, operands, text, tail, place, (Region(body, arguments),))


_WITH_REGIONS: dict[str, Callable[[_Lines, tuple[str, ...], str, str], Operation]] = {
    "module": _module,
    "tt.func": _function,
    "scf.for": _for,
    "scf.if": _if,
    "tt.reduce": _fold,
    "tt.scan": _fold,
}


def split_types(text: str) -> list[str]:
    """Types with commas between them, as none has one outside of its brackets."""
    parts, depth, start = [], 0, 0
    for k, char in enumerate(text):
        depth += (char in "<(") - (char in ">)" and text[k - 1 : k] != "-")
        if char == "," and depth == 0:
            parts.append(text[start:k].strip())
            start = k + 1
    return [p for p in (*parts, text[start:].strip()) if p]
