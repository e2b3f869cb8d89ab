"""The Frechet distance by hand and against the definition; files that do not fit."""

import numpy as np
import pytest

from vidprior.errors import InputError
from vidprior.evaluation.frechet import distance_of_files, frechet_distance, load_features


def test_by_hand_in_one_dimension():
    """Means 1 and 4, variances 2 and 8: 9 + 2 + 8 - 2 sqrt(16) = 11."""
    assert frechet_distance(np.array([[0.0], [2]]), np.array([[2.0], [6]])) == pytest.approx(11)


def test_equal_collections_have_none():
    features = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    assert frechet_distance(features, features[::-1]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("n", "m"), [(50, 40), (5, 40), (50, 6), (4, 3)])
def test_against_the_definition(n, m):
    """With fewer features than dimensions (7), as well."""
    random = np.random.default_rng(n)
    first, second = random.normal(size=(n, 7)), random.normal(0.5, 2, size=(m, 7))
    s1, s2 = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    values, vectors = np.linalg.eigh(s1)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    inner = np.linalg.eigvalsh(root @ s2 @ root).clip(0)
    expected = np.square(first.mean(0) - second.mean(0)).sum() + np.trace(s1 + s2)
    expected -= 2 * np.sqrt(inner).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, abs=1e-5)


@pytest.fixture
def save(tmp_path):
    def write(name, features, network="n", version=1):
        path = tmp_path / f"{name}.npz"
        np.savez(path, version=version, features=features, network=network)
        return path

    return write


def test_files_are_joined(save):
    features = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    files = [save("a", features[:1]), save("b", features[1:])]
    joined, network = load_features(files)
    np.testing.assert_array_equal(joined, features)
    assert network == "n"
    other = save("c", 2 * features)
    distance, network = distance_of_files(files, [other])
    assert distance == frechet_distance(features, 2 * features)


def test_files_that_do_not_fit(save):
    fine = save("fine", np.zeros((3, 4)))
    cases = [
        (save("other", np.zeros((3, 4)), network="m"), "other.npz is of network 'm'"),
        (save("longer", np.zeros((3, 5))), "longer.npz: features of another length"),
        (save("old", np.zeros((3, 4)), version=2), "old.npz has version 2"),
        (save("nan", np.full((3, 4), np.nan)), "nan.npz: a feature is not finite"),
        (save("one", np.zeros((1, 4))), "one.npz: a covariance needs at least two"),
        (save("whole", np.zeros((3, 4), int)), "features has dtype int64"),
    ]
    for path, says in cases:
        with pytest.raises(InputError, match=says):
            distance_of_files([fine], [path])
    with pytest.raises(InputError, match="is of network 'm'"):
        load_features([fine, cases[0][0]])
