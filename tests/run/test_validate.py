"""Values of a configuration that are refused, and those that pass."""

import pytest
from helpers import SHIPPED, assert_each, configured

from vidprior.errors import InputError
from vidprior.run import validate


def test_shipped_configurations_pass():
    assert_each(lambda name: validate.validate(configured(name)), SHIPPED)


UNUSABLE = [
    ({"flow__estimator": "x"}, "--config.flow.estimator is 'x'; it may be 'dis', 'pwcnet'"),
    ({"flow__dis_preset": "slow"}, "--config.flow.dis_preset is 'slow'; it may be 'fast', "),
    ({"schedule__median_window": "first"}, "it may be 'last', 'extra', 'none'"),
    ({"model__conv_ndim": 1}, "--config.model.conv_ndim is 1; it may be 2, 3"),
    ({"model__refine_kernel": 2}, "--config.model.refine_kernel is 2; it may be 1, 3"),
    ({"model__initializer": "he"}, "it may be 'pytorch', 'lecun'"),
    ({"model__dtype": "float16"}, "it may be 'float32', 'bfloat16'"),
    ({"optimizer__ema_decay": 1.0}, "is 1.0; it must be at least 0 and below 1"),
    ({"optimizer__ema_decay": float("nan")}, "it must be at least 0 and below 1"),
    ({"optimizer__name": "sgd"}, "--config.optimizer.name is 'sgd'; it may be 'adam', 'muon'"),
    ({"optimizer__lr_schedule": "linear"}, "it may be 'none', 'cosine'"),
    ({"vgg__preprocessing": "bgr"}, "it may be 'published', 'imagenet'"),
    ({"render__rounding": "up"}, "it may be 'nearest', 'down'"),
    ({"render__resolution": "small"}, "it may be 'source', 'training'"),
    ({"render__format": "avi"}, "it may be 'mp4', 'mkv', 'mov', 'ffv1', 'png'"),
    ({"render__seam": "hard"}, "it may be 'plain', 'gradient'"),
    ({"render__propagated_pixels": "over"}, "it may be 'none', 'blend', 'only'"),
    ({"render__feather": 1.0}, "it may be 0 to --config.mask.dilate, which is 0"),
    ({"render__feather": -1.0}, "it may be 0 to --config.mask.dilate, which is 0"),
    ({"render__feather": float("nan")}, "it may be 0 to --config.mask.dilate"),
    ({"mask__dilate": None, "render__feather": 9.0}, "render.feather is 9.0; a mask that grows"),
    ({"mask__grow": "yes"}, "--config.mask.grow is 'yes'; it may be 'none', 'auto'"),
    ({"video__crop": "all"}, "--config.video.crop is 'all'; it may be 'frame', 'hole'"),
    ({"method": "guess"}, "--config.method is 'guess'; it may be 'train', 'propagate'"),
    ({"video__crop_margin": -0.1}, "crop_margin is -0.1; it must be at least 0 and at most 10"),
    ({"video__crop_margin": float("nan")}, "it must be at least 0 and at most 10"),
    ({"video__max_segment_frames": -1}, "max_segment_frames is -1; it must be at least 0"),
    ({"video__max_segment_frames": 29}, "overlap is 10; it may be 0 to a third of --config"),
    ({"video__max_segment_frames": 30, "video__segment_overlap": -1}, "segment_overlap is -1"),
    ({"window__strides": (1, 2)}, "--config.window.strides is (1, 2); it may hold (1, 3, 5)"),
    ({"window__strides": ()}, "--config.window.strides is (); it may hold (1, 3, 5)"),
    ({"window__directions": ("up",)}, "it may hold ('forward', 'backward')"),
    ({"window__length": 0}, "--config.window.length is 0; it must be at least 1"),
    ({"schedule__num_passes": 0}, "--config.schedule.num_passes is 0; it must be at least 1"),
    ({"schedule__updates_per_window": -1}, "updates_per_window is -1; it must be at least 1"),
    ({"checkpoint__every": 0}, "--config.checkpoint.every is 0"),
    ({"checkpoint__keep": 0}, "--config.checkpoint.keep is 0"),
    ({"log__every": 0}, "--config.log.every is 0"),
    ({"model__conv_ndim": 3}, "the 3D network predicts no flow"),
    ({"window__length": 1}, "the flow terms need --config.window.length of at least 2"),
    ({"window__strides": (3, 5)}, "the median window has stride 1"),
    ({"video__height": 128}, "384x128 is too small for 6 scales: each side needs at least 129"),
    ({"video__width": 128}, "128x192 is too small for 6 scales: each side needs at least 129"),
]  # fmt: skip


