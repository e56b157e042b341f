"""Split sequences into portions that are limited by count and by bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")


def portions(
    items: Iterable[Item], bytes_of: Callable[[Item], int], *, count_max: int, bytes_max: int
) -> Iterator[list[Item]]:
    """Yield the items in order, in portions of at most `count_max` items and `bytes_max` bytes.

    `bytes_of` gives the size of an item. An item larger than `bytes_max` has a portion to itself.
    """
    portion: list[Item] = []
    left = bytes_max
    for item in items:
        size = bytes_of(item)
        if portion and (size > left or len(portion) == count_max):
            yield portion
            portion, left = [], bytes_max
        portion.append(item)
        left -= size
    if portion:
        yield portion
