"""The table and the picture of a run."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from statistics import median

import msgspec

from .work import Sample, Work

_WIDTH, _LABEL, _BAR, _GAP, _HEAD = 860, 250, 16, 6, 34
_OURS, _OTHER, _FLOOR = "#0b6e4f", "#8a94a6", "#d0a215"
_HEADS = ("system", "ops/s", "p50 ms", "p99 ms", "server us/op", "driver us/op", "MiB", "x ours")


class Result(msgspec.Struct, frozen=True):
    """All runs of one system under one work."""

    system: str
    durability: str
    work: Work
    samples: list[Sample]

    def of(self, field: str) -> float:
        """Return the median of one field."""
        return float(median(getattr(sample, field) for sample in self.samples))

    @property
    def span(self) -> str:
        """Return the operations per second: the median, and from the least to the most."""
        rates = [sample.per_second for sample in self.samples]
        if len(rates) == 1:
            return f"{rates[0]:,.0f}"
        return f"{median(rates):,.0f} [{min(rates):,.0f}-{max(rates):,.0f}]"


def title(work: Work, durability: str) -> str:
    """Return what a group of rows is called."""
    batch = f", batches of {work.batch}" if work.batch > 1 else ""
    callers = "1 caller" if work.callers == 1 else f"{work.callers} callers"
    return f"{work.mix}, {durability}, {callers}{batch}"


def groups(results: Iterable[Result]) -> Mapping[str, list[Result]]:
    """Return the results by what they can be compared in."""
    grouped: dict[str, list[Result]] = {}
    for result in results:
        grouped.setdefault(title(result.work, result.durability), []).append(result)
    return grouped


def table(results: Iterable[Result], *, ours: str) -> str:
    """Return Markdown: a table for each work, with the ratio to ours."""
    lines = []
    for name, rows in groups(results).items():
        own = next((row for row in rows if row.system == ours), None)
        lines += [f"### {name}", "", _line(_HEADS), _line(["---"] * len(_HEADS))]
        for row in rows:
            ratio = "" if own is None else f"{row.of('per_second') / own.of('per_second'):.2f}"
            cores = f"{row.of('driver_us'):,.0f} ({row.of('driver_cores'):.2f} cores)"
            lines.append(
                _line(
                    [
                        row.system,
                        row.span,
                        f"{row.of('p50_ms'):.2f}",
                        f"{row.of('p99_ms'):.1f}",
                        f"{row.of('server_us'):,.0f}",
                        cores,
                        f"{row.of('resident_bytes') / 2**20:,.0f}",
                        ratio,
                    ]
                )
            )
        lines.append("")
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def picture(results: Iterable[Result], *, ours: str) -> str:
    """Return an SVG: bars of operations per second, a group for each work."""
    parts: list[str] = []
    y = 16
    for name, rows in groups(results).items():
        most = max(row.of("per_second") for row in rows)
        parts.append(f'<text x="8" y="{y + 12}" class="h">{escape(name)}</text>')
        y += _HEAD - 10
        for row in rows:
            rate = row.of("per_second")
            long = (_WIDTH - _LABEL - 190) * rate / most
            colour = _OURS if row.system.startswith(ours) else _OTHER
            colour = _FLOOR if row.system.startswith("floor") else colour
            figures = f"{rate:,.0f}/s, {row.of('server_us'):,.0f} us of CPU"
            parts.append(
                f'<text x="{_LABEL - 8}" y="{y + 12}" class="l">{escape(row.system)}</text>'
                f'<rect x="{_LABEL}" y="{y}" width="{max(1.0, long):.1f}" height="{_BAR}" '
                f'fill="{colour}"/>'
                f'<text x="{_LABEL + long + 6:.1f}" y="{y + 12}">{figures}</text>'
            )
            y += _BAR + _GAP
        y += _HEAD - 16
    style = "text{font:12px sans-serif}.h{font-weight:bold;font-size:13px}.l{text-anchor:end}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" '
        f'viewBox="0 0 {_WIDTH} {y}"><style>{style}</style>'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )
