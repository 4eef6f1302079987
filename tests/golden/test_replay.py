"""Replay: which examples are kept, that they come back as they were, and that batches hold the stated share."""

import copy
import math
from collections import Counter
from typing import Any

import pytest
import torch

from growlm.data.batches import IGNORED, StepBatches, collate
from growlm.data.encode import Encoded
from growlm.errors import GrowlmError
from growlm.methods._replay_buffer import ReplayBuffer
from growlm.methods._sampling import _before_last_answer, _to_first_stop, own_answers
from growlm.methods.ewc import Ewc
from growlm.methods.method import Method
from growlm.methods.replay import Replay
from growlm.registry import methods
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import NO_SKILL, RunPhase, encoded

# -- what is mixed into batches ----------------------------------------------------------------------------------------


def second_phase(stack: ModuleStack, run_phase: RunPhase, begin: Any, **options: Any) -> tuple[Method, StepBatches]:
    run_phase(stack, "replay", "one", {"capacity": 4, **options}, encoded(1, length=11))
    started: tuple[Method, StepBatches] = begin(stack, "replay", {"capacity": 4, **options}, "two", encoded(2))
    return started


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.75])
def test_the_share_of_old_rows_is_the_stated_one(
    stack: ModuleStack, run_phase: RunPhase, begin: Any, share: float
) -> None:
    member, batches = second_phase(stack, run_phase, begin, share=share)
    old_texts = {example.input_ids for example in encoded(1, length=11)}
    drawn: set[tuple[int, ...]] = set()
    old = 0
    for step in range(200):
        torch.manual_seed(step)
        plain = batches(step)
        mixed = member.batch(plain)
        rows, length = plain.input_ids.shape
        added = mixed.input_ids[rows:]
        assert torch.equal(mixed.input_ids[:rows, :length], plain.input_ids)
        assert torch.equal(mixed.labels[:rows, :length], plain.labels)
        assert (mixed.input_ids[:rows, length:] == 5).all()
        assert (mixed.labels[:rows, length:] == IGNORED).all()
        for row, labels in zip(added, mixed.labels[rows:], strict=True):
            text = tuple(row[row != 5].tolist())
            assert text in old_texts
            assert labels[2 : len(text)].tolist() == list(text[2:])
            assert (labels[:2] == IGNORED).all()
            assert (labels[len(text) :] == IGNORED).all()
            drawn.add(text)
        old += len(added)
        new = rows * (step + 1)
        assert old == math.floor(share / (1 - share) * new + 1e-9)
    assert abs(old / (old + new) - share) < 0.002
    assert len(drawn) == min(4, old)


def test_a_resumed_phase_mixes_the_same_batches(stack: ModuleStack, run_phase: RunPhase, begin: Any) -> None:
    member, batches = second_phase(stack, run_phase, begin, share=0.2)
    seen = []
    for step in range(8):
        torch.manual_seed(step)
        seen.append(member.batch(batches(step)))
        if step == 3:
            state = member.state_dict()
    stack.detach("two")
    resumed, batches = begin(stack, "replay", {"capacity": 4, "share": 0.2}, "two", encoded(2))
    resumed.load_state_dict(state)
    for step in range(4, 8):
        torch.manual_seed(step)
        batch = resumed.batch(batches(step))
        assert torch.equal(batch.input_ids, seen[step].input_ids)
        assert torch.equal(batch.labels, seen[step].labels)
    assert len({len(batch.input_ids) for batch in seen}) > 1


# -- around other methods ----------------------------------------------------------------------------------------------

WRAPPED = [
    ("sequential", {}),
    ("lora_sequential", {"rank": 2}),
    ("lora_incremental", {"rank": 2}),
    ("olora", {"rank": 2}),
    ("per_skill", {}),
    ("lwf", {}),
    ("ewc", {}),
    ("grow", {"module": {"lora": {"rank": 2}}}),
]
around = pytest.mark.parametrize(("method", "options"), WRAPPED, ids=[name for name, _ in WRAPPED])


@around
def test_without_a_share_it_is_the_wrapped_method_bit_for_bit(
    stack: ModuleStack, run_phase: RunPhase, method: str, options: dict[str, Any]
) -> None:
    alone, off, on = stack, copy.deepcopy(stack), copy.deepcopy(stack)
    wrapped = {"method": method, "method_options": options}
    for name in ("one", "three"):
        run_phase(alone, method, name, options)
        run_phase(off, "replay", name, {**wrapped, "share": 0.0})
        run_phase(on, "replay", name, {**wrapped, "share": 0.5})
    for name in ("one", "three"):
        expected = alone.module_tensors(name)
        assert all(torch.equal(off.module_tensors(name)[key], value) for key, value in expected.items())
        assert off.manifest.parents()[name] == alone.manifest.parents()[name]
        kept = alone.method_tensors(name)
        assert off.method_tensors(name).keys() == kept.keys()
        assert all(torch.equal(off.method_tensors(name)[key], value) for key, value in kept.items())
        same = [torch.equal(on.module_tensors(name)[key], value) for key, value in expected.items()]
        assert all(same) == (name == "one")  # in the first phase there is nothing to replay


