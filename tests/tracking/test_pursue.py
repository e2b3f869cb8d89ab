"""Following a mask frame by frame, where the shape as one piece has to help."""

import cv2
import numpy as np

from vidprior.tracking.alignment import Alignment, Shift
from vidprior.tracking.appearance import Appearance, histogram
from vidprior.tracking.evidence import gather
from vidprior.tracking.pursue import _propagated, pursue

T, H, W = 12, 90, 140


def test_the_shape_as_one_piece_stays_once_it_has_replaced_a_shrunk_mask():
    """The lower part of the object flickers in the colours of the ground, and is lost bit by bit.

    Without the rule every frame after the one that is replaced shrinks again, to 0.87 and 0.84.
    """
    count = 18
    random = np.random.default_rng(0)

    def texture(low, high):
        return cv2.GaussianBlur(random.integers(low, high, (H, W, 3), np.uint8), (0, 0), 1.5)

    ground, body = texture(90, 150), texture(150, 256)
    frames, truth = np.stack([ground] * count), np.zeros((count, H, W), bool)
    motion = np.stack([np.eye(2, 3)] * count)
    for t in range(count):
        columns = slice(30 + 2 * t, 80 + 2 * t)
        frames[t, 20:45, columns] = np.roll(body, 2 * t, axis=1)[20:45, columns]
        frames[t, 45:55, columns] = texture(90, 150)[45:55, columns]
        truth[t, 20:55, columns], motion[t, 0, 2] = True, 2 * t
    alignment = Alignment(frames)
    evidence = gather(frames, alignment, truth[0], range(count))
    evidence = evidence._replace(
        matches=0 * evidence.matches, motion=motion[1:], known=np.ones(count - 1, bool)
    )
    masks = pursue(frames, alignment, truth[0], range(count), evidence).soft > 0.5
    overlaps = (masks & truth).sum(axis=(1, 2)) / (masks | truth).sum(axis=(1, 2))
    shrunk = int(np.argmin(overlaps))
    assert overlaps[shrunk] < 0.92
    assert shrunk < count - 3
    assert overlaps[shrunk + 1 :].min() > 0.97


def test_what_is_disoccluded_is_not_propagated():
    # Columns 10 to 19 move on by 6; the flow back from columns 10 to 15 does not know it.
    places = np.stack(np.meshgrid(*[np.arange(40, dtype=np.float32)] * 2), axis=-1)
    back, forth = places.copy(), places.copy()
    back[:, 16:26, 0] -= 6
    forth[:, 10:20, 0] += 6
    soft = np.zeros((40, 40), np.float32)
    soft[5:35, 10:20] = 1
    still = np.zeros((40, 40), np.float32)
    lab = np.full((40, 40, 3), 40, np.uint8)
    lab[:, 16:26] = 200
    ours = lab[..., 0] == 200
    seen = Appearance(histogram(lab, ours), histogram(lab, ~ours))
    shifts = Shift(back, still), Shift(forth, still)
    found = np.zeros((40, 40), bool)
    found[5:35, 16:26] = True
    assert np.array_equal(_propagated(soft, *shifts, seen, lab), found)
    # Of the object's colours, it may be a limb that the flow does not follow.
    lab[:, 10:16] = 200
    found[5:35, 10:16] = True
    assert np.array_equal(_propagated(soft, *shifts, seen, lab), found)


def test_a_frame_painted_at_the_other_end_votes():
    """An arm that comes forth, in other colours, between two painted frames."""
    random = np.random.default_rng(0)
    ground, body, sleeve = (
        cv2.GaussianBlur(random.integers(*of, (H, W, 3), np.uint8), (0, 0), 1.5)
        for of in ((60, 160), (130, 256), (20, 120))
    )
    frames, truth = np.stack([ground] * T), np.zeros((T, H, W), bool)
    arm = np.zeros((T, H, W), bool)
    for t in range(T):
        truth[t, 40:75, 30 + 2 * t : 70 + 2 * t] = True
        frames[t][truth[t]] = np.roll(body, 2 * t, axis=1)[truth[t]]
        if t > 3:
            arm[t, 15:40, 44 + 2 * t : 56 + 2 * t] = True
            frames[t][arm[t]] = np.roll(sleeve, 2 * t, axis=1)[arm[t]]
    alignment, whole = Alignment(frames), truth | arm
    there, back = range(T), range(T - 1, -1, -1)
    own = gather(frames, alignment, whole[0], there)
    other = gather(frames, alignment, whole[-1], back)
    alone, both = (
        pursue(frames, alignment, whole[0], there[:-1], own, others=others).soft > 0.5
        for others in ((), (other,))
    )
    shown = arm[7:-1]
    assert not (alone[7:] & shown).any()
    assert (both[7:] & shown).sum() > 0.9 * shown.sum()
