"""The Frechet distance between two collections of features: FID, or VFID of video features.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule" (NeurIPS 2017): the distance of
two Gaussians with the collections' means m and covariances S,

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2).

Features are read from files written by the PyTorch tools (`tools/extract_features.py`).
Distances of different networks are not comparable, so their files are refused.
"""

import pathlib
from collections.abc import Sequence

import numpy as np

from vidprior.errors import InputError
from vidprior.io.npz import load_npz

VERSION = 1
MAX_BYTES = 2**33


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The distance between [n, d] and [m, d] features; n and m at least 2.

    With A the centred features over sqrt(n - 1), S1 = A'A, and the trace of the root of
    S1 S2 is the sum of the singular values of A B'. This avoids the root of a matrix,
    which is inaccurate with fewer features than dimensions.
    """
    difference = first.mean(axis=0, dtype=np.float64) - second.mean(axis=0, dtype=np.float64)
    a, b = _factor(first), _factor(second)
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    distance = difference @ difference + np.square(a).sum() + np.square(b).sum() - 2 * root
    return float(max(distance, 0))  # rounding may make it slightly negative


def load_features(paths: Sequence[pathlib.Path]) -> tuple[np.ndarray, str]:
    """Concatenates the features of some files of one network.

    Returns:
      features: [n, d] floating point.
      network: name, hash and preprocessing of the network, from the files.

    Raises:
      InputError: a file cannot be read, is of another version or network, holds NaN or
        infinity, or there are fewer than two features.
    """
    fields = {"version": ("i", 0), "features": ("f", 2), "network": ("U", 0)}
    loaded = [load_npz(path, fields=fields, max_bytes=MAX_BYTES) for path in paths]
    network = str(loaded[0]["network"])
    for path, arrays in zip(paths, loaded, strict=True):
        if arrays["version"] != VERSION:
            raise InputError(f"{path} has version {arrays['version']}, not {VERSION}")
        _require_same(path, str(arrays["network"]), paths[0], network)
        if arrays["features"].shape[1] != loaded[0]["features"].shape[1]:
            raise InputError(f"{path}: features of another length than those of {paths[0]}")
        if not np.isfinite(arrays["features"]).all():
            raise InputError(f"{path}: a feature is not finite")
    features = np.concatenate([arrays["features"] for arrays in loaded])
    if len(features) < 2:
        raise InputError(f"{paths[0]}: a covariance needs at least two features")
    return features, network


def distance_of_files(
    first: Sequence[pathlib.Path], second: Sequence[pathlib.Path]
) -> tuple[float, str]:
    """The distance between the features of some files and of others, and their network.

    Raises:
      InputError: as `load_features`, or the networks differ.
    """
    (a, network), (b, other) = load_features(first), load_features(second)
    _require_same(second[0], other, first[0], network)
    if a.shape[1] != b.shape[1]:
        raise InputError(f"{second[0]}: features of another length than those of {first[0]}")
    return frechet_distance(a, b), network


def _factor(features: np.ndarray) -> np.ndarray:
    """A matrix A of at most d rows with A'A the features' covariance."""
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    centred /= np.sqrt(len(features) - 1)
    return centred if len(centred) <= centred.shape[1] else np.linalg.qr(centred).R


def _require_same(path: pathlib.Path, network: str, other: pathlib.Path, expected: str) -> None:
    if network != expected:
        raise InputError(f"{path} is of network '{network}', {other} of '{expected}'")
