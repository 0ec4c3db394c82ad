"""Random pipelines of the kinds that people write, made without knowing what refold does with them.

`draw(seed)` is one pipeline; the same seed gives the same one. Folds run over j, dots over d, rows are i, values e.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from support.tree import Node, Pipeline

INFINITY = Node("num", (math.inf,))
MINUS_INFINITY = Node("num", (-math.inf,))


def num(value: float) -> Node:
    return Node("num", (value,))


def op(name: str, *args: Node | float | int) -> Node:
    return Node(name, tuple(a if isinstance(a, Node) else num(a) for a in args))


def over(kind: str, body: Node, axis: str = "j") -> Node:
    return Node("fold", (kind, body, axis))


def where(condition: Node, then: Node | float, other: Node | float) -> Node:
    return op("where", condition, then, other)


I, J, H = (Node("pos", (a,)) for a in "ijh")
ROWS, LENGTH, DEPTH = (Node("size", (a,)) for a in "ijd")


class Writer:
    """Writes one pipeline: chooses by `rng` and remembers what tensors and scalars it has declared."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.tensors: dict[str, tuple[tuple[str, ...], str]] = {}
        self.scalars: dict[str, tuple[str, float]] = {}

    def one_of(self, *choices: Callable[[], Node]) -> Node:
        return self.rng.choice(choices)()

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def tensor(self, name: str, *axes: str, kind: str = "float") -> Node:
        self.tensors[name] = (axes, kind)
        return Node("read", (name, *(Node("pos", (a,)) for a in axes)))

    def gather(self, name: str, axes: tuple[str, ...], *indices: Node) -> Node:
        self.tensors[name] = (axes, "float")
        return Node("read", (name, *indices))

    def scalar(self, name: str, kind: str, *values: float) -> Node:
        self.scalars.setdefault(name, (kind, self.rng.choice(values)))
        return Node("scalar", (name,))

    def constant(self) -> Node:
        return num(self.rng.choice((1, 2, 3, -1, 0.5, 0.25)))

    # --- conditions -------------------------------------------------------------------------------------------

    def comparison(self) -> Node:
        a, b, n = (self.rng.choice(c) for c in ((2, 3, 5), (4, 7, 8), (1, 3, 6)))
        window = self.scalar("window", "int positive", 3, 5, 2**31 - 1) if self.chance(0.2) else num(n)
        r = self.rng.choice(("<", "<=", ">", ">=", "==", "!="))
        return self.one_of(
            lambda: op("<=", J, I),
            lambda: op("<", J, op("+", I, 1)),
            lambda: op(">=", J, op("-", I, window)),
            lambda: op(">", J, op("-", I, window)),
            lambda: op("<=", op("abs", op("-", I, J)), window),
            lambda: op("==", op("//", I, b), op("//", J, b)),
            lambda: op(">=", op("//", I, b), op("//", J, b)),
            lambda: op("<=", J, op("+", I, op("-", LENGTH, ROWS))),
            lambda: op("==", op("%", op("-", I, J), a), 0),
            lambda: op("!=", op("%", J, b), a),
            lambda: op(">=", J, op("-", I, op("%", I, b))),
            lambda: op("<", J, op("*", b, op("+", op("//", I, b), 1))),
            lambda: op(r, op("//", J, a), op("-", I, n)),
            lambda: op(r, op("//", op("-", J, I), a), num(self.rng.choice((-2, -1, 0, 1)))),
            lambda: op(r, op("%", op("-", J, op("*", 2, I)), b), a),
            lambda: op("<=", op("*", a, op("//", J, a)), I),
            lambda: op("<", J, self.tensor("length", "i", kind="int length")),
            lambda: op("==", self.tensor("mine", "i", kind="int small"), self.tensor("theirs", "j", kind="int small")),
            lambda: op("!=", self.tensor("kept", "j", kind="int small"), 0),
            lambda: op("<=", J, self.tensor("limit", "i", kind="int limit")),
        )

    def condition(self) -> Node:
        first = self.comparison()
        if self.chance(0.6):
            return first
        if self.chance(0.15):
            return op("not", first)
        return op(self.rng.choice(("and", "and", "or")), first, self.comparison())

    # --- data -------------------------------------------------------------------------------------------------

    def row_data(self) -> Node:
        """What varies with i alone."""
        return self.one_of(lambda: self.tensor("g", "i"), lambda: self.scalar("c", "float", 0.5, 1.5, -2.0))

    def data(self) -> Node:
        """What varies with j, and perhaps with i."""
        x = lambda: self.tensor("x", "i", "j")  # noqa: E731
        return self.one_of(
            x, x, x,
            lambda: self.tensor("y", "i", "j"),
            lambda: self.tensor("w", "j"),
            lambda: op("*", x(), self.tensor("w", "j")),
            lambda: op("+", x(), self.tensor("w", "j")),
            lambda: op("*", x(), self.constant()),
            lambda: op("+", op("*", x(), self.row_data()), self.constant()),
        )  # fmt: skip

    def inner(self) -> Node:
        """A fold over d of queries and keys."""
        q, k = self.tensor("q", "i", "d"), self.tensor("k", "j", "d")
        positive = self.tensor("b", "d", kind="positive")
        return self.one_of(
            lambda: over("sum", op("*", q, k), "d"),
            lambda: over("sum", op("*", q, k), "d"),
            lambda: op("/", over("sum", op("*", q, k), "d"), op("sqrt", DEPTH)),
            lambda: op("*", over("sum", op("*", q, k), "d"), self.scalar("scale", "float positive", 0.3, 1.0)),
            lambda: op("neg", over("sum", op("**", op("-", q, k), 2), "d")),
            lambda: op("neg", over("sum", op("abs", op("-", q, k)), "d")),
            lambda: over("max", op("*", q, k), "d"),
            lambda: over("sum", op("*", k, op("log", positive)), "d"),
            lambda: over("sum", op("/", op("*", q, k), positive), "d"),
            lambda: op("/", over("sum", op("*", q, k), "d"), op("+", over("sum", op("*", k, k), "d"), 1)),
        )

    def score(self) -> Node:
        s = self.data() if self.chance(0.5) else self.inner()
        slope = lambda: self.scalar("slope", "float", 0.1, -0.2)  # noqa: E731
        if self.chance(0.4):
            s = self.one_of(
                lambda: op("+", s, op("*", slope(), op("-", J, I))),
                lambda: op("-", s, op("*", slope(), op("abs", op("-", I, J)))),
                lambda: op("*", 2.0, op("tanh", op("/", s, 2.0))),
                lambda: op("+", s, self.tensor("bias", "i", "j")),
                lambda: op("+", s, self.gather("table", ("j",), op("*", 4, op("//", J, 4)))),
                lambda: op("+", s, self.gather("table", ("j",), op("%", J, 3))) if self.chance(0.5) else s,
                lambda: op("*", s, op("-", 3, op("%", J, 2))),
                lambda: op("+", s, self.tensor("g", "i")),
                lambda: op("+", s, op("log", self.tensor("prior", "j", kind="positive"))),
                lambda: where(self.condition(), s, op("-", s, 1)),
            )
        return s

    def masked(self, s: Node, p: float = 0.5) -> Node:
        return where(self.condition(), s, MINUS_INFINITY) if self.chance(p) else s

    def map(self, x: Node) -> Node:
        n = self.scalar("power", "int positive", 2, 3)
        return self.one_of(
            lambda: op("exp", op("neg", op("abs", x))),
            lambda: op("tanh", x),
            lambda: op("sigmoid", x),
            lambda: op("relu", x),
            lambda: op("sin", x),
            lambda: op("cos", x),
            lambda: op("erf", x),
            lambda: op("abs", x),
            lambda: op("**", x, 2),
            lambda: op("**", x, self.rng.choice((3, 4, 10))),
            lambda: op("**", x, n),
            lambda: op("log", op("+", op("*", x, x), 1)),
            lambda: op("sqrt", op("+", op("**", x, 2), 0.5)),
            lambda: op("/", 1, op("+", op("*", x, x), 1)),
            lambda: op("*", x, op("sigmoid", x)),
            lambda: op("maximum", x, 0.25),
            lambda: op("minimum", op("maximum", x, -1), 1),
            lambda: op("**", op("+", op("abs", x), 0.5), 1.5),
        )

    def values(self) -> Node:
        return self.one_of(
            lambda: self.tensor("v", "j", "e"),
            lambda: self.tensor("v", "j", "e"),
            lambda: self.tensor("w", "j"),
            lambda: self.tensor("y", "i", "j"),
            lambda: self.gather("u", ("m", "e"), self.tensor("page", "j", kind="int page"), Node("pos", ("e",))),
        )

    def finished(self, x: Node) -> Node:
        """A fold of what varies with j, as others read it."""
        total = over("sum", x)
        return self.one_of(
            lambda: over("max", x),
            lambda: over("min", x),
            lambda: total,
            lambda: op("/", total, LENGTH),
            lambda: op("sqrt", op("+", op("/", over("sum", op("**", x, 2)), LENGTH), 0.01)),
            lambda: over("logsumexp", x),
            lambda: op("/", op("+", over("max", x), over("min", x)), 2),
            lambda: over("max", op("abs", x)),
            lambda: op("tanh", over("max", x)),
        )

    # --- whole pipelines --------------------------------------------------------------------------------------

    def softmax(self) -> dict[str, Node]:
        s = self.masked(self.score())
        m = over("max", s)
        if self.chance(0.15):
            p = op("exp", s)
        elif self.chance(0.1):
            p = op("exp", op("-", s, op("maximum", m, self.scalar("sink", "float", 0.0, 1.0))))
        else:
            p = op("exp", op("-", s, m))
        total = over("sum", p)
        choices: dict[str, Callable[[], Node]] = {
            "o": lambda: op("/", over("sum", op("*", p, self.values())), total),
            "lse": lambda: op("+", op("log", total), m),
            "weight": lambda: op("/", p, total),
            "second": lambda: op("/", over("sum", op("**", p, 2)), op("**", total, 2)),
            "top": lambda: op("/", over("max", p), total),
            "o1": lambda: op("/", over("sum", op("*", p, self.values())), op("+", total, 1)),
            "n": lambda: over("sum", op("*", p, self.values())),
            "mean": lambda: op("/", over("sum", op("*", p, self.map(self.data()))), total),
            "z": lambda: over("logsumexp", s),
            "gated": lambda: op("*", op("sigmoid", self.row_data()), op("/", over("max", p), total)),
        }  # fmt: skip
        return {n: choices[n]() for n in self.rng.sample(sorted(choices), 2 if self.chance(0.25) else 1)}

    def moments(self) -> dict[str, Node]:
        x = self.data() if self.chance(0.7) else self.map(self.data())
        mean = op("/", over("sum", x), LENGTH)
        centred = op("-", x, mean)
        power = self.rng.choice((2, 2, 2, 3, 4))
        moment = op("/", over("sum", op("**", centred, power)), LENGTH)
        variance = op("/", over("sum", op("**", centred, 2)), LENGTH)
        rms = op("sqrt", op("/", over("sum", op("*", x, x)), LENGTH))
        eps = self.rng.choice((0, 0.001, 1.0))
        y = self.tensor("y", "i", "j")
        return {
            "result": self.one_of(
                lambda: moment,
                lambda: variance,
                lambda: op("sqrt", variance),
                lambda: op("/", centred, op("sqrt", op("+", variance, eps or 0.1))),
                lambda: op("/", x, op("sqrt", op("+", op("/", over("sum", op("*", x, x)), LENGTH), eps))),
                lambda: op("*", op("/", x, rms), self.tensor("w", "j")),
                lambda: op("/", x, over("sum", op("abs", x))),
                lambda: op("/", x, op("sqrt", over("sum", op("**", x, 2)))),
                lambda: op("/", mean, op("+", op("sqrt", variance), 0.1)),
                lambda: op("/", over("sum", op("*", centred, op("-", y, op("/", over("sum", y), LENGTH)))), LENGTH),
                lambda: op("exp", op("/", over("sum", op("log", self.tensor("z", "i", "j", kind="positive"))), LENGTH)),
                lambda: op("/", LENGTH, over("sum", op("/", 1, self.tensor("z", "i", "j", kind="positive")))),
                lambda: op("/", over("sum", op("*", x, y)), op("+", op("*", rms, rms), 0.5)),
                lambda: op("/", over("sum", x), over("sum", op("*", y, y))),
            )
        }

    def losses(self) -> dict[str, Node]:
        x = self.tensor("x", "i", "j")
        target = self.tensor("t", "i", kind="int target")
        picked = self.gather("x", ("i", "j"), I, target)
        lse = over("logsumexp", x)
        m = over("max", x)
        w = op("exp", op("-", x, m))
        p, q = (self.tensor(n, "i", "j", kind="positive") for n in ("p", "r"))
        return {
            "loss": self.one_of(
                lambda: op("-", lse, picked),
                lambda: op("*", self.tensor("g", "i"), op("-", lse, picked)),
                lambda: op("+", op("-", lse, picked), op("*", 0.25, op("**", lse, 2))),
                lambda: op("-", lse, op("/", over("sum", x), LENGTH)),
                lambda: where(op("!=", target, 0), op("-", lse, picked), 0),
                lambda: over("sum", op("*", p, op("-", op("log", p), op("log", q)))),
                lambda: op("log", over("sum", op("exp", op("-", x, m)))),
                lambda: over("sum", op("*", op("relu", op("+", op("-", x, picked), 1)), 1)),
                lambda: op("exp", op("/", over("sum", op("neg", op("log", p))), LENGTH)),
                lambda: op("/", over("sum", op("**", op("-", x, self.tensor("y", "i", "j")), 2)), LENGTH),
                lambda: op("/", over("sum", op("*", x, w)), over("sum", w)),
            )
        }  # fmt: skip

    def plain(self) -> dict[str, Node]:
        f = self.map(self.data() if self.chance(0.6) else self.score())
        c = self.condition()
        x = self.data()
        n = over("count", op("and", c, op("<=", I, ROWS)))
        return {
            "result": self.one_of(
                lambda: over("sum", op("*", f, self.values())),
                lambda: over("sum", where(c, f, 0)),
                lambda: over("sum", where(c, x, op("*", 2, x))),
                lambda: over("max", op("*", f, self.constant())),
                lambda: over("min", f),
                lambda: over("prod", op("+", op("*", 0.25, op("tanh", x)), 1)),
                lambda: over("any", op("and", c, op("<=", I, ROWS))),
                lambda: over("all", op("or", c, op("<=", J, I))),
                lambda: over("count", op("and", c, op("<=", I, ROWS))),
                lambda: over("argmax", self.masked(x, 0.3)),
                lambda: op("-", over("max", x), over("min", x)),
                lambda: over("sum", op("*", x, op("/", op("+", J, 1), LENGTH))),
                lambda: op("+", over("sum", f), over("sum", x)),
                lambda: op("maximum", over("max", x), op("/", over("sum", x), op("maximum", LENGTH, 1))),
                lambda: op("/", over("sum", where(c, x, 0)), op("maximum", n, 1)),
            )
        }  # fmt: skip

    def dependent(self) -> dict[str, Node]:
        """A fold that reads an earlier one, of any kind: many of these have no form."""
        x = self.masked(self.data(), 0.2)
        z = self.data()
        r = self.finished(x)
        body = self.one_of(
            lambda: op("-", z, r),
            lambda: op("**", op("-", z, r), 2),
            lambda: op("exp", op("-", z, r)) if self.chance(0.5) else op("exp", op("-", z, over("max", z))),
            lambda: op("*", z, r),
            lambda: op("/", z, op("+", op("abs", r), 1)),
            lambda: op("**", op("/", z, r), 2),
            lambda: op("abs", op("/", z, r)),
            lambda: op("*", op("-", z, r), self.tensor("w", "j")),
            lambda: op("cos", op("-", z, r)),
            lambda: self.map(op("-", z, r)),
        )
        result = over(self.rng.choice(("sum", "sum", "sum", "max", "min")), body)
        return {
            "result": self.one_of(
                lambda: result,
                lambda: op("/", result, LENGTH),
                lambda: op("+", result, r),
                lambda: op("*", result, self.tensor("g", "i")),
                lambda: op("*", op("tanh", result), 2),
            )
        }


