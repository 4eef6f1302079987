"""The loss over a phase."""

import torch

from growlm.train.loss_curve import LossCurve


def test_each_twentieth_is_a_mean():
    curve = LossCurve()
    for step in range(40):
        curve.add(torch.tensor(float(step)), step, 40)
    assert curve.points == [(step + 2, step + 0.5) for step in range(0, 40, 2)]


def test_a_short_phase_has_a_point_for_every_step():
    curve = LossCurve()
    for step in range(3):
        curve.add(torch.tensor(2.0 * step), step, 3)
    assert curve.points == [(1, 0.0), (2, 2.0), (3, 4.0)]


def test_resuming_in_the_midst_of_a_point_changes_nothing():
    generator = torch.Generator().manual_seed(0)
    losses = torch.rand(100, generator=generator)
    whole, first, second = LossCurve(), LossCurve(), LossCurve()
    for step, loss in enumerate(losses):
        whole.add(loss, step, 100)
        if step < 33:
            first.add(loss, step, 100)
            second.load_state_dict(first.state_dict())
        else:
            second.add(loss, step, 100)
    assert second.points == whole.points
    assert len(whole.points) == 20
