"""The digest of a split's examples."""

import hashlib
import json
from dataclasses import asdict

from growlm.data.digest import ExamplesDigest
from growlm.data.example import Example, Message
from growlm.skills.chat import Chat

PLAIN = Example("a", messages=(Message("user", "hi"), Message("assistant", "hello Tom", (("Tom",),), ("Tom", "Lily"))))


def digest(*examples: Example) -> str:
    found = ExamplesDigest()
    assert list(found.reading(examples)) == list(examples)
    return found.hexdigest()


def test_it_is_of_all_fields_that_version_1_had() -> None:
    content = asdict(PLAIN)
    for key in ("cut", "max_prompt", "tools"):
        del content[key]
    for message in content["messages"]:
        for key in ("sort", "trained", "extra"):
            del message[key]
    assert digest(PLAIN) == hashlib.sha256(f"{json.dumps(content)}\n".encode()).hexdigest()


def test_every_field_counts() -> None:
    others = [
        Example("b", messages=PLAIN.messages),
        Example("a", messages=PLAIN.messages[:1]),
        Example("a", messages=(PLAIN.messages[0], Message("assistant", "hello Tom", trained=False))),
        Example("a", messages=(PLAIN.messages[0], Message("assistant", "hello Tom", sort="name"))),
        Example("a", messages=PLAIN.messages, tools="[]"),
        Example("a", messages=PLAIN.messages, max_prompt=3),
        Example("a", messages=PLAIN.messages, cut="left"),
    ]
    digests = {digest(example) for example in (PLAIN, *others)}
    assert len(digests) == 1 + len(others)
    assert digest(PLAIN, PLAIN) not in digests


def test_a_skill_s_is_that_of_its_examples() -> None:
    skill = Chat(num_train=5)
    assert skill.digest("train") == digest(*skill.examples("train"))
