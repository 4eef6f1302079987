"""A section of a model card that a benchmark makes."""

from pathlib import Path

from growlm.files import write_text


def put_section(card: Path, heading: str, body: str) -> None:
    """Write a section before the curve of a base's card, in place of an earlier one of that heading.

    Args:
        card: the card.
        heading: its heading, without the number signs.
        body: its text in Markdown.
    """
    begin, end = f"<!-- {heading} -->\n", f"<!-- end of {heading} -->\n"
    text = card.read_text(encoding="utf-8")
    section = f"{begin}## {heading}\n\n{body.strip()}\n{end}"
    if begin in text:
        before, rest = text.split(begin, 1)
        text = before + section + rest.split(end, 1)[1]
    else:
        before, curve, rest = text.partition("## Curve")
        text = f"{before}{section}\n{curve}{rest}"
    write_text(card, text)
