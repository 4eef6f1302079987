"""What users say of themselves, and asking it back later."""

from growlm.tinyworld.conversation import PET_ANIMALS, Conversation, wordings
from growlm.tinyworld.lexicon import ANIMALS, COLORS, DISHES, FOODS, GAMES, MANY, PETS, THINGS, Words, a

_FAVORITES: dict[str, Words] = {"food": DISHES, "color": COLORS, "animal": ANIMALS, "toy": THINGS}


def state_like(talk: Conversation) -> None:
    """Add what the user likes to have or to do."""
    doing = talk.dice.chance(0.5)
    what = f"to {talk.cast.word(GAMES)}" if doing else talk.cast.word(MANY)
    talk.facts["like"] = what
    talk.fresh.add("like")
    are = "is" if doing else "are"
    talk.exchange(wordings("like"), (what.removeprefix("to "),), what=what, What=what.capitalize(), are=are)


def state_favorite(talk: Conversation) -> None:
    """Add the user's favorite food, color, animal or toy."""
    sort = talk.dice.pick(sorted(_FAVORITES))
    word = talk.cast.word(_FAVORITES[sort])
    what = word if sort in ("color", "food") else f"the {word}"
    talk.facts[sort] = what
    talk.fresh.add(sort)
    talk.exchange(wordings("favorite"), (word,), sort=sort, what=what, What=what.capitalize())


def state_pet(talk: Conversation) -> None:
    """Add the user's pet and its name."""
    animal, pet = talk.dice.pick(PET_ANIMALS), talk.cast.name(PETS)
    talk.facts[f"pet {animal}"] = pet
    talk.fresh.add(f"pet {animal}")
    talk.exchange(wordings("pet"), (pet,), animal=animal, pet=pet)


def known_facts(talk: Conversation) -> list[str]:
    """List the topics that can be asked back: those from before the last exchange."""
    return [fact for fact in talk.facts if fact not in talk.fresh]


def ask_fact(talk: Conversation) -> None:
    """Add a question for something that the user has said of themselves."""
    fact = talk.dice.pick(known_facts(talk))
    what = talk.facts.pop(fact)
    wanted = what.removeprefix("to ").removeprefix("the ")
    if fact == "like":
        talk.exchange(wordings("ask_like"), (wanted,), what=what)
    elif fact.startswith("pet "):
        talk.exchange(wordings("ask_pet"), (wanted,), animal=fact.removeprefix("pet "), pet=what)
    else:
        talk.exchange(wordings("ask_favorite"), (wanted,), _FAVORITES[fact].train, sort=fact, what=what)


def state_news(talk: Conversation) -> None:
    """Add something sad or good that happened with a thing."""
    thing = talk.cast.word(talk.dice.pick((THINGS, THINGS, FOODS)))
    if talk.dice.chance(0.5):
        talk.exchange(wordings("sad_about"), ("sorry", thing), thing=thing)
    else:
        talk.exchange(wordings("happy_about"), (("happy", "glad"), thing), thing=thing, a_thing=a(thing))
