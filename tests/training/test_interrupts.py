"""Signals, and what becomes of them."""

import os
import signal
import threading

import pytest

from vidprior.training.interrupts import StopRequest

pytestmark = pytest.mark.usefixtures("log_on_stderr")


def test_the_first_signal_is_a_wish_and_the_second_an_order(capsys):
    with StopRequest() as stop:
        assert not stop.asked
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        assert "press Ctrl-C again" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_polite_kill_is_a_wish_too(capsys):
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked


def test_handlers_are_put_back():
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    stop = StopRequest()
    stop.__enter__()
    assert all(
        signal.getsignal(number) != handler for number, handler in zip(numbers, before, strict=True)
    )
    stop.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert [signal.getsignal(number) for number in numbers] == before


def test_other_threads_leave_signals_alone():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def run():
        with StopRequest() as stop:
            seen.extend([stop.asked, signal.getsignal(signal.SIGINT)])

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False, before]
