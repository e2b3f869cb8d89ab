"""Memory that training takes, by content."""

from typing import Any

import jax

from vidprior.types import DeviceClip

KINDS = {
    "frames and masks": ("frames", "hole", "noise", "propagated", "confidence"),
    "flow": ("flow", "flow_known", "flow_hole", "flow_scale"),
    "VGG features": ("features", "feature_hole"),
}


def tree_bytes(tree: Any) -> int:
    """Bytes of all arrays of a tree, allocated or only described by shape and dtype."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def resident_bytes(clip: DeviceClip, state: Any) -> dict[str, int]:
    """Bytes that are allocated throughout training, by content."""
    parts = {
        name: sum(tree_bytes(getattr(clip, field)) for field in fields)
        for name, fields in KINDS.items()
    }
    return {**parts, "network and optimiser": tree_bytes(state)}


def describe_memory(parts: dict[str, int], *, temporary: int, available: int | None) -> str:
    """One line: resident memory, temporaries of an update, and available memory."""
    listed = ", ".join(f"{name} {count / 2**30:.2f}" for name, count in parts.items() if count)
    line = f"{sum(parts.values()) / 2**30:.2f} GiB resident ({listed}), "
    line += f"{temporary / 2**30:.2f} GiB more in an update"
    return line + (f", of {available / 2**30:.1f} GiB" if available else "")
