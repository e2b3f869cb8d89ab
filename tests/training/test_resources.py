"""What stands in memory, by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from vidprior.training import resources
from vidprior.types import DeviceClip

CLIP = DeviceClip(
    frames=np.zeros((2, 3, 5, 3), np.uint8),  # 90 bytes
    hole=np.zeros((2, 3, 5), bool),  # 30
    noise=np.zeros((2, 3, 5, 1), np.float32),  # 120
    features=(np.zeros((2, 3, 5, 7), np.float16), np.zeros((2, 1, 2, 4), np.float32)),  # 420 + 64
)


def test_every_part_is_counted():
    state = {"params": jnp.zeros(10), "step": jnp.zeros((), jnp.int32)}
    assert resources.resident_bytes(CLIP, state) == {
        "frames and masks": 240,
        "flow": 0,
        "VGG features": 484,
        "network and optimiser": 44,
    }


def test_every_field_of_a_clip_belongs_to_a_part():
    fields = [field for fields in resources.KINDS.values() for field in fields]
    assert sorted(fields) == sorted(DeviceClip.__dataclass_fields__)


def test_what_is_only_described_has_a_size():
    assert resources.tree_bytes([jax.ShapeDtypeStruct((3, 4), jnp.bfloat16)]) == 24


def test_the_line():
    parts = {"flow": 2**30, "VGG features": 0, "frames and masks": 2**29}
    line = resources.describe_memory(parts, temporary=2**31, available=2**34)
    assert line == (
        "1.50 GiB resident (flow 1.00, frames and masks 0.50), 2.00 GiB more in an update, "
        "of 16.0 GiB"
    )
    assert resources.describe_memory(parts, temporary=0, available=None).endswith(
        "0.00 GiB more in an update"
    )
