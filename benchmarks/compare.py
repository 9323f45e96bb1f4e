"""The same work on this cache, on its peers and on the floors, in turn, in one run.

    benchmarks/run [--seconds 4] [--rounds 2] [--callers 1,8,64,256] [--mix set,get,90/10]
                   [--durability fsync,memory] [--only TEXT] [--out FOLDER]

Peers that are not installed are named and left out, with what would install them. Systems take
turns (A B A B …) so that what else the host does falls on all; compare within one run, by ratio.
Written to FOLDER, benchmarks/results: peers.md, peers.svg, peers.json.
"""

import argparse
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from peers import etcd, floors, ours, redis, report, syncobj
from peers.system import Missing, System
from peers.work import MIXES, Sample, Work

OURS = ours.Ours.name
RESULTS = Path(__file__).resolve().parent / "results"
SYSTEMS: tuple[type[System], ...] = (
    ours.Ours,
    ours.OursAsync,
    etcd.Etcd,
    redis.Redis,
    floors.ReplicateSynced,
    ours.OursMemory,
    ours.OursAsyncMemory,
    etcd.EtcdUnsynced,
    syncobj.SyncObj,
    redis.RedisMemory,
    floors.Replicate,
    floors.Echo,
)


def installed(chosen: list[type[System]]) -> Iterator[type[System]]:
    """Yield what is there; name what is not."""
    for kind in chosen:
        try:
            kind.look()
        except Missing as missing:
            print(f"left out: {kind.name} ({kind.durability}): {missing}", file=sys.stderr)
        else:
            yield kind


def run(kinds: list[type[System]], works: list[Work], rounds: int) -> list[report.Result]:
    """Measure every system with every work, so many times, in turn."""
    samples: dict[tuple[int, int], list[Sample]] = {}
    for turn in range(1, rounds + 1):
        for place, kind in enumerate(kinds):
            fitting = [(at, work) for at, work in enumerate(works) if work.mix in kind.mixes]
            with kind() as system:
                for at, work in fitting:
                    sample = system.measure(work)
                    samples.setdefault((at, place), []).append(sample)
                    title = report.title(work, kind.durability)
                    print(
                        f"{turn}/{rounds}  {kind.name:<28} {title:<36}"
                        f"{sample.per_second:>10,.0f}/s  p50 {sample.p50_ms:7.2f} ms"
                        f"{sample.server_us:8,.0f} us",
                        file=sys.stderr,
                        flush=True,
                    )
    return [
        report.Result(kinds[place].name, kinds[place].durability, works[at], taken)
        for (at, place), taken in sorted(samples.items())
    ]


def words(text: str) -> list[str]:
    """Split a list with commas."""
    return [word for word in text.split(",") if word]


def main() -> int:
    """Run and write it down."""
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="benchmarks/run",
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--callers", type=words, default=["1", "8", "64", "256"])
    parser.add_argument("--mix", type=words, default=list(MIXES))
    parser.add_argument("--durability", type=words, default=["fsync", "memory"])
    parser.add_argument("--only", default="", help="systems whose name has this in it")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    kinds = list(
        installed(
            [
                kind
                for kind in SYSTEMS
                if given.only.lower() in kind.name.lower() and kind.durability in given.durability
            ]
        )
    )
    works = [Work(mix, int(count), given.seconds) for mix in given.mix for count in given.callers]
    results = run(kinds, works, given.rounds)
    about = (
        f"{os.cpu_count()} processors, Python {platform.python_version()}, "
        f"{given.rounds} x {given.seconds:g} s each, load generator and servers on one host."
    )
    text = f"{about}\n\n{report.table(results, ours=OURS)}"
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "peers.md").write_text(text)
    (given.out / "peers.svg").write_text(report.picture(results, ours=OURS))
    (given.out / "peers.json").write_bytes(msgspec.json.encode(results))
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