def test_values_that_no_run_can_use_are_refused():
    def check(case):
        changes, words = case
        with pytest.raises(InputError) as caught:
            validate.validate(configured(**changes))
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)

    assert_each(check, UNUSABLE)


def test_segments_may_share_a_third():
    validate.validate(configured("dip_vid", video__max_segment_frames=30))


def test_a_seam_may_be_as_wide_as_the_ring():
    validate.validate(configured("dip_vid", mask__dilate=4, render__feather=4.0))


def test_without_a_network_what_a_network_needs_may_be_missing():
    validate.validate(configured("propagate", loss__image=0.0, video__height=16, video__width=16))
    with pytest.raises(InputError, match="384x8 is too small for optical flow"):
        validate.validate(configured("propagate", video__height=8))


def test_blending_needs_held_out_pixels():
    with pytest.raises(InputError, match=r"needs --config\.propagation\.holdout=True"):
        validate.validate(configured("dip_vid", render__propagated_pixels="blend"))
    changes = {"render__propagated_pixels": "blend", "propagation__holdout": True}
    validate.validate(configured("dip_vid", **changes))


def test_keeping_the_best_needs_held_out_pixels():
    with pytest.raises(InputError, match=r"needs --config\.propagation\.holdout=True"):
        validate.validate(configured("dip_vid", checkpoint__keep_best=True))
    validate.validate(configured("dip_vid", checkpoint__keep_best=True, propagation__holdout=True))


def test_without_any_loss_there_is_nothing_to_train_for():
    with pytest.raises(InputError, match="all losses have weight 0"):
        validate.validate(configured("dip_vid", loss__image=0.0))


@pytest.mark.parametrize(
    ("name", "changes", "word"),
    [
        ("flow", {"schedule__windows_per_pass": -1}, "windows_per_pass"),
        ("flow", {"log__preview_frames": -1}, "preview_frames"),
        ("dip", {"schedule__windows_at_once": -1}, "windows_at_once"),
        # The best parameters are those of the lowest image loss: it must be computed.
        ("dip", {"loss__image": 0.0, "loss__perceptual": 0.01}, "loss.image"),
        # A frame's network is looked up by the start of its window: one window for each.
        ("dip", {"window__directions": ("forward", "backward")}, "reset_per_window"),
        ("dip", {"optimizer__ema_decay": 0.9}, "optimizer.ema_decay"),
        ("dip", {"checkpoint__keep_best": True, "propagation__holdout": True}, "keep_best=False"),
        ("flow", {"schedule__reset_per_window": True}, "reset_per_window"),
    ],
)
def test_values_that_a_run_stumbles_over_are_refused(name, changes, word):
    with pytest.raises(InputError) as caught:
        validate.validate(configured(name, **changes))
    assert word in str(caught.value)


def test_every_problem_is_listed():
    found = list(validate.problems(configured("flow", log__every=0, window__length=0)))
    assert len(found) == 3  # each field by itself, and the flow terms
    assert found[0].startswith("--config.window.length is 0")


def test_a_number_may_be_left_open():
    assert None in validate.Bounds(1)
    assert 0 not in validate.Bounds(0, open_below=True)
    assert str(validate.Bounds(0, 1, open_above=True)) == "at least 0 and below 1"
