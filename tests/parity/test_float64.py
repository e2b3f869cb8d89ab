"""The same mathematics in float64, where rounding hides nothing: against PyTorch.

`tools/torch_update.py` is the method once more, in another framework and sharing no code.
Strict tolerances hold here for the windows of the goldens, at their weights, cut out around
their hole; what is left between these numbers and the goldens is float32 (see `rounding`).
"""

import pathlib
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from parity import goldens
from parity.test_updates import TERMS, find, setting  # noqa: F401  (a fixture)
from vidprior import configuration
from vidprior.model import vgg
from vidprior.model.generator import smallest_side
from vidprior.training import windows
from vidprior.training.train_step import predicted_losses

ROOT = pathlib.Path(__file__).parents[2]
PYTHON = ROOT / ".venv-pwcnet/bin/python"

# Relative tolerances. Along the trajectory even float64 grows its differences a hundredfold
# with every update, from 1e-15 before the first to 1e-5 after the fourth.
LOSS = 1e-9
GRADIENT = 1e-7
TRAJECTORY = 1e-5
UPDATES = 3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="needs `make pwcnet-env`"),
]


@pytest.fixture(scope="module")
def double(setting):  # noqa: F811
    """The objective in float64, compiled once, and the window's data by the golden's name."""
    config = configuration.load("flow")
    generator = setting.generator.clone(dtype=jnp.float64)
    vgg_params = vgg.make_params(goldens.vgg_arrays(), flip_channels=True)

    def features(image):
        return vgg.Vgg16(dtype=jnp.float64).apply({"params": wide(vgg_params)}, image)

    @jax.jit
    def gradient(params, batch):
        def objective(params):
            terms = predicted_losses(
                generator.apply({"params": params}, batch.noise),
                batch,
                weights=config.loss,
                features=features,
            )
            total = sum(config.loss[name] * term for name, term in terms.items())
            return total, {**terms, "total": total}

        return jax.grad(objective, has_aux=True)(params)

    side = smallest_side(len(setting.generator.channels)) // 8 * 8 + 8

    def batch(*window):
        gathered = windows.gather(setting.clip, find(setting.windows, *window))
        middle = np.argwhere(gathered.hole[0, ..., 0]).mean(axis=0)
        height, width = gathered.hole.shape[1:3]
        top, left = (
            int(np.clip(at - side / 2, 0, max(full - side, 0)))
            for at, full in zip(middle, (height, width), strict=True)
        )

        def cut(x):
            return x[:, top : top + side, left : left + side] if np.ndim(x) == 4 else x

        # The targets' features are computed anew, in float64.
        data = gathered._replace(features=None, feature_hole=None)
        data = jax.tree.map(cut, data)
        holes = vgg.feature_holes(data.hole[..., 0] > 0)
        return data._replace(feature_hole=tuple(x[..., None] * np.float32(1) for x in holes))

    return gradient, batch, config, vgg_params


def wide(tree):
    """The same numbers in float64."""
    return jax.tree.map(
        lambda x: jnp.asarray(x, jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree
    )


def flat(tree):
    """Path to array."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {"/".join(str(key.key) for key in path): np.asarray(leaf) for path, leaf in leaves}


def in_pytorch(folder, params, vgg_params, batch, weights, *, updates):
    """What `tools/torch_update.py fit` finds, in float64."""
    fields = {f"batch/{name}": x for name, x in batch._asdict().items() if x is not None}
    holes = fields.pop("batch/feature_hole")
    fields |= {f"batch/feature_hole/{k}": hole for k, hole in enumerate(holes)}
    np.savez(
        folder / "update.npz",
        **{f"params/{name}": x for name, x in flat(params).items()},
        **{f"vgg/{name}": x for name, x in flat(vgg_params).items()},
        **{name: np.asarray(x) for name, x in fields.items()},
        **{f"weights/{name}": np.float64(weight) for name, weight in weights.items()},
    )
    command = [PYTHON, ROOT / "tools/torch_update.py", "fit", folder / "update.npz"]
    options = [folder / "found.npz", f"--updates={updates}", "--dtype=float64"]
    subprocess.run([*command, *options], check=True, timeout=600)
    with np.load(folder / "found.npz", allow_pickle=False) as file:
        return dict(file)


def test_losses_and_gradients(setting, double, compare, tmp_path):  # noqa: F811
    gradient, batch, config, vgg_params = double
    params = setting.start.params
    for golden in goldens.load("losses.json")["batches"]:
        window = golden["start"], golden["stride"], golden["flow"]
        data = batch(*window)
        expected = in_pytorch(tmp_path, params, vgg_params, data, config.loss, updates=0)
        with jax.enable_x64(True):
            grads, terms = gradient(wide(params), wide(data))
            found = flat(grads)
        title = f"float64 against PyTorch, window {golden['start']} {golden['flow']}"
        for name in (*TERMS.values(), "total"):
            wanted = expected[f"losses/{name}"][0]
            compare(f"{title}: {name}", terms[name], wanted, LOSS * abs(wanted))
        total = np.sqrt(sum(np.sum(np.square(x)) for x in found.values()))
        distance = [np.linalg.norm(x - expected[f"gradient/{name}"]) for name, x in found.items()]
        compare(f"{title}: gradients", distance, np.zeros(len(distance)), GRADIENT * total)


def test_updates_in_a_row(setting, double, compare, tmp_path):  # noqa: F811
    gradient, batch, config, vgg_params = double
    params = setting.start.params
    window = goldens.load("losses.json")["adam_trajectory"]["batch"]
    data = batch(*window)
    expected = in_pytorch(tmp_path, params, vgg_params, data, config.loss, updates=UPDATES)
    with jax.enable_x64(True):
        params, data = wide(params), wide(data)
        fields = config.optimizer
        optimizer = optax.adam(fields.learning_rate, b1=fields.b1, b2=fields.b2, eps=fields.eps)
        state = optimizer.init(params)
        for step in range(UPDATES + 1):
            grads, terms = gradient(params, data)
            for name in TERMS.values():
                wanted = expected[f"losses/{name}"][step]
                title = f"float64 against PyTorch, after {step} updates: {name}"
                compare(title, terms[name], wanted, TRAJECTORY * abs(wanted))
            changes, state = optimizer.update(grads, state)
            params = optax.apply_updates(params, changes)
