"""Stories in a conversation: asking for one, telling it, asking about it."""

from growlm.tinyworld import plots
from growlm.tinyworld.cast import Cast, Person
from growlm.tinyworld.conversation import Conversation, wordings
from growlm.tinyworld.lexicon import ANIMALS, COLORS, FOODS, THINGS, a, at
from growlm.tinyworld.tale import Tale, questions

_WORDS = {"thing": THINGS, "animal": ANIMALS, "food": FOODS}
_SORTS = ("thing", "thing", "thing", "animal", "animal", "food")


def draw_tale(cast: Cast) -> Tale:
    """Draw what a story is about and write it."""
    dice = cast.dice
    sort = dice.pick(_SORTS)
    words = _WORDS[sort]
    thing, place = cast.thing_and_place(words)
    colored = words is THINGS and dice.chance(0.6)
    hero, friend = cast.person(), cast.person()
    tale = Tale(dice, cast, hero, friend, thing, place, cast.word(COLORS) if colored else None)
    plots.tell(tale, sort, dice.pick(plots.plot_names(sort)))
    return tale


def tell_story(talk: Conversation) -> None:
    """Add the request for a story, mostly about something, and the story."""
    tale = draw_tale(talk.cast)
    topic, expected = _topic(tale)
    texts = {**wordings("story"), "asked": _asked(talk, topic)}
    talk.exchange(texts, expected, topic=topic, story=tale.text)
    talk.tale = tale
    talk.open_questions = talk.dice.shuffled(questions(tale))


def ask_about_story(talk: Conversation) -> None:
    """Add a question about the last story."""
    question = talk.open_questions.pop()
    wording = talk.dice.pick(question.wordings)
    # one question often gives another's answer away: what shares its answer is not asked any more
    talk.open_questions = [other for other in talk.open_questions if other.expected != question.expected]
    talk.exchange(
        wordings("story_question"),
        question.expected,
        question.choices,
        question=wording,
        lower=wording[0].lower() + wording[1:],
        answer=question.answer,
    )


def _asked(talk: Conversation, topic: str) -> list[str]:
    """Return the ways to ask for a story that fit the assistant's last reply."""
    texts: dict[str, list[str]] = wordings("story")
    last_reply = talk.messages[-1].content if talk.messages else ""
    if last_reply.endswith("hear a story?") and talk.dice.chance(0.7):
        return texts["agree_about" if topic else "agree"]
    if last_reply.endswith("be about?") and topic and talk.dice.chance(0.7):
        return texts["about"]
    if not topic:
        return texts["any"]
    return texts["again" if talk.tale else "asked"]


def _topic(tale: Tale) -> tuple[str, list[str]]:
    """Choose what the story is to be about, and what it then has to hold."""
    dice, hero = tale.dice, tale.hero
    if dice.chance(0.08):
        return "", []
    if dice.chance(0.1):
        return dice.pick((hero.name, f"a {hero.kind} named {hero.name}")), [hero.name]
    named = f"{tale.color} {tale.thing}" if tale.color and dice.chance(0.5) else tale.thing
    topic, expected = a(named), [named]
    if dice.chance(0.5):
        topic = _with_person(topic, hero, dice.number(0, 3))
        expected.append(hero.name)
    if dice.chance(0.3):
        topic += f" {at(tale.place)}"
        expected.append(tale.place)
    return topic, expected


def _with_person(topic: str, hero: Person, form: int) -> str:
    return (
        f"{topic} and {hero.name}",
        f"{topic} and a {hero.kind} named {hero.name}",
        f"{hero.name} and {topic}",
        f"a {hero.kind} named {hero.name} and {topic}",
    )[form]
