"""Bar charts as SVG: one panel a shape, one bar a server. Readable on light and on dark pages."""

from html import escape

WIDTH, COLUMNS, GAP = 960, 2, 36
LABEL, VALUE, BAR, ROW = 150, 70, 14, 20
TITLE, PANEL_TITLE = 34, 26

STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.panel { font-weight: 600 }
.value { font-variant-numeric: tabular-nums }
.own { font-weight: 600 }
rect { fill: #a9b3be }
rect.floor { fill: #6e7781 }
rect.own { fill: #0a7ea4 }
line { stroke: #6e7781; stroke-dasharray: 2 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  rect { fill: #57606a }
  rect.floor { fill: #8b949e }
  rect.own { fill: #2fb5dc }
}
"""


def svg(title, panels):
    """`panels` are (title, bars), a bar is (server's title, its name, value, value as text); less is better."""
    columns = min(COLUMNS, len(panels))
    width = (WIDTH - GAP * (columns - 1)) / columns
    rows = [panels[at : at + columns] for at in range(0, len(panels), columns)]
    body, top = [], TITLE
    for row in rows:
        body += [line for n, one in enumerate(row) for line in panel(n * (width + GAP), top, width, *one)]
        top += PANEL_TITLE + ROW * max(len(bars) for _, bars in row) + 16
    size = f'viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    name = f"<title>{escape(title)}</title>"
    heading = f'<text class="title" x="0" y="18">{escape(title)}; less is better</text>'
    return "\n".join([head, name, f"<style>{STYLE}</style>", heading, *body, "</svg>"]) + "\n"


def panel(left, top, width, title, bars):
    yield f'<text class="panel" x="{left:.0f}" y="{top + 16}">{escape(title)}</text>'
    most = max(value for *_, value, _ in bars)
    room = width - LABEL - VALUE
    top += PANEL_TITLE
    for number, (label, name, value, text) in enumerate(bars):
        kind = "floor" if name == "floor" else "own" if name == "tidegate" else ""
        middle, length = top + number * ROW + 11, max(1, room * value / most)
        yield f'<text class="{kind}" x="{left + LABEL - 8:.0f}" y="{middle}" text-anchor="end">{escape(label)}</text>'
        place = f'x="{left + LABEL:.0f}" y="{middle - 11}" width="{length:.1f}" height="{BAR}"'
        yield f'<rect class="{kind}" {place} rx="2"/>'
        yield f'<text class="value {kind}" x="{left + LABEL + length + 6:.1f}" y="{middle}">{text}</text>'
    floor = next((value for _, name, value, _ in bars if name == "floor"), None)
    if floor:
        at = left + LABEL + room * floor / most
        yield f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top - 4}" y2="{top + len(bars) * ROW}"/>'