@around
def test_it_decides_what_the_wrapped_method_decides(
    stack: ModuleStack, run_phase: RunPhase, method: str, options: dict[str, Any]
) -> None:
    wrapped = {"method": method, "method_options": options, "share": 0.5}
    for name in ("one", "three", "seven"):
        run_phase(stack, "replay", name, wrapped)
    alone = copy.deepcopy(stack)
    while alone.manifest.modules:
        alone.undo()
    for name in ("one", "three", "seven"):
        run_phase(alone, method, name, options)
    assert stack.manifest.parents() == alone.manifest.parents()
    assert [record.supersedes for record in stack.manifest.modules] == [
        record.supersedes for record in alone.manifest.modules
    ]
    assert [record.kinds for record in stack.manifest.modules] == [record.kinds for record in alone.manifest.modules]
    member, inner = methods.build("replay", wrapped), methods.build(method, options)
    assert member.inference == inner.inference
    assert member.at_once == inner.at_once
    # the buffers add up whether the phase's module superseded the last one or not
    kept = stack.method_tensors("seven")
    assert kept["replay/seen"].tolist() == [6, 6, 6]
    assert Counter(kept["replay/owners"].tolist()) == {0: 3, 1: 3, 2: 3}


def test_a_method_with_rows_of_its_own_is_refused(stack: ModuleStack, run_phase: RunPhase) -> None:
    with pytest.raises(GrowlmError, match="replay cannot wrap grpo, which trains on rows of its own"):
        run_phase(stack, "replay", "one", {"method": "grpo"})


@pytest.mark.parametrize(
    "method", [name for name in methods if methods.get(name).trains and name not in ("replay", "grpo")]
)
def test_it_composes_with_every_method(stack: ModuleStack, run_phase: RunPhase, method: str) -> None:
    alone = copy.deepcopy(stack)
    for name in ("one", "three"):
        run_phase(stack, "replay", name, {"method": method, "share": 0.5}, steps=2)
        run_phase(alone, method, name, steps=2)
    assert stack.manifest.parents() == alone.manifest.parents()
    own = {"replay/" + key for key in ReplayBuffer().to_tensors()}
    assert stack.method_tensors("three").keys() == alone.method_tensors("three").keys() | own
    assert stack.method_tensors("three")["replay/seen"].tolist() == [6, 6]


def test_ewc_finds_its_own_tensors_beside_the_examples(stack: ModuleStack, run_phase: RunPhase) -> None:
    options = {"method": "ewc", "method_options": {"strength": 1.0}, "share": 0.5}
    run_phase(stack, "replay", "one", options)
    strong = copy.deepcopy(stack)
    member = run_phase(stack, "replay", "three", options)
    assert isinstance(member, Replay)
    assert isinstance(member.inner, Ewc)
    off = {**options, "method_options": {"strength": 0.0}}
    run_phase(strong, "replay", "three", off)
    key = max(stack.module_tensors("three"))
    assert not torch.equal(stack.module_tensors("three")[key], strong.module_tensors("three")[key])
    names = set(stack.method_tensors("three"))
    assert {name.partition("/")[0] for name in names} == {"fisher", "replay"}


def test_every_hook_reaches_the_wrapped_method(stack: ModuleStack, monkeypatch: pytest.MonkeyPatch) -> None:
    member = Replay("lora_sequential")
    called: list[str] = []
    hooks = ("build", "grow_on", "continues", "begin", "parameters", "batch", "loss", "after_backward", "after_step")
    for hook in (*hooks, "state_dict", "load_state_dict"):
        monkeypatch.setattr(member.inner, hook, lambda *args, hook=hook: called.append(hook) or hook)
    batch = collate(encoded(1), 5)
    given: dict[str, tuple[Any, ...]] = {
        "build": (stack, NO_SKILL),
        "grow_on": (stack, ()),
        "continues": (stack,),
        "begin": (stack, "one", StepBatches(encoded(1), 2, 0, 5)),
        "parameters": (stack, "one"),
        "batch": (batch,),
        "loss": (stack, batch),
    }
    for hook in hooks:
        answer = getattr(member, hook)(*given.get(hook, ()))
        assert answer == (None if hook in ("begin", "after_backward", "after_step") else hook)
    member.load_state_dict({**member.state_dict(), "inner": {}})
    assert called == [*hooks, "state_dict", "load_state_dict"]


