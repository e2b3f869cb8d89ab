"""What XLA must know of a card to compile for it where there is none, from published figures.

Sources:
  [H] NVIDIA H100 Tensor Core GPU Architecture, white paper V1.04, tables of the H100 SXM5
  [A] NVIDIA A100 Tensor Core GPU Architecture, white paper V1.0, tables; memory of 80 GB from
      the data sheet of the A100 80GB SXM
  [C] CUDA C++ Programming Guide 12, technical specifications per compute capability
"""

import dataclasses

# Versions of CUDA and cuDNN that the plugin of constraints.txt is made for.
CUDA, CUDNN = (12, 9, 0), (9, 8, 0)


@dataclasses.dataclass(frozen=True)
class Card:
    """A card's published figures.

    Attributes:
      name: as its driver tells it.
      capability: compute capability, major and minor [C].
      architecture_features: whether code may use what this capability alone has (9.0a has
        Hopper's products of warp groups).
      cores: streaming multiprocessors [H, A].
      lanes: float32 units of each [H, A].
      clock: boost clock, GHz [H, A].
      memory: bytes on the card [H, A].
      bandwidth: of its memory, bytes/s [H, A].
      cache: second level, bytes [H, A].
      shared: memory shared within a core, bytes [C].
      shared_by_block: the most of it that one block may ask for, bytes [C].
      pcie: bytes/s in one direction: generation 5, 4 [H, A].
      peak: products, FLOP/s without sparsity: TF32 and bfloat16 [H, A].
    """

    name: str
    capability: tuple[int, int]
    architecture_features: bool
    cores: int
    lanes: int
    clock: float
    memory: int
    bandwidth: float
    cache: int
    shared: int
    shared_by_block: int
    pcie: float
    peak: dict[str, float]


CARDS = {
    "h100": Card(
        name="NVIDIA H100 80GB HBM3",
        capability=(9, 0),
        architecture_features=True,
        cores=132,
        lanes=128,
        clock=1.98,
        memory=80 * 2**30,
        bandwidth=3.352e12,
        cache=50 * 2**20,
        shared=228 * 2**10,
        shared_by_block=227 * 2**10,
        pcie=64e9,
        peak={"float32": 494.7e12, "bfloat16": 989.4e12},
    ),
    "a100": Card(
        name="NVIDIA A100-SXM4-80GB",
        capability=(8, 0),
        architecture_features=False,
        cores=108,
        lanes=64,
        clock=1.41,
        memory=80 * 2**30,
        bandwidth=2.039e12,
        cache=40 * 2**20,
        shared=164 * 2**10,
        shared_by_block=163 * 2**10,
        pcie=32e9,
        peak={"float32": 156e12, "bfloat16": 312e12},
    ),
}


def describe(card: Card) -> str:
    """The card in the text form of XLA's `GpuTargetConfigProto`.

    What is not the card's own holds for every compute capability since 7.0 [C].
    """
    major, minor = card.capability
    feature = "ACCELERATED_FEATURES" if card.architecture_features else "NONE"
    version = {name: ".".join(map(str, v)) for name, v in (("cuda", CUDA), ("dnn", CUDNN))}
    device = {
        "name": _quoted(card.name),
        "device_vendor": _quoted("NVIDIA Corporation"),
        "platform_version": _quoted(f"Compute Capability {major}.{minor}"),
        "cuda_compute_capability": (
            f"{{ major: {major} minor: {minor} feature_extension: {feature} }}"
        ),
        "core_count": card.cores,
        "fpus_per_core": card.lanes,
        "clock_rate_ghz": card.clock,
        "device_memory_size": card.memory,
        "memory_bandwidth": round(card.bandwidth),
        "pcie_bandwidth": round(card.pcie),
        "l2_cache_size": card.cache,
        "shared_memory_per_core": card.shared,
        "shared_memory_per_block": 48 * 2**10,
        "shared_memory_per_block_optin": card.shared_by_block,
        "registers_per_core_limit": 65536,
        "registers_per_block_limit": 65536,
        "threads_per_warp": 32,
        "threads_per_block_limit": 1024,
        "threads_per_core_limit": 2048,
        "thread_dim_limit_x": 1024,
        "thread_dim_limit_y": 1024,
        "thread_dim_limit_z": 64,
        "block_dim_limit_x": 2**31 - 1,
        "block_dim_limit_y": 65535,
        "block_dim_limit_z": 65535,
        "device_address_bits": 64,
        "ecc_enabled": "true",
        "driver_version": _quoted(version["cuda"]),
        "runtime_version": _quoted(version["cuda"]),
        "compile_time_toolkit_version": _quoted(version["cuda"]),
        "dnn_version": _quoted(version["dnn"]),
    }
    lines = "\n".join(f"  {name}: {value}" for name, value in device.items())
    return (
        f"gpu_device_info {{\n{lines}\n}}\n"
        f'platform_name: "CUDA"\n'
        f"device_description_str: {_quoted(card.name)}\n"
        f"dnn_version_info {_version(CUDNN)}\n"
        f"runtime_version {_version(CUDA)}\n"
    )


def _quoted(text: str) -> str:
    return f'"{text}"'


def _version(numbers: tuple[int, int, int]) -> str:
    major, minor, patch = numbers
    return f"{{ major: {major} minor: {minor} patch: {patch} }}"
