"""How long `up`, `status` and `down` take, as a person waits for them: the whole command.

benchmarks/run startup [--rounds 5]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = "cluster: startup\nnodes: {nodes}\nbase_port: auto\n"


def timed(folder: Path, *words: str) -> float:
    """Run a command in a folder; return the seconds it took."""
    command = [sys.executable, "-P", "-m", "orchestrator.cli", *words]
    began = time.perf_counter()
    subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=True
    )
    return time.perf_counter() - began


def main() -> int:
    """Start, look at and end clusters of three and nine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    for nodes in (3, 9):
        times: dict[str, list[float]] = {"up": [], "status": [], "down": []}
        for _ in range(given.rounds):
            with tempfile.TemporaryDirectory(prefix="raftcache-startup-") as name:
                (Path(name) / "cluster.yaml").write_text(CLUSTER.format(nodes=nodes))
                for verb, taken in times.items():
                    taken.append(timed(Path(name), verb))
        figures = ", ".join(
            f"{verb} {median(taken):.2f} s (at most {max(taken):.2f})"
            for verb, taken in times.items()
        )
        print(f"{nodes} nodes: {figures}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
