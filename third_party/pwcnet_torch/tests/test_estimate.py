import hashlib
import io
import pathlib
import subprocess
import sys
import zipfile

import estimate
import numpy as np
import pytest
import torch
from pwcnet import prepare, reliable, to_pixels
from weights import load

HEIGHT, WIDTH, COUNT = 40, 72, 4


@pytest.fixture(scope="module")
def frames():
    """A smooth texture that moves by (2, 1) pixels from frame to frame."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    moving = [
        [np.sin((x - 2 * t) / (3 + c)) + np.cos((y - t) / (4 + c)) for c in range(3)]
        for t in range(COUNT)
    ]
    return (63 * np.moveaxis(np.array(moving), 1, -1) + 127).astype(np.uint8)


@pytest.fixture
def clip(frames, tmp_path):
    header = "x".join(map(str, frames.shape)) + "\n"
    digest = hashlib.sha256(header.encode() + frames.tobytes()).hexdigest()
    path = tmp_path / "clip.npz"
    np.savez(path, version=1, frames=frames, hole=frames[..., 0] > 250, source_sha256=digest)
    return path


def command(clip, weights_file, output, *more):
    flags = ["--frames", clip, "--weights", weights_file, "--output", output, "--device", "cpu"]
    return [*map(str, flags), *more]


def test_the_command_writes_the_contract(clip, weights_file, frames, tmp_path):
    output = tmp_path / "flows.npz"
    script = pathlib.Path(estimate.__file__)
    done = subprocess.run(
        [sys.executable, script, *command(clip, weights_file, output, "--batch", "2")],
        capture_output=True,
        text=True,
        cwd=tmp_path,  # the tool stands alone: nothing of the project is importable from here
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "device: cpu; 4 frames of 72x40"
    assert lines[1:-1] == ["pairs 2/4", "pairs 3/4", "pairs 4/4"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.npz", "flows.npz"]

    with np.load(output, allow_pickle=False) as file:
        flows = dict(file)
    assert {name: (value.dtype.kind, value.shape) for name, value in flows.items()} == {
        "version": ("i", ()),
        "estimator": ("U", ()),
        "offsets": ("i", (6,)),
        "flow": ("f", (6, COUNT, HEIGHT, WIDTH, 2)),
        "reliable": ("b", (6, COUNT, HEIGHT, WIDTH)),
        "exists": ("b", (6, COUNT)),
        "size": ("i", (2,)),
        "source_sha256": ("U", ()),
    }
    assert flows["version"] == 1
    weights_hash = hashlib.sha256(weights_file.read_bytes()).hexdigest()
    assert str(flows["estimator"]) == f"pwcnet sha256:{weights_hash[:16]}"
    assert flows["offsets"].tolist() == [1, -1, 3, -3, 5, -5]
    assert flows["flow"].dtype == np.float16
    assert flows["size"].tolist() == [HEIGHT, WIDTH]
    assert flows["offsets"].dtype == flows["size"].dtype == np.int32
    assert flows["source_sha256"] == np.load(clip)["source_sha256"]
    assert flows["exists"].astype(int).tolist() == [
        [1, 1, 1, 0],
        [0, 1, 1, 1],
        [1, 0, 0, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    assert not flows["flow"][~flows["exists"]].any()
    assert not flows["reliable"][~flows["exists"]].any()

    # Each stored flow is that pair's own, whatever batch it went through.
    net = load(weights_file)[0]

    def flow(i, j):
        pair = (torch.from_numpy(frames[t : t + 1]) for t in (i, j))
        with torch.inference_mode():
            return to_pixels(net.decode(*(net.encode(prepare(x)) for x in pair)), HEIGHT, WIDTH)

    for k, i, j in ((0, 0, 1), (0, 2, 3), (1, 1, 0), (1, 3, 2), (2, 0, 3), (3, 3, 0)):
        expected = flow(i, j)
        stored = flows["flow"][k, i].astype(np.float32)
        np.testing.assert_allclose(stored, expected[0].permute(1, 2, 0), rtol=1e-3, atol=1e-3)
        agree = flows["reliable"][k, i] == reliable(expected, flow(j, i))[0].numpy()
        assert agree.mean() > 0.999


def test_offsets_dtype_and_one_direction(clip, weights_file, tmp_path, capsys):
    both, one = tmp_path / "both.npz", tmp_path / "one.npz"
    assert estimate.main(command(clip, weights_file, both, "--dtype=float32")) == 0
    more = ("--offsets=-1,2", "--dtype", "float32", "--batch", "1")
    assert estimate.main(command(clip, weights_file, one, *more)) == 0
    both, one = np.load(both), np.load(one)
    assert one["offsets"].tolist() == [-1, 2]
    assert one["flow"].dtype == np.float32
    np.testing.assert_allclose(one["flow"][0], both["flow"][1], atol=1e-4)
    assert (one["reliable"][0] == both["reliable"][1]).mean() > 0.999
    assert one["exists"].tolist() == [[False, True, True, True], [True, True, False, False]]


def test_one_frame_has_no_flow(clip, frames, weights_file, tmp_path):
    np.savez(clip, frames=frames[:1], source_sha256="0" * 64)
    assert estimate.main(command(clip, weights_file, tmp_path / "flows.npz")) == 0
    assert not np.load(tmp_path / "flows.npz")["exists"].any()


def npz_with_header(path, shape):
    """An .npz whose frames claim `shape` and hold 12 bytes."""
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        member, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("frames.npy", member.getvalue() + bytes(12))


def test_faults_of_the_input_end_with_2_and_one_line(
    clip, frames, weights_file, tmp_path, capsys, monkeypatch
):
    output = tmp_path / "flows.npz"
    output.write_bytes(b"an earlier result")

    def error(*flags, clip=clip, weights=weights_file, output=output):
        assert estimate.main(command(clip, weights, output, *flags)) == 2
        line = capsys.readouterr().err
        assert line.startswith("error: ")
        assert line.count("\n") == 1
        return line

    other = tmp_path / "other.npz"
    assert "cannot read clip" in error(clip=tmp_path / "absent.npz")
    other.write_bytes(b"text")
    assert "other.npz is not a clip" in error(clip=other)
    np.savez(other, images=frames)
    assert "no item named 'frames.npy'" in error(clip=other)
    np.savez(other, frames=frames.astype(np.float32), source_sha256="0" * 64)
    assert "frames is float32 [4, 40, 72, 3], expected uint8" in error(clip=other)
    np.savez(other, frames=frames[..., :2], source_sha256="0" * 64)
    assert "frames is uint8 [4, 40, 72, 2], expected uint8" in error(clip=other)
    np.savez(other, frames=frames[:0], source_sha256="0" * 64)
    assert "frames is uint8 [0, 40, 72, 3]" in error(clip=other)
    np.savez(other, frames=frames, source_sha256="abc")
    assert "64 hexadecimal digits" in error(clip=other)
    np.savez(other, frames=np.array([{}]), source_sha256="0" * 64)
    assert "is not a clip" in error(clip=other)
    npz_with_header(other, (10**6, 10**4, 10**4, 3))
    assert "frames claims" in error(clip=other)
    npz_with_header(other, (1, 2, 3, 3))
    assert "frames claims 18 bytes" in error(clip=other)
    assert "there is no folder" in error(output=tmp_path / "absent/flows.npz")
    assert "not a PyTorch weights file" in error(weights=clip)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "--device cuda" in error("--device", "cuda")

    damaged = torch.load(weights_file, weights_only=True)
    damaged["moduleRefiner.moduleMain.12.bias"].fill_(float("nan"))
    torch.save(damaged, tmp_path / "damaged.pth")
    assert "not finite" in error(weights=tmp_path / "damaged.pth")

    assert output.read_bytes() == b"an earlier result"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "flags", [["--offsets=0"], ["--offsets=1,1"], ["--offsets=a"], ["--batch=0"], ["--dtype=int8"]]
)
def test_wrong_flags(clip, weights_file, tmp_path, flags):
    with pytest.raises(SystemExit) as caught:
        estimate.main(command(clip, weights_file, tmp_path / "flows.npz", *flags))
    assert caught.value.code == 2
