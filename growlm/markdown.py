"""Text that may come from a stranger's file, made inert for Markdown and the HTML that it may hold."""

import re

from growlm.errors import one_line


def markdown_text(text: str) -> str:
    """Escape a text for Markdown and for the HTML that it may hold."""
    text = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~$!])", r"\\\1", text)


def markdown_code(text: str) -> str:
    """Write a text as a code span that it cannot leave, whatever backticks it has."""
    text = one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}" if len(fence) == 1 else f"{fence} {text} {fence}"
