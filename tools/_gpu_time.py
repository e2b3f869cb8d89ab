"""How long a program's kernels might take on a card: a model, of a few numbers."""

import math
import re
from collections.abc import Sequence

from _gpu_cards import Card
from _gpu_hlo import Array, Instruction, Kernel, Program

# Seconds from one small kernel to the next.
LEAST = 2.8e-6
# What a kernel reaches of the memory's bandwidth, and of the tensor cores' peak if it fills them.
SHARE_OF_BANDWIDTH = 0.8
SHARE_OF_PEAK = 0.45
# Results and summands of a product that fill a tensor core; fewer leave a share of it idle.
FULL_COLUMNS, FULL_SUM = 64, 128


def total_seconds(program: Program, card: Card) -> float:
    """The time of one turn of a program's loop, kernel after kernel."""
    return sum(seconds(program, kernel, card) for kernel in program.kernels)


def seconds(program: Program, kernel: Kernel, card: Card) -> float:
    """The time of one kernel: that of its memory or of its products, whichever is longer."""
    memory = kernel.bytes / (SHARE_OF_BANDWIDTH * card.bandwidth)
    products = 0.0
    for each in _products(kernel):
        operands = program.operands(each)
        terms, columns = _terms(each, operands), each.results[0].shape[-1]
        filled = min(1, columns / FULL_COLUMNS) * min(1, terms / FULL_SUM)
        peak = card.peak["bfloat16" if operands[0].dtype == "bf16" else "float32"]
        products += _flop(each, operands) / (SHARE_OF_PEAK * filled * peak)
    return LEAST + max(memory, products)


def flop(program: Program, kernel: Kernel) -> int:
    """Operations of a kernel's convolutions and products."""
    return sum(_flop(each, program.operands(each)) for each in _products(kernel))


def _products(kernel: Kernel) -> list[Instruction]:
    parts = (kernel.instruction, *kernel.inner)
    return [
        each for each in parts if each.opcode == "dot" or each.target.startswith("__cudnn$conv")
    ]


def _flop(each: Instruction, operands: Sequence[Array]) -> int:
    return 2 * math.prod(each.results[0].shape) * _terms(each, operands)


def _terms(each: Instruction, operands: Sequence[Array]) -> int:
    """The summands of one number of the result."""
    first, second = (array.shape for array in operands[:2])
    if each.opcode == "dot":
        axes = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", each.text)
        return math.prod(first[int(axis)] for axis in axes[1].split(",")) if axes else 1
    # Channels are last everywhere (`_gpu_rules.not_channels_last`).
    if each.target.endswith("BackwardFilter"):
        return math.prod(second[:-1])  # the pixels of the cotangent
    if each.target.endswith("BackwardInput"):
        # With a stride, a pixel of the input meets only some of the kernel.
        return math.prod(second) * math.prod(first[:-1]) // math.prod(each.results[0].shape)
    return math.prod(second[1:])