KINDS = (Writer.softmax, Writer.softmax, Writer.moments, Writer.losses, Writer.plain, Writer.dependent)


def draw(seed: int) -> Pipeline:
    """The pipeline of a seed."""
    rng = random.Random(seed)
    writer = Writer(rng)
    return shaped(rng.choice(KINDS)(writer), writer)


def shaped(outputs: dict[str, Node], writer: Writer) -> Pipeline:
    """A pipeline of what a writer wrote, with what it read of what it declared."""
    nodes = {name: (node, order(node)) for name, node in outputs.items()}
    empty = writer.rng.choice((None, 0.0)) if {"o", "weight"} & outputs.keys() else None
    used = names(node for node, _ in nodes.values())
    return Pipeline(
        nodes,
        {n: t for n, t in writer.tensors.items() if n in used},
        {n: s for n, s in writer.scalars.items() if n in used},
        empty,
    )


def order(node: Node) -> tuple[str, ...]:
    """The axes that a result varies with, rows first."""
    return tuple(a for a in "ijfde" if a in varying(node))


def varying(node: Node) -> set[str]:
    here = {node.args[0]} if node.op == "pos" else set()
    here |= {a for arg in node.args if isinstance(arg, Node) for a in varying(arg)}
    return here - ({node.args[2]} if node.op == "fold" else set())


def names(roots: object) -> set[str]:
    """The tensors and scalars that are read."""
    found: set[str] = set()
    todo = list(roots)  # type: ignore[call-overload]
    while todo:
        node = todo.pop()
        if node.op in ("read", "scalar"):
            found.add(node.args[0])
        todo += [a for a in node.args if isinstance(a, Node)]
    return found
