"""The published networks at the formula's weights: output, loss and every gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parity import goldens, gradients, rounding
from vidprior.runtime import compiler_options


@pytest.mark.slow
@pytest.mark.parametrize("network", ["generator2d_image", "generator2d_flow", "generator3d_image"])
def test_generator(network, compare):
    golden = goldens.load(f"{network}.npz")
    generator, params = goldens.generator(network)
    noise = golden["noise"].transpose(0, 2, 3, 1)

    # The golden's channels: blue, green, red, then x and y of every flow.
    output_shape = (len(noise), len(golden["output_mean"]), *noise.shape[1:3])
    target = np.random.default_rng(int(golden["target_seed"])).random(output_shape)
    target = target.astype(np.float32)

    def objective(params):
        prediction = generator.apply({"params": params}, noise)
        parts = [prediction.image[..., ::-1]]
        if generator.predict_flow:
            parts.append(prediction.flow.reshape(*noise.shape[:3], -1))
        output = jnp.moveaxis(jnp.concatenate(parts, axis=-1), -1, 1)
        return jnp.mean(jnp.square(output - target)), output

    value_and_gradient = jax.jit(
        jax.value_and_grad(objective, has_aux=True), compiler_options=compiler_options()
    )
    (loss, output), gradient = value_and_gradient(params)
    output, step = np.asarray(output, np.float64), goldens.GENERATOR_STEP
    compare(f"{network}: output", output[:, :, ::step, ::step], golden["output_sub"], 2e-4)
    compare(f"{network}: mean", output.mean(axis=(0, 2, 3)), golden["output_mean"], 2e-4)
    compare(f"{network}: deviation", output.std(axis=(0, 2, 3)), golden["output_std"], 2e-4)
    compare(f"{network}: loss", loss, golden["loss"], 1e-5 * golden["loss"])

    expected = dict(zip(golden["grad_names"].tolist(), golden["grad_norm"], strict=True))

    def copies():
        return [value_and_gradient(copy)[1] for copy in rounding.copies(params)]

    gradients.compare_norms(network, compare, generator, gradient, expected, copies)
