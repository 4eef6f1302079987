"""A conversation in the making, and what may be said in it: greetings, small talk and small requests.

The wordings are data, in ``conversation.yaml``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from growlm.data.example import Message
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.dice import Dice
from growlm.tinyworld.lexicon import ANIMALS, FOODS, MANY, MASS, NUMBERS, PLACES, SOUNDS, THINGS, a, read_texts
from growlm.tinyworld.tale import Question, Tale

_CARELESS = 0.2
PET_ANIMALS = ("dog", "cat", "bird", "fish", "rabbit", "mouse", "frog", "pig", "horse", "duck", "turtle")
_KNOWN_COLORS = (
    ("the sun", "yellow"),
    ("the sky", "blue"),
    ("grass", "green"),
    ("snow", "white"),
    ("a carrot", "orange"),
    ("a strawberry", "red"),
    ("a frog", "green"),
    ("milk", "white"),
    ("a leaf", "green"),
    ("a banana", "yellow"),
)


def wordings(topic: str) -> Any:
    """Return what ``conversation.yaml`` has on a topic."""
    return _texts()[topic]


@dataclass
class Conversation:
    """A conversation.

    Args:
        dice: the example's chance.
        cast: where names and words come from.
        you: the user's name, once it is known.
        facts: what the user has said of themselves: the topic, such as ``"food"``, and what was said.
        fresh: the topics of the last exchange, too new to be asked back.
        tale: the last story.
        open_questions: what can still be asked about it.
        messages: the turns so far.
    """

    dice: Dice
    cast: Cast
    you: str | None = None
    facts: dict[str, str] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    tale: Tale | None = None
    open_questions: list[Question] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def exchange(
        self,
        texts: Mapping[str, Any],
        expected: Sequence[str | Sequence[str]] | None = None,
        choices: tuple[str, ...] = (),
        **slots: str,
    ) -> None:
        """Add one turn of the user and the reply to it.

        Every reply calls the user by name once the name is known, and a scored one is expected to.

        Args:
            texts: wordings of the user's turn and of the reply, as ``asked`` and ``replies``, and what is expected.
            expected: what the reply must hold, if not that of ``texts``; a sequence lists alternatives.
            choices: what could have been answered instead.
            slots: what the braces of the wordings are filled with.
        """
        user = typed(self.dice, self.dice.pick(texts["asked"])).format(**slots)
        reply = self.dice.pick(texts["replies"]).format(you=f", {self.you}" if self.you else "", **slots)
        wanted = [
            (entry,) if isinstance(entry, str) else tuple(entry)
            for entry in (texts.get("expected", ()) if expected is None else expected)
        ]
        if choices and not set(choices) & set(wanted[0]):
            choices = (*choices, wanted[0][0])
        if self.you and not any(self.you in entry for entry in wanted):
            wanted.append((self.you,))
        self.messages += [
            Message("user", user),
            Message("assistant", reply, tuple(wanted), choices),
        ]


def typed(dice: Dice, text: str) -> str:
    """Type as people do: now and then without capitals and the last stop. What fills braces later stays as it is."""
    return text.lower().rstrip(".!? ") if dice.chance(_CARELESS) else text


def greet(talk: Conversation) -> None:
    """Add a greeting without a name; the reply asks for it."""
    talk.exchange(wordings("greet"))


def introduce(talk: Conversation) -> None:
    """Add the user's name, with a greeting if it comes first."""
    talk.you = talk.cast.person().name
    talk.fresh.add("name")
    texts, hellos = wordings("name"), wordings("greet")["asked"]
    asked = texts["asked"]
    last_reply = talk.messages[-1].content if talk.messages else ""
    if any(question in last_reply for question in ("your name", "Who are you", "call you")):
        asked = [*asked, "{name}.", "{name}", "{name}!"]
    elif not talk.messages:
        asked = [f"{hello} {name}" for hello in hellos for name in asked]
    talk.exchange({**texts, "asked": asked}, name=talk.you)


def ask_name(talk: Conversation) -> None:
    """Add the question what the user's name is."""
    talk.exchange(wordings("ask_name"), name=talk.you or "")


