"""A run on one page: a self-contained HTML file.

The page shows input and result with a slider, the temporal slice, losses, per-frame
measures once the run is evaluated, and the configuration. Pictures are embedded; the
template engine escapes text.
"""

import base64
import io
import json
import math
import pathlib
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure

from vidprior import configuration
from vidprior.errors import InputError
from vidprior.evaluation import figures, tables
from vidprior.imaging.visualize import outline_hole
from vidprior.io import footage, images
from vidprior.io.files import replacing
from vidprior.run.workdir import Workdir

# More embedded pictures would make a page of many megabytes.
SHOWN_FRAMES = 12
MAX_EVALUATION_BYTES = 2**26

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ name }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 960px; padding: 0 1em;
       color: #222; background: #fff }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em }
img.plot, .compare { max-width: 100% } img.plot { height: auto }
.compare { position: relative; width: {{ shown_width }}px; aspect-ratio: {{ width }}/{{ height }} }
.compare img { position: absolute; inset: 0; width: 100%; height: 100%; image-rendering: pixelated }
.compare .over { clip-path: inset(0 calc(100% - var(--cut)) 0 0) }
.compare i { position: absolute; top: 0; bottom: 0; left: var(--cut); border-left: 2px solid #fff }
input[type=range] { width: {{ shown_width }}px; max-width: 100%; display: block }
.slice { width: {{ shown_width }}px; max-width: 100%; image-rendering: pixelated; display: block }
table { border-collapse: collapse } td, th { padding: .15em .8em .15em 0; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums }
.note { color: #666 }
</style>
</head>
<body>
<h1>{{ name }}</h1>
<p>{{ frames }} frames of {{ width }}x{{ height }}, hole {{ hole }} of all pixels.</p>
<h2>Input and result</h2>
<div class="compare" id="compare" style="--cut: 50%">
<img id="result" alt="result" src="{{ pictures[0].result }}">
<img id="input" class="over" alt="input" src="{{ pictures[0].input }}"><i></i>
</div>
<label>left: input with the hole outlined, right: result
<input type="range" id="cut" min="0" max="100" value="50"></label>
<label>frame <span id="number">{{ pictures[0].number }}</span>
<input type="range" id="frame" min="0" max="{{ pictures|length - 1 }}" value="0"></label>
<h2>Temporal slice</h2>
<p class="note">Row {{ row }} of every frame, time downwards: input above, result below.</p>
<img class="slice" alt="slice of the input" src="{{ slices[0] }}"><br>
<img class="slice" alt="slice of the result" src="{{ slices[1] }}">
{% if losses %}<h2>Losses</h2>
<img class="plot" alt="losses against updates" src="{{ losses }}">{% endif %}
<h2>Measures</h2>
{% if measures %}<p class="note">protocol {{ protocol }}</p>
<table>{% for name, value in measures %}
<tr><td>{{ name }}</td><td class="number">{{ value }}</td></tr>{% endfor %}</table>
<img class="plot" alt="measures of every frame" src="{{ curves }}">
{% else %}<p class="note">Not measured against a truth yet (--mode=evaluate).</p>{% endif %}
<h2>Configuration</h2>
<table>{% for name, value in fields %}
<tr><td>{{ name }}</td><td>{{ value }}</td></tr>{% endfor %}</table>
<script>
const pictures = {{ pictures|tojson }};
const part = (id) => document.getElementById(id);
part("cut").addEventListener("input", (event) =>
  part("compare").style.setProperty("--cut", event.target.value + "%"));
part("frame").addEventListener("input", (event) => {
  const shown = pictures[event.target.value];
  part("input").src = shown.input;
  part("result").src = shown.result;
  part("number").textContent = shown.number;
});
</script>
</body>
</html>
"""


def write_report(workdir: Workdir, path: pathlib.Path, *, row: int | None = None) -> None:
    """Writes the page of a run.

    Args:
      workdir: of a run with a result.
      path: the file to write.
      row: of the temporal slice; None for the middle of the hole.

    Raises:
      InputError: there is no result, a file of the run cannot be read, or the row is
        outside the frames.
    """
    config, asked = workdir.read_config()
    clip = workdir.read_clip()
    folder = workdir.path / "result"
    if not folder.is_dir():
        raise InputError(f"{workdir.path} has no result yet: train or render first")
    result = footage.read_frames(folder).frames
    if result.shape != clip.frames.shape:
        raise InputError(
            f"{folder} has {len(result)} frames of {images.width_x_height(result.shape[1:])}, "
            f"the clip {len(clip.frames)} of {images.width_x_height(clip.frames.shape[1:])}"
        )
    count, height, width = clip.hole.shape
    if row is None:
        row = int(np.argwhere(clip.hole)[:, 1].mean())
    if not 0 <= row < height:
        raise InputError(f"row {row} is not within the {height} rows")
    numbers = np.unique(np.linspace(0, count - 1, SHOWN_FRAMES).round().astype(int)).tolist()
    losses = workdir.read_metrics()
    page = {
        "name": workdir.path.absolute().name,
        "frames": count,
        "height": height,
        "width": width,
        "shown_width": max(width, 640),
        "hole": f"{clip.hole.mean():.1%}",
        "pictures": [
            {
                "number": number,
                "input": _picture(outline_hole(clip.frames[number], clip.hole[number])),
                "result": _picture(result[number]),
            }
            for number in numbers
        ],
        "row": row,
        "slices": [_picture(figures.slice_rows(frames, row)) for frames in (clip.frames, result)],
        "losses": _plot(figures.loss_curves(losses)) if losses else None,
        "fields": [
            *((name, value) for name, value in asked.items() if value is not None),
            *configuration.flatten(config),
        ],
        **_measures(workdir.evaluation_file),
    }
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    text = environment.from_string(_TEMPLATE).render(page)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _measures(path: pathlib.Path) -> dict[str, Any]:
    """The page's section on the evaluation; `measures` is empty if there is none.

    Raises:
      InputError: the file is not an evaluation.
    """
    if not path.exists():
        return {"measures": []}
    try:
        if path.stat().st_size > MAX_EVALUATION_BYTES:
            raise InputError(f"{path}: too long for an evaluation")
        stored = json.loads(path.read_text())
        protocol, (clip,) = stored["protocol"], stored["clips"].values()
        means = {name: _value(clip[name]) for name in figures.LABELS if clip[name] is not None}
        per_frame = {name: list(map(_value, clip["per_frame"][name])) for name in means}
        described = "; ".join(f"{name}: {v}" for name, v in protocol["parameters"].items())
        return {
            "protocol": f"{protocol['name']} ({described})",
            "measures": [(name, tables.number(value)) for name, value in means.items()],
            "curves": _plot(figures.frame_curves(per_frame, list(per_frame))),
        }
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not an evaluation; evaluate again") from error


def _value(stored: Any) -> float | None:
    """A number as `tables.to_json` wrote it."""
    if stored is None:
        return None
    return math.inf if stored == "inf" else float(stored)


def _picture(image: np.ndarray) -> str:
    """A data URI of an image [H, W, 3] uint8."""
    return _data_uri("image/png", images.encode(image, ".png"))


def _plot(figure: Figure) -> str:
    """A data URI of a plot, as SVG."""
    with io.BytesIO() as file:
        figure.savefig(file, format="svg")
        return _data_uri("image/svg+xml", file.getvalue())


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
