"""Compiles a program for a card on a machine without one, without a driver and CUDA's libraries.

Needs the CUDA plugin of JAX: `make gpu-check` has an environment with it. Nothing is run, so
XLA cannot try algorithms: it takes those that it would try first.
"""

import dataclasses
from unittest import mock

import jax
from _gpu_cards import Card, describe
from _gpu_programs import OPTIONS, Spec, of_networks
from jax.experimental import topologies

from vidprior import runtime
from vidprior.run import build
from vidprior.training import train_step
from vidprior.types import Window


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What XLA tells of a program.

    Attributes:
      text: the optimised program.
      state_bytes: of the state that an update changes.
      donated_bytes: of arguments whose memory results take over.
      temporaries_bytes: of memory besides, without cuDNN's own.
    """

    text: str
    state_bytes: int
    donated_bytes: int
    temporaries_bytes: int


def compile_for(card: Card, spec: Spec) -> Compiled:
    """Compiles many updates, scanned in one dispatch as in `_gpu_programs.Program`."""
    device = jax.sharding.SingleDeviceSharding(_device(card))

    def described(tree):
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), tree)

    # The package asks by this which form of an operation to take.
    with mock.patch.object(jax, "default_backend", return_value="gpu"):
        problem = spec.problem()
        config = problem.config
        step = build.train_step(config, problem.features, updates=spec.updates)
        state = build.initial_state(config, build.initial_params(config))
        step, state, window = of_networks(spec, step, state, problem.window)
        windows = Window(*(x[None].repeat(spec.updates, axis=0) for x in window))

        jitted = jax.jit(train_step.scanned(step), donate_argnums=0)
        lowered = jitted.lower(*map(described, (state, problem.clip, windows)))
        with mock.patch.object(jax, "devices", return_value=list(device.device_set)):
            options = runtime.compiler_options()
    options |= OPTIONS[spec.options] | OPTIONS["no autotuning"]
    compiled = lowered.compile(compiler_options=options)
    memory = compiled.memory_analysis()
    return Compiled(
        text=compiled.as_text(),
        state_bytes=sum(x.nbytes for x in jax.tree.leaves(state)),
        donated_bytes=memory.alias_size_in_bytes,
        temporaries_bytes=memory.temp_size_in_bytes,
    )


def _device(card: Card):
    # The plugin serves for compiling alone: JAX itself must not look for a card.
    jax.config.update("jax_platforms", "cpu")
    topology = topologies.get_topology_desc(
        platform="cuda", topology="1x1x1", target_config=describe(card)
    )
    return topology.devices[0]
