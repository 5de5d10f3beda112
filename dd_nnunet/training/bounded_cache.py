"""Arrays kept in memory while there is room."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

DEFAULT_BYTES = 2**30


class _HasBytes(Protocol):
    @property
    def nbytes(self) -> int: ...


Array = TypeVar("Array", bound=_HasBytes)


class BoundedCache(Generic[Array]):
    """The most recently used arrays, up to a number of bytes (the last one always stays)."""

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        self.max_bytes = max_bytes
        self._arrays: OrderedDict[Hashable, Array] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable, load: Callable[[], Array]) -> Array:
        """The array of this key, loaded if it is not held."""
        if key in self._arrays:
            self._arrays.move_to_end(key)
            return self._arrays[key]
        array = load()
        self._arrays[key] = array
        self._bytes += array.nbytes
        while self._bytes > self.max_bytes and len(self._arrays) > 1:
            _, dropped = self._arrays.popitem(last=False)
            self._bytes -= dropped.nbytes
        return array
