"""How much of a carried pixel is shown beside the network's, learnt where the truth is known.

Carried pixels are sharp and now and then wrong; the network's are soft. Which is nearer to
the truth depends on the clip, on how long the network was trained, and on the confidence of
what was carried. A rehearsal hole was filled by both in the same way, over pixels that are
known: there the share is found by least squares, for every class of confidence.

Letters
    n  pixels     B  classes of confidence
"""

import numpy as np

# Between the classes.
EDGES = (0.03, 0.06, 0.1, 0.2, 0.4, 0.7)
_CENTRES = np.convolve((0, *EDGES, 1), (0.5, 0.5), "valid")
# A class leans on the one that is trusted more, as if by so many pixels of its own.
_LEANING = 200
# Stretches of the clip that must agree, since the pixels of one moment err together.
_STRETCHES = 4
# The share of the squared error that the network must save where it was not fitted.
_LEAST_GAIN = 0.02


def fit_blend_weights(
    generated: np.ndarray, carried: np.ndarray, truth: np.ndarray, confidence: np.ndarray
) -> np.ndarray:
    """The share of carried pixels that comes nearest to the truth.

    In every class, the s in [0, 1] that makes s carried + (1 - s) generated nearest. A class
    of few pixels is much like the one above it; of what is trusted most, all is shown unless
    there is evidence against it. Many pixels are fitted in four stretches, and the largest
    share counts: the network shows as far as all of them speak for it. It does not show at all
    unless it saves 2 % of the squared error in each stretch in turn, fitted in the others: what
    is fitted and judged in one place always seems to gain. Without any pixel, the share is twice
    the confidence, at most 1.

    Args (all of them in the order of time):
      generated: [n, 3] colours of the network, 0 to 255.
      carried: [n, 3] colours that were carried.
      truth: [n, 3].
      confidence: [n] in [0, 1].

    Returns:
      [B] float32, from the least to the most confidence.
    """
    if not len(truth):
        return np.minimum(2 * _CENTRES, 1).astype(np.float32)
    if len(truth) < _STRETCHES * _LEANING:
        return _fit_stretch(generated, carried, truth, confidence)
    pixels = (np.array_split(x, _STRETCHES) for x in (generated, carried, truth, confidence))
    stretches = list(zip(*pixels, strict=True))
    fitted = np.stack([_fit_stretch(*stretch) for stretch in stretches])
    alone = shown = 0.0
    for number, (network, propagated, right, trust) in enumerate(stretches):
        shares = np.delete(fitted, number, axis=0).max(axis=0)
        result = blend(network, propagated, trust, shares)
        shown += float(np.square(right - result.astype(np.float64)).sum())
        alone += float(np.square(right - propagated.astype(np.float64)).sum())
    if shown > (1 - _LEAST_GAIN) * alone:
        return np.ones(len(_CENTRES), np.float32)
    largest: np.ndarray = fitted.max(axis=0)
    return largest


def _fit_stretch(
    generated: np.ndarray, carried: np.ndarray, truth: np.ndarray, confidence: np.ndarray
) -> np.ndarray:
    """`fit_blend_weights` of some pixels."""
    between = carried.astype(np.float64) - generated
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
    """The share of carried pixels of any confidence: `fit_blend_weights`, without steps.

    Args:
      confidence: any shape, in [0, 1].
      shares: [B].

    Returns:
      The same shape, float32 in [0, 1].
    """
    return np.interp(confidence.astype(np.float32), _CENTRES, shares).astype(np.float32)


def blend(
    generated: np.ndarray, carried: np.ndarray, confidence: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """Carried pixels laid over the network's by their share.

    Args:
      generated: [..., 3] uint8.
      carried: [..., 3] uint8.
      confidence: [...] in [0, 1], of what was carried.
      shares: [B].

    Returns:
      [..., 3] float32, not rounded.
    """
    weight = weight_for(confidence, shares)[..., None]
    mixed: np.ndarray = generated + weight * (carried.astype(np.float32) - generated)
    return mixed
