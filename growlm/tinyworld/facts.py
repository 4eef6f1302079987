"""What users tell of themselves, and asking it back later."""

from growlm.tinyworld.conversation import Conversation
from growlm.tinyworld.lexicon import ANIMALS, COLORS, DISHES, FOODS, GAMES, MANY, THINGS, a
from growlm.tinyworld.names import PETS
from growlm.tinyworld.words import Words

_TELL_LIKE = (
    "I like {what}.",
    "I love {what}.",
    "I like {what} a lot.",
    "I really like {what}!",
    "I love {what} so much.",
)
_REPLY_LIKE = (
    "{What} {are} fun{you}!",
    "I like {what} too{you}!",
    "Oh, {what}! That is nice{you}.",
    "It is good to like {what}{you}.",
)
_ASK_LIKE = ("What do I like?", "Do you remember what I like?", "What did I say I like?", "Do you know what I love?")
_ANSWER_LIKE = ("You like {what}{you}.", "You said you like {what}{you}.", "I remember{you}! You like {what}.")

_FAVORITES: dict[str, Words] = {"food": DISHES, "color": COLORS, "animal": ANIMALS, "toy": THINGS}
_TELL_FAVORITE = (
    "My favorite {sort} is {what}.",
    "The {sort} I like best is {what}.",
    "Of all, my favorite {sort} is {what}.",
    "I have a favorite {sort}. It is {what}.",
)
_REPLY_FAVORITE = (
    "I like {what} too{you}!",
    "Oh, {what}! That is a good one{you}.",
    "{What} is very nice{you}.",
    "I will remember that you like {what}{you}.",
)
_ASK_FAVORITE = (
    "What is my favorite {sort}?",
    "Do you remember my favorite {sort}?",
    "What {sort} do I like best?",
    "Do you know my favorite {sort}?",
)
_ANSWER_FAVORITE = (
    "Your favorite {sort} is {what}{you}.",
    "The {sort} you like best is {what}{you}.",
    "I remember{you}! It is {what}.",
)

_TELL_PET = ("I have a {animal} named {pet}.", "My {animal} is called {pet}.", "I got a {animal}! The name is {pet}.")
_REPLY_PET = (
    "{pet} is a nice name for a {animal}{you}!",
    "Hello to {pet} too{you}!",
    "I would love to meet {pet}{you}.",
)
_ASK_PET = ("What is the name of my {animal}?", "What is my {animal} called?", "Do you remember my {animal}?")
_ANSWER_PET = ("Your {animal} is called {pet}{you}.", "The name of your {animal} is {pet}{you}.")
_PET_ANIMALS = ("dog", "cat", "bird", "fish", "rabbit", "mouse", "frog", "pig", "horse", "duck", "turtle")


def tell_like(talk: Conversation) -> None:
    """The user tells what they like to have or to do."""
    doing = talk.dice.chance(0.5)
    what = f"to {talk.cast.word(GAMES)}" if doing else talk.cast.word(MANY)
    talk.facts["like"] = what
    talk.fresh.add("like")
    are = "is" if doing else "are"
    talk.exchange(_TELL_LIKE, _REPLY_LIKE, (what.removeprefix("to "),), what=what, What=what.capitalize(), are=are)


def tell_favorite(talk: Conversation) -> None:
    """The user tells their favorite food, color, animal or toy."""
    sort = talk.dice.pick(sorted(_FAVORITES))
    word = talk.cast.word(_FAVORITES[sort])
    what = word if sort in ("color", "food") else f"the {word}"
    talk.facts[sort] = what
    talk.fresh.add(sort)
    talk.exchange(_TELL_FAVORITE, _REPLY_FAVORITE, (word,), sort=sort, what=what, What=what.capitalize())


def tell_pet(talk: Conversation) -> None:
    """The user tells of a pet and its name."""
    animal, pet = talk.dice.pick(_PET_ANIMALS), talk.cast.word(PETS)
    talk.facts[f"pet {animal}"] = pet
    talk.fresh.add(f"pet {animal}")
    talk.exchange(_TELL_PET, _REPLY_PET, (pet,), animal=animal, pet=pet)


def known_facts(talk: Conversation) -> list[str]:
    """Lists what can be asked back: told earlier than in the last exchange."""
    return [fact for fact in talk.facts if fact not in talk.fresh]


def ask_fact(talk: Conversation) -> None:
    """The user asks what they told of themselves."""
    fact = talk.dice.pick(known_facts(talk))
    what = talk.facts[fact]
    wanted = what.removeprefix("to ").removeprefix("the ")
    if fact == "like":
        talk.exchange(_ASK_LIKE, _ANSWER_LIKE, (wanted,), what=what)
    elif fact.startswith("pet "):
        talk.exchange(_ASK_PET, _ANSWER_PET, (wanted,), animal=fact.removeprefix("pet "), pet=what)
    else:
        talk.exchange(_ASK_FAVORITE, _ANSWER_FAVORITE, (wanted,), tuple(_FAVORITES[fact].train), sort=fact, what=what)
    del talk.facts[fact]


def tell_trouble(talk: Conversation) -> None:
    """The user tells of something sad or good that happened with a thing."""
    thing = talk.cast.word(talk.dice.pick((THINGS, THINGS, FOODS)))
    if talk.dice.chance(0.5):
        asked = (
            "I lost my {thing}.",
            "I am sad. I broke my {thing}.",
            "My {thing} is gone.",
            "I can not find my {thing}.",
        )
        replies = (
            "Oh no{you}! I am sorry about your {thing}.",
            "I am sorry{you}. I hope you get a new {thing} soon.",
            "I am so sorry{you}. It is sad about the {thing}.",
        )
        talk.exchange(asked, replies, ("sorry", thing), thing=thing)
    else:
        asked = (
            "I got {a_thing} today!",
            "My mom gave me {a_thing}.",
            "Look, I found {a_thing}!",
            "I am happy! I have {a_thing}.",
        )
        replies = (
            "I am happy for you{you}! Have fun with the {thing}.",
            "That is great{you}! I am glad you have the {thing}.",
            "How nice{you}! The {thing} is all yours. I am happy for you.",
        )
        talk.exchange(asked, replies, (("happy", "glad"), thing), thing=thing, a_thing=a(thing))
