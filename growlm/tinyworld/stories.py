"""What is said about stories: asking for one, telling it, asking about it."""

from growlm.tinyworld import animal_plots, food_plots, thing_plots
from growlm.tinyworld.cast import Cast, Person
from growlm.tinyworld.conversation import Conversation
from growlm.tinyworld.lexicon import ANIMALS, COLORS, FOODS, THINGS, a, at
from growlm.tinyworld.questions import questions
from growlm.tinyworld.tale import Tale

_PLOTS = (
    (THINGS, (thing_plots.find, thing_plots.lose, thing_plots.gift, thing_plots.stuck, thing_plots.lend)),
    (ANIMALS, (animal_plots.feed, animal_plots.bring_home, animal_plots.play)),
    (FOODS, (food_plots.make, food_plots.share, food_plots.eaten)),
)
_SORTS = (0, 0, 0, 1, 1, 2)
_REQUESTS = (
    "Tell me a story about {topic}.",
    "Please tell me a story about {topic}.",
    "Can you tell me a story about {topic}?",
    "I want a story about {topic}.",
    "I want to hear a story about {topic}, please.",
    "Do you know a story about {topic}?",
    "Make up a story about {topic}!",
    "Let us have a story about {topic}.",
    "A story about {topic}, please.",
    "Could you tell a little story about {topic}?",
    "What about a story with {topic}?",
    "I would love to hear about {topic}.",
)
_AGAIN = (
    "Tell me another story about {topic}.",
    "One more story, please! This time about {topic}.",
    "Now tell me about {topic}.",
    "Can I have another story about {topic}?",
    "And a story about {topic}?",
)
_ANY = (
    "Tell me a story.",
    "Can you tell me a story?",
    "I want to hear a story, please.",
    "Please tell me a story!",
    "Do you know a good story?",
)
_YES = ("Yes, please!", "Yes!", "Yes, I want to hear a story.", "Okay, tell me one.")
_YES_ABOUT = ("Yes, about {topic}!", "Yes, please! About {topic}.", "Yes, tell me about {topic}.")
_ABOUT = ("About {topic}.", "About {topic}, please!", "It should be about {topic}.", "Maybe {topic}.")
_OPENERS = (
    "Sure{you}! {story}",
    "Okay{you}. {story}",
    "Yes{you}! {story}",
    "Of course{you}. {story}",
    "I will{you}. {story}",
    "Here is a story for you{you}. {story}",
)
_ASKING = (
    "{question}",
    "{question}",
    "{question}",
    "Nice story! {question}",
    "I like it. {question}",
    "Tell me, {lower}",
)
_ANSWERS = ("{answer}{you}.", "{answer}{you}.", "{answer}{you}!")


def draw_tale(cast: Cast) -> Tale:
    """Draws what a story is about and tells it."""
    dice = cast.dice
    words, plots = _PLOTS[dice.pick(_SORTS)]
    thing, place = cast.thing_and_place(words)
    colored = words is THINGS and dice.chance(0.6)
    hero, friend = cast.person(), cast.person()
    tale = Tale(dice, cast, hero, friend, thing, place, cast.word(COLORS) if colored else None)
    dice.pick(plots)(tale)
    return tale


def tell_story(talk: Conversation) -> None:
    """The user asks for a story, mostly about something, and gets it."""
    tale = draw_tale(talk.cast)
    topic, expected = _topic(tale)
    asked = _wordings(talk, topic)
    talk.exchange(asked, _OPENERS, expected, topic=topic, story=tale.text)
    talk.tale = tale
    talk.open_questions = talk.dice.shuffled(questions(tale))


def ask_about_story(talk: Conversation) -> None:
    """The user asks something about the story told last."""
    question = talk.open_questions.pop()
    wording = talk.dice.pick(question.wordings)
    # one question often gives another's answer away: what shares its answer is not asked any more
    talk.open_questions = [other for other in talk.open_questions if other.expected != question.expected]
    talk.exchange(
        _ASKING,
        _ANSWERS,
        question.expected,
        question.choices,
        question=wording,
        lower=wording[0].lower() + wording[1:],
        answer=question.answer,
    )


def _wordings(talk: Conversation, topic: str) -> tuple[str, ...]:
    """Gives the ways to ask for a story that fit what the assistant has just said."""
    last_reply = talk.messages[-1].content if talk.messages else ""
    if last_reply.endswith("hear a story?") and talk.dice.chance(0.7):
        return _YES_ABOUT if topic else _YES
    if last_reply.endswith("be about?") and topic and talk.dice.chance(0.7):
        return _ABOUT
    if not topic:
        return _ANY
    return _AGAIN if talk.tale else _REQUESTS


def _topic(tale: Tale) -> tuple[str, list[str]]:
    """Chooses what the user wants the story to be about, and what the story then must hold."""
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
