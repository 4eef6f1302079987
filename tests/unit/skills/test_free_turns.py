"""The turns written by hand and the rules that judge their replies."""

import re
from pathlib import Path

import pytest
import yaml

from benchmarks.free_turns import read_turns, sensible
from growlm.tinyworld.lexicon import read_texts

CONTENT = yaml.safe_load((Path(__file__).parents[2] / "data" / "free_turns.yaml").read_text(encoding="utf-8"))
TURNS = list(read_turns(CONTENT))


def bare(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()


def test_there_are_two_hundred_different_ones():
    assert len(TURNS) == 200
    assert len({bare(text) for _, text, _ in TURNS}) == 200


def test_hardly_any_is_a_wording_of_the_skill():
    topics = read_texts("conversation").values()
    entries = [entry for topic in topics for entry in (topic if isinstance(topic, list) else [topic])]
    wordings = {bare(text) for entry in entries for text in entry["asked"]}
    assert len([text for _, text, _ in TURNS if bare(text) in wordings]) <= 12


@pytest.mark.parametrize(
    ("rule", "reply", "right"),
    [
        ("greeting", "Hello! What is your name?", True),
        ("greeting", "The ball was red.", False),
        ("greeting", "", False),
        ("greeting", "hello " * 61, False),
        ("unknown", "I do not know that yet.", True),
        ("unknown", "It is 5.", False),
        ("sad", "I like dogs too, Tom!", False),
        ("farewell", "Bye! It was fun to talk with you.", True),
        ("farewell", "Once upon a time there was a bear.", False),
    ],
)
def test_the_rules(rule: str, reply: str, right: bool):
    message = next(message for name, _, message in TURNS if name == rule)
    assert sensible(rule, message, reply) is right


def test_a_story_is_long_and_about_what_was_asked():
    message = next(message for rule, _, message in TURNS if rule == "story")
    story = "Once there was a dragon. It was green and had a red hat. One day it went to the park and met Tim."
    assert sensible("story", message, story)
    assert not sensible("story", message, story.replace("dragon", "cat"))
    assert not sensible("story", message, "A dragon.")
