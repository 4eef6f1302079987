"""Turns of a conversation: who answers, and what it is shown."""

from collections.abc import Callable
from typing import Any

import pytest

from growlm.data.example import Message
from growlm.routing.turns import answering_paths, needed_turns, routed_turns

NewStack = Callable[..., Any]
FACTS, FOLLOW_UP = "Tom has a cat. Where is Tom?", "Where is the cat?"
TALK = tuple(
    Message("assistant" if number % 2 else "user", text)
    for number, text in enumerate(["Hello! I am Tom.", "Hi.", FACTS, "At home.", "Thanks", "Bye.", FOLLOW_UP])
)


@pytest.mark.parametrize(("skill", "first"), [("chat", 0), ("memory", 2), ("arithmetic", 6), ("", 0)])
def test_a_module_is_shown_the_turns_that_its_skill_has_before_a_question(
    new_stack: NewStack, skill: str, first: int
) -> None:
    stack = new_stack(skill=skill)
    assert needed_turns(stack, ("first",), TALK) == TALK[first:]
    assert needed_turns(stack, (), TALK) == TALK  # the bare base
    system = Message("system", "Be kind.")
    assert needed_turns(stack, ("first",), (system, *TALK)) == (system, *TALK[first:])


def test_without_a_problem_in_the_conversation_the_question_is_all(new_stack: NewStack) -> None:
    talk = (Message("user", "Hello"), Message("assistant", "Hi."), Message("user", "Where is Tom?"))
    assert needed_turns(new_stack(skill="memory"), ("first",), talk) == talk[-1:]


class ByName:
    """Chooses the module that the last turn names, or the bare base."""

    name = "by_name"

    def known(self) -> tuple[str, ...]:
        return ("base", "first", "second")

    def choose(self, stack: Any, prompts: list[list[int]]) -> list[tuple[str, ...]]:
        turns = [stack.tokenizer.decode(prompt).rpartition("<|user|>")[2] for prompt in prompts]
        return [tuple(name for name in ("first", "second") if name in turn) for turn in turns]


def said(*texts: str) -> tuple[Message, ...]:
    return tuple(Message("assistant" if number % 2 else "user", text) for number, text in enumerate(texts))


@pytest.mark.parametrize(
    ("skills", "texts", "path"),
    [
        (("chat", "memory"), ["what", "yes", "Tom ran. second"], ("second",)),
        (("chat", "memory"), ["Tom ran. Where?", "Here.", "second"], ("second",)),
        (("chat", "memory"), ["what", "Tom ran. Sue ran.", "second"], ("first",)),  # the user has given no facts
        (("chat", "memory"), ["second"], ("first",)),
        (("arithmetic", "memory"), ["second"], ("second",)),  # nobody else converses
        (("chat", "memory"), ["what"], ("first",)),  # nothing before it: the one that converses
        (("chat", "memory"), ["Tom ran. second", "yes", "what"], ("second",)),  # a question more on the same
        (("chat", "memory"), ["Tom ran. second", "yes", "what", "yes", "and"], ("second",)),
        (("chat", "arithmetic"), ["second", "yes", "what"], ("first",)),  # whose skill has single turns
        (("memory", "arithmetic"), ["second", "yes", "what"], ("second",)),
        (("memory", "arithmetic"), ["what"], ()),
    ],
)
def test_a_base_of_plain_texts_leaves_the_answer_to_a_module(
    new_stack: NewStack, skills: tuple[str, str], texts: list[str], path: tuple[str, ...]
) -> None:
    stack = new_stack(modules=("first", "second"), skill=skills)
    stack.router = ByName()
    assert answering_paths(stack, said(*texts))[-1] == path


def test_a_base_with_a_template_of_its_own_answers_itself(new_stack: NewStack) -> None:
    stack = new_stack()
    stack.router = ByName()
    stack.tokenizer.chat_template += "{# another #}"
    assert routed_turns(stack, said("what")) == ((), said("what"))


@pytest.mark.parametrize(
    ("skills", "template", "kept"),
    [
        (("chat", "arithmetic"), "", [0, 1, 4]),
        (("chat", "memory"), "", [0, 1, 4]),
        (("chat", "chat"), "", [0, 1, 2, 3, 4]),
        (("chat", "arithmetic"), "{# another #}", [0, 1, 2, 3, 4]),  # such a base has read any conversation
    ],
)
def test_a_conversation_is_shown_no_exchange_of_a_skill_that_has_none(
    new_stack: NewStack, skills: tuple[str, str], template: str, kept: list[int]
) -> None:
    stack = new_stack(modules=("first", "second"), skill=skills)
    stack.router = ByName()
    stack.tokenizer.chat_template += template
    talk = said("first", "Hi.", "One. second", "Two.", "first again")
    assert routed_turns(stack, talk) == (("first",), tuple(talk[number] for number in kept))
    system = Message("system", "Be kind.")
    assert routed_turns(stack, (system, *talk))[1][0] == system


def test_a_routed_question_is_shown_alone(new_stack: NewStack) -> None:
    stack = new_stack(modules=("first", "second"), skill=("chat", "arithmetic"))
    stack.router = ByName()
    talk = said("first", "Hi.", "second")
    assert routed_turns(stack, talk) == (("second",), talk[2:])
