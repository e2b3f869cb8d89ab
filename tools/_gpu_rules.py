"""What no program for a GPU may contain, each rule as a function of the program's text."""

import re
from collections.abc import Callable, Iterator

from _gpu_hlo import Array, Instruction, Program, trip_count

# The network's largest kernel has so many rows and columns. A larger one is an image that XLA
# took for a kernel.
LARGEST_KERNEL = 5
# Layers that use float32 whatever the dtype of the convolutions: the heads.
WIDE_LAYERS = ("Generator._heads",)
# A float32 array of so many bytes is worth finding, if it has more channels than an image.
WORTH = 2**20
COLOURS = 3

# What is wrong, one line each.
Rule = Callable[[Program], Iterator[str]]


def float64(program: Program) -> Iterator[str]:
    """Float64 is slow on a GPU, and nothing asks for it."""
    for each in program.instructions:
        if any(array.dtype in ("f64", "c128") for array in each.results):
            yield _line(each)


def grouped(program: Program) -> Iterator[str]:
    """Grouped convolutions, as under `vmap` over networks, are slow."""
    for each in program.instructions:
        groups = (each.attribute(f"{kind}_group_count") for kind in ("feature", "batch"))
        if _is_convolution(each) and any(count not in ("", "1") for count in groups):
            yield _line(each)


def kernel_like_an_image(program: Program) -> Iterator[str]:
    """XLA may swap image and kernel of a gradient, and compute more than is needed."""
    for each in program.instructions:
        sides = re.findall(r"\d+", each.attribute("size") if _is_convolution(each) else "")
        if any(int(side) > LARGEST_KERNEL for side in sides):
            yield _line(each)


def not_of_the_library(program: Program) -> Iterator[str]:
    """A convolution that is not given to cuDNN becomes a slow loop."""
    for each in program.instructions:
        if each.opcode == "convolution":
            yield _line(each)


def not_channels_last(program: Program) -> Iterator[str]:
    """Another layout of a convolution's arrays costs transposes."""
    for each in filter(_is_convolution, program.instructions):
        arrays = [each.results[0], *program.operands(each)[:2]]
        descending = all(list(a.layout) == sorted(a.layout, reverse=True) for a in arrays)
        labels = re.fullmatch(r"b\d+f_o\d+i->b\d+f", each.attribute("dim_labels"))
        if not labels or not descending:
            yield _line(each)


def waits_for_the_host(program: Program) -> Iterator[str]:
    """Callbacks and transfers within the program stop the device."""
    for each in program.instructions:
        transfer = re.match(r"(infeed|outfeed|send|recv)", each.opcode)
        if transfer or "callback" in each.target:
            yield _line(each)


def sorts(program: Program) -> Iterator[str]:
    """A sort, as a deterministic scatter needs, takes many kernels."""
    for each in program.instructions:
        if each.opcode == "sort" or "sort" in each.target.lower():
            yield _line(each)


def unknown_trip_count(program: Program) -> Iterator[str]:
    """A loop whose length XLA does not know asks the host after every turn."""
    for each in program.loops:
        if trip_count(each) is None:
            yield _line(each)


def wide_products(program: Program) -> Iterator[str]:
    """Where bfloat16 is asked, layers multiply float32 in `WIDE_LAYERS` alone."""
    for each in program.instructions:
        if each.opcode == "dot" or _is_convolution(each) or "gemm" in each.target:
            wide = any(array.dtype == "f32" for array in program.operands(each)[:2])
            if wide and _is_narrow_layer(each.source):
                yield _line(each)


ALWAYS: tuple[Rule, ...] = (
    float64, grouped, kernel_like_an_image, not_of_the_library, not_channels_last,
    waits_for_the_host, sorts, unknown_trip_count,
)  # fmt: skip
IN_BFLOAT16: tuple[Rule, ...] = (wide_products,)


def broken(program: Program, *, dtype: str) -> list[str]:
    """All that is wrong with a program, one line each, by rule.

    Args:
      program: the optimised program.
      dtype: of the convolutions that were asked for.
    """
    rules = ALWAYS + (IN_BFLOAT16 if dtype == "bfloat16" else ())
    return [f"{rule.__name__}: {line}" for rule in rules for line in rule(program)]


def wide_bytes(program: Program) -> int:
    """Bytes of float32 features that layers outside `WIDE_LAYERS` write.

    Where bfloat16 is asked there should be none. Sums of products do not count: they are float32
    first and may stay so.
    """
    total = 0
    for kernel in program.kernels:
        product = any(each.opcode == "dot" for each in kernel.inner)
        if not product and _is_narrow_layer(kernel.sources):
            arrays = filter(_is_wide_features, kernel.instruction.results)
            total += sum(array.bytes for array in arrays)
    return total


def _is_convolution(each: Instruction) -> bool:
    return each.opcode == "convolution" or each.target.startswith("__cudnn$conv")


def _is_narrow_layer(sources: str) -> bool:
    """Whether operations belong to layers, and to none of `WIDE_LAYERS`."""
    of_layer = re.search(r"\((Generator|Vgg16)\)+/", sources)
    return bool(of_layer) and not any(f"/{layer}/" in sources for layer in WIDE_LAYERS)


def _is_wide_features(array: Array) -> bool:
    """Whether this is [..., H, W, C] in float32: no kernel, and no image."""
    *_, rows, columns, channels = (0, 0, 0, *array.shape)
    large = min(rows, columns) > LARGEST_KERNEL and channels > COLOURS
    return array.dtype == "f32" and large and array.bytes >= WORTH


def _line(each: Instruction) -> str:
    results = ", ".join(f"{a.dtype}{list(a.shape)}" for a in each.results)
    return f"{each.name} = {results[:100]} {each.target or each.opcode} of {each.source[-100:]}"
