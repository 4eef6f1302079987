"""A turn of a conversation: which path answers it, and which turns that path is shown."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from growlm.base.tokenizer import CHAT_TEMPLATE, PLAIN_TEMPLATE
from growlm.data.encode import encode_prompt
from growlm.data.example import Example, Message
from growlm.manifest.path import Path
from growlm.registry import skills
from growlm.skills.skill import History

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_SENTENCES = re.compile(r"[.?!]\s+\S")


def answering_path(stack: "ModuleStack", messages: Sequence[Message]) -> Path:
    """Choose the path of a conversation's last turn by the stack's router.

    A base that has read plain texts alone, as growlm's own have, goes on with a story whatever is said. So where the
    router finds that no module fits, one answers all the same: that of the turn before, if its skill has several turns;
    else the newest one whose skill is conversation.

    Args:
        stack: the stack, with a router.
        messages: the conversation; it ends with a user's turn.

    Returns:
        The path.
    """
    example = Example("the conversation", messages=tuple(messages))
    chosen = stack.choose_paths([encode_prompt(example, stack.tokenizer)])[0]
    if chosen or stack.tokenizer.chat_template not in (CHAT_TEMPLATE, PLAIN_TEMPLATE, None):
        return chosen
    asked = [number for number, message in enumerate(messages) if message.role == "user"]
    before = answering_path(stack, messages[: asked[-2] + 1]) if len(asked) > 1 else ()
    if before and _history(stack, before) != "none":
        return before
    talking = [name for name in stack.manifest.current() if _history(stack, (name,)) == "all"]
    return stack.path_of(talking[-1]) if talking else before


def needed_turns(stack: "ModuleStack", path: Path, messages: Sequence[Message]) -> tuple[Message, ...]:
    """Leave out the turns that a path's newest module never saw the like of before a question.

    A module that learned single questions takes names and numbers from any turn: see ``Skill.history``.

    Args:
        stack: the stack.
        path: the path that is to answer.
        messages: the conversation; it ends with a user's turn.

    Returns:
        The end of the conversation that the module's skill has examples of, after a system's turn if there is one.
    """
    history = _history(stack, path)
    if history == "all":
        return tuple(messages)
    system = tuple(messages[:1]) if messages[0].role == "system" else ()
    asked = [number for number, message in enumerate(messages) if message.role == "user"]
    problems = [number for number in asked if _SENTENCES.search(messages[number].content)]
    first = problems[-1] if history == "problem" and problems else asked[-1]
    return (*system, *messages[first:])


def _history(stack: "ModuleStack", path: Path) -> History:
    """Return which turns the skill of a path's newest module has before a question."""
    skill = stack.manifest.record(path[-1]).skill.get("name", "") if path else ""
    history: History = skills.get(skill).history if skill in skills else "all"
    return history
