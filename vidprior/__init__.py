"""Video inpainting by internal learning."""

from typing import TYPE_CHECKING, Any

from vidprior.errors import InputError, Interrupted, NonFiniteLoss

__version__ = "0.1.0"
__all__ = [
    "InputError",
    "Interrupted",
    "NonFiniteLoss",
    "Result",
    "Tracked",
    "inpaint",
    "soften",
    "track",
]

if TYPE_CHECKING:
    from vidprior.api import Result, inpaint
    from vidprior.tracking.edges import soften
    from vidprior.tracking.track import track
    from vidprior.tracking.tracked import Tracked


def __getattr__(name: str) -> Any:
    """The Python entry, loaded when it is first asked for: JAX takes seconds to load."""
    if name in ("Tracked", "track"):
        from vidprior.tracking import track as tracking

        return getattr(tracking, name)
    if name == "soften":
        from vidprior.tracking import edges

        return edges.soften
    if name in __all__:
        from vidprior import api

        return getattr(api, name)
    raise AttributeError(f"module 'vidprior' has no attribute '{name}'")
