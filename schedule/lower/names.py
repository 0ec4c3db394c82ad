"""The words of the kernels, and the names of a function, each handed out once."""

from __future__ import annotations

import builtins
import keyword
import re
from dataclasses import dataclass, field

from refold.schedule.helpers import EXTREMA, HELPERS

# The functions of the runtime that kernels may call.
FUNCTIONS = frozenset([*HELPERS, *EXTREMA])
_GLOBAL = {"tl", "triton", *dir(builtins), *FUNCTIONS}
# Words of the kernels and of the launcher: what a user calls by one of them has another name in the text.
_WORDS = """tl triton torch math out schedule splits block_m block_n num_warps num_stages pid tiles lead lead0 lead1
batch chunk part parts start group group_size groups in_group first_row last_row lo hi j0 i0 free_lo free_hi size
inputs args last back scale still ok reference live size_lead size_batch before beside place side
given device dtype layout views outputs copied pads programs
options work works launches hopper"""
# The functions of the runtime that the kernel for Hopper calls.
LAYOUTS = ("_copy", "_tile", "_operand_of", "_lines", "_as_rows")
# What that kernel calls its own values, and what it reads that is no argument.
HOPPER_VALUES = ("scores", "weights", "following", "stage", "phase", "stage_before", "phase_before", "turn", "held",
               "work", "nth", "slot", "gone", "first", "q_full", "q_empty", "k_full", "k_empty", "v_full", "v_empty",
               "q_buffers", "k_buffers", "v_buffers", "SIZE_stages", "SIZE_rows")  # fmt: skip
HOPPER_GLOBALS = ("gl", "gluon", "mbarrier", "warpgroup_mma", "warpgroup_mma_wait", "fence_async_shared", *LAYOUTS,
                "_scored", "_next", "_load", "_rows", "_fill", "_empty")  # fmt: skip
RESERVED = frozenset([*_WORDS.split(), *HOPPER_VALUES, *HOPPER_GLOBALS])
# Compile-time constants by name, beside blocks (`BLOCK_*`) and sizes held in registers (`SIZE_*`).
CONSTANTS = ("MASKED", "INDEX", "OPERAND", "STAGES", "OVERLAP", "DESC", "FAST", "ONE_TILE", "RAGGED", "ALIGNED",
             "EVICT")  # fmt: skip


@dataclass(slots=True)
class Names:
    """Hands out identifiers, each once; a function's are its own, apart from those it may be handed from outside."""

    taken: set[str] = field(default_factory=set)
    outer: Names | None = None
    inner: list[Names] = field(default_factory=list)

    def function(self) -> Names:
        """The names of a function that is written next."""
        self.inner.append(Names(set(), self))
        return self.inner[-1]

    def has(self, name: str) -> bool:
        return name in self.taken or (self.outer is not None and self.outer.has(name))

    def fresh(self, wish: str) -> str:
        """`wish`, or `wish_2`, ... where it is taken."""
        wish = re.sub(r"\W", "", wish) or "t"
        name, n = wish, 2
        while self.has(name) or any(i.has(name) for i in self.inner) or name in _GLOBAL or keyword.iskeyword(name):
            name, n = f"{wish}_{n}", n + 1
        self.taken.add(name)
        return name
