import io
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console

from growlm.manifest.manifest import Manifest, ModuleRecord
from growlm.show.tree import stack_tree

EXPECTED = """\
base tiny  llama, 12.3k parameters in 1 tensor, sha256 444444444444…
├── chat
│   kind    lora (rank 8)
│   size    1.23k parameters, 10.0 % of the base
│   path    chat
│   skill   chat
│   method  grow, seed 7
│   cost    1,200 steps, 34,000 tokens, 2.5 seconds
│   sha256  222222222222…
│   score                   bare base  own path  all modules on
│   chat: contains ↑        12.5 %     75.0 %    50.0 %
│   chat: loss per token ↓  1.500      1.500     1.500
│   └── memory
"""


def drawn(manifest: Manifest, *, terminal: bool = False) -> str:
    out = io.StringIO()
    Console(file=out, width=100, force_terminal=terminal).print(stack_tree(manifest))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def test_modules_stand_under_what_they_were_grown_on(manifest: Manifest):
    text = drawn(manifest)
    assert text.startswith(EXPECTED)
    assert "│       path    chat+memory\n" in text
    assert "└── rhymes\n" in text
    assert "2.5M parameters" in text


def test_a_bare_base(manifest: Manifest):
    assert drawn(replace(manifest, modules=())).count("\n") == 1


def test_a_module_without_scores_has_no_table(manifest: Manifest, make_module: Callable[..., ModuleRecord]):
    text = drawn(replace(manifest, modules=(make_module("plain", scores={}, cost={}),)))
    assert "bare base" not in text
    assert "cost" not in text


def test_what_a_file_says_cannot_steer_the_terminal(manifest: Manifest, make_module: Callable[..., ModuleRecord]):
    hostile = make_module("chat", skill={"name": "\x1b[2Jcleared\n[bold]loud[/bold]"})
    text = drawn(replace(manifest, modules=(hostile,)))
    assert "\x1b" not in text
    assert "[2Jcleared [bold]loud[/bold]" in text
