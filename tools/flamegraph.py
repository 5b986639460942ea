"""A flame graph as SVG, and over it which layer ran when."""
import collections
import html

WIDTH, MARGIN, ROW, TEXT = 1200, 16, 17, 6.6  # pixels; of a character, on average
STRIP, COLUMNS = 90, 240
COLOURS = {"firmware": (224, 142, 60), "boot loader": (206, 196, 60), "kernel": (92, 148, 214), "user": (110, 184, 108),
           "pmuvisor": (170, 110, 190)}
OTHER = (150, 150, 150)


class Node:
    def __init__(self):
        self.count = 0
        self.children = {}


def tree(stacks):
    """`stacks`: {(frame, ...): count}."""
    root = Node()
    for stack, count in stacks.items():
        node = root
        node.count += count
        for frame in stack:
            node = node.children.setdefault(frame, Node())
            node.count += count
    return root


def colour(layer, name, depth):
    """The layer's, a little different for each name."""
    shade = 1.0 if not depth else 0.82 + (sum(map(ord, name)) % 40) / 100
    return "#" + "".join(f"{min(255, int(part * shade)):02x}" for part in COLOURS.get(layer, OTHER))


def box(x, y, width, height, fill, title, text=""):
    room = int((width - 4) / TEXT)
    if len(text) > room:
        text = text[:room - 1] + "…" if room > 3 else ""
    label = f'<text x="{x + 3:.1f}" y="{y + height - 5}">{html.escape(text)}</text>' if text else ""
    return (f'<g><title>{html.escape(title)}</title><rect x="{x:.1f}" y="{y}" width="{max(width, 0.3):.1f}" '
            f'height="{height}" fill="{fill}"/>{label}</g>')


def flames(node, x, y, scale, total, layer=None, depth=0):
    for name, child in sorted(node.children.items(), key=lambda item: (-item[1].count, item[0])):
        width = child.count * scale
        if width >= 0.3:
            here = layer or name
            title = f"{name}: {child.count} samples, {100 * child.count / total:.2f} %"
            yield box(x, y, width, ROW - 1, colour(here, name, depth), title, name)
            yield from flames(child, x, y - ROW, scale, total, here, depth + 1)
        x += width


def strip(times, y):
    """`times`: (time, layer) of each sample. Columns of equal time, as high as there are samples."""
    first, last = min(time for time, _ in times), max(time for time, _ in times)
    columns = [collections.Counter() for _ in range(COLUMNS)]
    for time, layer in times:
        columns[min(COLUMNS - 1, int((time - first) / (last - first or 1) * COLUMNS))][layer] += 1
    highest = max(sum(column.values()) for column in columns)
    width = (WIDTH - 2 * MARGIN) / COLUMNS
    for number, column in enumerate(columns):
        bottom = y + STRIP
        for layer in sorted(column):
            height = column[layer] / highest * STRIP
            bottom -= height
            yield (f'<rect x="{MARGIN + number * width:.1f}" y="{bottom:.1f}" width="{width + 0.1:.1f}" '
                   f'height="{height:.1f}" fill="{colour(layer, layer, 0)}"/>')
    seconds = last - first
    yield f'<text x="{MARGIN}" y="{y + STRIP + 13}">0 s</text>'
    yield f'<text x="{WIDTH - MARGIN}" y="{y + STRIP + 13}" text-anchor="end">{seconds:.1f} s</text>'


def depth(node):
    return 1 + max(map(depth, node.children.values()), default=0)


def render(title, stacks, times):
    root = tree(stacks)
    top = 40
    bottom = top + STRIP + 30 + depth(root) * ROW
    scale = (WIDTH - 2 * MARGIN) / root.count
    parts = [f'<text x="{WIDTH / 2}" y="24" text-anchor="middle" font-size="16">{html.escape(title)}</text>']
    parts += strip(times, top)
    parts.append(box(MARGIN, bottom - ROW, WIDTH - 2 * MARGIN, ROW - 1, "#dddddd", f"all: {root.count} samples", "all"))
    parts += flames(root, MARGIN, bottom - 2 * ROW, scale, root.count)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 12}" width="{WIDTH}" '
            f'height="{bottom + 12}" font-family="DejaVu Sans, Verdana, sans-serif" font-size="11">\n'
            f'<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n")
