"""How XLA is told to compile updates."""

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
