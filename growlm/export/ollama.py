"""A GGUF file and the Modelfile that Ollama builds a model from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from growlm.data.encode import stop_ids
from growlm.errors import GrowlmError
from growlm.export._gguf import write_gguf
from growlm.export.exporter import Check, Exporter
from growlm.files import write_text
from growlm.stack.stack import ModuleStack

FILE = "model.gguf"
_MARK = "CONTENT"


@dataclass(frozen=True)
class Ollama(Exporter):
    """GGUF file and Modelfile with the base's chat template, for ``ollama create``.

    Args:
        dtype: type of the matrices.
    """

    dtype: Literal["float32", "float16"] = "float16"

    library: ClassVar[str] = "gguf"
    usage: ClassVar[str] = "```bash\nollama create {folder} -f {folder}/Modelfile\nollama run {folder}\n```"

    def write(self, stack: ModuleStack, folder: Path) -> list[Check]:
        """Write both files and compare them; see ``Exporter.write``."""
        turns = turn_texts(stack.tokenizer)
        checks = write_gguf(stack, folder / FILE, getattr(torch, self.dtype))
        write_text(folder / "Modelfile", modelfile(turns, stack.tokenizer))
        return [*checks, Check("turns of the Modelfile's template", "the same text as the base's chat template")]


def turn_texts(tokenizer: Any) -> dict[str, tuple[str, str]]:
    """Find what a chat template writes around the content of a turn, by role.

    Args:
        tokenizer: the base's tokenizer.

    Returns:
        By role, the text before and after the content; the start token is left out, and is kept under ``"start"``.

    Raises:
        GrowlmError: if the template does not write every turn of a role alike, so that a Modelfile cannot say it.
    """
    if not tokenizer.chat_template:
        raise GrowlmError("the base has no chat template for a Modelfile: export with --to gguf")

    def render(*turns: tuple[str, str], ask: bool = False) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))

    start = tokenizer.bos_token or ""
    pair = render(("user", _MARK), ("assistant", _MARK)).removeprefix(start)
    user = render(("user", _MARK)).removeprefix(start)
    asked = render(("user", _MARK), ask=True).removeprefix(start)
    before_user, _, after_user = user.partition(_MARK)
    before_answer, _, after_answer = pair.removeprefix(user).partition(_MARK)
    turns = {"user": (before_user, after_user), "assistant": (before_answer, after_answer)}
    talk = [("user", "one"), ("assistant", "two"), ("user", "three")]
    written = "".join(turns[role][0] + content + turns[role][1] for role, content in talk) + before_answer
    if asked != user + before_answer or render(*talk, ask=True).removeprefix(start) != written:
        raise GrowlmError(
            "the base's chat template does not write every turn of a role alike, so no Modelfile can say it: export "
            "with --to gguf, which holds the template itself"
        )
    return turns


def modelfile(turns: dict[str, tuple[str, str]], tokenizer: Any) -> str:
    """Write a Modelfile.

    Args:
        turns: what ``turn_texts`` found.
        tokenizer: the base's tokenizer.

    Returns:
        The text: weights, template, stop words.
    """
    roles = "".join(
        f'{{{{ {"if" if first else "else if"} eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}'
        for first, (role, (before, after)) in zip((True, False), turns.items(), strict=True)
    )
    template = f"{{{{- range .Messages }}}}{roles}{{{{ end }}}}{{{{- end }}}}{turns['assistant'][0]}"
    stops = [tokenizer.decode([index]) for index in stop_ids(tokenizer)]
    return "\n".join(
        [
            f"FROM ./{FILE}",
            f'TEMPLATE """{template}"""',
            *(f'PARAMETER stop "{stop}"' for stop in stops),
            "",
        ]
    )
