"""Good files of every kind that is read, small, for `_torture_mutations`."""

import json
import pathlib
from collections.abc import Iterator
from fractions import Fraction

import av
import cv2
import numpy as np
from _torture_mutations import Target
from PIL import Image

from vidprior import configuration
from vidprior.flow import flow_file
from vidprior.io import images, masks, video_writer
from vidprior.io.footage import open_footage
from vidprior.run import segments
from vidprior.run.clip_file import PreparedClip
from vidprior.run.workdir import Workdir
from vidprior.types import OFFSETS, Flows, Propagated

COUNT, SIZE = 6, (48, 64)


def all_targets(folder: pathlib.Path, trained: pathlib.Path | None) -> list[Target]:
    """Every kind of input.

    Args:
      folder: for the good files.
      trained: the work directory of a finished run, for its checkpoints.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = [*_videos(folder), *_images(folder), *_workdir(folder)]
    if trained is not None:
        targets.append(Target("checkpoint", trained / "checkpoints", _read_checkpoints))
    return targets


def pictures() -> np.ndarray:
    """[T, H, W, 3] uint8."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack(
        [np.stack([3 * x + t, 4 * y, x + y + 5 * t], -1) % 200 for t in range(COUNT)]
    ).astype(np.uint8)


def holes() -> np.ndarray:
    """[T, H, W] uint8, 255 where content is to go."""
    found = np.zeros((COUNT, *SIZE), np.uint8)
    found[:, 10:20, 10:30] = 255
    return found


def _videos(folder: pathlib.Path) -> Iterator[Target]:
    kinds = {
        "h264.mp4": ("libx264", "yuv420p"), "h264.ts": ("libx264", "yuv420p"),
        "h264.mkv": ("libx264", "yuv420p"), "ffv1.mkv": ("ffv1", "bgr0"),
        "mpeg4.avi": ("mpeg4", "yuv420p"), "mjpeg.mov": ("mjpeg", "yuvj420p"),
        "png.mov": ("png", "rgba"), "vp9.webm": ("libvpx-vp9", "yuva420p"),
        "prores.mov": ("prores_ks", "yuva444p10le"), "hevc.mp4": ("libx265", "yuv420p10le"),
    }  # fmt: skip
    for name, (codec, pixel_format) in kinds.items():
        path = folder / name
        options = {"auto-alt-ref": "0"} if "vpx" in codec else {}
        if codec == "libx265":
            options = {"x265-params": "log-level=none"}
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25, options=options)
            stream.height, stream.width, stream.pix_fmt = *SIZE, pixel_format
            sound = None
            if name in ("h264.mp4", "h264.mkv", "h264.ts"):
                sound = container.add_stream("aac", rate=48000, layout="mono")
            for picture, hole in zip(pictures(), holes(), strict=True):
                rgba = np.dstack([picture, hole])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba")))
            container.mux(stream.encode(None))
            if sound is not None:
                wave = np.zeros((1, 12000), np.float32)
                frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
                container.mux(sound.encode(frame))
                container.mux(sound.encode(None))
        yield Target(f"video {name}", path, _read_video)
        if name in ("vp9.webm", "png.mov", "prores.mov"):
            yield Target(f"mask {name}", path, _read_masks)


def _read_video(path: pathlib.Path) -> object:
    footage = open_footage(path)
    frames = sum(1 for _ in footage.frames())
    list(footage.notes())
    copy = path.parent / "copy.mkv"
    with footage.open_streams() as copied:
        packets = [] if copied is None else list(copied.packets)
    if copied is not None and packets:
        with footage.open_streams() as again:
            video_writer.write_video(
                copy, footage.part(0, 1).frames(), rate=Fraction(25), copied=again,
                colour=footage.colour,
            )  # fmt: skip
    return frames, len(packets)


def _read_masks(path: pathlib.Path) -> object:
    return masks.read_mask_frames(path, size=SIZE, num_frames=COUNT).shape


