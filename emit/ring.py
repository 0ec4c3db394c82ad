"""Prints Hopper's kernel: a warp that fills a ring of tiles, two warpgroups that empty it, and how it is launched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from refold.algebra.roles import Roles
from refold.emit.hopper import FIXED
from refold.emit.kernels import batch_lines, needed
from refold.emit.source import Function, block
from refold.spec import Index

# What the lines of the kernel read that is no argument.
WORDS = ("gl", "gluon", "tma", "mbarrier", "warpgroup_mma", "warpgroup_mma_wait", "fence_async_shared", "_copy",
         "_tile", "_operand_of", "_as_rows", "_scored", "_next", "_load", "_rows", "_fill", "_empty")  # fmt: skip
# What they call their own values: no name of a pipeline that has this kernel.
OWN = ("scores", "weights", "following", "stage", "phase", "stage_before", "phase_before", "turn", "held",
       "work", "seen", "slot", "gone", "first", "q_full", "q_empty", "k_full", "k_empty", "v_full", "v_empty", "q_ring",
       "k_ring", "v_ring", "SIZE_ring")  # fmt: skip
BARRIERS = ("q_full", "q_empty", "k_full", "k_empty", "v_full", "v_empty")


@dataclass(frozen=True, slots=True)
class Place:
    """A tensor that is read by tiles: the first position of a tile along every axis, and its two blocks."""

    tensor: str
    coordinates: tuple[str, ...]
    blocks: tuple[str, str]

    @property
    def ones(self) -> str:
        return "1, " * (len(self.coordinates) - 2)

    def flat(self, tile: str) -> str:
        return f"{tile}.reshape([{', '.join(self.blocks)}])"

    @property
    def entry(self) -> str:
        return f'"{self.tensor}": ("{self.blocks[0]}", "{self.blocks[1]}")'

    def at(self, **values: str) -> str:
        return ", ".join(values.get(c, c) for c in self.coordinates)


class GluonFunction(Function):
    """A function of the Gluon dialect."""

    @property
    def text(self) -> str:
        return Function.text.fget(self).replace("@triton.jit", "@gluon.jit", 1)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Ring:
    """The laws of a plan as lines, and the tiles that they read; `wide` is the accumulator of the second product."""

    name: str
    roles: Roles
    scored: Function
    carried: tuple[str, ...]
    moved: str
    columns: Index
    spans: tuple[Any, ...]
    choices: tuple[str, ...]
    prologue: tuple[str, ...]
    epilogue: tuple[str, ...]
    places: tuple[Place, Place, Place]
    states: tuple[tuple[str, str, bool], ...]
    pointers: tuple[str, ...]
    words: tuple[str, ...]
    rises: bool

    @property
    def row(self) -> Index:
        assert self.roles.rows is not None
        return self.roles.rows

    @property
    def wide(self) -> str:
        (name,) = (s for s, _, wide in self.states if wide)
        return name

    @property
    def table(self) -> str:
        entries = ", ".join(p.entry for p in self.places)
        comment = "# The blocks of what the kernel for Hopper reads by tiles; whether later rows have more tiles."
        return f"{comment}\nTILES, RISES = {{{entries}}}, {self.rises}"

    @property
    def launch(self) -> list[str]:
        """Lines of the launcher: where the whole axis is one part and nothing is pinned, this kernel if it can."""
        rows, keys = (f'size["{a.name}"]' for a in (self.row, self.roles.fold))
        return [
            f"works = batch * triton.cdiv({rows}, 128)",
            f"hopper = None if pinned or parts > 1 else _hopper(args, boxes, {rows}, {keys}, works, device)",
            "if hopper is not None:",
            '    options = {"num_warps": 4, "enable_fp_fusion": FUSED}',
            f"    launches = [({self.name}_hopper, (hopper[0],), hopper[1], options)]",
            "    return _Call(device, layout, launches, copied=copied, boxes=hopper[2])",
        ]

    def function(self, name: str, first: Iterable[str], body: Iterable[str], comment: str) -> GluonFunction:
        return GluonFunction(name, tuple(first), tuple(body), (*WORDS, *self.words), comment)

    @property
    def functions(self) -> tuple[Function, ...]:
        step = self.function(self.scored.name, self.scored.first, self.scored.body, self.scored.comment)
        following, load = self._next(step), self._load()
        rows = self._rows(step, following)
        fill, empty = self._fill(load), self._empty(rows)
        return step, following, load, rows, fill, empty, self._kernel(fill, empty)

    @property
    def text(self) -> str:
        return "\n\n".join([FIXED.strip("\n") + "\n", *(f.text for f in self.functions)])

    def _next(self, step: Function) -> Function:
        _, k, v = self.places
        lines = [
            "turn = (j0 - first) // BLOCK_N",
            "stage, phase = turn % SIZE_ring, turn // SIZE_ring & 1",
            "mbarrier.wait(k_full.index(stage), phase)",
            *self._issue(k, "stage"),
            "stage_before, phase_before = (turn - 1) % SIZE_ring, (turn - 1) // SIZE_ring & 1",
            "mbarrier.wait(v_full.index(stage_before), phase_before)",
            f"{self.wide} = warpgroup_mma(weights, {v.flat('v_ring.index(stage_before)')}, {self.wide}, is_async=True)",
            "scores = warpgroup_mma_wait(1, deps=[scores])",
            "mbarrier.arrive(k_empty.index(stage), count=1)",
            *step.call(", ".join("following" if c == "weights" else c for c in self.carried)),
            f"{self.wide}, weights = warpgroup_mma_wait(0, deps=[{self.wide}, weights])",
            "mbarrier.arrive(v_empty.index(stage_before), count=1)",
            f"{self.wide} = {self.moved}",
            f"return {', '.join(s for s, _, _ in self.states)}, following",
        ]
        first = (*(s for s, _, _ in self.states), "weights", "j0", "first")
        return self.function("_next", first, lines, "The scores of a tile, while the weights of the one before meet v.")

    def _issue(self, k: Place, stage: str) -> list[str]:
        return [
            "scores = gl.zeros([BLOCK_M, BLOCK_N], gl.float32, _tile(BLOCK_N))",
            f"scores = warpgroup_mma(held, {k.flat(f'k_ring.index({stage})')}.permute((1, 0)), scores, use_acc=False, "
            "is_async=True)",
        ]

    def _load(self) -> Function:
        q, k, v = self.places
        lines = []
        for group in (0, 1):
            lines += [
                f"slot = seen % 2 * 2 + {group}",
                "mbarrier.wait(q_empty.index(slot), seen // 2 & 1 ^ 1)",
                f"mbarrier.expect(q_full.index(slot), {q.tensor}_ptr.block_type.nbytes)",
                f"_copy({q.tensor}_ptr, [{q.at(i0=f'i0 + {group} * BLOCK_M')}], q_full.index(slot), "
                "q_ring.index(slot))",
            ]
        body = ["turn = gone + (j0 - lo) // BLOCK_N", "stage, phase = turn % SIZE_ring, (turn // SIZE_ring & 1) ^ 1"]
        for letter, p in (("k", k), ("v", v)):
            body += [
                f"mbarrier.wait({letter}_empty.index(stage), phase)",
                f"mbarrier.expect({letter}_full.index(stage), {p.tensor}_ptr.block_type.nbytes)",
                f"_copy({p.tensor}_ptr, [{p.at()}], {letter}_full.index(stage), {letter}_ring.index(stage))",
            ]
        lines += block("for j0 in range(lo, hi, BLOCK_N):", body)
        lines += ["return gone + (hi - lo) // BLOCK_N"]
        lines = self._where([*needed(self._range(), lines), *lines])
        return self.function("_load", ("work", "seen", "gone"), lines,
                             "Loads the rows of both groups, then every tile that is visited.")  # fmt: skip

    def _where(self, lines: list[str]) -> list[str]:
        """The lines, after those that say which rows of which batch they are for."""
        found = [
            f"tiles = tl.cdiv(size_{self.row.name}, 2 * BLOCK_M)",
            "i0 = (tiles - 1 - work % tiles) * 2 * BLOCK_M",
            "lead = work // tiles",
            *batch_lines(self.roles),
        ]
        return [*needed(found, lines), *lines]

    def _rows(self, step: Function, following: Function) -> Function:
        q, k, v = self.places
        r, e = self.row.name, self.columns.name
        base = [
            f"{r} = (i0 + group * BLOCK_M + gl.arange(0, BLOCK_M, layout=gl.SliceLayout(1, _tile(BLOCK_N)))).to(INDEX)",
            f"in_{r} = {r} < size_{r}",
            f"{e} = gl.arange(0, BLOCK_{e}, layout=gl.SliceLayout(0, _tile(BLOCK_{e}))).to(INDEX)",
            f"in_{e} = {e} < SIZE_{e}",
            *(f"{t}_ptr += lead0 * {t}_lead0 + lead1 * {t}_lead1" for t in self.pointers),
            *self.prologue,
        ]
        init = []
        for s, unit, wide in self.states:
            shape = f"[BLOCK_M, BLOCK_{e}]" if wide else "[BLOCK_M]"
            layout = f"_tile(BLOCK_{e})" if wide else "gl.SliceLayout(1, _tile(BLOCK_N))"
            init.append(f"{s} = gl.full({shape}, {unit}, gl.float32, {layout})")
        target = ", ".join((*(s for s, _, _ in self.states), "weights"))
        # The first tile is run with masks, which are right everywhere.
        first = [
            "stage = gone % SIZE_ring",
            "mbarrier.wait(k_full.index(stage), gone // SIZE_ring & 1)",
            *self._issue(k, "stage"),
            "scores = warpgroup_mma_wait(0, deps=[scores])",
            "mbarrier.arrive(k_empty.index(stage), count=1)",
            *step.call(", ".join(self.carried), j0="lo", MASKED="True"),
            f"{self.wide} = {self.moved}",
            "first = lo - gone * BLOCK_N",
        ]
        for start, stop, masked in self.spans:
            begin = f"tl.maximum({start}, lo + BLOCK_N)"
            first += block(f"for j0 in range({begin}, {stop}, BLOCK_N):", following.call(target, MASKED=str(masked)))
        first += [
            "turn = gone + (hi - lo) // BLOCK_N - 1",
            "stage = turn % SIZE_ring",
            "mbarrier.wait(v_full.index(stage), turn // SIZE_ring & 1)",
            f"{self.wide} = warpgroup_mma(weights, {v.flat('v_ring.index(stage)')}, {self.wide}, is_async=True)",
            f"{self.wide}, weights = warpgroup_mma_wait(0, deps=[{self.wide}, weights])",
            "mbarrier.arrive(v_empty.index(stage), count=1)",
        ]
        lines = [
            *init,
            *self._range(),
            "slot = seen % 2 * 2 + group",
            "mbarrier.wait(q_full.index(slot), seen // 2 & 1)",
            f"held = {q.flat('q_ring.index(slot)')}",
            *block("if lo < hi:", first),
            "mbarrier.arrive(q_empty.index(slot), count=1)",
            *self.epilogue,
            "return gone + (hi - lo) // BLOCK_N",
        ]
        lines = [*needed(base, lines), *lines]
        return self.function("_rows", ("work", "seen", "gone", "group"),
                             self._where(lines), "One group holds its rows and goes over the tiles.")  # fmt: skip

    def _fill(self, load: Function) -> Function:
        return self.function("_fill", (), self._each(load), "The tiles of one piece of work after another.")

    def _empty(self, rows: Function) -> Function:
        return self.function("_empty", ("group",), self._each(rows), "The rows of one group in every piece of work.")

    def _each(self, function: Function) -> list[str]:
        """What a program has to do: its pieces of work, and how many tiles went through the ring before each."""
        body = [
            "# Rounds go up and down by turns: who had most in one has least in the next.",
            "work = seen * programs + (pid if seen % 2 == 0 else programs - 1 - pid)",
            *block("if work < works:", function.call("gone")),
        ]
        return [
            "pid, programs = tl.program_id(0), tl.num_programs(0)",
            f"works = tl.cdiv(size_{self.row.name}, 2 * BLOCK_M) * size_batch",
            "gone = 0",
            *block("for seen in range(0, tl.cdiv(works, programs)):", body),
        ]

    def _range(self) -> list[str]:
        rows = ["first_row = i0", f"last_row = tl.minimum(i0 + 2 * BLOCK_M, size_{self.row.name}) - 1"]
        return [*needed(rows, list(self.choices)), *self.choices]

    def _kernel(self, fill: Function, empty: Function) -> Function:
        lines = []
        for letter, p, count in zip("qkv", self.places, ("4", "SIZE_ring", "SIZE_ring"), strict=True):
            d = f"{p.tensor}_ptr"
            shape = f"[{count}, {p.ones}{', '.join(p.blocks)}]"
            lines.append(f"{letter}_ring = gl.allocate_shared_memory({d}.dtype, {shape}, {d}.layout)")
        for name in BARRIERS:
            count = "4" if name.startswith("q") else "SIZE_ring"
            lines.append(f"{name} = gl.allocate_shared_memory(gl.int64, [{count}, 1], mbarrier.MBarrierLayout())")
        for letters, count in (("q", "4"), ("kv", "SIZE_ring")):
            lines += block(f"for stage in gl.static_range({count}):", [
                f"mbarrier.init({b}.index(stage), count={2 if b.endswith('empty') and b[0] != 'q' else 1})"
                for b in BARRIERS if b[0] in letters
            ])  # fmt: skip
        lines += ["fence_async_shared()", "gl.warp_specialize(["]
        lines += [f"    ({fill.name}, ({', '.join(fill.parameters)})),"]
        for group in (0, 1):
            given = (str(group) if p == "group" else p for p in empty.parameters)
            lines += [f"    ({empty.name}, ({', '.join(given)})),"]
        lines += ["], [4, 4], [240, 240])"]
        return self.function(f"{self.name}_hopper", (), lines, "A warp loads tiles; two groups of 64 rows compute.")
