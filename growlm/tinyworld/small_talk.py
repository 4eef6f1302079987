"""What is said when people meet, thank each other and part."""

from growlm.tinyworld.conversation import Conversation

_HELLO = ("Hi!", "Hello!", "Hey!", "Hello.", "Hi.", "Good morning!", "Hello there!", "Hi there!")
_MY_NAME = (
    "My name is {name}.",
    "I am {name}.",
    "I'm {name}.",
    "You can call me {name}.",
    "Please call me {name}.",
    "It is me, {name}.",
    "{name} is my name.",
)
_GLAD = (
    "Hello{you}! It is nice to meet you.",
    "Hi{you}! I am happy to meet you.",
    "It is good to meet you{you}!",
    "Nice to meet you{you}! What do you want to do?",
    "Hello{you}! Do you want to hear a story?",
    "What a nice name! Hello{you}!",
)
_BYE = (
    "Goodbye!",
    "Bye!",
    "Bye bye!",
    "I have to go now.",
    "I must go home now. Bye!",
    "It is time for bed. Goodbye!",
    "Good night!",
    "See you tomorrow!",
    "My mom is calling me. Bye!",
    "That was fun. Goodbye!",
    "I am tired now. Good night!",
)
_FAREWELLS = (
    "Goodbye{you}! Come back soon.",
    "Bye{you}! It was fun to talk with you.",
    "Goodbye{you}! I hope you have a good day.",
    "Bye bye{you}! See you soon.",
    "It was nice to talk with you. Goodbye{you}!",
)
_GOODBYES = ("goodbye", "bye")
_ABOUT_ME: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str | tuple[str, ...], ...]], ...] = (
    (("How are you?", "How are you today?", "How do you feel?"), ("I am very well{you}, thank you!",), ("very well",)),
    (
        ("What is your name?", "Who are you?", "Do you have a name?", "What are you called?"),
        ("I am your little helper{you}.", "You can call me your little helper{you}."),
        ("helper",),
    ),
    (
        ("What can you do?", "What do you do all day?", "Can you help me?", "What can I ask you?"),
        ("I can tell you a story{you}. What should it be about?", "I can tell stories and answer you{you}."),
        (("story", "stories"),),
    ),
    (
        ("What do you like?", "What is your favorite thing?", "What makes you happy?"),
        ("I like to tell stories{you}.", "I love a good story{you}. What do you like?"),
        (("story", "stories"),),
    ),
)


def greet(talk: Conversation) -> None:
    """The user says hello without a name; the reply asks for it."""
    talk.exchange(
        _HELLO,
        ("Hello! What is your name?", "Hi! Who are you?", "Hello there! What should I call you?"),
        (("your name", "who are you", "call you"),),
    )


def tell_name(talk: Conversation) -> None:
    """The user tells their name, with a greeting if it is the first thing said."""
    talk.you = talk.cast.person().name
    talk.fresh.add("name")
    first = tuple(f"{hello} {told}" for hello in _HELLO for told in _MY_NAME)
    asked_for = bool(talk.messages) and any(
        asking in talk.messages[-1].content for asking in ("your name", "Who are you", "call you")
    )
    bare = ("{name}.", "{name}", "{name}!")
    asked = (*_MY_NAME, *bare) if asked_for else _MY_NAME if talk.messages else first
    talk.exchange(asked, _GLAD, name=talk.you)


def ask_name(talk: Conversation) -> None:
    """The user asks what their name is."""
    talk.exchange(
        ("What is my name?", "Do you remember my name?", "Who am I?", "Do you know my name?", "Can you say my name?"),
        ("Your name is {name}.", "You are {name}!", "I remember! Your name is {name}."),
        (),
        name=talk.you or "",
    )


def about_me(talk: Conversation) -> None:
    """The user asks the assistant about itself."""
    asked, replies, expected = talk.dice.pick(_ABOUT_ME)
    talk.exchange(asked, replies, expected)


def thanks(talk: Conversation) -> None:
    """The user says thank you."""
    talk.exchange(
        ("Thank you!", "Thanks!", "Thank you so much.", "That was nice, thank you.", "You are so kind.", "Thank you!"),
        ("You are welcome{you}!", "You are very welcome{you}.", "You are welcome{you}! I like to help."),
        ("welcome",),
    )


def part(talk: Conversation) -> None:
    """The user says goodbye."""
    talk.exchange(_BYE, _FAREWELLS, (_GOODBYES,))
