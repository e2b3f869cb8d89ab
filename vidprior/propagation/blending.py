"""Blends propagated pixels with the network's, with weights fitted on held-out pixels.

Propagated pixels are sharp and sometimes wrong; the network's are soft. Which are closer to
the truth depends on the clip, on the length of training, and on the confidence of the
propagated pixel. Held-out pixels were filled by both, and their truth is known: there the
weight is fitted by least squares, for each class of confidence.

Letters
    n  pixels     B  classes of confidence
"""

import numpy as np

from vidprior.propagation.fusion import expected_error

# Borders between the classes.
EDGES = (0.03, 0.06, 0.1, 0.2, 0.4, 0.7)
_CENTRES = np.convolve((0, *EDGES, 1), (0.5, 0.5), "valid")
# Each class is regularised towards the more confident one, with the weight of this many
# pixels.
_LEANING = 200
# Stretches of the clip that are fitted separately, since errors of one moment are correlated.
_STRETCHES = 4
# The share of the squared error that the network must save where it was not fitted.
_LEAST_GAIN = 0.02

# The error of a network on held-out pixels, of 255, at best; 22 dB.
_NETWORK_ERROR = 20.0
# The share of the squared error that must be larger than a network's, for training to begin:
# networks have saved a quarter to a half of it.
_LEAST_BOUND = 0.05


def network_may_gain(confidence: np.ndarray) -> bool:
    """Whether a network can improve on propagated pixels, by their expected errors.

    It can only where these exceed 20 grey levels, about the error of a network. Less than 5 %
    of the expected squared error beyond that is not worth training for.

    Args:
      confidence: [n] in [0, 1], of the pixels of the hole.
    """
    squares = np.square(expected_error(confidence))
    beyond = np.maximum(squares - _NETWORK_ERROR**2, 0)
    return bool(beyond.sum() > _LEAST_BOUND * squares.sum())


def fit_blend_weights(
    generated: np.ndarray, propagated: np.ndarray, truth: np.ndarray, confidence: np.ndarray
) -> np.ndarray:
    """The weights of propagated pixels that come closest to the truth.

    For each class, the weight s in [0, 1] that minimises the squared error of
    s propagated + (1 - s) generated. A class with few pixels stays close to the class above
    it, and the most confident class close to 1. Many pixels are fitted in four stretches,
    and the largest weight is taken: the network is shown only as far as all stretches favour
    it. It is not shown at all unless it saves 2 % of the squared error when each stretch is
    scored with the weights of the others, because weights that are fitted and scored on the same
    pixels always seem to gain. Without any pixel, the weight is twice the confidence, at most 1.

    Args (all in the order of time):
      generated: [n, 3] colours of the network, 0 to 255.
      propagated: [n, 3] colours, 0 to 255.
      truth: [n, 3] colours, 0 to 255.
      confidence: [n] in [0, 1].

    Returns:
      [B] float32, from the lowest class of confidence to the highest.
    """
    if not len(truth):
        return np.minimum(2 * _CENTRES, 1).astype(np.float32)
    if len(truth) < _STRETCHES * _LEANING:
        return _fit_stretch(generated, propagated, truth, confidence)
    pixels = (np.array_split(x, _STRETCHES) for x in (generated, propagated, truth, confidence))
    stretches = list(zip(*pixels, strict=True))
    fitted = np.stack([_fit_stretch(*stretch) for stretch in stretches])
    with_network = without = 0.0
    for number, (network, filled, right, trust) in enumerate(stretches):
        weights = np.delete(fitted, number, axis=0).max(axis=0)
        result = blend(network, filled, trust, weights)
        with_network += float(np.square(right - result.astype(np.float64)).sum())
        without += float(np.square(right - filled.astype(np.float64)).sum())
    if with_network > (1 - _LEAST_GAIN) * without:
        return np.ones(len(_CENTRES), np.float32)
    largest: np.ndarray = fitted.max(axis=0)
    return largest


def _fit_stretch(
    generated: np.ndarray, propagated: np.ndarray, truth: np.ndarray, confidence: np.ndarray
) -> np.ndarray:
    """`fit_blend_weights` for one stretch."""
    between = propagated.astype(np.float64) - generated
    wanted = truth.astype(np.float64) - generated
    squares = np.square(between).sum(axis=1)
    products = (between * wanted).sum(axis=1)
    leaning = _LEANING * squares.mean() if squares.any() else 1.0
    kind = np.digitize(confidence, EDGES)
    shares = np.empty(len(_CENTRES), np.float32)
    above = 1.0
    for number in reversed(range(len(shares))):
        own = kind == number
        best = (products[own].sum() + leaning * above) / (squares[own].sum() + leaning)
        shares[number] = above = float(np.clip(best, 0, 1))
    return shares


def weight_for(confidence: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The weight of propagated pixels: interpolated between the classes.

    Args:
      confidence: any shape, in [0, 1].
      shares: [B], of `fit_blend_weights`.

    Returns:
      The same shape, float32 in [0, 1].
    """
    return np.interp(confidence.astype(np.float32), _CENTRES, shares).astype(np.float32)


def blend(
    generated: np.ndarray, propagated: np.ndarray, confidence: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """Blends propagated pixels with the network's.

    Args:
      generated: [..., 3] uint8.
      propagated: [..., 3] uint8.
      confidence: [...] in [0, 1], of the propagated pixels.
      shares: [B], of `fit_blend_weights`.

    Returns:
      [..., 3] float32, not rounded.
    """
    weight = weight_for(confidence, shares)[..., None]
    mixed: np.ndarray = generated + weight * (propagated.astype(np.float32) - generated)
    return mixed
