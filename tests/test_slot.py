"""The mailbox: the newest wins, and what nobody took is counted."""

import threading
import time

from rtvis.slot import LatestSlot


def test_the_newest_value_wins_and_the_others_are_counted() -> None:
    slot: LatestSlot[int] = LatestSlot()
    for value in (1, 2, 3):
        slot.put(value)
    assert slot.take() == 3
    assert (slot.num_put, slot.num_dropped) == (3, 2)
    assert slot.take() is None


def test_taking_waits_for_a_value_but_not_longer_than_asked() -> None:
    slot: LatestSlot[int] = LatestSlot()
    started_s = time.monotonic()
    assert slot.take(timeout_s=0.05) is None
    assert 0.05 <= time.monotonic() - started_s < 1

    timer = threading.Timer(0.05, slot.put, args=(7,))
    timer.start()
    assert slot.take(timeout_s=10) == 7
    timer.join()


def test_closing_wakes_who_waits_and_refuses_what_comes_later() -> None:
    slot: LatestSlot[int] = LatestSlot()
    timer = threading.Timer(0.05, slot.close)
    timer.start()
    started_s = time.monotonic()
    assert slot.take(timeout_s=30) is None
    assert time.monotonic() - started_s < 5
    timer.join()
    slot.put(1)
    slot.close()
    assert slot.is_closed
    assert (slot.take(), slot.num_put) == (None, 0)


def test_a_value_left_in_a_closed_slot_can_still_be_taken() -> None:
    slot: LatestSlot[int] = LatestSlot()
    slot.put(5)
    slot.close()
    assert slot.take() == 5


def test_a_giver_can_wait_until_its_value_was_taken() -> None:
    slot: LatestSlot[int] = LatestSlot()
    assert slot.wait_empty(timeout_s=0)
    slot.put(1)
    assert not slot.wait_empty(timeout_s=0.02)
    timer = threading.Timer(0.05, slot.take)
    timer.start()
    assert slot.wait_empty(timeout_s=10)
    timer.join()
    assert slot.num_dropped == 0


def test_two_threads_lose_nothing_between_put_and_take() -> None:
    slot: LatestSlot[int] = LatestSlot()
    taken = []

    def take() -> None:
        while (value := slot.take(timeout_s=5)) is not None:
            taken.append(value)

    taker = threading.Thread(target=take)
    taker.start()
    for value in range(1, 2001):
        slot.put(value)
    assert slot.wait_empty(timeout_s=5)
    slot.close()
    taker.join()
    assert taken == sorted(taken)
    assert taken[-1] == 2000
    assert len(taken) + slot.num_dropped == 2000
