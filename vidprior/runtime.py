"""How this process uses the machine: XLA's options and its cache, malloc, facts of memory.

The command line needs it before anything else, so JAX is imported where it is asked.
"""

import ctypes
import os
import pathlib
import re
import sys

CompilerOptions = dict[str, str | bool]


def compiler_options() -> CompilerOptions:
    """Options for `jax.jit` on the default device.

    On a CPU, XLA gives convolutions to a library that takes half as long again as XLA's own
    routine. Only matrix products and sums are left to that library. It sums pairwise; XLA
    sums one number after the other, with an error of 1e-5 of a loss.

    On a GPU whose tensor cores multiply float32 (compute capability 8.0 and later), arrays of
    convolutions have their channels last, as XLA itself decides from 9.0 on. Channels first, every
    one is transposed before and after.
    """
    import jax

    if jax.default_backend() != "cpu":
        capability = str(getattr(jax.devices()[0], "compute_capability", ""))
        version = re.fullmatch(r"(\d+)\.\d+", capability)
        tensor_cores = version is not None and int(version[1]) >= 8
        return {"xla_gpu_force_conv_nhwc": True} if tensor_cores else {}
    kinds = ("LIBRARY_FUSION_TYPE_REDUCE", "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT")
    return {"xla_cpu_experimental_ynn_fusion_type": ",".join(kinds)}


def one_graph_options() -> CompilerOptions:
    """Options for `jax.jit` that make a whole loop one CUDA graph, also its convolutions.

    Kernels that do not depend on each other may run at the same time. XLA does not do this by
    default, since not every convolution can be captured.
    """
    return {
        "xla_gpu_enable_command_buffer": (
            "FUSION,CUBLAS,CUBLASLT,CUDNN,CONVOLUTION,CUSTOM_CALL,WHILE"
        ),
        "xla_gpu_graph_min_graph_size": "1",
        "xla_gpu_command_buffer_scheduling_mode": "CONCURRENT",
    }


def keep_compiled() -> None:
    """Keeps compiled programs between processes, unless somebody has said where already.

    They lie in `$XDG_CACHE_HOME/vidprior/xla`, by default `~/.cache/vidprior/xla`; without a
    home directory there is no such cache. Call it before anything is compiled: JAX looks once
    whether there is such a folder.
    """
    import jax

    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    try:
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:  # no home
        return
    jax.config.update("jax_compilation_cache_dir", str(cache / "vidprior" / "xla"))


# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def keep_memory() -> bool:
    """Makes malloc keep freed memory for the next update.

    XLA allocates the temporaries of each update anew, and glibc would get large blocks from
    the system, zeroed page by page. With this, all come from one heap that does not shrink.
    Call it before threads start: each would get its own heap, and only the first takes large
    blocks.

    Returns:
      Whether the C library has such settings.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    settings = {M_ARENA_MAX: 1, M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1}  # -1: never
    return all(mallopt(setting, value) for setting, value in settings.items())


def machine_memory() -> int | None:
    """Bytes of memory of this machine; None if unknown (Windows)."""
    if not hasattr(os, "sysconf"):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def available_memory() -> int | None:
    """Bytes of memory that programs can still take, within the limit of a container.

    Linux says it; elsewhere it is the memory of the machine, or None if unknown.
    """
    found = [machine_memory()]
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")]
        limit = pathlib.Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = pathlib.Path("/sys/fs/cgroup/memory.current").read_text()
        found += [max(0, int(limit) - int(used))] if limit.isdecimal() else []
    except (OSError, ValueError, IndexError):
        pass
    return min((number for number in found if number is not None), default=None)


def memory_limit() -> int | None:
    """Bytes of memory of the default device, on a CPU of the machine; None if unknown."""
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu":
        return machine_memory()
    return (device.memory_stats() or {}).get("bytes_limit")


def peak_memory() -> int | None:
    """Peak memory in bytes, of the default device, or of this process on a CPU.

    None if unknown (a CPU on Windows).
    """
    import jax

    stats = jax.devices()[0].memory_stats() or {}
    return stats.get("peak_bytes_in_use") or peak_resident()


def peak_resident() -> int | None:
    """Peak resident memory of this process in bytes; None if unknown (Windows)."""
    if sys.platform == "win32":
        return None
    if sys.platform == "linux":  # `ru_maxrss` begins there with that of the process before exec
        status = pathlib.Path("/proc/self/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
