"""A key-value cache that keeps room for what comes: the stock one copies all of itself for every token."""

from typing import Any

from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer

_ROOM = 96  # tokens


class RoomyLayer(DynamicLayer):
    """A layer's keys and values at the beginning of larger tensors; it holds the values that the stock layer would."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._key_room: Tensor | None = None
        self._value_room: Tensor | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Put new keys and values, [B, H, T, K], behind those that are there.

        Returns:
            All keys and all values.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        self._key_room, self.keys = _extended(self._key_room, self.keys, key_states)
        self._value_room, self.values = _extended(self._value_room, self.values, value_states)
        return self.keys, self.values


def roomy_cache(config: PreTrainedConfig) -> DynamicCache:
    """Make an empty cache for a model; layers of a kind of their own, such as sliding windows, are the stock ones."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _extended(room: Tensor | None, held: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """Write behind what is held, into the room it is in, or into a new one if that is full or another's."""
    begin = held.shape[-2] if held.numel() else 0
    end = begin + new.shape[-2]
    own = room is not None and held.data_ptr() == room.data_ptr() and held.shape[0] == room.shape[0]
    if room is None or not own or end > room.shape[-2]:
        batch, heads, _, width = new.shape
        room = new.new_empty(batch, heads, end + _ROOM, width)
        if begin:
            room[:, :, :begin] = held
    room[:, :, begin:end] = new
    return room, room[:, :, :end]
