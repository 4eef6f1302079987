"""Problems are compared with a second, independent way to their answers: Python itself, or the facts as written."""

import io
import re
from collections.abc import Callable
from contextlib import redirect_stdout

import pytest

from growlm.data.example import Example, Split
from growlm.registry import skills
from growlm.skills.commands import Commands
from growlm.skills.procedural import new_cast
from growlm.tinyworld.arithmetic import Sum, draw_sum, ledger_problem
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.dice import Dice
from growlm.tinyworld.instructions import Instruction, Part, command_problem
from growlm.tinyworld.lexicon import ANIMALS, LEXICON, NUMBERS
from growlm.tinyworld.memory import draw_scene, memory_problems, memory_questions, stateless_answer
from growlm.tinyworld.problem import Problem, facts_said, in_turn
from growlm.tinyworld.program import write_program
from growlm.tinyworld.reasoning import (
    ask_most,
    ask_pair,
    count_doers,
    count_owned,
    draw_chain,
    draw_family,
    kinship_problems,
    reasoning_questions,
    rule_problem,
)

NUMBER = range(80)


def cast(number: int, split: Split = "train") -> Cast:
    return new_cast(Dice("problems", number), split)


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_programs_print_what_python_prints(difficulty: float):
    for number in NUMBER:
        program = write_program(cast(number), difficulty)
        output = io.StringIO()
        with redirect_stdout(output):
            exec(program.text, {})  # our own source: letters, numbers and words of the lexicon
        assert output.getvalue().split() == program.printed
        assert program.trace[-1].endswith(f" = {program.printed[-1]}")


def test_sums_are_worked_place_by_place():
    assert Sum(27, 15, True).steps == "7 + 5 = 12. 2 + 1 + 1 = 4."
    assert Sum(42, 15, False).steps == "12 - 5 = 7. 4 - 1 - 1 = 2."
    assert Sum(305, 97, False).steps == "15 - 7 = 8. 10 - 9 - 1 = 0. 3 - 0 - 1 = 2."
    assert Sum(0, 0, True).steps == "0 + 0 = 0."
    for number in NUMBER:
        total = draw_sum(cast(number), 999)
        assert eval(total.text) == total.result
        assert 0 <= total.result <= 999
        steps = [step.split(" = ") for step in total.steps.removesuffix(".").split(". ")]
        assert all(eval(sum_) == int(value) for sum_, value in steps)
        *lower, (_, highest) = steps  # the highest place keeps its carry
        assert int("".join((highest, *(value[-1] for _, value in reversed(lower))))) == total.result


def test_a_sum_belongs_to_one_split_and_training_has_all_of_two_digits():
    texts = {
        split: {draw_sum(cast(number, split), 30).text for number in range(400)}
        for split in ("train", "validation", "test")
    }
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["validation"]
    assert not texts["validation"] & texts["test"]
    small = {text for text in texts["validation"] | texts["test"] if all(len(word) == 1 for word in text.split())}
    assert small == set()


@pytest.mark.parametrize(
    ("parts", "link", "text", "steps"),
    [
        ((Part("jump"),), "", "jump", "jump"),
        ((Part("jump", "", "left", "twice"),), "", "jump left twice", "left jump left jump"),
        ((Part("run", "opposite", "right"),), "", "run opposite right", "right right run"),
        ((Part("hop", "around", "left"),), "", "hop around left", "left hop left hop left hop left hop"),
        ((Part("walk", times="twice"), Part("jump")), "and", "walk twice and jump", "walk walk jump"),
        (
            (Part("walk", times="three times"), Part("jump")),
            "after",
            "walk three times after jump",
            "jump walk walk walk",
        ),
    ],
)
def test_commands_mean_what_they_mean_in_scan(parts: tuple[Part, ...], link: str, text: str, steps: str):
    instruction = Instruction(parts, link)
    assert instruction.text == text
    assert " ".join(instruction.meaning()) == steps
    assert " ".join(re.findall(r"[a-z]+", command_problem(Dice(0), instruction).final)) == steps


