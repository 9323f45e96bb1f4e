"""The digests of many records at once are those of each, added up."""

from random import Random

import pytest

from raftcache.store.records import MASK, Record, checked_digest, lived_record
from raftcache.store.sums import MANY, summed_digests


def records_of(count: int) -> tuple[list[int], list[Record]]:
    """Return the checks of some keys, and records of all sizes."""
    random = Random(count)
    checks = [random.getrandbits(32) for _ in range(count)]
    records = [
        Record(random.randbytes(random.randrange(300)), *[random.getrandbits(bits)] * 3)
        for bits in random.choices((1, 8, 31, 53, 64), k=count)
    ]
    return checks, records


@pytest.mark.parametrize("count", [0, 1, MANY - 1, MANY, 63, 64, 65, 255, 256, 257, 511, 512, 1000])
def test_the_sum_is_that_of_all_digests(count: int) -> None:
    """Around every number at which it is made differently."""
    checks, records = records_of(count)

    summed = summed_digests(checks, records)

    assert summed == sum(map(checked_digest, checks, records)) & MASK


def test_a_sum_that_carries_from_every_digest() -> None:
    """What two digests carry beyond their 64 bits stays out of those of others."""
    checks, records = records_of(256)
    largest = max(zip(checks, records, strict=True), key=lambda pair: checked_digest(*pair))
    checks, records = [largest[0]] * 256, [largest[1]] * 256
    digest = checked_digest(*largest)
    assert digest > MASK * 0.9

    assert summed_digests(checks, records) == 256 * digest & MASK


def test_records_that_do_not_simply_stay_count_as_they_do_alone() -> None:
    checks, records = records_of(100)
    records[70] = lived_record(records[70], 9_000)

    summed = summed_digests(checks, records)

    assert summed == sum(map(checked_digest, checks, records)) & MASK
