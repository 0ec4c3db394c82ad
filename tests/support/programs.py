"""Random pipelines of several inner axes, several stages, selected payloads, and forms that laws may change.

`draw(seed)` is one, made like those of `pipelines.py` without knowing what refold does with it. Beside the axes there,
f is a second inner axis; what has no row left is one number.
"""

from __future__ import annotations

import random

from support.pipelines import LENGTH, ROWS, I, J, Node, Pipeline, Writer, op, over, shaped, where
from support.pipelines import MINUS_INFINITY as MASKED

DEPTH, WIDTH = (Node("size", (a,)) for a in "df")


class ProgramWriter(Writer):
    """Writes one pipeline of a wider kind."""

    # --- several inner axes -----------------------------------------------------------------------------------

    def nested_score(self) -> Node:
        q, k = self.tensor("q", "i", "d"), self.tensor("k", "j", "d")
        return self.one_of(
            # A bilinear form, in both orders; additive attention; a late interaction; rotary beside latent parts.
            lambda: over("sum", op("*", q, over("sum", op("*", self.weight(), self.tensor("k2", "j", "f")), "f")), "d"),
            lambda: over("sum", op("*", over("sum", op("*", q, self.weight()), "d"), self.tensor("k2", "j", "f")), "f"),
            lambda: over("sum", op("*", self.tensor("a", "f"), op("tanh", self.projected(q, k))), "f"),
            lambda: over("max", over("sum", op("*", self.tensor("q3", "i", "f", "d"), k), "d"), "f"),
            lambda: op("+", over("sum", op("*", q, k), "d"), self.second_dot()),
            lambda: op("neg", over("sum", over("sum", op("**", self.difference(), 2), "d"), "f")),
            lambda: op("-", over("sum", op("*", q, k), "d"), over("sum", op("abs", self.second_difference()), "f")),
            lambda: op("/", over("sum", op("*", q, k), "d"), self.length_of(k)),
            lambda: op("neg", op("/", over("sum", op("**", op("-", q, k), 2), "d"), 2)),
        )

    def weight(self) -> Node:
        return self.tensor("W", "d", "f")

    def projected(self, q: Node, k: Node) -> Node:
        return op("+", over("sum", op("*", q, self.weight()), "d"), over("sum", op("*", k, self.weight()), "d"))

    def second_dot(self) -> Node:
        return over("sum", op("*", self.tensor("q2", "i", "f"), self.tensor("k2", "j", "f")), "f")

    def difference(self) -> Node:
        return op("-", self.tensor("q3", "i", "f", "d"), self.tensor("k3", "j", "f", "d"))

    def second_difference(self) -> Node:
        return op("-", self.tensor("q2", "i", "f"), self.tensor("k2", "j", "f"))

    def length_of(self, k: Node) -> Node:
        return op("sqrt", op("+", over("sum", op("*", k, k), "d"), 0.5))

    def stream(self) -> Node:
        """What is averaged: values of one stream, of two, or made from latents."""
        return self.one_of(
            lambda: self.tensor("v", "j", "e"),
            lambda: self.tensor("v", "j", "e"),
            lambda: self.tensor("w", "j"),
            lambda: over("sum", op("*", self.tensor("c2", "j", "f"), self.tensor("U", "f", "e")), "f"),
            lambda: op("*", self.tensor("v", "j", "e"), op("sigmoid", self.tensor("w", "j"))),
            lambda: over("sum", op("*", self.tensor("q", "i", "d"), self.tensor("z3", "j", "d", "e")), "d"),
        )

    def attention(self) -> dict[str, Node]:
        s = self.masked(self.nested_score(), 0.3)
        p = op("exp", op("-", s, over("max", s)))
        total = over("sum", p)
        outputs = {"o": op("/", over("sum", op("*", p, self.stream())), total)}
        if self.chance(0.4):
            outputs["o2"] = op("/", over("sum", op("*", p, self.stream())), total)
        if self.chance(0.2):
            outputs["lse"] = op("+", op("log", total), over("max", s))
        return outputs

    def kernel_attention(self) -> dict[str, Node]:
        """Attention by a kernel that is a product of features, which may be summed in another order."""
        feature = self.rng.choice(("relu", "exp", "sigmoid", "id"))
        of = (lambda x: x) if feature == "id" else (lambda x: op(feature, x))
        q, k = of(self.tensor("q", "i", "d")), of(self.tensor("k", "j", "d"))
        weight = over("sum", op("*", q, k), "d")
        top = over("sum", op("*", weight, self.tensor("v", "j", "e")))
        return {"o": self.one_of(lambda: top, lambda: op("/", top, op("+", op("abs", over("sum", weight)), 0.5)))}

    # --- several axes and stages ------------------------------------------------------------------------------

    def total(self) -> dict[str, Node]:
        """A loss of all rows, or what columns reduce of what rows are."""
        x = self.tensor("x", "i", "j")
        target = self.tensor("t", "i", kind="int target")
        picked = self.gather("x", ("i", "j"), I, target)
        row = self.one_of(
            lambda: over("logsumexp", x),
            lambda: op("-", over("logsumexp", x), picked),
            lambda: over("max", x),
            lambda: over("sum", op("**", op("-", x, self.tensor("y", "i", "j")), 2)),
            lambda: op("/", over("sum", self.map(x)), LENGTH),
        )
        column = self.one_of(
            lambda: over("logsumexp", op("-", x, row), "i"),
            lambda: over("max", op("*", x, row), "i"),
            lambda: over("sum", op("*", self.tensor("g", "i"), op("tanh", op("-", x, row))), "i"),
        )
        return {
            "result": self.one_of(
                lambda: op("/", over("sum", row, "i"), ROWS),
                lambda: over("max", row, "i"),
                lambda: over("logsumexp", row, "i"),
                lambda: column,
            )
        }

    def pairs(self) -> dict[str, Node]:
        """Folds over two axes at once."""
        x = self.tensor("x3", "i", "j", "f")
        both = lambda kind, body: over(kind, over(kind, body, "f"), "j")  # noqa: E731
        count = op("*", LENGTH, WIDTH)
        mean = op("/", both("sum", x), count)
        variance = op("/", both("sum", op("**", op("-", x, mean), 2)), count)
        m = both("max", x)
        return {
            "result": self.one_of(
                lambda: mean,
                lambda: variance,
                lambda: op("/", op("-", x, mean), op("sqrt", op("+", variance, 0.1))),
                lambda: op("/", op("exp", op("-", x, m)), both("sum", op("exp", op("-", x, m)))),
                lambda: op("sqrt", both("sum", op("*", x, x))),
                lambda: op("/", both("sum", op("*", x, self.tensor("w", "j"))), count),
                lambda: over("max", over("sum", x, "f"), "j"),
                lambda: over("sum", op("tanh", over("max", x, "f")), "j"),
            )
        }

    def staged(self) -> dict[str, Node]:
        """A fold that waits for another and for which no single pass is likely."""
        x = self.masked(self.data(), 0.2)
        r = self.finished(x)
        body = self.one_of(
            lambda: op("abs", op("-", x, r)),
            lambda: op("log", op("+", op("**", op("-", x, r), 2), 1)),
            lambda: op("tanh", op("-", x, r)),
            lambda: op("relu", op("-", op("+", x, 1), r)),
            lambda: op("/", 1, op("+", op("**", op("-", x, r), 2), 1)),
            lambda: op("maximum", op("-", x, r), op("*", 0.5, x)),
        )
        result = over(self.rng.choice(("sum", "max", "min")), body)
        again = over("sum", op("sigmoid", op("-", self.data(), result)))
        return {
            "result": self.one_of(
                lambda: result,
                lambda: op("/", result, LENGTH),
                lambda: op("-", x, result) if not self.hides(x) else result,
                lambda: again,
            )
        }

    @staticmethod
    def hides(node: Node) -> bool:
        return node.op == "where"

    # --- payloads ---------------------------------------------------------------------------------------------

    def selected(self) -> dict[str, Node]:
        s = self.masked(self.data() if self.chance(0.5) else self.inner(), 0.3)
        at = over("argmax", s)
        e = Node("pos", ("e",))
        second = over("max", where(op("!=", J, at), s, MASKED))
        choices = {
            "picked": lambda: self.gather("v", ("j", "e"), at, e),
            "where": lambda: at,
            "top": lambda: over("max", s),
            "other": lambda: second,
            "margin": lambda: op("-", over("max", s), second),
            "scaled": lambda: op("*", self.gather("w", ("j",), at), over("max", s)),
        }
        return {n: choices[n]() for n in self.rng.sample(sorted(choices), 2 if self.chance(0.4) else 1)}

    # --- several softmaxes and moments ------------------------------------------------------------------------

    def softmaxes(self) -> dict[str, Node]:
        x, y = self.tensor("x", "i", "j"), self.tensor("y", "i", "j")
        a, b = (op("exp", op("-", z, over("max", z))) for z in (x, y))
        p, q = op("/", a, over("sum", a)), op("/", b, over("sum", b))
        e = lambda z: over("sum", op("*", p, z))  # noqa: E731
        return {
            "result": self.one_of(
                lambda: over("sum", op("*", p, q)),
                lambda: over("sum", op("**", op("-", p, q), 2)),
                lambda: over("sum", op("*", p, op("-", op("log", p), op("log", q)))),
                lambda: op("-", over("sum", op("*", op("sqrt", p), op("sqrt", q))), 1),
                lambda: op("-", e(op("*", x, x)), op("**", e(x), 2)),
                lambda: op("-", e(op("*", x, y)), op("*", e(x), e(y))),
                lambda: over("sum", op("*", p, op("**", op("-", y, e(y)), 2))),
                lambda: over("sum", op("abs", op("-", p, q))),
                lambda: over("max", op("-", p, q)),
            )
        }


KINDS = (
    ProgramWriter.attention, ProgramWriter.attention, ProgramWriter.kernel_attention, ProgramWriter.total,
    ProgramWriter.pairs, ProgramWriter.staged, ProgramWriter.selected, ProgramWriter.softmaxes,
)  # fmt: skip


def draw(seed: int) -> Pipeline:
    """The pipeline of a seed."""
    rng = random.Random(seed)
    writer = ProgramWriter(rng)
    return shaped(rng.choice(KINDS)(writer), writer)
