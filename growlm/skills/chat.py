"""Conversation: greetings, names and likes, small requests, stories on demand and questions about them."""

from collections.abc import Callable

from growlm.data.example import Message
from growlm.skills.procedural import Procedural
from growlm.tinyworld import conversation, facts, stories
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.conversation import Conversation

Act = Callable[[Conversation], None]

_MAX_STORIES = 2
_LENGTHS = (1, 2, 2, 3, 3, 4, 4, 5, 5, 6)
_REQUESTS: tuple[Act, ...] = (
    conversation.count,
    conversation.say_hello,
    conversation.sound,
    conversation.color_of,
    conversation.choose,
    conversation.play_with,
    facts.state_news,
    conversation.about_me,
)
_TELLINGS: tuple[Act, ...] = (facts.state_like, facts.state_favorite, facts.state_pet)


class Chat(Procedural):
    """Conversation: greetings, names and likes, small requests, stories on demand and questions about them.

    Conversations of one to six exchanges. Every reply calls the user by name once the name has been told, however long
    ago. The test draws names, things and places that training never uses, and known ones in combinations that it never
    uses. A reply counts as right if it holds what was asked for: the thing and the person of a requested story, the
    answer from the story's world, the fact that the user told before, and the user's name.

    Args:
        num_train: number of training conversations.
        num_validation: number of validation conversations.
        num_test: number of test conversations.
        seed: another seed gives other conversations.
        difficulty: from 0 to 1; the higher, the longer the conversations and the more is asked about what came before.
    """

    max_answer_tokens = 96  # stories on demand have 80

    def make(self, cast: Cast) -> list[Message]:
        """Makes one conversation."""
        dice = cast.dice
        talk = Conversation(dice, cast)
        length = min(6, dice.pick(_LENGTHS) + dice.chance(self.difficulty))
        self._open(talk)
        while len(talk.messages) < 2 * length:
            fresh = set(talk.fresh)
            self._choose(talk, last=len(talk.messages) == 2 * (length - 1))(talk)
            talk.fresh -= fresh
        return talk.messages

    def _open(self, talk: Conversation) -> None:
        kind = talk.dice.number(0, 9)
        if kind < 5:
            conversation.introduce(talk)
        elif kind < 7:
            conversation.greet(talk)
        elif kind == 7:
            stories.tell_story(talk)
        else:
            talk.dice.pick((*_REQUESTS, *_TELLINGS))(talk)

    def _choose(self, talk: Conversation, last: bool) -> Act:
        """Chooses what comes next among what makes sense now."""
        dice = talk.dice
        if talk.you is None and len(talk.messages) == 2 and dice.chance(0.5):
            return conversation.introduce
        if talk.messages[-1].content.endswith("story?") and dice.chance(0.5):
            return stories.tell_story
        if last and len(talk.messages) > 2 and dice.chance(0.4):
            return conversation.part
        if talk.open_questions and dice.chance(0.6):
            return stories.ask_about_story
        recall = 0.3 + 0.4 * self.difficulty
        if facts.known_facts(talk) and dice.chance(recall):
            return facts.ask_fact
        if talk.you and "name" not in talk.fresh and dice.chance(recall / 4):
            return conversation.ask_name
        num_stories = sum(message.role == "assistant" and len(message.content) > 150 for message in talk.messages)
        if num_stories < _MAX_STORIES and dice.chance(0.45):
            return stories.tell_story
        if dice.chance(0.45):
            return dice.pick(_TELLINGS)
        if dice.chance(0.15):
            return conversation.thank
        return dice.pick(_REQUESTS)