def test_the_answer_to_a_command_says_its_parts_in_order_and_counts_what_repeats():
    problem = command_problem(Dice(0), Instruction((Part("run"), Part("walk", "", "left", "twice")), "after"))
    assert problem.answer == "walk left twice, then run. 1 left walk 2 left walk, run."
    assert Part("hop", "opposite", "left").counted == "left left hop"
    assert Part("hop", "around", "left").counted == "1 left hop 2 left hop 3 left hop 4 left hop"


def final(example: Example) -> str:
    return example.messages[-1].expected[-1][0]


def num_steps(example: Example) -> int:
    return len(re.findall(r"[a-z]+", final(example)))


def test_commands_hold_out_length():
    skill = Commands(num_train=300, held_out="length")
    assert max(map(num_steps, skill.examples("train"))) <= 10
    assert min(map(num_steps, skill.examples("test"))) > 10


def test_commands_hold_out_a_primitive():
    skill = Commands(num_train=300, held_out="composition")
    trained = [final(e) for e in skill.examples("train") if "jump" in final(e)]
    assert trained
    assert set(trained) == {"jump"}
    assert all("jump" in e.messages[1].content for e in skill.examples("test"))


def test_chains_follow_from_the_facts():
    for number in NUMBER:
        drawn = cast(number)
        chain = draw_chain(drawn, ["Ann", "Ben", "Tim", "Sue"])
        more: dict[str, str] = {}
        for fact in chain.facts:
            first, second = re.findall(r"[A-Z]\w+", fact)
            more |= {first: second} if "not as" in fact else {second: first}
        for problem in (ask_most(chain), ask_pair(drawn, chain)):
            asked = re.findall(r"[A-Z]\w+", problem.question)[1:]
            assert problem.notes == " ".join(f"{less}, then {more[less]}." for less in more)
            climbed = problem.work.removesuffix(".").split(", then ")
            assert [more.get(name) for name in climbed] == [*climbed[1:], None]
            assert not asked or climbed[0] == asked[0]
            right = next(name for name in reversed(climbed) if not asked or name in asked)
            assert problem.final.startswith(f"{right} is ")


def test_families_follow_from_the_facts():
    for number in NUMBER:
        drawn = cast(number)
        problem = drawn.dice.pick(kinship_problems(drawn, draw_family(drawn, 2)))
        parents: dict[str, str] = {}
        for fact in problem.facts:
            first, second = re.findall(r"[A-Z]\w+", fact)
            child, parent = (first, second) if re.search("the (son|daughter) of", fact) else (second, first)
            parents[child] = parent
        pairs = parents.items()
        assert problem.notes == " ".join(f"{child} is the child of {one}. {one} has {child}." for child, one in pairs)
        *up, last = problem.work.removesuffix(".").split(". ")
        notes = problem.notes.removesuffix(".").split(". ")
        assert set(up) <= set(notes)
        right, word, of = re.fullmatch(r"(\w+) is the (\w+) of (\w+)", problem.final).groups()  # type: ignore[union-attr]
        if word.startswith("grand"):
            assert parents[parents[of]] == right
            assert last in notes
        else:
            person = parents[of] if word in ("aunt", "uncle") else of
            assert [name for name in parents if parents[name] == parents[person] and name != person] == [right]
            assert last == f"{parents[right]} has {person} and {right}"


def test_rules_fire_from_the_weather():
    for number in NUMBER:
        problem = rule_problem(cast(number), 1 + number % 3)
        *rules, today = problem.facts
        state = today.removeprefix("Today ").removesuffix(".")
        effects = dict(rule.removeprefix("If ").removesuffix(".").split(", ") for rule in rules)
        while state in effects:
            state = effects[state]
        assert problem.final == state
        steps = re.findall(r"[^.]+\.", problem.work)
        assert all(step.strip() in rules for step in steps)
        assert steps[0].startswith(today.replace("Today", "If").replace(".", ","))


