"""What stands in the figures: the numbers and pictures that were given."""

import io

import numpy as np
import pytest

from vidprior.evaluation import figures


def drawn(figure):
    """The figure as a picture [h, w, 4], which must be drawable."""
    with io.BytesIO() as file:
        figure.savefig(file, format="rgba", dpi=50)
        return np.frombuffer(file.getvalue(), np.uint8)


def clip(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (5, 8, 12, 3), np.uint8)


def test_slice_has_a_row_of_every_frame():
    slices = figures.slice_rows(clip(), 3)
    assert slices.shape == (5, 12, 3)
    np.testing.assert_array_equal(slices[4], clip()[4, 3])


def test_temporal_slice_shows_every_clip():
    figure = figures.temporal_slice({"truth": clip(), "ours": clip(1)}, 3)
    above, other, below, other_below = figure.axes
    assert (above.get_title(), other.get_title()) == ("truth", "ours")
    np.testing.assert_array_equal(above.images[0].get_array(), clip()[2])
    np.testing.assert_array_equal(below.images[0].get_array(), clip()[:, 3])
    np.testing.assert_array_equal(other_below.images[0].get_array(), clip(1)[:, 3])
    assert above.lines[0].get_ydata() == pytest.approx([3, 3])
    assert drawn(figure).size


COMPLEXITIES = {"a": 3.0, "b": 1.0, "c": 2.0}


def test_mean_above_a_threshold_by_hand():
    clips = {"a": {"m": 30.0}, "b": {"m": 10.0}, "c": {"m": 20.0}}
    # From b on: 60 / 3. From c on: 50 / 2. a alone.
    thresholds, means = figures.mean_above(COMPLEXITIES, clips, "m")
    assert thresholds.tolist() == [1, 2, 3]
    assert means.tolist() == [20, 25, 30]
    clips["a"]["m"] = None
    _, means = figures.mean_above(COMPLEXITIES, clips, "m")
    assert means[:2].tolist() == [15, 20]
    assert np.isnan(means[2])


def test_clips_of_equal_complexity_share_a_threshold():
    clips = {"a": {"m": 30.0}, "b": {"m": 10.0}, "c": {"m": 20.0}}
    thresholds, means = figures.mean_above({"a": 2.0, "b": 1.0, "c": 2.0}, clips, "m")
    assert (thresholds.tolist(), means.tolist()) == ([1, 2], [20, 25])


def test_means_are_of_what_all_cells_reached():
    cells = {
        "a": [{"visits": 1, "m": 1.0}, {"visits": 2, "m": 3.0}, {"visits": 4, "m": 9.0}],
        "b": [{"visits": 1, "m": 3.0}, {"visits": 2, "m": 4.0}, {"visits": 4, "m": None}],
    }
    assert figures.mean_over_runs(cells, "m") == {1: 2.0, 2: 3.5}
    assert figures.mean_over_runs({}, "m") == {}
    assert figures.mean_over_runs({"a": [], "b": cells["b"]}, "m") == {}


def test_quality_against_visits_draws_runs_and_their_mean():
    stages = [{"visits": 100, "m": 20.0}, {"visits": 200, "m": 22.0}]
    longer = [*({**stage, "m": stage["m"] + 2} for stage in stages), {"visits": 400, "m": 30.0}]
    figure = figures.quality_against_visits({"A": {"x": stages, "y": longer}, "B": {}}, ["m"])
    (ax,) = figure.axes
    drawn_lines = [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in ax.lines]
    first, second, mean, _ = ([list(side) for side in line] for line in drawn_lines)
    assert first == [[100, 200], [20, 22]]
    assert second == [[100, 200, 400], [22, 24, 30]]
    assert mean == [[100, 200], [21, 23]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["A", "B"]
    assert drawn(figure).size


def test_quality_against_complexity_leaves_unfinished_systems_out():
    whole = {name: {"psnr_full": 20.0 + i} for i, name in enumerate("abc")}
    systems = {"ours": whole, "begun": {"a": {"psnr_full": 1.0}}}
    figure = figures.quality_against_complexity(COMPLEXITIES, systems, ["psnr_full"])
    (ax,) = figure.axes
    assert [line.get_label() for line in ax.lines] == ["ours"]
    assert ax.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert ax.lines[0].get_ydata().tolist() == [21, 21, 20]
    assert drawn(figure).size


def test_training_progress_takes_the_middle_row_of_panels():
    first, second = (np.random.default_rng(i).integers(0, 256, (24, 36, 3)) for i in (0, 1))
    figure = figures.training_progress([("1", first), ("2", second)], (8, 12))
    frame, later, flow, _ = figure.axes
    np.testing.assert_array_equal(frame.images[0].get_array(), first[8:16, 12:24])
    np.testing.assert_array_equal(later.images[0].get_array(), second[8:16, 12:24])
    np.testing.assert_array_equal(flow.images[0].get_array(), first[8:16, 24:])
    assert drawn(figure).size


def test_quality_against_length_is_in_order():
    lengths = {10: {"psnr_full": 3.0}, 1: {"psnr_full": 1.0}, 3: {"psnr_full": None}}
    figure = figures.quality_against_length(lengths, ["psnr_full"])
    line = figure.axes[0].lines[0]
    assert line.get_xdata().tolist() == [1, 3, 10]
    np.testing.assert_array_equal(line.get_ydata(), [1, np.nan, 3])
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["1", "3", "10"]
    assert drawn(figure).size


def test_loss_curves():
    rows = [{"update": 5, "pass": 1, "image": 0.5, "total": 0.6},
            {"update": 9, "pass": 1, "image": 0.1, "total": 0.2}]  # fmt: skip
    (ax,) = figures.loss_curves(rows).axes
    assert [line.get_label() for line in ax.lines] == ["image", "total"]
    assert ax.get_yscale() == "log"
    rows[1]["total"] = 0.0
    (ax,) = figures.loss_curves(rows).axes
    assert ax.get_yscale() == "linear"
    assert ax.lines[1].get_ydata().tolist() == [0.6, 0]


def test_frame_curves_have_gaps_where_nothing_was_measured():
    figure = figures.frame_curves({"psnr_hole": [20.0, None, np.inf]}, ["psnr_hole"])
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [20, np.nan, np.nan])
    assert drawn(figure).size


def test_patches_fade_to_white_the_less_alike_they_are():
    """Patches of 2 pixels of a black frame of 4 x 5; the last column belongs to none."""
    similarity = np.array([[[1.0, 0.0], [0.5, 0.0]]])
    faded = figures.fade(np.zeros((1, 4, 5, 3), np.uint8), similarity, 2)
    rows = [[0, 0, 255, 255, 255]] * 2 + [[128, 128, 255, 255, 255]] * 2
    np.testing.assert_array_equal(faded[0, :, :, 0], rows)
    even = figures.fade(np.zeros((1, 4, 4, 3), np.uint8), np.ones((1, 2, 2)), 2)
    assert not even.any()


def test_feature_similarity_marks_the_reference():
    maps = {"encoder": np.random.default_rng(0).random((5, 2, 3))}
    figure = figures.feature_similarity(clip(), maps, reference=(2, 1, 0), patch=4)
    marked = [ax for ax in figure.axes if ax.patches]
    assert marked == [figure.axes[2], figure.axes[7]]
    assert marked[0].patches[0].get_xy() == (-0.5, 3.5)
    assert drawn(figure).size
