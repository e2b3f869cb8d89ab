"""Features by a network that a person brings: TorchScript of a few lines here."""

import extract_features
import numpy as np
import pytest
import torch


class Image(torch.nn.Module):
    """Mean colour of each frame."""

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        assert return_features
        return x.float().mean(dim=[2, 3])


class Video(torch.nn.Module):
    """Mean colour of the clip."""

    def forward(
        self, x: torch.Tensor, rescale: bool, resize: bool, return_features: bool
    ) -> torch.Tensor:
        return x.mean(dim=[2, 3, 4])


@pytest.fixture
def files(tmp_path):
    torch.jit.script(Image()).save(str(tmp_path / "image.pt"))
    torch.jit.script(Video()).save(str(tmp_path / "video.pt"))
    frames = np.random.default_rng(0).integers(0, 256, (20, 6, 8, 3), np.uint8)
    np.savez(tmp_path / "a.npz", frames=frames)
    np.savez(tmp_path / "b.npz", frames=frames[:3], source_sha256="0")
    return tmp_path, frames


def run(folder, *words):
    return extract_features.main([*words, f"--output={folder / 'out.npz'}", "--device=cpu"])


def test_a_row_for_each_frame_and_for_each_clip(files):
    folder, frames = files
    clips = [str(folder / "a.npz"), str(folder / "b.npz")]
    assert run(folder, f"--network={folder / 'image.pt'}", "--kind=image", *clips) == 0
    with np.load(folder / "out.npz") as made:
        expected = np.concatenate([frames, frames[:3]]).mean(axis=(1, 2))
        np.testing.assert_allclose(made["features"], expected, rtol=1e-5)
        assert made["features"].dtype == np.float32
        assert made["version"] == 1
        assert str(made["network"]).startswith("image.pt sha256:")
    assert run(folder, f"--network={folder / 'video.pt'}", "--kind=video", *clips) == 0
    with np.load(folder / "out.npz") as made:
        expected = np.stack([frames.mean(axis=(0, 1, 2)), frames[:3].mean(axis=(0, 1, 2))])
        np.testing.assert_allclose(made["features"], expected, rtol=1e-5)


def test_bad_input_is_one_line(files, capsys):
    folder, _ = files
    clip = str(folder / "a.npz")
    (folder / "text.pt").write_text("no network")
    np.savez(folder / "empty.npz", images=np.zeros(3))
    for network, kind, given, says in [
        ("none.pt", "image", clip, "you must provide the network"),
        ("text.pt", "image", clip, "not a TorchScript file"),
        ("image.pt", "video", clip, "no video network"),
        ("image.pt", "image", str(folder / "empty.npz"), "frames is missing"),
    ]:
        assert run(folder, f"--network={folder / network}", f"--kind={kind}", given) == 2
        told = capsys.readouterr().err
        assert says in told
        assert len(told.splitlines()) == 1
    assert not (folder / "out.npz").exists()
