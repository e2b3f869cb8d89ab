"""Propagated pixels at the size of the source, against the truth of a pan."""

import cv2
import numpy as np
import pytest

from vidprior.imaging import geometry
from vidprior.propagation.source_colours import Detail, add_detail, coherence, trace_frame
from vidprior.types import Origins, Propagated

SOURCE, SIZE = (120, 200), (60, 100)
VIEW = geometry.centre_crop(SOURCE, SIZE)
PAN = 24  # pixels of the source, from the frame to the other: 12 of the trained picture


def wide(seed=0):
    """A picture with fine detail, as wide as both frames."""
    random = np.random.default_rng(seed)
    noise = random.integers(0, 256, (SOURCE[0], SOURCE[1] + PAN, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1.0)


def pair():
    """The frame, and the other one, where everything stands 24 columns further left."""
    picture = wide()
    return picture[:, : SOURCE[1]].copy(), picture[:, PAN:].copy()


def block(rows=(40, 80), columns=(80, 130)):
    hole = np.zeros(SOURCE, bool)
    hole[slice(*rows), slice(*columns)] = True
    return hole


def detail(hole, *, share=1.0, number=1):
    small = geometry.crop_and_resize_masks(VIEW, 255 * hole[None].astype(np.uint8))[0]
    row, column = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    place = np.stack([column - PAN / 2, row], axis=-1)[:, :, None]
    frame = np.where(small, number, -1)[..., None].astype(np.int32)
    weight = small[..., None].astype(np.float32)
    return Detail(frame, place, weight, np.full(SIZE, share, np.float32))


def filled(frame, hole, detail, lookup):
    """The picture of the trained size is right; what is enlarged of it is soft."""
    image = geometry.crop_and_resize(VIEW, frame[None])[0]
    damaged = np.where(hole[..., None], 0, frame).astype(np.uint8)
    generated = geometry.paste_back(VIEW, image[None], damaged[None])[0]
    made = add_detail(generated, image, damaged, hole, detail, view=VIEW, lookup=lookup)
    return made, generated


def deviation(made, truth, hole):
    return np.abs(made[hole].astype(float) - truth[hole]).mean()


def test_the_hole_gets_the_detail_of_the_source():
    frame, other = pair()
    hole = block()
    made, soft = filled(frame, hole, detail(hole), lambda _: (other, np.zeros(SOURCE, bool)))
    inner = block((46, 74), (86, 124))
    assert deviation(made, frame, inner) < 1
    assert deviation(soft, frame, inner) > 5
    np.testing.assert_array_equal(made[~hole], frame[~hole])


@pytest.mark.parametrize("light", [-25, 25])
def test_colours_are_on_average_those_of_the_trained_picture(light):
    frame, other = pair()
    hole = block()
    brighter = np.uint8(np.clip(0.7 * other + 40 + light, 0, 255))
    truth = np.uint8(np.clip(0.7 * frame + 40, 0, 255))
    made, _ = filled(truth, hole, detail(hole), lambda _: (brighter, np.zeros(SOURCE, bool)))
    assert deviation(made, truth, block((46, 74), (86, 124))) < 2


def striped():
    """Grey frames; the other one has noise from its column 60 to 130."""
    frame, other = np.full((*SOURCE, 3), 90, np.uint8), np.full((*SOURCE, 3), 90, np.uint8)
    other[:, 60:130] = np.random.default_rng(0).integers(0, 180, (SOURCE[0], 70, 3))
    return frame, other


def test_between_two_places_of_a_frame_nothing_is_sampled():
    """The left half comes from the grey left, the right one from the grey right."""
    frame, other = striped()
    hole = block()
    both = detail(hole)
    both.place[:, :52, 0, 0] -= 20  # columns 40 to 51 from 8 to 19
    both.place[:, 52:, 0, 0] += 40  # columns 52 to 64 from 80 to 92
    made, _ = filled(frame, hole, both, lambda _: (other, np.zeros(SOURCE, bool)))
    np.testing.assert_allclose(made[hole], 90, atol=3)


def test_two_origins_in_one_frame_are_not_averaged_to_a_third_place():
    frame, other = striped()
    hole = block()
    one = detail(hole)
    place = np.repeat(one.place, 2, axis=2)
    place[..., 0, 0] -= 26  # columns 40 to 64 from 2 to 26
    place[..., 1, 0] += 40  # from 68 to 92
    frames, weights = np.repeat(one.frame, 2, axis=2), np.repeat(one.weight, 2, axis=2)
    two = one._replace(frame=frames, place=place, weight=weights * np.float32([0.6, 0.4]))
    made, _ = filled(frame, hole, two, lambda _: (other, np.zeros(SOURCE, bool)))
    np.testing.assert_allclose(made[hole], 90, atol=3)


def test_what_cannot_be_sampled_stays_soft():
    """Out of reach, hidden in the other frame too, without an origin, or not wanted."""
    frame, other = pair()
    hole, nowhere = block(), np.zeros(SOURCE, bool)
    inner = block((54, 66), (94, 116))  # beyond the reach of the seam
    for made, soft in (
        filled(frame, hole, detail(hole), lambda _: None),
        filled(frame, hole, detail(hole), lambda _: (other, ~nowhere)),
        filled(frame, hole, detail(hole, share=0.0), lambda _: (other, nowhere)),
        filled(frame, hole, detail(hole, number=-1), lambda _: (other, nowhere)),
    ):
        assert np.abs(made[inner].astype(int) - soft[inner]).max() <= 3


def test_half_the_weight_shows_half_the_detail():
    frame, other = pair()
    hole, nowhere = block(), np.zeros(SOURCE, bool)
    inner = block((54, 66), (94, 116))
    full, soft = filled(frame, hole, detail(hole), lambda _: (other, nowhere))
    half, _ = filled(frame, hole, detail(hole, share=0.5), lambda _: (other, nowhere))
    wanted = (full[inner].astype(float) + soft[inner]) / 2
    assert np.abs(half[inner] - wanted).max() <= 3


def test_the_seam_matches_known_pixels_and_fades():
    """Content that is 30 too bright is right at the border, and unchanged far inside."""
    truth = np.full((*SOURCE, 3), 100, np.uint8)
    hole = block((20, 100), (40, 160))
    bright, nowhere = np.full_like(truth, 130), np.zeros(SOURCE, bool)
    generated = np.where(hole[..., None], bright, truth)
    image = geometry.crop_and_resize(VIEW, generated[None])[0]
    made = add_detail(
        generated,
        image,
        truth,
        hole,
        detail(hole),
        view=VIEW,
        lookup=lambda _: (bright, nowhere),
    )
    row = made[60, 40:60, 0].astype(float)
    assert abs(row[0] - 100) < 10
    assert (np.diff(row) >= 0).all()
    assert row[-1] > 128
    assert (made[60, 95:105] == 130).all()


def test_a_frame_is_traced_by_its_own_rows():
    """Origins stand one after the other, in the order of the hole's pixels."""
    hole = np.zeros((3, 4, 5), bool)
    hole[0, 1, 1:4] = hole[2, 2, 2:4] = True
    origins = Origins(
        np.arange(5, dtype=np.int32)[:, None],
        np.arange(10, dtype=np.float32).reshape(5, 1, 2),
        np.linspace(0.1, 0.5, 5, dtype=np.float32)[:, None],
    )
    frames = np.zeros((3, 4, 5, 3), np.uint8)
    confidence = np.where(hole, 0.5, 0).astype(np.float16)
    propagated = Propagated(frames, confidence, np.zeros_like(hole), origins)
    found = trace_frame(propagated, hole, 2, np.ones((4, 5)))
    assert found.frame[2, 2:4, 0].tolist() == [3, 4]
    assert found.place[2, 2:4, 0].tolist() == [[6, 7], [8, 9]]
    assert (found.frame >= 0).sum() == 2
    assert trace_frame(propagated._replace(origins=None), hole, 2, np.ones((4, 5))) is None


def row_of_origins(frames, columns, weights=None):
    """A hole of one row, from column 1 on, and the origins of its pixels."""
    frame = np.array(frames, np.int32)
    place = np.zeros((*frame.shape, 2), np.float32)
    place[..., 0] = columns
    weight = np.ones(frame.shape) if weights is None else np.array(weights)
    hole = np.zeros((3, len(frame) + 2), bool)
    hole[1, 1:-1] = True
    return Origins(frame, place, weight.astype(np.float32)), hole


def test_coherence_by_hand():
    """Pixels 1 to 5: 1 and 2 from one place, 3 and 4 by half, 5 from another frame."""
    frames = [[7, -1], [7, -1], [7, 8], [7, 8], [9, -1]]
    columns = [[11, 0], [12.5, 0], [30, 33], [20, 34], [15, 0]]
    weights = [[2, 0], [2, 0], [3, 1], [3, 1], [4, 0]]
    found = coherence(*row_of_origins(frames, columns, weights))
    assert found[1, 1:6].tolist() == [1, 0.5, 0.125, 0.125, 0]
    assert (np.delete(found, 1, axis=0) == 1).all()


def test_a_pixel_alone_is_coherent():
    assert coherence(*row_of_origins([[3]], [[20]])).min() == 1


@pytest.mark.parametrize(("chaos", "shown"), [(0.0, 1.0), (20.0, 0.0)])
def test_detail_is_shown_where_neighbours_come_from_one_place(chaos, shown):
    random = np.random.default_rng(0)
    hole = np.zeros((1, 30, 40), bool)
    hole[0, 5:25, 5:35] = True
    y, x = np.nonzero(hole[0])
    place = np.stack([x + 9, y], axis=-1)[:, None] + chaos * random.random((len(y), 1, 2))
    origins = Origins(
        np.zeros((len(y), 1), np.int32), place.astype(np.float32), np.ones((len(y), 1), np.float32)
    )
    nothing = np.zeros(hole.shape, np.float16)
    propagated = Propagated(np.zeros((*hole.shape, 3), np.uint8), nothing, hole & False, origins)
    found = trace_frame(propagated, hole, 0, np.ones(hole.shape[1:]))
    np.testing.assert_allclose(found.share[hole[0]], shown, atol=0.01)
