"""The map behind the keyspace: a dict in what it does, but never copied as a whole."""

from hypothesis import given
from hypothesis import strategies as st

from raftcache.store.buckets import Buckets

KEYS = st.binary(min_size=1, max_size=2)


@given(st.lists(st.tuples(KEYS, st.none() | st.integers())))
def test_buckets_hold_what_a_dict_would(changes: list[tuple[bytes, int | None]]) -> None:
    buckets: Buckets[int] = Buckets()
    model: dict[bytes, int] = {}

    for key, number in changes:
        if number is not None:
            buckets[key] = model[key] = number
        elif key in model:
            del buckets[key], model[key]

    assert {key: buckets.get(key) for key in model} == model
    assert all(key in buckets and buckets[key] == number for key, number in model.items())
    assert all(
        key not in buckets and buckets.get(key) is None for key, _ in changes if key not in model
    )


def test_keys_that_differ_only_in_a_number_are_spread_evenly() -> None:
    """What grows at once is a bucket: in a large one the stall of a single dict would be back."""
    buckets: Buckets[int] = Buckets()

    buckets.update((b"user:%08d:name" % number, number) for number in range(64_000))

    sizes = [len(each) for each in buckets.dicts]
    assert sum(sizes) == 64_000
    assert max(sizes) < 2 * 64_000 / len(sizes)


def test_buckets_are_dismantled_bit_by_bit() -> None:
    buckets: Buckets[int] = Buckets()
    buckets.update((b"%d" % number, number) for number in range(1_000))

    steps = 0
    while not buckets.dismantle(100):
        steps += 1
        assert sum(len(each) for each in buckets.dicts) == 1_000 - 100 * steps

    assert steps in {9, 10}
