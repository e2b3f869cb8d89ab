"""Stages of longer and longer training, and when a curve has stopped rising."""

import pytest

from vidprior import configuration
from vidprior.evaluation import ablation, convergence

DIP, VID, _, FLOW = ablation.SYSTEMS


def test_all_systems_visit_a_frame_equally_often():
    """24 frames: five windows a pass, 100 updates of five frames each, are 2,500 visits."""
    assert convergence.visits(1, frames=24) == 2500 // 24 == 104
    assert convergence.visits(1, frames=4) == 100  # one window of four frames
    assert convergence.visits(8, frames=24) == 20_000 // 24 == 833
    assert convergence.stage(DIP, 8, frames=24) == {"schedule.updates_per_window": 833}
    fields = convergence.stage(VID, 8, frames=24)
    assert fields["schedule.windows_per_pass"] == 5
    assert fields["schedule.updates_per_window"] == 100
    assert fields["schedule.num_passes"] == 8
    assert convergence.stage(FLOW, 8, frames=24) == fields


def test_only_passes_change_between_the_stages_of_a_network_for_the_clip():
    first, second = (convergence.stage(FLOW, passes, frames=24) for passes in (1, 2))
    assert {name for name in first if first[name] != second[name]} == {"schedule.num_passes"}


@pytest.mark.parametrize("system", ablation.SYSTEMS)
def test_stages_are_fields_of_their_configuration(system):
    stage = convergence.stage(system, 2, frames=3)
    configuration.check_overrides(configuration.load(system.config), list(stage))
    assert convergence.begins_anew(system) == (system is DIP)


@pytest.mark.parametrize(
    ("curve", "rising"),
    [
        ([], True),
        ([20.0], True),
        ([20.0, 19.0], True),  # one stage without a gain
        ([20.0, 19.0, 18.0], False),
        ([20.0, 20.05, 20.09], False),  # less than 0.1 in two stages
        ([20.0, 20.05, 20.11], True),  # measured from the best before
        ([20.0, 19.0, 21.0, 20.0], True),
        ([20.0, 21.0, 21.0, 20.0], False),
    ],
)
def test_when_a_curve_rises(curve, rising):
    assert convergence.rises(curve) == rising
