"""A Modelfile writes a conversation as the base's chat template does, by Ollama's rules and in Go's own engine."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from growlm.base.tokenizer import CHAT_TEMPLATE, PLAIN_TEMPLATE, train_tokenizer
from growlm.errors import GrowlmError
from growlm.export._gguf import starts_with_token
from growlm.export._modelfile import Turns, modelfile, render
from growlm.export.exporter import export
from growlm.export.ollama import checked_modelfile
from growlm.registry import exporters
from tests.unit.data.test_encode import SHAPES

TEMPLATES = {"own": CHAT_TEMPLATE, "plain": PLAIN_TEMPLATE, **SHAPES}
TALK = [("user", "one"), ("assistant", "two\nlines {3}"), ("user", 'the "last"')]
GO = """package main
import ("encoding/json"; "os"; "text/template")
type Message struct { Role, Content string }
func main() {
	var messages []*Message
	if err := json.Unmarshal([]byte(os.Args[2]), &messages); err != nil { panic(err) }
	parsed := template.Must(template.New("").Option("missingkey=zero").Parse(os.Args[1]))
	if err := parsed.Execute(os.Stdout, map[string]any{"Messages": messages}); err != nil { panic(err) }
}
"""


@pytest.fixture
def tokenizer() -> Any:
    return train_tokenizer(["the cat sat on the mat"] * 4, vocab_size=300)


def rendered(tokenizer: Any, turns: list[tuple[str, str]]) -> str:
    messages = [{"role": role, "content": content} for role, content in turns]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


@pytest.mark.parametrize("shape", TEMPLATES)
def test_every_shape_of_template_is_said(tokenizer: Any, shape: str) -> None:
    tokenizer.chat_template = TEMPLATES[shape]
    text, check = checked_modelfile(tokenizer)
    start = tokenizer.bos_token if starts_with_token(tokenizer) else ""
    assert start + render(text, TALK) == rendered(tokenizer, TALK)
    roles = "user, assistant" if shape == "instructions" else "system, user, assistant"
    assert check.value.endswith(f" conversations of turns of {roles}")
    if shape != "instructions":
        talk = [("system", "speak"), *TALK]
        assert start + render(text, talk) == rendered(tokenizer, talk)
    assert ('SYSTEM """be kind"""' in text) == (shape == "chatml")


@pytest.mark.parametrize("shape", TEMPLATES)
def test_go_renders_the_same(tokenizer: Any, shape: str, tmp_path: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("Go is not installed")
    tokenizer.chat_template = TEMPLATES[shape]
    text, _ = checked_modelfile(tokenizer)
    (tmp_path / "main.go").write_text(GO)
    talk = TALK if shape == "instructions" else [("system", "be kind"), *TALK]
    messages = json.dumps([{"Role": role, "Content": content} for role, content in talk])
    template = text.partition('TEMPLATE """')[2].partition('"""\n')[0]
    command = ["go", "run", str(tmp_path / "main.go"), template, messages]
    written = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    start = tokenizer.bos_token if starts_with_token(tokenizer) else ""
    assert start + written == rendered(tokenizer, talk)


def test_the_start_token_is_left_to_llama_cpp_only_where_it_comes_once(tokenizer: Any) -> None:
    assert starts_with_token(tokenizer)
    tokenizer.chat_template = SHAPES["lines"]  # writes none
    assert not starts_with_token(tokenizer)
    tokenizer.chat_template = SHAPES["instructions"]  # its start token ends answers, too
    assert not starts_with_token(tokenizer)
    assert checked_modelfile(tokenizer)[0].split('"""')[1].startswith("<|endoftext|>{{ range")
    tokenizer.chat_template = None
    assert starts_with_token(tokenizer)


def test_both_files_are_written(new_stack: Callable[..., Any], tmp_path: Path) -> None:
    export(new_stack(), exporters.build("ollama"), tmp_path / "out")
    text = (tmp_path / "out" / "Modelfile").read_text()
    assert '{{ if eq .Role "system" }}<|system|>{{ .Content }}<|end|>' in text
    assert (
        '{{ else if eq .Role "assistant" }}<|assistant|>{{ .Content }}<|end|>{{ end }}{{ end }}<|assistant|>"""' in text
    )
    assert text.endswith('PARAMETER stop "<|endoftext|>"\nPARAMETER stop "<|end|>"\n')
    assert "in 6 conversations" in (tmp_path / "out" / "README.md").read_text()


REFUSED = {
    "only the last turn ends": (
        "{% for m in messages %}{{ m['content'] }}{% if loop.last %}<|end|>{% endif %}{% endfor %}"
    ),
    "turns are numbered": "{% for m in messages %}{{ loop.index }}{{ m['role'] + m['content'] }}<|end|>{% endfor %}",
}


@pytest.mark.parametrize("template", REFUSED.values(), ids=REFUSED)
def test_what_no_modelfile_can_say_is_refused(tokenizer: Any, template: str) -> None:
    tokenizer.chat_template = template
    with pytest.raises(GrowlmError, match="does not write every turn of a role alike"):
        checked_modelfile(tokenizer)


@pytest.mark.parametrize("word", ["{{", '"""', "\x02"])
def test_texts_that_would_mean_something_else_are_refused(word: str) -> None:
    with pytest.raises(GrowlmError, match="text that no Modelfile can hold"):
        modelfile("w", Turns("", {"user": (word, ""), "assistant": ("", "")}, ""), [])