def _images(folder: pathlib.Path) -> Iterator[Target]:
    deep = pictures()[0].astype(np.uint16) * 257
    cv2.imwrite(str(folder / "deep.png"), deep)
    images.write_image(folder / "a.png", pictures()[0])
    Image.fromarray(holes()[0] // 255).convert("P").save(folder / "palette.png")
    first = Image.fromarray(pictures()[0])
    for suffix in (".jpg", ".bmp", ".ppm", ".webp"):
        first.save(folder / f"a{suffix}")
    rest = [Image.fromarray(picture) for picture in pictures()[1:]]
    for name in ("stack.tif", "anim.gif", "anim.png", "anim.webp"):
        options = {} if name.endswith(".tif") else {"duration": 40}
        first.save(folder / name, save_all=True, append_images=rest, **options)
    for path in sorted(folder.glob("*")):
        if path.suffix in images.SUFFIXES:
            yield Target(f"image {path.name}", path, _read_image)
    images.write_frames(folder / "masks", np.repeat(holes()[..., None], 3, -1))
    yield Target("mask folder", folder / "masks", _read_masks)


def _read_image(path: pathlib.Path) -> object:
    clip = open_footage(path)
    frames = [frame.shape for frame in clip.frames()]
    size = frames[0][:2]
    return frames, masks.read_mask_frames(path, size=size, num_frames=len(frames)).max()


def _workdir(folder: pathlib.Path) -> Iterator[Target]:
    hole = holes() > 0
    clip = PreparedClip(
        frames=pictures(), hole=hole, source_sha256=flow_file.frames_sha256(pictures()),
        rate=(25, 1), pixel_aspect=(1, 1),
        transform=json.dumps(
            {"source_size": SIZE, "top": 0, "left": 0, "height": SIZE[0], "width": SIZE[1],
             "size": SIZE}
        ),
    )  # fmt: skip
    workdir = Workdir(folder / "run")
    config = configuration.to_dict(configuration.load("flow"))
    inputs = {"video": "a.mp4", "mask": "b", "flows": None}
    workdir.open_run(config, inputs, clip)
    for number in range(30):
        workdir.append_metrics({"update": number, "loss": 0.5})
    workdir.write_noise(np.zeros((*hole.shape, 1), np.float32))
    shape = (len(OFFSETS), *hole.shape)
    exists = np.zeros(shape[:2], bool)
    for k, offset in enumerate(OFFSETS):
        for frame in range(COUNT):
            exists[k, frame] = 0 <= frame + offset < COUNT
    reliable = np.broadcast_to(exists[:, :, None, None], shape).copy()
    flow_file.save_flows(
        workdir.flows_file,
        Flows(
            np.array(OFFSETS, np.int32), np.zeros((*shape, 2), np.float16), reliable, exists,
            "test", clip.source_sha256,
        ),
    )  # fmt: skip
    workdir.write_propagated(
        Propagated(pictures(), np.zeros(hole.shape, np.float16), np.zeros(hole.shape, bool))
    )
    yield Target("clip.npz", workdir.clip_file, lambda p: Workdir(p.parent).read_clip().view)
    yield Target("config.json", workdir.config_file, _read_config)
    yield Target("metrics.jsonl", workdir.metrics_file, lambda p: Workdir(p.parent).read_metrics())
    yield Target("noise.npz", workdir.noise_file, lambda p: Workdir(p.parent).read_noise(hole))
    yield Target(
        "propagated", workdir.propagated_file, lambda p: Workdir(p.parent).read_propagated(hole)
    )
    yield Target(
        "flow file",
        workdir.flows_file,
        lambda p: flow_file.load_flows(
            p, num_frames=COUNT, size=SIZE, source_sha256=clip.source_sha256, offsets=OFFSETS
        ),
    )
    yield Target("work directory", workdir.path, _read_run)
    (folder / "split/parts").mkdir(parents=True)
    manifest = Workdir(folder / "split").parts / "parts.json"
    manifest.write_text("[[0, 30], [20, 50], [50, 90]]")
    yield Target("manifest", folder / "split", lambda p: Workdir(p).segment_ranges())


def _read_config(path: pathlib.Path) -> object:
    fields, _ = Workdir(path.parent).read_config()
    return configuration.from_stored(fields, where=path)


def _read_run(path: pathlib.Path) -> object:
    config, _, split = segments.stored_run(Workdir(path))
    return config, [segment.workdir.read_clip().view for segment in split]


def _read_checkpoints(path: pathlib.Path) -> object:
    from vidprior.training.checkpoints import Checkpoints

    saved = Checkpoints(path)
    return [saved.restore_params(step) for step in saved.steps()[-1:]]
