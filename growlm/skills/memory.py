"""Memory: who has what, where, and in which order, told with distractors."""

from growlm.data.example import Message
from growlm.skills.procedural import Procedural
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.memory import draw_scene, memory_problems
from growlm.tinyworld.problem import joined, turn

_TWO_QUESTIONS = 0.25


class Memory(Procedural):
    """Memory: who has what, where, and in which order, told with distractors.

    One exchange: the user tells what people did with things and asks one question, sometimes two. Asked as a
    conversation, so that it can be asked in one. An answer is right if it holds the whole clause, such as ``ball is in
    the park``: naming every place in turn does not score.

    Args:
        num_train: number of training examples.
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1; the higher, the more people, things, events and distractors.
    """

    def make(self, cast: Cast) -> list[Message]:
        """Makes one example."""
        scene = draw_scene(cast, self.difficulty)
        sorts = cast.dice.shuffled(memory_problems(scene))
        asked = [cast.dice.pick(problems) for problems in sorts[:2]]
        two = len(asked) == 2 and cast.dice.chance(_TWO_QUESTIONS)
        return turn(joined(asked, scene.sentences) if two else asked[0])
