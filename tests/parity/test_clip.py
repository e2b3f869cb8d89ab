"""From a source clip to what updates read: frames, holes, flow holes, flow scales."""

import jax
import numpy as np
import pytest

from parity import goldens
from vidprior.imaging import geometry
from vidprior.model import vgg
from vidprior.training import clip
from vidprior.types import OFFSETS


@pytest.fixture(scope="module")
def golden():
    return goldens.load("clip.npz")


@pytest.fixture(scope="module")
def shape(golden):
    """(T, H, W)."""
    return tuple(int(n) for n in golden["hole_shape"])


@pytest.fixture(scope="module")
def hole(golden, shape):
    return goldens.unpack(golden["hole"], shape)


@pytest.fixture(scope="module")
def transform(golden, shape):
    return geometry.centre_crop(golden["frames_bgr_u8_source"].shape[1:3], shape[1:])


def test_crop_and_resize(golden, transform, compare):
    frames = geometry.crop_and_resize(transform, golden["frames_bgr_u8_source"]) / 255
    step = goldens.CLIP_STEP
    sub = frames.transpose(0, 3, 1, 2)[:, :, ::step, ::step]
    compare("clip: frames", sub, golden["frames_bgr_sub"], 1e-6)
    compare("clip: mean colour", frames.mean(axis=(0, 1, 2)), golden["frames_mean"], 1e-6)


def test_hole(golden, transform, hole, compare, compare_masks):
    ours = geometry.crop_and_resize_masks(transform, golden["mask_u8_source"])
    compare_masks("clip: hole", ours, hole)
    share = goldens.load("losses.json")["hole_fraction"]
    compare("clip: share of the hole", ours.mean(), share, 1e-4 * share)


def test_perceptual_holes(golden, hole, compare_masks):
    names = ("relu1_2", "relu2_2", "relu3_3")
    for name, ours in zip(names, jax.jit(vgg.feature_holes)(hole), strict=True):
        expected = goldens.unpack(golden[f"perceptual_hole_{name}"], ours.shape)
        compare_masks(f"clip: perceptual hole {name}", ours, expected)


def test_flow_holes_and_scales(golden, shape, hole, compare, compare_masks):
    num_frames, *size = shape
    flows, flow_hole = goldens.estimated_flows(num_frames, size)
    blank = np.zeros((*shape, 3), np.uint8)
    ours = clip.make_clip(blank, hole, goldens.noise(num_frames, size), flows=flows)
    exists = flows.exists
    for k, offset in enumerate(OFFSETS):
        if exists[k].any():
            compare_masks(
                f"flows: hole {goldens.direction_name(offset)}",
                np.asarray(ours.flow_hole)[k, exists[k]],
                flow_hole[k, exists[k]],
            )
    known = flows.reliable & ~flow_hole
    compare_masks("flows: known", np.asarray(ours.flow_known)[exists], known[exists])

    largest = goldens.load("losses.json")["flow_value_max"]
    for stride, expected in largest.items():
        for offset in (int(stride), -int(stride)):
            scale = np.asarray(ours.flow_scale)[OFFSETS.index(offset)]
            compare(f"flows: scale {offset:+d}", scale, expected, 1e-6 * expected)
    compare(
        "flows: scales of the clip",
        sorted(largest.values()),
        sorted(golden["flow_value_max"]),
        1e-6,
    )
