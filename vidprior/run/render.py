"""Renders frames with fitted parameters (Equation 1), and composites them."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from vidprior.imaging.geometry import Transform, reproject
from vidprior.model.generator import Generator
from vidprior.propagation.blending import blend, weight_for
from vidprior.propagation.source_colours import Detail, trace_frame
from vidprior.runtime import compiler_options
from vidprior.types import Array, Params, Propagated


class RenderedFrame(NamedTuple):
    """One rendered frame, on the host.

    Attributes:
      number: of the frame in the clip, from 0.
      image: [H, W, 3] uint8, generated everywhere, with propagated pixels in the hole.
      flow: [H, W, K, 2] float32 in units of the clip's flow scale, or None.
      detail: where propagated pixels come from, frames numbered as in the clip; or None.
    """

    number: int
    image: np.ndarray
    flow: np.ndarray | None
    detail: Detail | None = None


class CompositeFrame(NamedTuple):
    """A rendered frame with its input and crop, on the host.

    Attributes:
      number: of the frame in the run, from 0.
      image, flow: as in `RenderedFrame`.
      known: [H, W, 3] uint8, the input.
      hole: [H, W] bool.
      view: crop and resize from the source.
      detail: as in `RenderedFrame`, but with frames numbered as in the run.
      at_source: [h, w, 3] uint8, the final frame at source size; None until it is made.
    """

    number: int
    image: np.ndarray
    flow: np.ndarray | None
    known: np.ndarray
    hole: np.ndarray
    view: Transform
    detail: Detail | None = None
    at_source: np.ndarray | None = None

    @property
    def composed(self) -> np.ndarray:
        """[H, W, 3] uint8: the final frame at training size."""
        return composite(self.image, self.known, self.hole)

    @property
    def result(self) -> np.ndarray:
        """The final frame: at source size if that is made, else at training size."""
        return self.composed if self.at_source is None else self.at_source


def crossfade(first: CompositeFrame, second: CompositeFrame, share: float) -> CompositeFrame:
    """Crossfades a frame of two segments, in the crop of the one with the larger weight.

    Args:
      first, second: the same frame, from two segments.
      share: weight of the second, in [0, 1].
    """
    (owner, weight), (other, rest) = (first, 1 - share), (second, share)
    if rest >= weight:
        (owner, weight), (other, rest) = (other, rest), (owner, weight)
    image = reproject(owner.view, owner.image[None], other.view, other.image[None])[0]
    mixed = weight * owner.image.astype(np.float32) + rest * image.astype(np.float32)
    return owner._replace(image=np.rint(mixed).astype(np.uint8))


def window_start(frame: int, *, num_frames: int, length: int) -> int:
    """Start of the window that renders a frame: the one with the frame at its centre.

    The centre is position N // 2. Frames near either end come from the first and the last
    window.
    """
    return min(max(frame - length // 2, 0), num_frames - length)


def render(
    params_for: Callable[[int], Params],
    noise: Array,
    frames: Sequence[int],
    *,
    generator: Generator,
    length: int,
    rounding: str = "nearest",
    precision: str = "default",
) -> Iterator[RenderedFrame]:
    """Renders frames one after the other.

    Args:
      params_for: maps the first frame of a window to the generator's parameters.
      noise: [T, H, W, 1] float32, the clip's fixed input.
      frames: numbers of the frames to render.
      generator: the network.
      length: N, the window's length in training.
      rounding: to 8 bit, 'nearest' or 'down' (as the published code does).
      precision: of float32 products, as `jax.default_matmul_precision` takes it.
    """
    noise, generate = jax.device_put(noise), _generate(generator, length, precision)
    for number in frames:
        start = window_start(number, num_frames=len(noise), length=length)
        image, flow = generate(params_for(start), noise, start, number - start)
        yield RenderedFrame(
            number=number,
            image=to_bytes(np.asarray(image), rounding=rounding),
            flow=None if flow is None else np.asarray(flow),
        )


@functools.cache
def _generate(generator: Generator, length: int, precision: str) -> Callable[..., Any]:
    """Compiles the prediction of a frame, by its position in the window that begins at `start`."""

    @functools.partial(jax.jit, compiler_options=compiler_options())
    def generate(params: Params, noise: Array, start: Array, position: Array) -> Any:
        window = jax.lax.dynamic_slice_in_dim(noise, start, length)
        with jax.default_matmul_precision(precision):
            prediction = generator.apply({"params": params}, window)
        return jax.tree.map(lambda x: x[position], prediction)

    return generate


def to_bytes(image: np.ndarray, *, rounding: str = "nearest") -> np.ndarray:
    """[0, 1] float to uint8, rounded to 'nearest' or 'down'."""
    rounded = {"nearest": np.rint, "down": np.floor}[rounding](np.clip(image, 0, 1) * 255)
    return rounded.astype(np.uint8)


def composite(image: np.ndarray, known: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The final frame: known pixels from the input, hole pixels from the network.

    Args:
      image: [..., H, W, 3] uint8, generated.
      known: [..., H, W, 3] uint8, the input.
      hole: [..., H, W] bool.
    """
    return np.where(hole[..., None], image, known)


def blend_propagated(
    rendered: Iterable[RenderedFrame],
    propagated: Propagated,
    shares: np.ndarray,
    hole: np.ndarray,
    *,
    keep_guess: bool = False,
) -> Iterator[RenderedFrame]:
    """Blends propagated pixels with rendered frames in the hole.

    Args:
      rendered: rendered frames.
      propagated: of the clip.
      shares: of `blending.fit_blend_weights`.
      hole: [T, H, W] bool.
      keep_guess: show what was guessed as it is. Held-out pixels cannot judge it, since there
        is no truth for it; the network would blur it.
    """
    for frame in rendered:
        number = frame.number
        pixels, confidence = propagated.frames[number], propagated.confidence[number]
        mixed = np.rint(blend(frame.image, pixels, confidence, shares)).astype(np.uint8)
        weight = weight_for(confidence, shares)
        if keep_guess and propagated.unseen is not None:
            unseen = propagated.unseen[number]
            mixed, weight = composite(pixels, mixed, unseen), np.where(unseen, 1, weight)
        image = composite(mixed, frame.image, hole[number])
        detail = trace_frame(propagated, hole, number, weight)
        yield frame._replace(image=image, detail=detail)


def holdout_pixels(
    rendered: Iterable[RenderedFrame], propagated: Propagated, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Held-out pixels of some frames: the arguments of `blending.fit_blend_weights`.

    Args:
      rendered: rendered frames.
      propagated: of the clip.
      truth: [T, H, W, 3] uint8, the clip.

    Returns:
      Generated, propagated and true colours, [n, 3] uint8, and confidence, [n] float16.
    """
    nothing = np.zeros((0, 3), np.uint8)
    pixels = [(nothing, nothing, nothing, np.zeros(0, np.float16))]
    for number, image, *_ in rendered:
        where = propagated.held_out[number]
        pixels.append(
            (
                image[where],
                propagated.frames[number][where],
                truth[number][where],
                propagated.confidence[number][where],
            )
        )
    generated, filled, known, confidence = map(np.concatenate, zip(*pixels, strict=True))
    return generated, filled, known, confidence
