"""The page of a run: everything is in it, and nothing is fetched or executed from outside."""

import base64
import html.parser
import io
import json
import re

import imageio.v3
import numpy as np
import pytest

from vidprior import configuration
from vidprior.errors import InputError
from vidprior.evaluation import protocols, tables
from vidprior.evaluation.report import write_report
from vidprior.imaging.visualize import outline_hole
from vidprior.io import images
from vidprior.run.clip_file import PreparedClip
from vidprior.run.workdir import Workdir

SIZE = (56, 64)


class Page(html.parser.HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def image(self, alt):
        """The pixels of an embedded PNG."""
        (source,) = [a["src"] for tag, a in self.tags if tag == "img" and a["alt"] == alt]
        kind, data = source.split(",")
        assert kind == "data:image/png;base64"
        return imageio.v3.imread(io.BytesIO(base64.b64decode(data)))


@pytest.fixture
def clip():
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (5, *SIZE, 3), np.uint8)
    hole = np.zeros((5, *SIZE), bool)
    hole[:, 10:20, 30:40] = True
    return PreparedClip(frames, hole, "", rate=(25, 1), pixel_aspect=(1, 1), transform="")


@pytest.fixture
def workdir(tmp_path, clip):
    made = Workdir(tmp_path / "<b>run")
    config = configuration.to_dict(configuration.load("base"))
    made.open_run(config, {"video": "<script>alert(1)</script>", "mask": "m", "flows": None}, clip)
    images.write_frames(made.path / "result", 255 - clip.frames)
    for update in (10, 20):
        made.append_metrics({"update": update, "pass": 1, "image": 1 / update, "total": 2 / update})
    return made


def page_of(workdir, path, **options):
    write_report(workdir, path, **options)
    return Page(path.read_text())


def test_pictures_are_embedded(workdir, clip, tmp_path):
    page = page_of(workdir, tmp_path / "report.html", row=12)
    np.testing.assert_array_equal(page.image("input"), outline_hole(clip.frames[0], clip.hole[0]))
    np.testing.assert_array_equal(page.image("result"), 255 - clip.frames[0])
    np.testing.assert_array_equal(page.image("slice of the input"), clip.frames[:, 12])
    np.testing.assert_array_equal(page.image("slice of the result"), 255 - clip.frames[:, 12])
    # The middle of the hole, rows 10 to 19, unless a row is given.
    middle = page_of(workdir, tmp_path / "report.html")
    np.testing.assert_array_equal(middle.image("slice of the input"), clip.frames[:, 14])


def test_nothing_comes_from_elsewhere(workdir, tmp_path):
    page = page_of(workdir, tmp_path / "report.html")
    sources = [a[name] for _, a in page.tags for name in ("src", "href") if name in a]
    assert len(sources) == 5  # two pictures, two slices, the losses
    assert all(source.startswith("data:image/") for source in sources)


def test_text_is_escaped(workdir, tmp_path):
    page = page_of(workdir, tmp_path / "report.html")
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "b" not in {tag for tag, _ in page.tags}
    assert "<script>alert(1)</script>" in page.text
    assert "<b>run" in page.text


def test_every_field_of_the_configuration_is_named(workdir, tmp_path):
    page = page_of(workdir, tmp_path / "report.html")
    for field, _ in configuration.flatten(workdir.read_config()[0]):
        assert field in page.text


def test_measures_stand_there_once_there_are_some(workdir, clip, tmp_path):
    before = page_of(workdir, tmp_path / "report.html")
    assert "Not measured" in before.text
    masks = 255 * clip.hole.astype(np.uint8)
    measures = protocols.measure(protocols.find("hole"), clip.frames, 255 - clip.frames, masks)
    tables.write(workdir.path, tables.summarise(protocols.find("hole"), {"run": measures}))
    after = page_of(workdir, tmp_path / "report.html")
    assert "Not measured" not in after.text
    assert f"{measures['psnr_hole']:.3f}" in after.text
    assert "search 20" in after.text
    assert any(a.get("alt") == "measures of every frame" for _, a in after.tags)


def test_all_frames_of_a_short_clip_are_there(workdir, tmp_path):
    path = tmp_path / "report.html"
    write_report(workdir, path)
    (pictures,) = re.findall(r"const pictures = (.*);", path.read_text())
    assert [shown["number"] for shown in json.loads(pictures)] == [0, 1, 2, 3, 4]


def test_what_cannot_be_reported(workdir, clip, tmp_path):
    path = tmp_path / "report.html"
    with pytest.raises(InputError, match="row 56 is not within the 56 rows"):
        write_report(workdir, path, row=56)
    for text in ("{", "{}", "[]", '{"protocol": 3, "clips": {"a": {}}}', "[" * 100000):
        workdir.evaluation_file.write_text(text)
        with pytest.raises(InputError, match="not an evaluation"):
            write_report(workdir, path)
    workdir.evaluation_file.unlink()
    with workdir.metrics_file.open("a") as file:
        file.write('{"update": 30, "pa')
    write_report(workdir, path)  # a row that a crash cut off
    with workdir.metrics_file.open("a") as file:
        file.write('\n{"update": 40}\n')
    with pytest.raises(InputError, match=r"metrics.jsonl: line 3 is no row"):
        write_report(workdir, path)
    images.write_frames(workdir.path / "result", clip.frames[:2])
    with pytest.raises(InputError, match="has 2 frames of 64x56, the clip 5"):
        write_report(workdir, path)
