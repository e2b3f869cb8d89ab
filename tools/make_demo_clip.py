"""Makes a small clip with a known answer: a ball bounces across a moving landscape.

  python tools/make_demo_clip.py --output out/demo --frames 24 --height 96 --width 160

writes `frames/` (with the ball), `masks/` (ball and shadow, slightly dilated) and `truth/`
(the landscape alone). The camera pans and slowly moves in; sky, mountains, hills and meadow
move at their own speeds, and what the ball hides in one frame is seen in others.

Positions are in units of the frame's height, x to the right and y down.
"""

import argparse
import pathlib

import cv2
import numpy as np

# Every pixel is the mean of this many samples on each side: edges are smooth, and motion
# by fractions of a pixel is true to the fraction.
SAMPLES = 3

# How far the camera pans over the clip, as a share of the width, and how far it moves in.
PAN = 0.28
ZOOM = 1.05


def make_clip(
    num_frames: int, height: int, width: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Renders the clip; equal arguments give equal arrays.

    Args:
      num_frames: T, at least 2.
      height: H in pixels, at least 16.
      width: W in pixels, at least 16.
      seed: chooses the landscape.

    Returns:
      frames: [T, H, W, 3] uint8 RGB, with the ball.
      hole: [T, H, W] bool, True where frames and truth may differ.
      truth: [T, H, W, 3] uint8 RGB, without the ball.

    Raises:
      ValueError: a number that is too small.
    """
    if num_frames < 2 or min(height, width) < 16:
        raise ValueError(f"{num_frames} frames of {height}x{width}: too few or too small")
    aspect = width / height
    landscape = Landscape(aspect, seed)
    frames, truth, hole = [], [], []
    for time in np.linspace(0, 1, num_frames).tolist():
        y, x = np.mgrid[: height * SAMPLES, : width * SAMPLES].astype(np.float32)
        x, y = (x + 0.5) / (height * SAMPLES), (y + 0.5) / (height * SAMPLES)
        background = landscape.render(x, y, time)
        truth.append(_develop(background, height, width))
        with_ball = _develop(_draw_ball(background, x, y, time, aspect), height, width)
        changed = (with_ball != truth[-1]).any(axis=-1).astype(np.uint8)
        reach = 2 * max(1, round(height / 64)) + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        hole.append(cv2.dilate(changed, disc) > 0)
        frames.append(with_ball)
    return np.stack(frames), np.stack(hole), np.stack(truth)


class Landscape:
    """A painted world in layers, from the sky to the meadow, seen by a moving camera."""

    HORIZON = 0.56

    def __init__(self, aspect: float, seed: int):
        rng = np.random.default_rng(seed)
        self.pan = PAN * aspect
        self.middle = aspect / 2
        # The nearest layer moves fastest; its world must hold the whole pan.
        self.extent = aspect + 1.6 * self.pan + 0.4
        self.noise = [_fractal_noise(rng, 512, octaves) for octaves in (4, 6, 7, 7)]
        self.posts = rng.normal(0, 0.012, 64).astype(np.float32)
        self.trees = _place_trees(rng, self.extent)
        self.houses = _place_houses(rng, self.extent)

    def render(self, x: np.ndarray, y: np.ndarray, time: float) -> np.ndarray:
        """Colours [h, w, 3] in [0, 1] of the points (x, y) on the picture, at time 0..1."""
        zoom = ZOOM**time
        x = (x - self.middle) / zoom + self.middle
        y = (y - self.HORIZON) / zoom + self.HORIZON
        pan = self.pan * time
        picture = self._sky(x + 0.25 * pan, y)
        picture = self._mountains(picture, x + 0.45 * pan, y)
        picture = self._hills(picture, x + 0.7 * pan, y)
        return self._meadow(picture, x, y, pan)

    def _sample(self, layer: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Noise in [0, 1] that repeats after one unit, sampled between its points."""
        return _sample(self.noise[layer], x, y)

    def _speed(self, y):
        """How fast the meadow moves where it is seen at height y: the nearer, the faster."""
        return 0.7 + 0.6 * (y - self.HORIZON) / (1 - self.HORIZON)

    def _sky(self, x, y):
        blue = _mix((0.33, 0.55, 0.85), (0.93, 0.86, 0.78), y / self.HORIZON)
        clouds = self._sample(0, x * 0.55, y * 1.3) + 0.25 * self._sample(1, x, 2 * y)
        return _mix(blue, (1.0, 0.98, 0.95), 0.9 * _step(clouds, 0.62, 0.9))

    def _mountains(self, picture, x, y):
        ridge = 0.42 - 0.30 * self._sample(1, x * 0.42 + 0.2, np.full_like(x, 0.37)) ** 1.3
        rock = self._sample(2, 1.3 * x, 1.1 * y + 0.5 * x)
        colour = _mix((0.36, 0.38, 0.52), (0.62, 0.58, 0.64), _step(rock, 0.3, 0.7))
        snow = _step(0.30 + 0.35 * (rock - 0.5) - y, -0.01, 0.01)
        colour = _mix(colour, (0.95, 0.96, 1.0), 0.9 * snow)
        haze = _mix(colour, (0.80, 0.79, 0.82), np.clip((y - 0.2) / 0.45, 0, 0.75))
        return _mix(picture, haze, _step(y - ridge, -0.002, 0.002))

    def _hills(self, picture, x, y):
        ridge = 0.50 - 0.10 * self._sample(0, x * 0.5, np.full_like(x, 0.11))
        wood = self._sample(3, 2.5 * x, 3 * y)
        colour = _mix((0.13, 0.28, 0.20), (0.45, 0.56, 0.27), _step(wood, 0.25, 0.75))
        picture = _mix(picture, colour, _step(y - ridge, -0.004, 0.004))
        for centre, base, size in self.houses:
            part, u, v = _around((x - centre) / size, (base - y) / size)
            if not u.size:
                continue
            house = _mix(picture[part], (0.93, 0.88, 0.78), _box(u, 0.5, 0.02) * _box(v, 0.6, 0.02))
            panes = _box(np.abs(u) - 0.24, 0.09, 0.03) * _box(v - 0.3, 0.13, 0.03)
            house = _mix(house, (0.18, 0.2, 0.28), panes)
            gable = _step(1.05 - v - 0.75 * np.abs(u), 0, 0.03) * _step(v, 0.57, 0.6)
            picture[part] = _mix(house, (0.72, 0.28, 0.20), gable)
        return picture

    def _meadow(self, picture, x, y, pan):
        depth = np.clip((y - self.HORIZON) / (1 - self.HORIZON), 0, 1.2)
        along = x + self._speed(y) * pan
        near = 1 / (0.25 + depth)
        grass = self._sample(3, along * 1.7, 0.55 * near)
        blades = self._sample(2, along * 3.1, 1.7 * near)
        colour = _mix((0.20, 0.40, 0.12), (0.62, 0.70, 0.24), 0.65 * grass + 0.45 * blades - 0.1)
        path = np.abs(depth - 0.30 - 0.10 * np.sin(2.2 * along)) - 0.07 * (0.5 + depth)
        colour = _mix(colour, (0.80, 0.70, 0.50), (0.75 + 0.3 * grass) * _step(-path, -0.02, 0.02))
        picture = _mix(picture, colour, _step(y - self.HORIZON, -0.004, 0.004))
        return self._fence(self._stand_trees(picture, x, y, pan), x, y, pan)

    def _stand_trees(self, picture, x, y, pan):
        for centre, base, size, tone in self.trees:
            along = x + self._speed(base) * pan
            part, u, v = _around((along - centre) / size, (base - y) / size)
            if not u.size:
                continue
            trunk = _box(u, 0.06, 0.02) * _box(v - 0.2, 0.2, 0.02)
            tree = _mix(picture[part], (0.30, 0.20, 0.13), trunk)
            leaves = self._sample(3, 0.35 * u + centre, 0.35 * v)
            edge = 0.36 + 0.22 * (leaves - 0.5) - np.hypot(u, 0.8 * (v - 0.72))
            light = 0.55 * leaves + 0.5 * np.clip(0.5 - u + 0.6 * (v - 0.72), 0, 1)
            colour = _mix((0.07, 0.20, 0.10), tone, light)
            picture[part] = _mix(tree, colour, _step(edge, -0.02, 0.02))
        return picture

    def _fence(self, picture, x, y, pan):
        base, pitch = 0.70, 0.16
        along = x + self._speed(base) * pan
        number = np.floor(along / pitch).astype(int)
        lean = self.posts[number % len(self.posts)]
        u = along - (number + 0.5) * pitch - lean * (base - y) / 0.1
        grain = self._sample(2, 2 * along, 2 * y)
        wood = _mix((0.42, 0.33, 0.26), (0.86, 0.80, 0.72), grain)
        for rail in (0.035, 0.075):
            picture = _mix(picture, wood * 0.85, _box(base - rail - y, 0.008, 0.004))
        post = _box(u, 0.011, 0.004) * _box(base - 0.05 - y, 0.055, 0.004)
        return _mix(picture, wood, post)


def _draw_ball(picture, x, y, time, aspect):
    """The picture with a turning beach ball, lit from the upper left, and its soft shadow."""
    radius = 0.145
    centre = -0.02 * aspect + 1.04 * aspect * time
    bounce = abs(np.cos(np.pi * 2.5 * time))
    ground = 0.90
    height = ground - radius - 0.30 * bounce

    spread = 1 + 0.5 * bounce
    distance = np.hypot((x - centre - 0.10 * bounce) / (1.05 * radius), (y - ground) / 0.045)
    shadow = (0.60 - 0.25 * bounce) * np.clip(1.15 - distance / spread, 0, 1) ** 1.2
    picture = picture * (1 - np.clip(shadow, 0, 0.6))[..., None]

    u, v = (x - centre) / radius, (y - height) / radius
    w = np.sqrt(np.clip(1 - u * u - v * v, 0, 1))
    turn = -centre / radius  # as far as it has rolled
    a, b = np.cos(turn) * u - np.sin(turn) * v, np.sin(turn) * u + np.cos(turn) * v
    # The ball's axis points towards the viewer, tilted: six panels and a white cap.
    tilt = 0.6
    b, pole = np.cos(tilt) * b - np.sin(tilt) * w, np.sin(tilt) * b + np.cos(tilt) * w
    panel = (np.arctan2(b, a) / (2 * np.pi) * 6) % 6
    palette = np.float32(
        [(0.90, 0.16, 0.15), (0.97, 0.95, 0.90), (0.12, 0.38, 0.80)] * 2,
    )
    colour = palette[panel.astype(int) % 6]
    colour = _mix(colour, (0.97, 0.80, 0.20), _step(pole, 0.93, 0.95))
    light = np.clip(-0.45 * u - 0.65 * v + 0.6 * w, 0, 1)
    colour = colour * (0.35 + 0.75 * light)[..., None]
    colour = _mix(colour, (1.0, 1.0, 1.0), 0.8 * _step(light, 0.975, 1.0))
    return _mix(picture, colour, _step(1 - np.hypot(u, v), -0.005, 0.005))


def _develop(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """[H * SAMPLES, W * SAMPLES, 3] in [0, 1] to [H, W, 3] uint8, by averaging."""
    picture = np.clip(picture, 0, 1).reshape(height, SAMPLES, width, SAMPLES, 3)
    return np.rint(255 * picture.mean(axis=(1, 3))).astype(np.uint8)


def _mix(first, second, share):
    """Between two colours (or pictures), by a share in [0, 1] per point."""
    share = np.clip(share, 0, 1)[..., None]
    return (1 - share) * np.float32(first) + share * np.float32(second)


def _step(value, low, high):
    """0 below `low`, 1 above `high`, smooth between."""
    value = np.clip((value - low) / (high - low), 0, 1)
    return value * value * (3 - 2 * value)


def _box(value, half, soft):
    """1 where |value| < half, 0 beyond, with a soft edge."""
    return _step(half - np.abs(value), -soft, soft)


def _fractal_noise(rng: np.random.Generator, side: int, octaves: int) -> np.ndarray:
    """[side, side] float32 in [0, 1], periodic, natural-looking: each octave half as strong."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij"))
    spectrum = np.fft.rfft2(rng.standard_normal((side, side)))
    spectrum[frequency > 2.0**octaves / side] = 0
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(spectrum / np.maximum(frequency, 2.0 / side) ** 1.4, (side, side))
    # Ranks instead of values: all shades equally frequent, whatever the seed.
    ranks = np.empty(noise.size, np.float32)
    ranks[np.argsort(noise, axis=None, kind="stable")] = np.linspace(0, 1, noise.size)
    return ranks.reshape(side, side)


def _sample(noise: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear samples of a periodic picture whose side is one unit."""
    side = len(noise)
    x, y = np.float32(x * side % side), np.float32(y * side % side)
    return cv2.remap(noise, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _around(u, v):
    """The part of the picture where |u| < 0.7 and -0.1 < v < 1.3, with its own u and v."""
    rows = np.flatnonzero((v[:, 0] > -0.1) & (v[:, 0] < 1.3))
    columns = np.flatnonzero(np.abs(u[0]) < 0.7)
    part = tuple(slice(i[0], i[-1] + 1) if i.size else slice(0) for i in (rows, columns))
    return part, u[part], v[part]


def _place_trees(rng, extent):
    trees = []
    for x in np.arange(0.1, extent, 0.42):
        base = rng.uniform(0.58, 0.64)
        tone = (rng.uniform(0.35, 0.75), rng.uniform(0.55, 0.7), rng.uniform(0.15, 0.3))
        trees.append((x + rng.uniform(-0.12, 0.12), base, rng.uniform(0.18, 0.28), tone))
    return sorted(trees, key=lambda tree: tree[1])  # the nearer in front


def _place_houses(rng, extent):
    places = np.arange(0.3, extent, 0.8)
    return [
        (x + rng.uniform(-0.15, 0.15), rng.uniform(0.55, 0.57), rng.uniform(0.10, 0.13))
        for x in places
    ]


def _write(folder: pathlib.Path, pictures: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures):
        if picture.ndim == 3:
            picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        path = folder / f"{i:05d}.png"
        if not cv2.imwrite(str(path), picture):
            raise OSError(f"cannot write {path}")


def main() -> None:
    """Reads the flags, writes the three folders."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder to write to")
    parser.add_argument("--frames", type=int, default=24, help="number of frames (24)")
    parser.add_argument("--height", type=int, default=96, help="rows (96)")
    parser.add_argument("--width", type=int, default=160, help="columns (160)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the landscape (0)")
    flags = parser.parse_args()
    if flags.frames < 2 or min(flags.height, flags.width) < 16:
        parser.error("at least 2 frames of 16x16")
    frames, hole, truth = make_clip(flags.frames, flags.height, flags.width, flags.seed)
    _write(flags.output / "frames", frames)
    _write(flags.output / "masks", 255 * hole.astype(np.uint8))
    _write(flags.output / "truth", truth)
    print(f"{flags.frames} frames of {flags.height}x{flags.width} in {flags.output}")


if __name__ == "__main__":
    main()
