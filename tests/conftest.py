"""Shared by several test files: small random clips, flows and networks."""

import os
import shutil
import tempfile
from fractions import Fraction

import av
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import EVERYTHING

from vidprior import console
from vidprior.types import OFFSETS, DeviceClip, Flows

if jax.config.jax_compilation_cache_dir is None:
    # Otherwise the Python entry would keep what tests compile at home.
    jax.config.update("jax_compilation_cache_dir", "")


def pytest_configure(config):
    """What all tests and the commands that they start have in common: threads, and a cache."""
    if not EVERYTHING:
        # There are as many workers as processors; and to compile takes longer than to run.
        flags = "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=0"
        if flags not in os.environ.get("XLA_FLAGS", ""):  # workers find them there
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}"
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ.setdefault("NPROC", "1")  # XLA's threads
    hypothesis.settings.register_profile("light", max_examples=20, deadline=None)
    hypothesis.settings.register_profile("full", max_examples=100, deadline=None)
    hypothesis.settings.load_profile("full" if EVERYTHING else "light")
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # workers find it there
        folder = tempfile.mkdtemp(prefix="vidprior-compiled-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        for name, value in {
            "jax_compilation_cache_dir": folder,
            "jax_persistent_cache_min_compile_time_secs": 0,
            "jax_persistent_cache_min_entry_size_bytes": -1,
        }.items():
            os.environ[name.upper()] = str(value)
            jax.config.update(name, value)


@pytest.fixture
def log_on_stderr():
    """The package's log as the command line shows it."""
    with console.shows_log():
        yield


@pytest.fixture(scope="session")
def make_flows():
    """Builds random `Flows` of [K, T, H, W]; pairs that leave the clip do not exist."""

    def make(num_frames, size, *, offsets=OFFSETS, seed=0):
        random = np.random.default_rng(seed)
        offsets = np.array(offsets, np.int32)
        partner = np.arange(num_frames) + offsets[:, None]
        exists = (partner >= 0) & (partner < num_frames)
        shape = (*exists.shape, *size)
        flow = random.normal(0, 2, (*shape, 2)) * exists[:, :, None, None, None]
        reliable = (random.random(shape) < 0.7) & exists[:, :, None, None]
        return Flows(offsets, flow.astype(np.float16), reliable, exists, "random", "0" * 64)

    return make


@pytest.fixture(scope="session")
def make_random_clip():
    """Builds a `Clip` whose every array is drawn by itself; two layers of features."""

    def make(num_frames, size, *, seed=0):
        random = np.random.default_rng(seed)
        frames_shape, flow_shape = (num_frames, *size), (len(OFFSETS), num_frames, *size)
        half = (num_frames, size[0] // 2, size[1] // 2)
        arrays = DeviceClip(
            frames=random.integers(0, 256, (*frames_shape, 3), np.uint8),
            hole=random.random(frames_shape) < 0.2,
            noise=random.random((*frames_shape, 1), np.float32) * np.float32(0.1),
            flow=random.normal(0, 2, (*flow_shape, 2)).astype(np.float16),
            flow_known=random.random(flow_shape) < 0.6,
            flow_hole=random.random(flow_shape) < 0.4,
            flow_scale=random.uniform(1, 9, len(OFFSETS)).astype(np.float32),
            features=tuple(random.random((*s, 3), np.float32) for s in (frames_shape, half)),
            feature_hole=tuple(random.random(s) < 0.3 for s in (frames_shape, half)),
            propagated=random.integers(0, 256, (*frames_shape, 3), np.uint8),
            confidence=random.random(frames_shape).astype(np.float16),
        )
        return jax.tree.map(jnp.asarray, arrays)

    return make


@pytest.fixture(scope="session")
def random_params():
    """Draws a generator's parameters in NumPy: `Generator.init` takes seconds to compile."""

    def draw(generator, *, seed=0):
        shapes = jax.eval_shape(
            generator.init, jax.random.key(0), jnp.zeros((1, 32, 32, 1), jnp.float32)
        )["params"]
        random = np.random.default_rng(seed)

        def leaf(path, shape):
            x = random.uniform(-1, 1, shape.shape).astype(np.float32)
            if path[-1].key == "scale":
                return jnp.asarray(1 + x / 10)
            fan_in = np.prod(shape.shape[:-1]) if path[-1].key == "kernel" else 16
            return jnp.asarray(x / np.sqrt(np.float32(fan_in)))

        return jax.tree_util.tree_map_with_path(leaf, shapes)

    return draw


@pytest.fixture(scope="session")
def write_clip():
    """Writes frames to a video by PyAV alone: H.264, at given times, with tones beside them."""

    def write(
        path, frames, *, rate=Fraction(25), shown_at=None, tones=0, audio_codec="aac",
        seconds=None, pixel_aspect=None, clock=Fraction(1, 90000),
    ):  # fmt: skip
        times = shown_at or [i / rate for i in range(len(frames))]
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=rate, options={"crf": "10"})
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            if shown_at is not None:
                stream.time_base = stream.codec_context.time_base = clock
            else:
                clock = 1 / rate
            if pixel_aspect is not None:
                stream.codec_context.sample_aspect_ratio = pixel_aspect
            heard = [
                container.add_stream(audio_codec, rate=48000, layout="mono") for _ in range(tones)
            ]
            for time, frame in zip(times, frames, strict=True):
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                picture.pts, picture.time_base = int(time / clock), clock
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
            length = float(times[-1] + 1 / rate) if seconds is None else seconds
            for number, out in enumerate(heard):
                samples = np.arange(int(48000 * length))
                wave = np.sin(samples * (0.03 + 0.02 * number)).astype(np.float32)[None]
                sample_format = out.codec_context.codec.audio_formats[0].name
                resampler = av.AudioResampler(format=sample_format, layout="mono", rate=48000)
                sound = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = 48000, 0, Fraction(1, 48000)
                for part in resampler.resample(sound) if len(samples) else []:
                    container.mux(out.encode(part))
                container.mux(out.encode(None))
        return path

    return write


@pytest.fixture(scope="session")
def heard():
    """Reads the audio of a file: for each stream [(seconds, bytes of the packet), ...]."""

    def read(path):
        with av.open(str(path)) as container:
            streams = {stream.index: [] for stream in container.streams.audio}
            if streams:
                for packet in container.demux(audio=tuple(range(len(streams)))):
                    if packet.size:
                        time = packet.pts * packet.time_base
                        streams[packet.stream.index].append((time, bytes(packet)))
            return list(streams.values())

    return read
