"""The order in which the blocks of a large graph are best computed: what was loaded is used up before more is loaded.

Dask's own order begins where paths are longest, which among tiles are those that lie on the borders of what is loaded:
nearly everything is in memory then before the first tile is done.
"""

from __future__ import annotations

import functools
import heapq
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Roots of all blocks together; where there are more, finding the order would take longer than it saves.
MOST_LINKS = 20_000_000


def in_turn(tasks: Mapping[Any, Any], blocks: Sequence[Any]) -> list[Any]:
    """Return blocks in such an order that each needs as few roots of the graph as can be beyond those before it.

    Among blocks that need equally many more, those go first that are first in `blocks`.
    """
    needed = _roots(tasks, blocks)
    everywhere = functools.reduce(operator.and_, needed) if needed else 0
    needed = [roots & ~everywhere for roots in needed]
    if sum(roots.bit_count() for roots in needed) > MOST_LINKS:
        return list(blocks)
    return [blocks[number] for number in _greedily(needed)]


def _roots(tasks: Mapping[Any, Any], blocks: Sequence[Any]) -> list[int]:
    """Return the roots that each block depends on, as the bits of a number."""
    found: dict[Any, int] = {}
    count = 0
    waiting = list(reversed(blocks))
    while waiting:
        key = waiting[-1]
        below = tasks[key].dependencies if key not in found else ()
        missing = [dependency for dependency in below if dependency not in found]
        waiting.extend(missing)
        if missing:
            continue
        waiting.pop()
        if key in found:
            continue
        if below:
            found[key] = functools.reduce(operator.or_, (found[dependency] for dependency in below))
        else:
            found[key] = 1 << count
            count += 1
    return [found[block] for block in blocks]


def _greedily(needed: Sequence[int]) -> Iterator[int]:
    """Yield the numbers of blocks, always of one that needs the fewest more roots."""
    users: dict[int, list[int]] = {}
    for number, roots in enumerate(needed):
        for root in _bits(roots):
            users.setdefault(root, []).append(number)
    missing = [roots.bit_count() for roots in needed]
    waiting = [(count, number) for number, count in enumerate(missing)]
    heapq.heapify(waiting)
    done = [False] * len(needed)
    while waiting:
        count, number = heapq.heappop(waiting)
        if done[number] or count != missing[number]:
            continue  # it has been taken, or stands further in front
        done[number] = True
        yield number
        for root in _bits(needed[number]):
            for other in users.pop(root, ()):
                missing[other] -= 1
                if not done[other]:
                    heapq.heappush(waiting, (missing[other], other))


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length()
        number ^= lowest
