"""A GGUF file and the Modelfile that Ollama builds a model from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from growlm.data.encode import stop_ids
from growlm.errors import GrowlmError
from growlm.export._gguf import starts_with_token, write_gguf
from growlm.export._modelfile import Conversation, Turns, modelfile, render
from growlm.export.exporter import Check, Exporter
from growlm.files import write_text
from growlm.stack.stack import ModuleStack

FILE = "model.gguf"
_MARK = "CONTENT"
_SAID = ("one", "two words\nand a line", 'it\'s "3" {4}', "5.", "six")


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
        text, check = checked_modelfile(stack.tokenizer)
        checks = write_gguf(stack, folder / FILE, getattr(torch, self.dtype))
        write_text(folder / "Modelfile", text)
        return [*checks, check]


def checked_modelfile(tokenizer: Any) -> tuple[str, Check]:
    """Write the Modelfile of a base and compare what it renders with the base's chat template.

    Args:
        tokenizer: the base's tokenizer.

    Returns:
        The text, and what was compared.

    Raises:
        GrowlmError: if there is no chat template, or none that a Modelfile can say.
    """
    if not tokenizer.chat_template:
        raise GrowlmError("the base has no chat template for a Modelfile: export with --to gguf")
    write = _writer(tokenizer)
    turns = _turns(write)
    text = modelfile(FILE, turns, [tokenizer.decode([index]) for index in stop_ids(tokenizer)])
    conversations = _conversations("system" in turns.around)
    for conversation in conversations:
        if render(text, conversation) != write(conversation, True):
            raise _unlike()
    compared = f"the base's chat template, in {len(conversations)} conversations of turns of {', '.join(turns.around)}"
    return text, Check("what the Modelfile renders", f"the same text as {compared}")


def _writer(tokenizer: Any) -> Callable[[Conversation, bool], str]:
    """Return what renders a conversation, and asks for an answer, without the token that llama.cpp puts first."""
    start = tokenizer.bos_token if starts_with_token(tokenizer) else ""

    def write(conversation: Conversation, ask: bool) -> str:
        messages = [{"role": role, "content": content} for role, content in conversation]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
        return str(text).removeprefix(start)

    return write


def _turns(write: Callable[[Conversation, bool], str]) -> Turns:
    from jinja2 import TemplateError

    plain, around, ask = _after([], write)
    try:
        given, with_system, _ = _after([("system", _MARK)], write)
    except (TemplateError, GrowlmError):  # it refuses system turns, or writes them into the user's
        with_system = {}
    if with_system != around or given.count(_MARK) != 1:
        return Turns(plain, around, ask)
    if given.startswith(plain):
        before, _, after = given.removeprefix(plain).partition(_MARK)
        return Turns(plain, {"system": (before, after), **around}, ask)
    before, _, after = given.partition(_MARK)
    if not (plain.startswith(before) and plain.endswith(after)):
        raise _unlike()
    return Turns("", {"system": (before, after), **around}, ask, plain.removeprefix(before).removesuffix(after))


def _after(lead: Conversation, write: Callable[[Conversation, bool], str]) -> tuple[str, Any, str]:
    """Find what is written before the first user's turn, around each role's content, and to ask for an answer."""
    talk = [*lead, ("user", _MARK), ("assistant", _MARK), ("user", _MARK)]
    one, two, three = (write(talk[: len(lead) + count], False) for count in (1, 2, 3))
    asked = write(talk[: len(lead) + 1], True)
    added = (two.removeprefix(one), three.removeprefix(two))
    if not (two.startswith(one) and three.startswith(two) and asked.startswith(one)) or not all(
        text.count(_MARK) == 1 for text in added
    ):
        raise _unlike()
    if not one.endswith(added[1]):
        raise _unlike()
    answer, question = (tuple(text.split(_MARK)) for text in added)
    return one.removesuffix(added[1]), {"user": question, "assistant": answer}, asked.removeprefix(one)


def _conversations(with_system: bool) -> list[Conversation]:
    roles = ("user", "assistant", "user", "assistant", "user")
    talks: list[Conversation] = [list(zip(roles[:count], _SAID, strict=False)) for count in (1, 3, 5)]
    return [*talks, *([("system", "be kind"), *talk] for talk in talks if with_system)]


def _unlike() -> GrowlmError:
    return GrowlmError(
        "the base's chat template does not write every turn of a role alike, so no Modelfile can say it: export with "
        "--to gguf, which holds the template itself"
    )
