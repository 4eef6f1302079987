"""Conversation: greetings, feelings, names and likes, small requests, stories on demand and questions about them."""

from collections.abc import Callable

from growlm.data.example import Message
from growlm.skills.metric import Metric
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
    """Conversation: greetings, feelings, names and likes, small requests, stories on demand and questions about them.

    Conversations of one to six exchanges. Every reply calls the user by name once the name is known, however long ago.
    What no conversation teaches, sums among it, is answered by "I do not know that yet". A reply counts as right if it
    holds what was asked for: the thing and the person of a requested story, the answer from the story's world, what the
    user said before, and the user's name. Half of the names are new, others in each split; in training four of
    five are.

    Args:
        num_train: number of training conversations.
        num_validation: number of validation conversations.
        num_test: number of test conversations.
        seed: another seed gives other conversations.
        difficulty: from 0 to 1; the higher, the longer the conversations and the more is asked about what came before.
        hold_out_words: keep some words of the lexicon for validation and test.
        edition: of the examples; 2 is the only one that this version makes.
    """

    metric: Metric = "contains"
    max_answer_tokens = 96  # stories on demand have 80
    new_names_in_training = 0.8

    def make(self, cast: Cast) -> list[Message]:
        """Make one conversation."""
        dice = cast.dice
        talk = Conversation(dice, cast)
        length = min(6, dice.pick(_LENGTHS) + dice.chance(self.difficulty))
        self._open(talk, length)
        while len(talk.messages) < 2 * length:
            fresh = set(talk.fresh)
            self._choose(talk, last=len(talk.messages) == 2 * (length - 1))(talk)
            talk.fresh -= fresh
        return talk.messages

    def _open(self, talk: Conversation, length: int) -> None:
        kind = talk.dice.number(0, 13)
        if kind < 4:
            conversation.introduce(talk)
        elif kind < 6:
            conversation.greet(talk)
        elif kind == 6:
            stories.tell_story(talk)
        elif kind < 10:
            conversation.small_talk(talk)
        elif kind == 10:
            talk.dice.pick((conversation.ask_unknown, conversation.ask_unknown_fact))(talk)
        elif kind == 11:
            (conversation.part if length == 1 else conversation.thank)(talk)
        else:
            talk.dice.pick((*_REQUESTS, *_TELLINGS))(talk)

    def _choose(self, talk: Conversation, last: bool) -> Act:
        """Choose what comes next among what makes sense now."""
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
        if num_stories < _MAX_STORIES and dice.chance(0.3):
            return stories.tell_story
        if dice.chance(0.45):
            return conversation.small_talk
        if dice.chance(0.25):
            return dice.pick((conversation.ask_unknown, conversation.ask_unknown, conversation.ask_unknown_fact))
        if dice.chance(0.45):
            return dice.pick(_TELLINGS)
        if dice.chance(0.15):
            return conversation.thank
        return dice.pick(_REQUESTS)
