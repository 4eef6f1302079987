"""What the site does to finished pages: see docs/whole_words.py."""

import runpy
from pathlib import Path

import pytest

keep_words_whole = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "whole_words.py"))["keep_words_whole"]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>Use <code>--dry-run</code>.</p>", '<p>Use <code><span class="whole">--dry-run</span></code>.</p>'),
        ("<code>a-b, c d-e</code>", '<code><span class="whole">a-b</span>, c <span class="whole">d-e</span></code>'),
        ("<code>&lt;a-b&gt;</code>", '<code><span class="whole">&lt;a-b&gt;</span></code>'),
        ("<code>one two</code> well-known", "<code>one two</code> well-known"),
        (f"<code>a-{'b' * 40}</code>", f"<code>a-{'b' * 40}</code>"),  # a phone's line has no room for it
        ("<p>90 % and 5 %<br>of it</p>", "<p>90&nbsp;% and 5&nbsp;%<br>of it</p>"),
        ('<img alt="90 %">, <code>7 % 2</code>', '<img alt="90 %">, <code>7 % 2</code>'),
        (
            '<div class="language-bash highlight"><pre><span></span><code>grow<span class="w"> </span>--a-b 5 %\n'
            "</code></pre></div><!-- 5 % -->",
            '<div class="language-bash highlight"><pre><span></span><code>grow<span class="w"> </span>'
            '<span class="whole">--a-b</span> 5 %\n</code></pre></div><!-- 5 % -->',
        ),
        ("<pre><code>a-b 5 %</code></pre> 5 %", "<pre><code>a-b 5 %</code></pre> 5&nbsp;%"),
        ("<ul><li><code>a-b<li>5 %</ul>a-b", '<ul><li><code><span class="whole">a-b</span><li>5 %</ul>a-b'),
    ],
)
def test_words_with_hyphens_and_percentages_do_not_break(html: str, expected: str):
    assert keep_words_whole(html) == expected
