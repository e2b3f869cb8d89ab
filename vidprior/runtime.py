"""How this process uses the machine: XLA's compiler options, and memory kept by malloc."""

import ctypes
import os
import pathlib

import jax

CompilerOptions = dict[str, str | bool]


def compiler_options() -> CompilerOptions:
    """Options for `jax.jit` on the default device.

    On a CPU XLA hands convolutions to a library that takes half as long again as XLA's own
    routine. What is left to it: matrix products, and sums, which it adds up pairwise. XLA
    itself adds one number after the other, and is wrong by 1e-5 of a loss.
    """
    if jax.default_backend() != "cpu":
        return {}
    kinds = ("LIBRARY_FUSION_TYPE_REDUCE", "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT")
    return {"xla_cpu_experimental_ynn_fusion_type": ",".join(kinds)}


# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def keep_memory() -> bool:
    """Keeps memory that is given back, for the next update that asks for as much.

    XLA asks for an update's temporaries anew each time, and glibc would fetch large
    pieces from the system, zeroed a page at a time. Now all come from one heap that does
    not shrink. Call it before threads start: each would have a heap of its own, and none but
    the first takes large pieces.

    Returns:
      Whether the C library has such settings.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {M_ARENA_MAX: 1, M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1}  # -1: never
    return all(mallopt(setting, value) for setting, value in settings.items())


def keep_compiled() -> None:
    """Keeps compiled programs between runs, unless the environment says where already.

    Without a home directory there is no such cache.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:  # no home
        return
    jax.config.update("jax_compilation_cache_dir", str(cache / "vidprior" / "xla"))
