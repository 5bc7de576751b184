"""Several batches at once, in the order in which they came."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

import torch

_AHEAD: Final = 2
"""Batches that are begun for each lane, beside the one that is waited for."""

Given = TypeVar("Given")
Found = TypeVar("Found")


def in_lanes(
    num_lanes: int, given: Iterable[Given], look: Callable[[Given], Found]
) -> Generator[tuple[Given, Found], None, None]:
    """Each of `given` and what `look` makes of it, in their order.

    Closing it waits for those that are looked at by then.

    Args:
        num_lanes: So many threads look; with one it is the caller's own.
        given: Is gone through by the caller's thread, a little ahead.
        look: Is called by several threads at once.
    """
    if num_lanes == 1:
        for each in given:
            yield each, look(each)
        return
    waiting: deque[tuple[Given, Future[Found]]] = deque()
    with ThreadPoolExecutor(
        num_lanes,
        thread_name_prefix="rtvis-lane",
        # Torch sets the number of threads of a thread when it is first asked, over any other.
        initializer=torch.get_num_threads,
    ) as pool:
        try:
            for each in given:
                waiting.append((each, pool.submit(look, each)))
                if len(waiting) > _AHEAD * num_lanes:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
