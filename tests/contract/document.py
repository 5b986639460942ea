"""docs/contract.md, taken apart into its sentences and their references.

What claims something: every row of a table, and every sentence of a paragraph or a list, from the first `## ` on. What
doesn't: what is before it, headings, quotations, and what ends with a colon before a list, a table or a quotation.
"""
import re

# `[guest pmi: shared, dense]`; never a link, whose bracket is followed by a parenthesis or another bracket.
REFERENCE = re.compile(r"\[([a-z][^][]*)\](?![(\[])")
ENDS_IN_REFERENCE = re.compile(rf"(?:^|\s){REFERENCE.pattern}[.:;]?$")
PARTS = re.compile(r"(?P<kind>[a-z][a-z-]*)(?: (?P<name>[^:]+))?(?:: (?P<words>.+))?$")
# The full stop, whatever closes behind it, and space. Not after the few abbreviations.
SENTENCE_END = re.compile(r"(?<=[.?!])(?<!e\.g\.)(?<!i\.e\.)[*_\"')`]*\s+")
ITEM = re.compile(r"^(?:[-*]|\d+\.) +")
MARKS = "|>"


class Claim:
    """A sentence or a row: where it is and under which heading, its text, its references as (kind, name, words)."""

    def __init__(self, line, section, text):
        self.line, self.section, self.text = line, section, text
        # Others may stand inside, but without one at the end there is none.
        cited = REFERENCE.findall(text) if ENDS_IN_REFERENCE.search(text) else []
        self.references = [split(reference) for reference in cited]


def split(reference):
    parts = PARTS.match(reference)
    if not parts:
        return reference, None, []
    return parts["kind"], parts["name"], [word.strip() for word in (parts["words"] or "").split(",") if word.strip()]


def kind_of(line):
    if not line.strip():
        return "blank"
    if line.startswith("#"):
        return "heading"
    if line[0] in MARKS:
        return line[0]
    if ITEM.match(line):
        return "item"
    return "more"


def blocks(lines):
    """(first line's number, kind, text): each heading, quotation line, table line, list item and paragraph."""
    current = None
    for number, line in enumerate(lines, 1):
        kind = kind_of(line)
        if kind == "more" and current:
            current[2] += " " + line.strip()
            continue
        if current:
            yield tuple(current)
        current = None
        if kind in ("item", "more"):
            current = [number, "item" if kind == "item" else "paragraph", ITEM.sub("", line.strip(), count=1)]
        elif kind != "blank":
            yield number, kind, line.strip()
    if current:
        yield tuple(current)


def sentences(text):
    """Ends of sentences inside a reference's brackets end nothing."""
    masked = REFERENCE.sub(lambda found: "[" + "x" * (len(found[0]) - 2) + "]", text)
    start = 0
    for end in SENTENCE_END.finditer(masked):
        yield text[start:end.start()]
        start = end.end()
    yield text[start:]


def rows(table):
    """Without the head and the line below it."""
    return [(number, text) for number, text in table if not re.fullmatch(r"[|:\- ]+", text)][1:]


def claims(lines):
    section, table, found = None, [], list(blocks(lines))
    for index, (number, kind, text) in enumerate(found):
        following = found[index + 1][1] if index + 1 < len(found) else None
        if kind == "heading":
            section = text.lstrip("# ") if text.startswith("##") else None
        elif section is None or kind == ">":
            continue
        elif kind == "|":
            table.append((number, text))
            if following != "|":
                yield from (Claim(row, section, cells.rstrip("|").rstrip()) for row, cells in rows(table))
                table = []
        else:
            said = list(sentences(text))
            if said[-1].endswith(":") and (following in ("item", "|", ">") and kind == "paragraph"):
                said.pop()
            yield from (Claim(number, section, sentence) for sentence in said)
