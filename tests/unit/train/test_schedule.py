import pytest

from growlm.train.schedule import schedule_factor


def test_warm_up_rises_linearly_to_the_peak() -> None:
    assert [schedule_factor("constant", step, 10, warmup_steps=3) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]


def test_cosine_is_half_way_in_the_middle_and_ends_at_the_floor() -> None:
    factors = [schedule_factor("cosine", step, 100, floor=0.1) for step in (0, 50, 100)]
    assert factors == pytest.approx([1.0, 0.55, 0.1])


def test_wsd_is_stable_then_falls_linearly() -> None:
    factors = [schedule_factor("wsd", step, 100, decay_share=0.4) for step in (0, 59, 60, 80, 99)]
    assert factors == pytest.approx([1, 1, 1, 0.5, 0.025])


@pytest.mark.parametrize("name", ["constant", "cosine", "wsd"])
def test_every_step_trains(name: str) -> None:
    assert all(0 < schedule_factor(name, step, 20, warmup_steps=5) <= 1 for step in range(20))
