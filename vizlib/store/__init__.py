"""Statistics on disk: the store, and how it is filled."""

from vizlib.store.collecting import collect
from vizlib.store.store import IMAGE, Draw, StatsStore

__all__ = ["IMAGE", "Draw", "StatsStore", "collect"]
