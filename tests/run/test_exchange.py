"""Networks in the published layout, in and out of a work directory."""

import jax
import numpy as np
import pytest

from vidprior import configuration
from vidprior.errors import InputError
from vidprior.io.npz import save_npz
from vidprior.model.published import to_published
from vidprior.run import build, exchange
from vidprior.run.clip_file import PreparedClip
from vidprior.run.workdir import Workdir
from vidprior.training.checkpoints import Checkpoints

COUNT, HEIGHT, WIDTH = 3, 10, 12


@pytest.fixture
def config():
    config = configuration.load("flow")
    config.model.channels = (4,)
    return config


@pytest.fixture
def clip():
    random = np.random.default_rng(0)
    return PreparedClip(
        frames=random.integers(0, 256, (COUNT, HEIGHT, WIDTH, 3), np.uint8),
        hole=random.random((COUNT, HEIGHT, WIDTH)) < 0.3,
        source_sha256="ab" * 32,
        rate=(25, 1),
        pixel_aspect=(1, 1),
        transform="{}",
    )


@pytest.fixture
def arrays(config):
    """What a converted file holds: parameters under their published names, and noise."""
    random = np.random.default_rng(1)
    params = jax.tree.map(
        lambda x: random.standard_normal(x.shape).astype(np.float32), build.initial_params(config)
    )
    noise = random.random((COUNT, 1, HEIGHT, WIDTH), np.float32)
    return {**to_published(params, conv_ndim=2), "noise": noise}


@pytest.fixture
def workdir(tmp_path, config, clip):
    made = Workdir(tmp_path / "run")
    made.open_run(configuration.to_dict(config), {}, clip)
    return made


def test_in_and_out_again(tmp_path, workdir, config, clip, arrays):
    save_npz(tmp_path / "net.npz", **arrays)
    published = exchange.read_published(tmp_path / "net.npz", clip, config=config)
    np.testing.assert_array_equal(published.noise[..., 0], arrays["noise"][:, 0])
    exchange.import_published(published, workdir, config=config)
    np.testing.assert_array_equal(build.noise(config, workdir, clip.hole), published.noise)
    assert Checkpoints(workdir.checkpoints).steps() == [0]
    step = exchange.export_published(tmp_path / "again.npz", workdir, clip, config=config)
    assert step == 0
    with np.load(tmp_path / "again.npz", allow_pickle=False) as again:
        assert set(again) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(again[name], array, err_msg=name)
            assert again[name].dtype == np.float32


def test_without_a_kept_input_the_seed_gives_it(tmp_path, workdir, config, clip):
    drawn = build.noise(config, workdir, clip.hole)
    assert drawn.shape == (COUNT, HEIGHT, WIDTH, 1)
    assert 0.04 < drawn.mean() < 0.06
    workdir.write_noise(drawn + 1)
    np.testing.assert_array_equal(build.noise(config, workdir, clip.hole), drawn + 1)
    with pytest.raises(InputError, match=r"the clip needs \(2, 10, 12, 1\)"):
        build.noise(config, workdir, clip.hole[:2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": np.zeros((2, 1, HEIGHT, WIDTH))}, r"noise has shape .*\(3, 1, 10, 12\)"),
        ({"4.bias": np.zeros(5)}, r"4.bias has shape \(5,\).* \(4,\)"),
        ({"4.bias": np.zeros((4, 1))}, "expected 1 dimensions"),
        ({"4.bias": np.zeros(4, np.int32)}, "4.bias has dtype int32"),
        ({"4.bias": None}, "4.bias is missing"),
        ({"noise": None}, "noise is missing"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, config, clip, arrays, change, message):
    changed = {name: x for name, x in (arrays | change).items() if x is not None}
    save_npz(tmp_path / "net.npz", **changed)
    with pytest.raises(InputError, match=message):
        exchange.read_published(tmp_path / "net.npz", clip, config=config)


def test_nothing_to_export(tmp_path, workdir, config, clip):
    with pytest.raises(InputError, match="no checkpoint:"):
        exchange.export_published(tmp_path / "net.npz", workdir, clip, config=config)
    config.schedule.reset_per_window = True
    with pytest.raises(InputError, match="no single network"):
        exchange.export_published(tmp_path / "net.npz", workdir, clip, config=config)
