"""Parameter names of the published PyTorch generators, and conversion from and to ours.

The published network is made of nested sequences, so a parameter's name is its path of
positions: the encoder of each scale is at `1.1`, and the next scale at `1.1.7` within it.
It generates BGR and this project RGB, so the image head's channels are reversed.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from vidprior.errors import InputError
from vidprior.types import Params

# Position within one published scale -> our module; `{k}` is the scale.
_SCALE = {
    "1.0.1.1": "skip_{k}",
    "1.0.2": "skip_{k}_norm",
    "1.1.1.1": "down_{k}",
    "1.1.2": "down_{k}_norm",
    "1.1.4.1": "deepen_{k}",
    "1.1.5": "deepen_{k}_norm",
    "2": "join_{k}_norm",
    "3.1": "up_{k}",
    "4": "up_{k}_norm",
    "6.1": "refine_{k}",
    "7": "refine_{k}_norm",
}

_HEADS = {
    "image": {2: "9.conv_img.1", 3: "9.1"},
    "flow": {2: "9.conv_flow.1"},
}


def published_names(*, num_scales: int, conv_ndim: int, predict_flow: bool) -> dict[str, str]:
    """Maps every published module name to this project's module name.

    Args:
      num_scales: scales of the generator; the published networks have 6.
      conv_ndim: 2 or 3.
      predict_flow: whether the network has the flow head.
    """
    names = {}
    for k in range(num_scales):
        for position, module in _SCALE.items():
            is_norm = module.endswith("_norm")
            suffix = ".bn" if is_norm and conv_ndim == 3 else ""
            names["1.1.7." * k + position + suffix] = module.format(k=k)
    for head in ("image", "flow") if predict_flow else ("image",):
        names[_HEADS[head][conv_ndim]] = head
    return names


def describe(shapes: Mapping[str, Sequence[int]]) -> dict[str, int | bool | tuple[int, ...]]:
    """The kind of generator that a published state dict contains.

    Args:
      shapes: parameter name to shape, published layout.

    Returns:
      Keywords for `Generator`: channels, skip_channels, conv_ndim, predict_flow.

    Raises:
      InputError: the names are not those of a published generator.
    """
    if "1.1.1.1.weight" not in shapes or "1.0.1.1.weight" not in shapes:
        raise InputError("not a published generator: it has no parameter '1.1.1.1.weight'")
    channels: list[int] = []
    while (name := "1.1.7." * len(channels) + "1.1.1.1.weight") in shapes:
        channels.append(int(shapes[name][0]))
    return {
        "channels": tuple(channels),
        "skip_channels": int(shapes["1.0.1.1.weight"][0]),
        "conv_ndim": len(shapes["1.1.1.1.weight"]) - 2,
        "predict_flow": "9.conv_flow.1.weight" in shapes,
    }


def from_published(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Converts published parameters to this project's.

    Args:
      arrays: name to float32 array in PyTorch's layout (out, in, kernel axes).

    Returns:
      The generator's parameter tree.

    Raises:
      InputError: a parameter is missing or unknown.
    """
    kind = describe({name: array.shape for name, array in arrays.items()})
    names = published_names(
        num_scales=len(kind["channels"]),  # type: ignore[arg-type]
        conv_ndim=kind["conv_ndim"],  # type: ignore[arg-type]
        predict_flow=kind["predict_flow"],  # type: ignore[arg-type]
    )
    wanted = {f"{name}.{leaf}" for name in names for leaf in ("weight", "bias")}
    if wanted != set(arrays):
        missing, unknown = sorted(wanted - set(arrays)), sorted(set(arrays) - wanted)
        raise InputError(f"not a published generator: missing {missing[:3]}, unknown {unknown[:3]}")
    params = {}
    for name, module in names.items():
        weight, bias = np.asarray(arrays[f"{name}.weight"]), np.asarray(arrays[f"{name}.bias"])
        if module.endswith("_norm"):
            params[module] = {"scale": weight, "bias": bias}
            continue
        kernel = np.moveaxis(weight, (0, 1), (-1, -2))
        if module in _HEADS:
            kernel = kernel.reshape(1, 1, *kernel.shape[-2:])
        if module == "image":
            kernel, bias = kernel[..., ::-1], bias[::-1]
        params[module] = {"kernel": kernel, "bias": bias}
    return params


def to_published(params: Params, *, conv_ndim: int) -> dict[str, np.ndarray]:
    """The inverse of `from_published`.

    Args:
      params: the generator's parameter tree.
      conv_ndim: 2 or 3.

    Returns:
      Published name to float32 array in PyTorch's layout.
    """
    names = published_names(
        num_scales=sum(module.startswith("down_") for module in params) // 2,
        conv_ndim=conv_ndim,
        predict_flow="flow" in params,
    )
    arrays = {}
    for name, module in names.items():
        leaves = params[module]
        bias = np.asarray(leaves["bias"])
        if module.endswith("_norm"):
            weight = np.asarray(leaves["scale"])
        else:
            weight = np.moveaxis(np.asarray(leaves["kernel"]), (-1, -2), (0, 1))
            if module in _HEADS:
                weight = weight.reshape(*weight.shape[:2], *(1,) * conv_ndim)
        if module == "image":
            weight, bias = weight[::-1], bias[::-1]
        arrays[f"{name}.weight"] = np.ascontiguousarray(weight)
        arrays[f"{name}.bias"] = np.ascontiguousarray(bias)
    return arrays
