"""How XLA is told to compile updates."""

import jax

CompilerOptions = dict[str, str | bool]


def compiler_options() -> CompilerOptions:
    """Options for `jax.jit` on the default device.

    On a CPU XLA hands convolutions to a library that takes half as long again as its own
    routine: only matrix products are left to it.
    """
    if jax.default_backend() != "cpu":
        return {}
    return {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"}
