import copy

import numpy as np
import pytest
import torch
from conftest import seeded
from pwcnet import (
    FLOW_UNIT,
    GRID,
    LEVELS,
    PWCNet,
    cost_volume,
    prepare,
    reliable,
    to_pixels,
    warp,
)
from weights import load

NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=NO_CUDA)]


@pytest.fixture(scope="session")
def golden_net(goldens, golden_shapes, tmp_path_factory):
    gain = float(np.load(goldens / "pwcnet.npz")["weight_gain"])
    seed, shapes = golden_shapes["seed"], golden_shapes["shapes"]["pwcnet"]
    path = tmp_path_factory.mktemp("golden") / "network.pytorch"
    torch.save({n: seeded(n, s, seed=seed, gain=gain) for n, s in shapes.items()}, path)
    return load(path)[0]


def rgb(frame):
    """A golden frame, BGR [3, H, W], as the RGB [1, H, W, 3] that the tool reads."""
    return torch.from_numpy(frame[None, ::-1].transpose(0, 2, 3, 1).copy())


@pytest.mark.parametrize("device", DEVICES)
def test_matches_the_published_network(goldens, golden_net, device):
    golden = np.load(goldens / "pwcnet.npz")
    frames = [rgb(golden[name]).to(device) for name in ("frame0", "frame1")]
    net = copy.deepcopy(golden_net).to(device)
    golden_raw = next(golden[name] for name in golden.files if name.startswith("raw_quarter_res"))
    height, width = (4 * side for side in golden_raw.shape[-2:])
    with torch.inference_mode():
        raw = net.decode(*(net.encode(prepare(x[:, :height, :width])) for x in frames))[0]
        full = net.decode(*(net.encode(prepare(x)) for x in frames))
    pixels = to_pixels(full, *frames[0].shape[1:3])[0, :, ::2, ::2]
    print()
    for name, found, expected in (
        ("network output", raw, golden_raw),
        ("flow in pixels", pixels, golden["flow_pixels_sub"]),
    ):
        difference, largest = np.abs(found.cpu().numpy() - expected).max(), np.abs(expected).max()
        print(f"{device}: {name}: largest difference {difference:.2g} of {largest:.3g}")
        # float32 gives about 1e-6; TensorFloat-32 would give about 1e-3
        assert difference < 2e-5 * largest


def test_reliable_matches_the_published_mask(goldens):
    golden = np.load(goldens / "reliability.npz")
    flow, back = (torch.from_numpy(golden[f"flow_{way}ward"])[None] for way in ("for", "back"))
    for there, home, way in ((flow, back, "forward"), (back, flow, "backward")):
        differs = reliable(there, home)[0].numpy() != (golden[f"reliable_{way}"] > 0)
        print(f"\nreliable_{way}: {differs.sum()} of {differs.size} pixels differ")
        assert differs.mean() < 1e-3  # rounding may turn a pixel that lies on the threshold


def test_warp_matches_the_published_warp(goldens):
    golden = np.load(goldens / "warp.npz")
    image, flow = torch.from_numpy(golden["image"]), torch.from_numpy(golden["flow"])
    np.testing.assert_allclose(warp(image, flow), golden["warped"], atol=1e-5)


def test_warp_by_whole_pixels_shifts_and_brings_zeros():
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    flow = torch.zeros(1, 2, 3, 4)
    flow[:, 0], flow[:, 1] = 1, -1  # x to the right, y up
    expected = [[0, 0, 0, 0], [1, 2, 3, 0], [5, 6, 7, 0]]
    torch.testing.assert_close(warp(image, flow)[0, 0], torch.tensor(expected).float())


def test_reliable_threshold_is_a_distance_of_sqrt_2_ln_2():
    flow = torch.ones(1, 2, 4, 4)
    for distance, expected in ((1.177, True), (1.178, False)):  # sqrt(2 ln 2) = 1.17741
        back = -flow.clone()
        back[:, 0] += distance
        assert reliable(flow, back)[0, 1, 1].item() is expected


def test_reliable_counts_the_flow_that_leaves_the_frame_as_it_is():
    flow = torch.zeros(1, 2, 4, 4)
    flow[:, 0, :, 3] = 2.0  # leaves: the way back is sampled as 0, the distance is 2
    flow[:, 0, :, 2] = 0.5  # stays near: the distance is 0.5
    expected = torch.tensor([True, True, True, False]).expand(1, 4, 4)
    assert torch.equal(reliable(flow, torch.zeros_like(flow)), expected)


def test_cost_volume_matches_a_slow_loop():
    first, second = torch.randn(2, 2, 3, 5, 6).numpy()
    expected = np.zeros((2, 81, 5, 6), np.float32)
    for dy in range(-4, 5):
        for dx in range(-4, 5):
            for y in range(5):
                for x in range(6):
                    if 0 <= y + dy < 5 and 0 <= x + dx < 6:
                        product = first[:, :, y, x] * second[:, :, y + dy, x + dx]
                        expected[:, 9 * (dy + 4) + dx + 4, y, x] = product.mean(1)
    found = cost_volume(torch.from_numpy(first), torch.from_numpy(second))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_prepare_flips_to_bgr_and_rounds_up_to_64():
    frames = torch.zeros(2, 65, 128, 3, dtype=torch.uint8)
    frames[..., 0] = 255  # red
    image = prepare(frames)
    assert image.shape == (2, 3, 128, 128)
    assert torch.equal(image[0, :, 0, 0], torch.tensor([0.0, 0.0, 1.0]))


def test_to_pixels_scales_each_component_by_its_side():
    raw = torch.ones(1, 2, 32, 48)  # of an input of 128 x 192
    flow = to_pixels(raw, 96, 144)
    torch.testing.assert_close(flow[0, :, 7, 5], torch.tensor([20 * 144 / 192, 20 * 96 / 128]))


def test_a_batch_gives_what_single_pairs_give(layouts):
    net = PWCNet().eval()
    net.load_state_dict(layouts["own"])
    images = torch.rand(3, 3, GRID, 2 * GRID)
    with torch.inference_mode():
        pyramid = net.encode(images)
        first, second = ({k: x[i] for k, x in pyramid.items()} for i in ([0, 1], [1, 2]))
        both = net.decode(first, second)
        single = net.decode(*(net.encode(images[i : i + 1]) for i in (1, 2)))
    assert both.shape == (2, 2, GRID // 4, GRID // 2)
    torch.testing.assert_close(both[1:], single, atol=1e-5, rtol=1e-5)


def test_levels_warp_by_the_published_scales():
    scales = {level: FLOW_UNIT / 2**level for level in LEVELS[1:]}
    assert scales == {5: 0.625, 4: 1.25, 3: 2.5, 2: 5.0}


def test_float32_stays_float32():
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