@pytest.mark.parametrize("draw_questions", [memory_questions, reasoning_questions])
def test_several_questions_are_about_the_same_facts(draw_questions: Callable[..., list[Problem]]):
    counts = set()
    for number in NUMBER:
        problems = draw_questions(cast(number), 1.0, 4)
        counts.add(len(problems))
        assert {problem.facts for problem in problems} == {problems[0].facts}
        assert len({problem.question for problem in problems}) == len(problems)
        messages = in_turn(problems)
        assert facts_said(messages) == " ".join(problems[0].facts).removesuffix(".")
        assert [message.content for message in messages[2::2]] == [problem.question for problem in problems[1:]]
        assert [message.content for message in messages[1::2]] == [
            problem.answer if problem is problems[0] else problem.answer.removeprefix(problem.notes).lstrip()
            for problem in problems
        ]
    assert max(counts) == 4


def test_counts():
    for number in NUMBER:
        problem = count_doers(cast(number), 5)[0]
        asked = problem.question.removeprefix("How many ").removesuffix("?")
        did = [fact.split()[0] for fact in problem.facts if f" {asked}." in fact]
        assert problem.final == f"{NUMBERS[len(did)].capitalize()} {asked}"
        counts = {f"{name} {asked}.": f"{name} {asked}, {NUMBERS[i]}." for i, name in enumerate(did, 1)}
        assert problem.work == " ".join(counts.get(fact, fact) for fact in problem.facts)
        problem = count_owned(cast(number), 5)
        animals = sum(fact.split()[-1].removesuffix(".") in ANIMALS for fact in problem.facts)
        assert f" has {NUMBERS[animals]} animals" in problem.final
        assert len(re.findall(r", \w+\.", problem.work)) == animals


def test_ledgers_balance_and_their_facts_never_hold_the_answer():
    for number in NUMBER:
        problem = ledger_problem(cast(number), 20, 3, 2)
        counts: dict[tuple[str, str], int] = {}
        for fact in problem.facts:
            if match := re.fullmatch(r"(\w+) has (\d+) (\w+)\.", fact):
                counts[match[1], match[3]] = int(match[2])
            elif match := re.fullmatch(r"(\w+) gave (\d+) (\w+) to (\w+)\.", fact):
                counts[match[1], match[3]] -= int(match[2])
                counts[match[4], match[3]] += int(match[2])
        name, value, things = re.fullmatch(r"(\w+) has (\d+) (\w+)", problem.final).groups()  # type: ignore[union-attr]
        assert counts[name, things] == int(value)
        assert value not in re.findall(r"\d+", " ".join(problem.facts))


