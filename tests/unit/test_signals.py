import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from growlm.signals import hand_back, interrupted_alike, take_over

pytestmark = pytest.mark.usefixtures("signals_end_commands")
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", ENDING)
def test_each_signal_interrupts_and_is_handed_back(number: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interrupted_alike():
        signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_a_signal_that_is_ignored_is_left_alone() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        handlers = take_over(signal.default_int_handler)
        assert set(handlers) == {signal.SIGINT, signal.SIGTERM}
        hand_back(handlers)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_takes_nothing_over() -> None:
    before = [signal.getsignal(number) for number in ENDING]
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(take_over, signal.default_int_handler).result() == {}
    assert [signal.getsignal(number) for number in ENDING] == before
