"""Arrays in shared memory: one anonymous file holds a JSON head and the bytes of every array.

Nothing is pickled. Only numbers, truth values, times and fixed-width text travel; what comes back from a guest is
checked before a view of it is made, since the guest may be anyone's.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

ALIGNED = 64  # bytes
LARGEST_WRITE = 1 << 30  # the kernel takes at most 2 GiB at once
MOST_ARRAYS = 10_000
HEAD_ROOM = 8  # bytes: the head's length
_POPULATE = 22  # MADV_POPULATE_READ: map all pages now, which is faster than one by one
_TYPES = re.compile(r"[<|](b1|[iu][1248]|f[248]|c(8|16)|[mM]8(\[(\d+)?[a-zA-Z]{1,2}\])?|U\d{1,7})")


class Unfit(ValueError):
    """An array that cannot travel, or a description that does not describe one."""


def plain(array: np.ndarray) -> np.ndarray:
    """The array in memory order and the machine's byte order; raises Unfit for types that do not travel."""
    array = np.asarray(array)
    native = array.dtype.newbyteorder("=")
    if not _TYPES.fullmatch(native.str):
        raise Unfit(
            f"An array of type {array.dtype} cannot travel; convert it to numbers, booleans, datetime64 or fixed-width "
            "text."
        )
    return np.ascontiguousarray(array, dtype=native).reshape(array.shape)


def lay_out(arrays: Sequence[np.ndarray], start: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Type, shape and place of each array, and the end of the last."""
    places, end = [], start
    for array in arrays:
        offset = -(-end // ALIGNED) * ALIGNED
        places.append({"dtype": array.dtype.str, "shape": list(array.shape), "offset": offset})
        end = offset + array.nbytes
    return places, end


def write(file: int, arrays: Sequence[np.ndarray], places: Sequence[Mapping[str, Any]]) -> None:
    """Put arrays, as `plain` gives them, at their places in an open file."""
    for array, place in zip(arrays, places, strict=True):
        content, done = raw(array), 0
        while done < len(content):
            done += os.pwrite(file, content[done : done + LARGEST_WRITE].data, place["offset"] + done)


def raw(array: np.ndarray) -> np.ndarray:
    """The bytes of an array in memory order."""
    return array.reshape(-1).view(np.uint8) if array.nbytes else np.zeros(0, np.uint8)


def page_after(size: int) -> int:
    """The first page's begin at or after a place."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def read_input(file: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The request and its arrays: mapped, copied page by page where someone writes into them."""
    size = int.from_bytes(os.pread(file, HEAD_ROOM, 0), "little")
    head = json.loads(os.pread(file, size, HEAD_ROOM))
    start, total = page_after(HEAD_ROOM + size), os.fstat(file).st_size
    memory = mmap.mmap(file, total, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    with suppress(OSError):  # before Linux 5.14
        memory.madvise(_POPULATE)
    return head["request"], [view(memory, place, start) for place in head["arrays"]]


def places_of(listed: Any, largest: int) -> list[tuple[dict[str, Any], int]]:
    """A guest's descriptions of its arrays with the end of each, checked; raises Unfit."""
    if not isinstance(listed, list) or len(listed) > MOST_ARRAYS:
        raise Unfit("it does not list its arrays")
    return [(place, _checked_end(place, largest)) for place in listed]


def view(memory: mmap.mmap, place: Mapping[str, Any], start: int = 0) -> np.ndarray:
    """The array at a place of mapped memory."""
    dtype, shape = np.dtype(place["dtype"]), tuple(place["shape"])
    count = math.prod(shape)
    if count * dtype.itemsize == 0:
        return np.zeros(shape, dtype)
    return np.frombuffer(memory, dtype, count, start + place["offset"]).reshape(shape)


def _checked_end(place: Any, largest: int) -> int:
    """End of an array's bytes, 0 for an empty one, once its description proves sound."""
    try:
        dtype, shape, offset = place["dtype"], place["shape"], place["offset"]
        if not _TYPES.fullmatch(dtype) or len(shape) > 32 or not all(type(n) is int for n in [*shape, offset]):
            raise Unfit("it describes an array that cannot travel")
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if (
            min([*shape, offset], default=0) < 0
            or max([*shape, 0]) > 1 << 40
            or offset % ALIGNED
            or offset + size > largest
        ):
            raise Unfit("it places an array outside its memory")
    except (TypeError, KeyError, ValueError) as error:
        raise error if isinstance(error, Unfit) else Unfit("it does not describe its arrays") from None
    return offset + size if size else 0


def sound(array: np.ndarray) -> np.ndarray:
    """Refuse bytes that are no truth values or no text: numpy would trust them."""
    if array.dtype.kind == "b" and array.size and array.view(np.uint8).max() > 1:
        raise Unfit("it holds truth values that are neither true nor false")
    if array.dtype.kind == "U" and array.nbytes and array.reshape(-1).view(np.uint32).max() > 0x10FFFF:
        raise Unfit("it holds text that is no text")
    return array
