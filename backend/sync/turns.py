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

# Roots of all tasks together; where there are more, finding the order would take more memory than it saves.
MOST_LINKS = 4_000_000

Roots = frozenset[int]


def in_turn(tasks: Mapping[Any, Any], blocks: Sequence[Any]) -> list[Any]:
    """Return blocks in such an order that each needs as few roots of the graph as can be beyond those before it.

    Among blocks that need equally many more, those go first that are first in `blocks`.
    """
    needed = _roots(tasks, blocks)
    if needed is None:
        return list(blocks)
    everywhere = functools.reduce(operator.and_, needed) if needed else Roots()
    return [blocks[number] for number in _greedily([roots - everywhere for roots in needed])]


def _roots(tasks: Mapping[Any, Any], blocks: Sequence[Any]) -> list[Roots] | None:
    """Return the roots that each block depends on, by their numbers; None where these are too many."""
    found: dict[Any, Roots] = {}
    count = links = 0
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
        if not below:
            found[key] = Roots((count,))
            count += 1
        elif len(below) == 1:
            found[key] = found[next(iter(below))]  # the same set, in memory, too
        else:
            found[key] = Roots().union(*(found[dependency] for dependency in below))
            links += len(found[key])
        if links > MOST_LINKS:
            return None
    return [found[block] for block in blocks]


def _greedily(needed: Sequence[Roots]) -> Iterator[int]:
    """Yield the numbers of blocks, always of one that needs the fewest more roots."""
    users: dict[int, list[int]] = {}
    for number, roots in enumerate(needed):
        for root in roots:
            users.setdefault(root, []).append(number)
    missing = [len(roots) for roots in needed]
    waiting = [(count, number) for number, count in enumerate(missing)]
    heapq.heapify(waiting)
    done = [False] * len(needed)
    while waiting:
        count, number = heapq.heappop(waiting)
        if done[number] or count != missing[number]:
            continue  # it has been taken, or stands further in front
        done[number] = True
        yield number
        for root in needed[number]:
            for other in users.pop(root, ()):
                missing[other] -= 1
                if not done[other]:
                    heapq.heappush(waiting, (missing[other], other))
