"""The cache drops the value that was used least recently."""

from inventory_service.service.lru_cache import LruCache


def test_the_least_recently_used_value_leaves_the_cache_first() -> None:
    """The cache has a fixed size."""
    cache: LruCache[str, int] = LruCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.get("a")

    cache.put("c", 3)

    assert [cache.get(name) for name in "abc"] == [1, None, 3]
