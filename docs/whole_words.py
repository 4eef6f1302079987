"""Keep in one line what browsers break although it is one word: options and names with hyphens, a number and its %.

A line may break behind every hyphen. No CSS property forbids that alone: with ``white-space: nowrap`` for all code a
page is wider than a phone. Hyphens that do not break are other characters, which a copied command must not have. So
each word gets an element of its own, ``<span class="whole">``. A Markdown extension does not see the words of code
blocks, which are highlighted before, so the finished page is changed. Python's HTML parser reads it: tags are passed on
as they are, and only text is changed.
"""

import re
from html.parser import HTMLParser

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
"""Elements without an end tag."""


def keep_words_whole(html: str) -> str:
    """Return a page whose hyphenated words in inline code and shell commands, and whose percentages, do not break."""
    page = _Page()
    page.feed(html)
    page.close()
    page.end_text()
    return "".join(page.parts)


class _Page(HTMLParser):
    """The page so far, the elements that are open, and the text since the last tag."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self.open: list[tuple[str, str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("class") or ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.end_text()
        self.parts.append(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        self.end_text()
        self.parts.append(f"</{tag}>")
        while any(name == tag for name, _ in self.open) and self.open.pop()[0] != tag:
            pass  # elements whose end tag is left out, such as li

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_entityref(self, name: str) -> None:
        self.text += f"&{name};"

    def handle_charref(self, name: str) -> None:
        self.text += f"&#{name};"

    def handle_comment(self, data: str) -> None:
        self.end_text()
        self.parts.append(f"<!--{data}-->")

    def end_text(self) -> None:
        """Append the text since the last tag, as the elements around it ask for."""
        tags = {tag for tag, _ in self.open}
        shell = any("language-bash" in classes.split() for _, classes in self.open)
        if "code" in tags and (shell or "pre" not in tags):
            self.text = _whole_words(self.text)
        elif not tags & {"pre", "code", "script", "style"}:
            self.text = re.sub(r"(?<=\d) %", "&nbsp;%", self.text)
        self.parts.append(self.text)
        self.text = ""


def _whole_words(text: str) -> str:
    """Wrap each word with a hyphen that is short enough for a line of a phone."""
    return re.sub(r"(?<![^\s,])(?=[^\s,]*-)[^\s,]{2,36}(?![^\s,])", r'<span class="whole">\g<0></span>', text)
