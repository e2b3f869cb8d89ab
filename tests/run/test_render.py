"""Which window a frame comes from, and the bytes it becomes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidprior.imaging.geometry import Transform
from vidprior.model.generator import Generator
from vidprior.run import render
from vidprior.run.render import CompositeFrame, crossfade
from vidprior.types import Prediction, Propagated


@pytest.mark.parametrize(
    ("length", "starts"),
    [
        # N = 5: frames 0, 1 from the first window, the centre is position 2, 7 and 8 from the last.
        (5, [0, 0, 0, 1, 2, 3, 4, 4, 4]),
        # N = 4: the centre is position 2; one frame, 8, is left to the last window's end.
        (4, [0, 0, 0, 1, 2, 3, 4, 5, 5]),
        (1, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (9, [0] * 9),
    ],
)
def test_window_of_every_frame(length, starts):
    assert starts == [render.window_start(frame, num_frames=9, length=length) for frame in range(9)]


class Telltale:
    """A generator whose output says which frames it was given, and which of them it shows."""

    def apply(self, variables, noise):
        position = jnp.arange(len(noise), dtype=jnp.float32)[:, None, None, None]
        image = jnp.concatenate([noise, noise[:1] + 0 * noise, position / 10 + 0 * noise], axis=-1)
        flow = variables["params"]["factor"] * noise[..., None] * jnp.ones((6, 2))
        return Prediction(image=image, flow=flow)


def factor_of(start):
    """Parameters for the window that starts at a frame, told apart by a number."""
    return {"factor": 7.0 + start}


def test_a_frame_is_taken_from_the_middle_of_its_window():
    noise = np.broadcast_to(np.arange(9, dtype=np.float32).reshape(9, 1, 1, 1) / 20, (9, 2, 3, 1))
    rendered = list(
        render.render(factor_of, noise, [0, 1, 4, 8, 4], generator=Telltale(), length=5)
    )
    assert [frame.number for frame in rendered] == [0, 1, 4, 8, 4]
    for frame, (start, position) in zip(
        rendered, [(0, 0), (0, 1), (2, 2), (4, 4), (2, 2)], strict=True
    ):
        number = frame.number
        colour = np.rint(255 * np.array([number / 20, start / 20, position / 10]))
        assert frame.image.dtype == np.uint8
        assert np.array_equal(frame.image, np.broadcast_to(colour, (2, 3, 3)))
        assert frame.flow.shape == (2, 3, 6, 2)
        # By the parameters for this very window.
        assert np.allclose(frame.flow, (7 + start) * number / 20)


@pytest.mark.parametrize("precision", ["default", "highest"])
def test_frames_are_multiplied_as_precisely_as_asked(precision):
    seen = []

    class Watched(Telltale):
        def apply(self, variables, noise):
            seen.append(jax.config.jax_default_matmul_precision)
            return super().apply(variables, noise)

    noise = np.zeros((3, 2, 3, 1), np.float32)
    list(render.render(factor_of, noise, [1], generator=Watched(), length=1, precision=precision))
    assert seen == [precision]


def test_rendering_is_applying_the_generator(random_params):
    random = np.random.default_rng(0)
    noise = random.random((7, 6, 9, 1), np.float32) * np.float32(0.1)
    generator = Generator(channels=(4,), skip_channels=2)
    params = random_params(generator)
    apply = jax.jit(generator.apply)
    rendered = render.render(lambda _: params, noise, range(7), generator=generator, length=3)
    for frame in rendered:
        start = min(max(frame.number - 1, 0), 4)
        expected = apply({"params": params}, noise[start : start + 3])
        position = frame.number - start
        exact = np.asarray(expected.image[position]) * 255
        # Rounded: no more than half a step away, where cutting off would be up to one.
        assert np.abs(frame.image - exact).max() <= 0.5 + 1e-3
        assert np.allclose(frame.flow, expected.flow[position], atol=1e-5)


def test_without_a_flow_head_there_is_no_flow():
    class Plain(Telltale):
        def apply(self, variables, noise):
            return super().apply(variables, noise)._replace(flow=None)

    rendered = render.render(
        factor_of, np.zeros((3, 2, 2, 1), np.float32), [1], generator=Plain(), length=3
    )
    assert next(rendered).flow is None


def test_frames_come_one_at_a_time():
    rendered = render.render(
        factor_of, np.zeros((3, 2, 2, 1), np.float32), iter([2, 0]),
        generator=Telltale(), length=3,
    )  # fmt: skip
    assert next(rendered).number == 2
    assert [frame.number for frame in rendered] == [0]


def test_bytes_are_rounded_not_cut():
    image = np.array([0, 0.4, 0.6, 1.4, 1.6, 254.4, 254.6, 255]) / 255
    assert render.to_bytes(image).tolist() == [0, 0, 1, 1, 2, 254, 255, 255]
    assert render.to_bytes(np.array([-0.2, 1.3])).tolist() == [0, 255]


def test_bytes_are_cut_as_by_the_published_code_on_demand():
    image = np.array([0, 0.6, 1.4, 1.6, 254.6, 255]) / 255
    assert render.to_bytes(image, rounding="down").tolist() == [0, 0, 1, 1, 254, 255]
    noise = np.full((1, 2, 2, 1), 1.6 / 255, np.float32)
    for rounding, colour in (("nearest", 2), ("down", 1)):
        (frame,) = render.render(
            factor_of, noise, [0], generator=Telltale(), length=1, rounding=rounding
        )
        assert (frame.image[..., 0] == colour).all()


def test_every_byte_survives_the_way_through_float():
    every = np.arange(256, dtype=np.uint8)
    result = render.to_bytes(every.astype(np.float32) / np.float32(255))
    assert np.array_equal(result, every)
    assert result.dtype == np.uint8


def test_composite_takes_the_hole_from_the_network():
    image, known = np.random.default_rng(0).integers(0, 256, (2, 4, 3, 5, 3), np.uint8)
    hole = np.random.default_rng(1).random((4, 3, 5)) < 0.4
    result = render.composite(image, known, hole)
    assert result.dtype == np.uint8
    assert np.array_equal(result[hole], image[hole])
    assert np.array_equal(result[~hole], known[~hole])
    assert np.array_equal(render.composite(image[2], known[2], hole[2]), result[2])


def propagated_clip():
    """Three frames of 2x2: propagated colours 100, 101, 102; one pixel each of a hole, trusted."""
    filled = np.stack([np.full((2, 2, 3), 100 + n, np.uint8) for n in range(3)])
    confidence = np.zeros((3, 2, 2), np.float16)
    confidence[:, 0, 0] = 1
    held_out = np.zeros((3, 2, 2), bool)
    held_out[:, 0, 1] = held_out[2, 1, 1] = True
    return Propagated(filled, confidence, held_out)


def shown(*numbers):
    return [render.RenderedFrame(n, np.full((2, 2, 3), 10 * n, np.uint8), None) for n in numbers]


def test_propagated_pixels_are_blended_by_their_weight():
    """Half of what is trusted: (10 n + 100 + n) / 2, to even; nothing outside the hole."""
    shares = np.float32([1, 0, 0, 0, 0, 0, 0.5])
    hole = np.zeros((3, 2, 2), bool)
    hole[:, 0, 0] = True
    for frame in render.blend_propagated(shown(1, 2), propagated_clip(), shares, hole):
        number = frame.number
        assert (frame.image[0, 0] == np.rint((11 * number + 100) / 2)).all()
        assert (frame.image[1] == 10 * number).all()
        assert (frame.image[0, 1] == 10 * number).all()
        assert frame.image.dtype == np.uint8


def test_a_guess_is_shown_as_it_is_where_that_is_asked_for():
    """All weights are 0: the network alone is shown, but for the guess."""
    hole = np.ones((3, 2, 2), bool)
    unseen = np.zeros_like(hole)
    unseen[:, 0, 0] = True
    propagated = propagated_clip()._replace(unseen=unseen)
    for keep, expected in ((False, 20), (True, 102)):
        (frame,) = render.blend_propagated(
            shown(2), propagated, np.zeros(7, np.float32), hole, keep_guess=keep
        )
        assert (frame.image[0, 0] == expected).all()
        assert (frame.image[1] == 20).all()


def test_held_out_pixels_are_gathered_from_the_frames_shown():
    propagated = propagated_clip()
    propagated.confidence[2, 1, 1] = 0.25
    truth = np.full((3, 2, 2, 3), 7, np.uint8)
    generated, filled, known, confidence = render.holdout_pixels(shown(0, 2), propagated, truth)
    assert generated[:, 0].tolist() == [0, 20, 20]
    assert filled[:, 0].tolist() == [100, 102, 102]
    assert (known == 7).all()
    assert confidence.tolist() == [0, 0, 0.25]
    assert [x.shape for x in render.holdout_pixels([], propagated, truth)] == [(0, 3)] * 3 + [(0,)]


# One frame of two parts


def part_shown(level, *, left=0):
    """A flat picture of a source of 4x10, from a column on."""
    view = Transform((4, 10), 0, left, 4, 6, (4, 6))
    image = np.full((4, 6, 3), level, np.uint8)
    hole = np.ones((4, 6), bool)
    return CompositeFrame(7, image, None, np.full((4, 6, 3), left, np.uint8), hole, view)


@pytest.mark.parametrize(
    ("share", "value", "owner"),
    # 100 + share (200 - 100)
    [(0.0, 100, "first"), (0.25, 125, "first"), (0.5, 150, "second"), (0.75, 175, "second")],
)
def test_two_parts_of_a_frame_are_mixed_by_their_shares(share, value, owner):
    first, second = part_shown(100), part_shown(200)
    joined = crossfade(first, second, share)
    assert (joined.image == value).all()
    assert joined.known is (first if owner == "first" else second).known


def test_parts_that_are_seen_otherwise_are_mixed_in_the_view_of_the_larger_share():
    """Columns 0..5 and 2..7: what the first sees of the second begins in its column 2."""
    joined = crossfade(part_shown(100), part_shown(200, left=2), 0.25)
    assert joined.view.left == 0
    assert (joined.image[:, 2:] == 125).all()
    assert (joined.image[:, :2] == 100).all()  # which the second does not see
    joined = crossfade(part_shown(100), part_shown(200, left=2), 0.75)
    assert joined.view.left == 2
    assert (joined.image[:, :4] == 175).all()


def test_a_frame_is_composed_and_later_finished():
    frame = part_shown(100)._replace(
        hole=np.eye(4, 6, dtype=bool), known=np.zeros((4, 6, 3), np.uint8)
    )
    assert np.array_equal(frame.composed[..., 0], 100 * np.eye(4, 6, dtype=np.uint8))
    assert np.array_equal(frame.result, frame.composed)
    finished = np.ones((4, 10, 3), np.uint8)
    assert frame._replace(at_source=finished).result is finished
