from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

from growlm.manifest.html import stack_html
from growlm.manifest.manifest import Manifest, ModuleRecord


class Outline(HTMLParser):
    """Records each piece of text with how many boxes it is in, and checks that tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.depth_of: dict[str, int] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.depth_of.setdefault(data.strip(), self.open.count("div"))


def test_modules_stand_inside_what_they_were_grown_on(manifest: Manifest):
    outline = Outline(stack_html(manifest))
    depths = {name: outline.depth_of[name] for name in ("base tiny", "chat", "memory", "rhymes")}
    assert depths == {"base tiny": 1, "chat": 2, "memory": 3, "rhymes": 2}
    assert "75.0 %" in outline.depth_of


def test_it_is_self_contained(manifest: Manifest):
    html = stack_html(manifest)
    assert set(Outline(html).seen) <= {"div", "b", "br", "span", "table", "thead", "tbody", "tr", "th", "td"}
    assert "http" not in html


def test_whatever_the_manifest_says_is_text(manifest: Manifest, make_module: Callable[..., ModuleRecord]):
    hostile = make_module("chat", skill={"name": "<script>alert('x')</script>"}, scores={})
    html = stack_html(replace(manifest, modules=(hostile,), base=replace(manifest.base, source="<img src=x>")))
    assert "<script" not in html
    assert "<img" not in html
    assert "<table" not in html
    assert "&lt;script&gt;" in html
