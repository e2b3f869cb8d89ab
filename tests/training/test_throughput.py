"""What is said of a training run as it begins."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidprior.training import throughput, train_step
from vidprior.training.windows import list_windows, select
from vidprior.types import DeviceClip

pytestmark = pytest.mark.usefixtures("log_on_stderr")

WINDOWS = list_windows(5, length=2, strides=(1,), directions=("forward",))


@pytest.fixture
def compiled():
    """What is said before training with a clip of 2^26 bytes, and the state afterwards."""

    def tell():
        fit = train_step.Fit(lambda state, clip, window: (2 * state, {"total": state[0]}))
        clip = DeviceClip(np.zeros(2**26, np.uint8), np.zeros(1, bool), np.zeros(1, np.float32))
        state = jnp.ones(3)
        seconds = throughput.compile_and_report(fit, state, clip, select(WINDOWS, np.array([0])))
        assert seconds > 0
        return state

    return tell


def test_device_and_memory_are_told_and_the_state_is_left_alone(compiled, capsys):
    state = compiled()
    told = capsys.readouterr().err
    assert f"device: {jax.devices()[0].device_kind}" in told
    assert "memory: 0.06 GiB resident (frames and masks 0.06" in told
    np.testing.assert_array_equal(state, np.ones(3))


@pytest.mark.parametrize(("available", "warned"), [(2**26, True), (2**27, False), (None, False)])
def test_too_little_memory_is_warned_of(compiled, capsys, monkeypatch, available, warned):
    monkeypatch.setattr(throughput.runtime, "memory_limit", lambda: available)
    compiled()
    assert ("warning: this exceeds the available memory" in capsys.readouterr().err) == warned


@pytest.fixture
def told(capsys, monkeypatch):
    """The lines after each of some calls; a call takes as long as is given."""
    now = [0.0]
    monkeypatch.setattr(throughput.time, "monotonic", lambda: now[0])

    def tell(calls, **keywords):
        plan = throughput.ThroughputEstimate(compiled=7, **keywords)
        lines = []
        for end, updates, seconds in calls:
            plan.start(DeviceClip(jnp.zeros(1), jnp.zeros(1), jnp.zeros(1)))
            now[0] += seconds
            plan.stop(end, {"total": jnp.zeros(updates)})
            now[0] += 1000  # what lies between calls does not count
            lines.append(capsys.readouterr().err)
        return lines

    return tell


def test_the_second_call_tells_the_time_that_is_left(told):
    """Updates 10 to 20, then 20 to 40 in 5 s: 60 are left, and 40 in later segments: 25 s."""
    first, second, third = told(
        [(20, 10, 50), (40, 20, 5), (60, 20, 5)], done=10, total=100, after=40
    )
    assert first == third == ""
    assert (
        "plan: 90 updates of 100 and 40 in later segments, about 25 s left at 4 updates/s" in second
    )
    assert "compiled in 7 s; " in second
    assert re.search(r"\d\.\d\d GiB at most so far", second)


def test_a_run_of_one_call_tells_by_that(told):
    (only,) = told([(3, 3, 6)], done=0, total=3)
    assert "plan: 3 updates of 3, about 0 s left at 0.5 updates/s" in only


def test_many_windows_at_once_are_as_many_updates(told):
    _, second = told([(8, (2, 4), 9), (16, (2, 4), 4)], done=0, total=20)
    assert "about 2 s left at 2 updates/s" in second


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="warns of a missing accelerator")
@pytest.mark.parametrize(("seconds", "warned"), [(18.0, False), (18.1, True)])
def test_a_long_job_without_an_accelerator_is_warned_of(told, seconds, warned):
    """100 updates are left: 1,800 s is where it begins to be long."""
    _, second = told([(1, 1, 0), (2, 1, seconds)], done=0, total=102)
    assert ("warning: no accelerator" in second) == warned
    assert ("vidprior[cuda]" in second) == warned