def test_a_name_of_its_own_is_refused(stack: ModuleStack, monkeypatch: pytest.MonkeyPatch) -> None:
    member = Replay()
    monkeypatch.setattr(member.inner, "end", lambda *args: {"replay/tokens": torch.zeros(1)})
    with pytest.raises(GrowlmError, match=r"replay cannot wrap a method that keeps a tensor 'replay/tokens'"):
        member.end(stack, StepBatches(encoded(1), 2, 0, 5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 1.0}, "replay share 1.0 is not a share below 1"),
        ({"share": -0.1}, "replay share -0.1 is not a share below 1"),
        ({"capacity": 0}, "replay capacity 0 is too small"),
        ({"method": "replay"}, "replay cannot wrap itself"),
        ({"method": "sequentail"}, "unknown method 'sequentail'.*sequential"),
        ({"method": "ewc", "method_options": {"strenght": 1}}, "strength"),
        ({"selection": "newest"}, "selection"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        methods.build("replay", options)


# -- own answers -------------------------------------------------------------------------------------------------------

OWN = {"answers": "own", "share": 0.5, "max_answer_tokens": 6}


def test_own_answers_follow_the_kept_prompts(stack: ModuleStack, run_phase: RunPhase, begin: Any) -> None:
    run_phase(stack, "replay", "one", OWN)
    member, batches = begin(stack, "replay", {**OWN, "pick_share": 1.0}, "three", encoded(3))
    assert isinstance(member, Replay)
    gold, own = member._buffer.examples, member._rehearsed
    assert len(own) == len(gold) == 3
    prompts = {example.input_ids[:2] for example in gold}  # two tokens precede the trained ones
    assert {example.input_ids[:2] for example in own} == prompts
    for example in own:
        length = len(example.input_ids)
        assert example.trained == (False, False, *[True] * (length - 2))
        assert 1 <= length - 2 <= 6
    # the version before answers, not the base
    assert list(own) == own_answers(stack, ("one",), gold, 6, 0.1, "replay/0/three")
    assert list(own) != own_answers(stack, (), gold, 6, 0.1, "replay/0/three")
    # what is kept for later phases are the gold examples
    kept = {key.removeprefix("replay/"): value for key, value in member.end(stack, batches).items()}
    after = ReplayBuffer.from_tensors(kept, 320, 256, "three").examples
    assert {example.input_ids for example in gold} <= {example.input_ids for example in after}


def test_an_answer_ends_with_its_stop_token() -> None:
    assert _to_first_stop([7, 8, 2, 9, 2], [2, 3]) == (7, 8, 2)
    assert _to_first_stop([7, 8], [2]) == (7, 8)
    turns = Encoded("", (1, 2, 3, 4, 5, 6), (False, True, False, False, True, True))
    assert _before_last_answer(turns) == (1, 2, 3, 4)


def test_the_likeliest_own_answers_are_picked(stack: ModuleStack, run_phase: RunPhase, begin: Any) -> None:
    run_phase(stack, "replay", "one", OWN)
    options = {**OWN, "temperature": 5.0, "pick_share": 1.0}
    every, _ = begin(stack, "replay", options, "three", encoded(3))
    stack.detach("three")
    some, _ = begin(stack, "replay", {**options, "pick_share": 0.34}, "three", encoded(3))
    assert isinstance(every, Replay)
    assert isinstance(some, Replay)
    (best,) = some._rehearsed
    found: dict[float, Encoded] = {}
    for example in every._rehearsed:
        with torch.no_grad(), stack.active("one"):
            logits = stack(torch.tensor([example.input_ids])).logits[0, 1:-1].log_softmax(-1)
        answer = torch.tensor(example.input_ids[2:])
        found[logits.gather(1, answer[:, None]).mean().item()] = example
    assert best == found[max(found)]
    assert len({example.input_ids for example in every._rehearsed}) == 3


@pytest.mark.parametrize(("option", "value"), [("pick_share", 0.0), ("temperature", 0.0), ("max_answer_tokens", 0)])
def test_options_of_own_answers_that_make_no_sense(option: str, value: float) -> None:
    with pytest.raises(GrowlmError, match=f"replay {option} {value} is"):
        methods.build("replay", {option: value})
