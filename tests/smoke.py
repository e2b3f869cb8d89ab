"""Every mode of the command once on a tiny clip, with nothing but what `setup.py` requires.

    make test-lowest

Run with the lowest versions that `setup.py` promises, where pytest and the other packages
of the development environment are absent.
"""

import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]
CLIP = ("--frames=9", "--height=32", "--width=48")
TINY = (
    "--config.video.height=32",
    "--config.video.width=48",
    "--config.model.channels=(8,8)",
    "--config.window.length=3",
    "--config.schedule.windows_per_pass=4",
    "--config.schedule.updates_per_window=1",
    "--config.log.every=2",
)


def main() -> None:
    """Ends with an exception where a command fails or leaves no result."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        python(ROOT / "tools/make_demo_clip.py", f"--output={folder / 'clip'}", *CLIP)
        inputs = (f"--video={folder / 'clip/frames'}", f"--mask={folder / 'clip/masks'}", *TINY)
        work = f"--workdir={folder / 'demo'}"
        # Adam, optical flow and its losses; then a second pass, from the checkpoint of the first.
        for passes in (1, 2):
            vidprior("--config=demo", *inputs, work, f"--config.schedule.num_passes={passes}")
        vidprior("--mode=render", work, "--config.render.format=png")
        vidprior("--mode=evaluate", work, f"--truth={folder / 'clip/truth'}")
        # Muon, averaged parameters, the best of several passes.
        work = f"--workdir={folder / 'footage'}"
        vidprior("--config=footage", *inputs, work, "--config.schedule.num_passes=2")
        vidprior("--config=propagate", *inputs[:4], f"--workdir={folder / 'propagate'}")
        vidprior("--mode=doctor")
        for result in (
            "demo/result.mp4", "demo/result_png", "demo/evaluation.json", "footage/result.mp4",
            "propagate/result.mp4",
        ):  # fmt: skip
            if not (folder / result).exists():
                raise FileNotFoundError(result)
    print("smoke test passed")


def vidprior(*words: str) -> None:
    """Runs the command; its messages are shown."""
    python("-m", "vidprior.main", *words)


def python(*words: str | pathlib.Path) -> None:
    """Runs a Python program with this interpreter, from the root of the checkout."""
    print("$ python", *words, flush=True)
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
