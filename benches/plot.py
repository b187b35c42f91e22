"""The plot: bars on a logarithmic scale, one panel for each question."""

import math
import statistics
from html import escape

WIDTH, LEFT, RIGHT, BAR, GAP, TITLE = 760, 210, 90, 16, 6, 40
COLOURS = {"cronkeep": "#2f6f4f", "limit": "#9a9a9a"}
OTHER = "#c98f3d"


def panels(results):
    """Titles, and bars: label, value, unit."""

    def rows(key, value, scale=1, **wanted):
        found = {}
        for row in results.get(key, []):
            if value in row and all(row[name] == want for name, want in wanted.items()):
                found.setdefault(row["program"], []).append(row[value])
        return [(name, statistics.median(values) / scale) for name, values in found.items()]

    minute = [(name, statistics.median(found)) for name, found in results.get("lone_minute", {}).items() if found]
    yield "Lone job each minute: start after its instant, median, ms", minute
    yield "1 000 jobs at one instant: last start, ms", rows("burst", "last_ms", jobs=1000)
    for count in (10_000, 100_000):
        yield f"CPU time to load {spaced(count)} entries, ms", rows("start_up", "cpu_ms", entries=count)
    for count in (1, 10_000, 100_000):
        yield f"Memory (PSS) with {spaced(count)} entries, MiB", rows("memory", "pss_kib", 1024, entries=count)


def draw(results):
    """The whole picture as SVG, light or dark as the reader has it."""
    parts, y = [], 10
    for title, bars in panels(results):
        bars = [(name, value) for name, value in bars if value > 0]
        if not bars:
            continue
        parts.append(f'<text class="title" x="10" y="{y + 20}">{escape(title)}</text>')
        y += TITLE - 8
        low, high = min(value for _, value in bars) / 2, max(value for _, value in bars)
        for name, value in bars:
            length = (WIDTH - LEFT - RIGHT) * share(value, low, high)
            middle = y + BAR - 4
            parts.append(f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>')
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour(name)}"/>'
            )
            parts.append(f'<text x="{LEFT + length + 6:.1f}" y="{middle}">{spaced(round(value)) if value >= 100 else f"{value:.3g}"}</text>')
            y += BAR + GAP
        y += 10
    style = (
        "text{font:12px sans-serif;fill:#222}.title{font-weight:bold;font-size:13px}.ground{fill:#fff}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}.ground{fill:#111}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img" '
        f'aria-label="Cronkeep beside other crons; shorter is better, logarithmic">\n<style>{style}</style>\n'
        f'<rect class="ground" width="{WIDTH}" height="{y}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def share(value, low, high):
    """Where a value stands between two others, logarithmically."""
    return math.log(value / low) / math.log(high / low)


def spaced(count):
    return f"{count:,}".replace(",", " ")


def colour(name):
    return next((shade for start, shade in COLOURS.items() if name.startswith(start)), OTHER)