def about_me(talk: Conversation) -> None:
    """Add a question about the assistant itself."""
    talk.exchange(talk.dice.pick(wordings("about_me")))


def small_talk(talk: Conversation) -> None:
    """Add something about feelings, the day or the assistant, and a reply that fits."""
    talk.exchange(talk.dice.pick(wordings("small_talk")))


def ask_unknown(talk: Conversation) -> None:
    """Add a question that no conversation teaches; the reply says that the assistant does not know."""
    dice, cast = talk.dice, talk.cast
    thing, animal = cast.peek(THINGS), cast.peek(ANIMALS)
    talk.exchange(
        wordings("unknown"),
        x=str(dice.number(0, 99)),
        y=str(dice.number(0, 99)),
        name=Cast(dice, cast.split, cast.hold_out, cast.new_names).person().name,
        thing=thing,
        a_thing=a(thing),
        animal=animal,
        a_animal=a(animal),
        many=cast.peek(MANY),
        place=cast.peek(PLACES),
        made_up=cast.invent(),
    )


def ask_unknown_fact(talk: Conversation) -> None:
    """Add a question about the user that nothing said before answers."""
    if talk.you is None and talk.dice.chance(0.5):
        talk.exchange(wordings("unknown_name"))
        return
    texts = wordings("unknown_fact")
    sorts = [sort for sort in ("food", "color", "animal", "toy") if sort not in talk.facts]
    animals = [animal for animal in PET_ANIMALS if f"pet {animal}" not in talk.facts]
    asked = texts["asked"] if sorts else [text for text in texts["asked"] if "{sort}" not in text]
    sort = talk.dice.pick(sorts) if sorts else ""
    talk.exchange({**texts, "asked": asked}, sort=sort, animal=talk.dice.pick(animals))


def thank(talk: Conversation) -> None:
    """Add the user's thanks."""
    talk.exchange(wordings("thanks"))


def part(talk: Conversation) -> None:
    """Add a farewell."""
    talk.exchange(wordings("farewell"))


def count(talk: Conversation) -> None:
    """Add the request to count to a number."""
    last = talk.dice.number(3, 10)
    counted = ", ".join(NUMBERS[1 : last + 1])
    talk.exchange(wordings("count"), (counted,), last=NUMBERS[last], Counted=counted.capitalize())


def say_hello(talk: Conversation) -> None:
    """Add the request to greet somebody."""
    friend = talk.cast.person()
    who = talk.dice.pick(("my friend", "my brother" if friend.kind == "boy" else "my sister"))
    and_you = f" and {talk.you}" if talk.you else ""
    talk.exchange(wordings("hello_to"), (friend.name,), name=friend.name, who=who, and_you=and_you)


def sound(talk: Conversation) -> None:
    """Add the question what an animal says."""
    animal = talk.dice.pick(sorted(SOUNDS))
    choices = tuple(SOUNDS.values())
    talk.exchange(wordings("sound"), (SOUNDS[animal],), choices, animal=animal, sound=SOUNDS[animal])


def color_of(talk: Conversation) -> None:
    """Add the question for the color of something well known."""
    what, color = talk.dice.pick(_KNOWN_COLORS)
    talk.exchange(wordings("color_of"), (color,), what=what, What=what.capitalize(), color=color)


def choose(talk: Conversation) -> None:
    """Add a choice between two; the assistant takes the second."""
    words = talk.dice.pick((THINGS, ANIMALS, FOODS))
    first, second = talk.cast.word(words), talk.cast.word(words)
    talk.exchange(
        wordings("choose"),
        (second,),
        (first, second),
        first=first if first in MASS else a(first),
        second=second if second in MASS else a(second),
    )


def play_with(talk: Conversation) -> None:
    """Add the question what to do with a thing and an animal."""
    thing, animal = talk.cast.word(THINGS), talk.cast.word(ANIMALS)
    talk.exchange(wordings("play_with"), (thing, animal), a_thing=a(thing), animal=a(animal), thing=thing, bare=animal)


@cache
def _texts() -> Any:
    return read_texts("conversation")
