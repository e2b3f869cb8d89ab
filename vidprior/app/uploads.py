"""Files that a browser sent: clips, masks and reference frames. They are data, whatever they claim.

A stored file takes nothing of its name but the suffix of a kind that is read here, and a number.
"""

import contextlib
import pathlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from fractions import Fraction

from vidprior.app.project import Project, digest, mask_name, write_mask
from vidprior.errors import InputError
from vidprior.imaging.geometry import MASK_THRESHOLD
from vidprior.io import images, numbering, reference_files
from vidprior.io.files import replacing_folder
from vidprior.io.footage import open_footage
from vidprior.io.masks import read_masks

# Of an archive, unpacked.
MAX_FILES, MAX_BYTES = 20_000, 4 * 2**30


def keep_clip(upload: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Keeps an uploaded clip, if it can be read; returns its path.

    Raises:
      InputError: it cannot be read.
    """
    next(iter(open_footage(upload).part(0, 1).frames()))
    kept = folder / digest(upload) / upload.name
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(upload, kept)
    return kept


def keep_masks(project: Project, uploads: Sequence[pathlib.Path]) -> tuple[str, ...]:
    """Makes uploaded masks those of a clip.

    Args:
      project: the clip.
      uploads: images, named by number or in order; or one video, image of pages or .zip.

    Returns:
      How they were read, a line each.

    Raises:
      InputError: they cannot be read or do not fit, in the words of the command line.
    """
    with _one_clip(uploads) as path:
        footage = project.footage
        found = read_masks(path, footage, rate=footage.rate or Fraction(25))
        name = _identity(uploads)
        if not (project.given / name).exists():
            with replacing_folder(project.given / name) as folder:
                for number, mask in enumerate(found.hole):
                    write_mask(folder / mask_name(number), mask > MASK_THRESHOLD)
    project.choose(given=name)
    return found.notes


def keep_references(project: Project, uploads: Sequence[pathlib.Path]) -> list[int]:
    """Stores reference frames, cleaned by hand, for the next runs of a clip.

    Args:
      project: the clip.
      uploads: images named by the number of their frame.

    Returns:
      The numbers of the frames.

    Raises:
      InputError: one cannot be read, or does not fit the clip.
    """
    with _one_clip(uploads, single=False) as path:
        footage = project.footage
        found = reference_files.read_references(str(path), count=footage.count, size=footage.size)
        name = _identity(uploads)
        if not (project.cleaned / name).exists():
            with replacing_folder(project.cleaned / name) as folder:
                for file in images.list_images(path):
                    shutil.copyfile(file, folder / file.name)
    project.choose(references=name)
    return sorted(found)


@contextlib.contextmanager
def _one_clip(uploads: Sequence[pathlib.Path], *, single: bool = True) -> Iterator[pathlib.Path]:
    """The path of what was uploaded: a file as it is, or a folder of images named by number."""
    if not uploads:
        raise InputError("no file was chosen")
    if single and len(uploads) == 1 and not zipfile.is_zipfile(uploads[0]):
        yield uploads[0]
        return
    with tempfile.TemporaryDirectory(prefix="vidprior-upload-") as temporary:
        folder = pathlib.Path(temporary)
        if len(uploads) == 1 and zipfile.is_zipfile(uploads[0]):
            _unpack(uploads[0], folder)
        else:
            _place(uploads, folder)
        yield folder


def _identity(uploads: Sequence[pathlib.Path]) -> str:
    ordered = sorted(uploads, key=lambda file: file.name)
    return digest(*(part for file in ordered for part in (file.name, file)))


def _place(files: Sequence[pathlib.Path], folder: pathlib.Path) -> None:
    for file, name in zip(files, _names([file.name for file in files]), strict=True):
        shutil.copyfile(file, folder / name)


def _unpack(archive: pathlib.Path, folder: pathlib.Path) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            inside = [
                entry
                for entry in opened.infolist()
                if not entry.is_dir()
                and not pathlib.PurePosixPath(entry.filename).name.startswith(".")
                and "__MACOSX" not in entry.filename
            ]
            whole = sum(entry.file_size for entry in inside)
            if len(inside) > MAX_FILES or whole > MAX_BYTES:
                raise InputError(
                    f"{archive.name}: {len(inside)} files of {whole / 2**30:.1f} GiB: an archive "
                    f"may have {MAX_FILES} files and {MAX_BYTES / 2**30:.0f} GiB"
                )
            names = _names([pathlib.PurePosixPath(entry.filename).name for entry in inside])
            for entry, name in zip(inside, names, strict=True):
                # The list may lie about the size: no more than it says is read.
                with opened.open(entry) as source, (folder / name).open("wb") as target:
                    target.write(source.read(entry.file_size))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise InputError(f"{archive.name}: cannot be unpacked: {error}") from error


def _names(given: Sequence[str]) -> list[str]:
    """Safe names: a number, and the suffix of an image; in natural order without numbers."""
    paths = [pathlib.PurePosixPath(name) for name in given]
    wrong = [path.name for path in paths if path.suffix.lower() not in images.SUFFIXES]
    if wrong or not paths:
        raise InputError(
            f"{wrong[0] if wrong else 'the archive'} is no image: give images, one video, "
            f"or a .zip of images"
        )
    numbers = numbering.numbers_in([pathlib.Path(path.name) for path in paths])
    if numbers is None or max(numbers) >= 10**9:
        order = sorted(range(len(paths)), key=lambda n: _natural(paths[n].name))
        ranks = {place: rank for rank, place in enumerate(order)}
        numbers = tuple(ranks[place] for place in range(len(paths)))
    return [f"{n:09d}{path.suffix.lower()}" for n, path in zip(numbers, paths, strict=True)]


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
