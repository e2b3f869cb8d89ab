"""Reads the text of XLA's optimised program: its instructions, its loop, and the loop's kernels."""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

WIDTHS = {
    "pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "f16": 2, "bf16": 2, "s32": 4, "u32": 4,
    "f32": 4, "s64": 8, "u64": 8, "f64": 8, "c64": 8, "c128": 16,
}  # fmt: skip
_ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\](?:\{([\d,]*))?")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
# They run no kernel: names for memory that is there.
_FREE = {"parameter", "get-tuple-element", "tuple", "bitcast", "constant", "after-all"}
_SLICES = {"slice", "dynamic-slice", "gather"}


@dataclasses.dataclass(frozen=True)
class Array:
    """An array's type.

    Attributes:
      dtype: as XLA writes it.
      shape: of the array.
      layout: axes from the fastest to the slowest.
    """

    dtype: str
    shape: tuple[int, ...]
    layout: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """That it takes in memory."""
        return WIDTHS.get(self.dtype, 0) * math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a program.

    Attributes:
      name: without the %.
      opcode: what it does.
      results: one array, or those of a tuple.
      operands: names.
      text: from the opcode on.
      root: whether it is its computation's result.
    """

    name: str
    opcode: str
    results: tuple[Array, ...]
    operands: tuple[str, ...]
    text: str
    root: bool

    @property
    def bytes(self) -> int:
        """Of its results."""
        return sum(array.bytes for array in self.results)

    def attribute(self, name: str) -> str:
        """`name=value`, or '' without it; without the quotes or the %."""
        found = re.search(rf"\b{name}=(?:\"([^\"]*)\"|%?([^\s,{{}}]+))", self.text)
        return (found[1] or found[2] or "") if found else ""

    @property
    def target(self) -> str:
        """The library's routine, of a call."""
        return self.attribute("custom_call_target")

    @property
    def source(self) -> str:
        """The operation of the project that it came from."""
        return self.attribute("op_name")


@dataclasses.dataclass(frozen=True)
class Kernel:
    """An instruction of the loop that runs by itself.

    Attributes:
      instruction: it.
      inner: the instructions that are fused in it.
      reads, writes: bytes of memory.
    """

    instruction: Instruction
    inner: tuple[Instruction, ...]
    reads: int
    writes: int

    @property
    def bytes(self) -> int:
        """Read and written."""
        return self.reads + self.writes

    @property
    def sources(self) -> str:
        """The operations of the project that are in it."""
        return " ".join(sorted({each.source for each in (self.instruction, *self.inner)}))


class Program:
    """An optimised program."""

    def __init__(self, text: str):
        """Reads what `compiled.as_text()` gives."""
        self.text = text
        self.computations: dict[str, list[Instruction]] = {}
        self.entry = name = ""
        for line in text.splitlines():
            if head := _HEAD.match(line):
                name = head[2]
                self.computations[name] = []
                self.entry = name if head[1] else self.entry
            elif line.startswith("}"):
                name = ""
            elif name and (found := _INSTRUCTION.match(line)):
                self.computations[name].append(_instruction(found[2], found[3], bool(found[1])))

    @property
    def instructions(self) -> Iterator[Instruction]:
        """All of them."""
        for computation in self.computations.values():
            yield from computation

    def operands(self, instruction: Instruction) -> list[Array]:
        """The arrays that an instruction takes; of a tuple, its first."""
        known = self._known[instruction.name]
        return [known[name].results[0] for name in instruction.operands]

    @functools.cached_property
    def _known(self) -> dict[str, dict[str, Instruction]]:
        known = {}
        for computation in self.computations.values():
            named = {each.name: each for each in computation}
            known |= dict.fromkeys(named, named)
        return known

    @property
    def loops(self) -> list[Instruction]:
        """All `while`."""
        return [each for each in self.instructions if each.opcode == "while"]

    @functools.cached_property
    def kernels(self) -> list[Kernel]:
        """What one turn of the largest loop runs, or without a loop the whole program."""
        bodies = [self.computations[loop.attribute("body")] for loop in self.loops]
        return list(self._kernels(max(bodies, key=len, default=self.computations[self.entry])))

    def _kernels(self, computation: list[Instruction]) -> Iterator[Kernel]:
        known = {each.name: each for each in computation}
        for each in computation:
            if each.opcode in _FREE:
                continue
            if each.opcode == "while":  # a loop in the loop: its body as often as it turns
                turns = trip_count(each) or 1
                yield from turns * list(self._kernels(self.computations[each.attribute("body")]))
            elif each.opcode == "call":
                yield from self._kernels(self.computations[each.attribute("to_apply")])
            else:
                calls = each.attribute("calls") if each.opcode == "fusion" else ""
                inner = tuple(self.computations.get(calls, ()))
                read = [known[name].bytes for name in each.operands]
                writes = each.bytes
                if inner:
                    read = [_read(inner, number, size) for number, size in enumerate(read)]
                    writes = sum(_written(inner))
                yield Kernel(each, inner, sum(read), writes)


def trip_count(loop: Instruction) -> int | None:
    """How often a loop turns, if XLA knows."""
    found = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', loop.text)
    return int(found[1]) if found else None


def _instruction(name: str, rest: str, root: bool) -> Instruction:
    """From what follows `name = `: type, opcode, operands and attributes."""
    end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.index(" ")
    text = rest[end:].lstrip()
    opening = text.index("(")
    operands = text[opening : _closing(text, opening)]
    arrays = tuple(
        Array(dtype, _numbers(shape), _numbers(layout))
        for dtype, shape, layout in _ARRAY.findall(rest[:end])
    )
    names = tuple(re.findall(r"%([\w.\-]+)", operands))
    return Instruction(name, text[:opening], arrays, names, text, root)


def _closing(text: str, opening: int) -> int:
    """Where the parenthesis that opens at `opening` closes."""
    depth = 0
    for place in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if not depth:
            return place
    raise ValueError(f"an open parenthesis: {text[:80]}")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(","))) if text else ()


def _read(inner: tuple[Instruction, ...], number: int, size: int) -> int:
    """Bytes that a fusion reads of an operand: all, or the slices that it takes of it."""
    names = {i.name for i in inner if i.text.startswith(f"parameter({number})")}
    taken = 0
    for each in inner:
        if not names.intersection(each.operands):
            continue
        if each.opcode == "bitcast":
            names.add(each.name)
        elif each.opcode in _SLICES and each.operands[0] in names:
            taken += each.bytes
        elif each.opcode != "dynamic-update-slice" or each.operands[0] not in names:
            return size
    return min(size, taken)


def _written(inner: tuple[Instruction, ...]) -> Iterator[int]:
    """Bytes of each of a fusion's results; where it changes a part in place, of that part."""
    known = {each.name: each for each in inner}
    (root,) = (each for each in inner if each.root)
    results = [known[n] for n in root.operands] if root.opcode == "tuple" else [root]
    for each in results:
        while each.opcode == "bitcast":
            each = known[each.operands[0]]
        part = each.opcode == "dynamic-update-slice"
        yield known[each.operands[1]].bytes if part else each.bytes
