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


def routed_turns(stack: "ModuleStack", messages: Sequence[Message]) -> tuple[Path, tuple[Message, ...]]:
    """Choose the path of a conversation's last turn by the stack's router, and the turns that it is shown.

    On a base that has read plain texts alone, a module that learned conversation has never seen an exchange of another
    skill: it is not shown those that such a skill's module answered.

    Args:
        stack: the stack, with a router.
        messages: the conversation; it ends with a user's turn.

    Returns:
        The path, and what of the conversation the path is given: see ``needed_turns``.
    """
    if not _reads_plain_texts(stack):
        path = _choose(stack, [messages])[0]
        return path, needed_turns(stack, path, messages)
    asked, paths = _asked(messages), answering_paths(stack, messages)
    path = paths[-1]
    if path and _history(stack, path) == "all":
        ends = [*asked[1:], len(messages)]
        own = [
            message
            for start, end, answering in zip(asked, ends, paths, strict=True)
            if not answering or _history(stack, answering) == "all"
            for message in messages[start:end]
        ]
        messages = [*messages[: asked[0]], *own]
    return path, needed_turns(stack, path, messages)


def answering_paths(stack: "ModuleStack", messages: Sequence[Message]) -> list[Path]:
    """Choose the path of each of a user's turns by the stack's router, on a base that has read plain texts alone.

    Such a base, as growlm's own are, goes on with a story whatever is said. So where the router finds that no module
    fits, one answers all the same: that of the turn before, if its skill has several turns; else the newest one whose
    skill is conversation. So it is where the module that the router chooses answers from facts, and the user has given
    none.

    Args:
        stack: the stack, with a router.
        messages: the conversation; it ends with a user's turn.

    Returns:
        A path for each of the user's turns.
    """
    asked = _asked(messages)
    chosen = _choose(stack, [messages[: number + 1] for number in asked])
    paths: list[Path] = []
    given = False
    for number, path in zip(asked, chosen, strict=True):
        given = given or _gives_problem(messages[number])
        fits = path and (given or _history(stack, path) != "problem")
        paths.append(path if fits else _instead(stack, path, paths[-1] if paths else ()))
    return paths


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
    asked = _asked(messages)
    problems = [number for number in asked if _gives_problem(messages[number])]
    first = problems[-1] if history == "problem" and problems else asked[-1]
    return (*system, *messages[first:])


def _choose(stack: "ModuleStack", conversations: Sequence[Sequence[Message]]) -> list[Path]:
    examples = [Example("the conversation", messages=tuple(messages)) for messages in conversations]
    return stack.choose_paths([encode_prompt(example, stack.tokenizer) for example in examples])


def _instead(stack: "ModuleStack", chosen: Path, before: Path) -> Path:
    """Return the path that answers where the router's choice does not fit, after a turn that ``before`` answered."""
    if before and _history(stack, before) != "none":
        return before
    talking = [name for name in stack.manifest.current() if _history(stack, (name,)) == "all"]
    return stack.path_of(talking[-1]) if talking else before or chosen


def _reads_plain_texts(stack: "ModuleStack") -> bool:
    return stack.tokenizer.chat_template in (CHAT_TEMPLATE, PLAIN_TEMPLATE, None)


def _asked(messages: Sequence[Message]) -> list[int]:
    return [number for number, message in enumerate(messages) if message.role == "user"]


def _gives_problem(message: Message) -> bool:
    return bool(_SENTENCES.search(message.content))


def _history(stack: "ModuleStack", path: Path) -> History:
    """Return which turns the skill of a path's newest module has before a question."""
    skill = stack.manifest.record(path[-1]).skill.get("name", "") if path else ""
    history: History = skills.get(skill).history if skill in skills else "all"
    return history