def replay(sentences: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Read a scene sentence by sentence: where everybody is, and who or what has each thing."""
    place: dict[str, str] = {}
    holder: dict[str, str] = {}
    at = r"(?:to|at) the (\w+)"
    for sentence in sentences:
        if match := re.fullmatch(rf"(?:Then )?(\w+) (?:was|is|went|walked|moved|ran) {at}\.", sentence):
            place[match[1]] = match[2]
        elif match := re.fullmatch(r"(\w+) (?:took|got|picked up|found) the (\w+)\.", sentence):
            holder[match[2]] = match[1]
        elif match := re.fullmatch(r"\w+ (?:gave|handed|passed) the (\w+) to (\w+)\.", sentence):
            holder[match[1]] = match[2]
        elif match := re.fullmatch(r"\w+ gave (\w+) the (\w+)\.", sentence):
            holder[match[2]] = match[1]
        elif match := re.fullmatch(rf"(\w+) (?:put the (\w+) down|(?:left|dropped) the (\w+)) {at}\.", sentence):
            assert place[match[1]] == match[4]
            holder[match[2] or match[3]] = match[4]
    return place, holder


def test_scenes_are_written_as_they_happen():
    for number in NUMBER:
        scene = draw_scene(cast(number), 1.0)
        place, holder = replay(scene.sentences)
        assert place == scene.world.place_of
        assert holder == scene.world.holder_of
        assert all(scene.trails[name][-1] == place[name] for name in scene.people)
        assert all(scene.trails[thing][-1] == holder[thing] for thing in scene.things)
        for problem in (problem for problems in memory_problems(scene) for problem in problems):
            assert problem.final in problem.choices
            for name, thing in re.findall(r"(\w+) has the (\w+)\.", problem.work):
                assert holder[thing] == name
            for name, where in re.findall(r"(\w+) is at the (\w+)\.", problem.work):
                assert place[name] == where
            for name, thing, where in re.findall(r"(\w+) left the (\w+) at the (\w+)\.", problem.work):
                assert holder[thing] == where
                assert any(
                    re.match(f"{name} ((left|dropped) the {thing}|put the {thing} down)", s) for s in scene.sentences
                )
        for thing in scene.things:
            assert scene.world.where(thing) == place.get(holder[thing], holder[thing])


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Where is the lamp?", "The lamp is at the park"),
        ("Where is Tim?", "Tim is at the cave"),
        ("Who has the lamp?", "Sue has the lamp"),
        ("Who had the lamp first?", "Tim had the lamp first"),
        ("Where was Tim before Tim went to the cave?", "Tim was at the park"),
        ("Where is Ann?", None),
    ],
)
def test_the_stateless_rule_takes_the_last_sentence(question: str, answer: str | None):
    facts = (
        "Tim was at the park. Tim took the lamp. Tim left the lamp at the park. Sue took the lamp. Tim ran to the cave."
    )
    assert stateless_answer(f"{facts} {question}") == answer


def test_no_two_names_of_an_example_begin_alike():
    for number in NUMBER:
        names = [person.name for person in cast(number).people(5)]
        assert len({name[:3] for name in names}) == 5


def test_made_up_names_belong_to_one_split():
    def made_up(split: Split) -> set[str]:
        drawn = {person.name for number in range(200) for person in cast(number, split).people(3)}
        return {name for name in drawn if name.lower() not in LEXICON}

    assert len(made_up("train")) > 250
    assert not made_up("train") & (made_up("test") | made_up("validation"))


PAIRS = ("memory_reasoning", "memory_arithmetic", "memory_commands", "reasoning_arithmetic", "code_arithmetic")


@pytest.mark.parametrize("name", PAIRS)
def test_most_examples_of_a_pair_want_an_answer_of_each_skill(name: str):
    """Half of the answer does not count, whichever half it is."""
    examples = list(skills.build(name, {"num_test": 200}).examples("test"))
    messages = [message for example in examples if len((message := example.messages[-1]).expected) == 2]
    assert 0.65 <= len(messages) / len(examples) <= 0.85
    for message in messages:
        first, last = (entry[0] for entry in message.expected)
        assert message.ends_with(message.content)
        assert not message.ends_with(f"{first}.")
        assert not message.ends_with(f"{last}.")
        assert not message.ends_with(f"{last}. {first}.")


def test_the_number_asked_for_in_a_chain_is_not_the_sum_of_all():
    chains = [
        example.messages
        for example in skills.build("reasoning_arithmetic", {"num_test": 200}).examples("test")
        if " than " in example.messages[0].content and "How many" in example.messages[0].content.rsplit(". ", 1)[1]
    ]
    chains = [(told, answer) for told, answer in chains if re.search(r"(more|fewer) \w+ than", told.content)]
    assert len(chains) >= 30
    wrong = 0
    for told, answer in chains:
        counts = {match[0]: int(match[1]) for match in re.findall(r"(\w+) has (\d+) \w+\.", told.content)}
        links = re.findall(r"(\w+) has (\d+) (more|fewer) \w+ than (\w+)\.", told.content)
        while any(name not in counts for name, *_ in links):
            for name, number, which, other in links:
                if other in counts:
                    counts[name] = counts[other] + (int(number) if which == "more" else -int(number))
        asked = re.search(r"does (\w+) have", told.content)
        assert asked is not None
        assert f"{asked[1]} has {counts[asked[1]]} " in answer.content
        wrong += sum(map(int, re.findall(r"\d+", told.content))) != counts[asked[1]]
    assert wrong >= 0.95 * len(chains)
