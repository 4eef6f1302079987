"""PMoE: telling skills apart worked by hand, and what phases train and keep."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from growlm.data.batches import IGNORED, StepBatches, collate
from growlm.data.encode import Encoded
from growlm.errors import GrowlmError
from growlm.files import tensor_digests
from growlm.methods._replay_buffer import ReplayBuffer
from growlm.methods._sampling import sample_texts
from growlm.methods.method import Method
from growlm.methods.pmoe import Pmoe, identity_loss
from growlm.registry import methods, module_kinds
from growlm.routing.gates import gates
from growlm.stack.loss import trained_token_losses
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import tokens
from tests.golden.conftest import NO_SKILL, RunPhase, encoded

Begin = Callable[..., tuple[Method, StepBatches]]
every_routing = pytest.mark.parametrize("per", ["token", "sequence"])


def test_telling_skills_apart_by_hand() -> None:
    first, second = torch.tensor([[math.log(2), 0, 9]]), torch.tensor([[math.log(3), math.log(2), 9]])
    is_token = torch.tensor([[True, True, False]])
    # softmax of (1, 2, 3) and of (1, 1, 2); the last token does not count
    loss = identity_loss([first, second], is_token, torch.tensor([1]))
    torch.testing.assert_close(loss, torch.tensor((math.log(6 / 3) + math.log(4 / 2)) / 2))
    # two rows of the first skill and one of the second: every skill counts alike
    rows = [torch.cat([column] * 3) for column in (first, second)]
    loss = identity_loss(rows, torch.tensor([[True, False, False]] * 3), torch.tensor([0, 0, 1]))
    torch.testing.assert_close(loss, torch.tensor((math.log(6 / 2) + math.log(6 / 3)) / 2))


def kinds_of(stack: ModuleStack, name: str) -> set[str]:
    return {key.partition(".")[0] for key in stack.module_tensors(name)}


@every_routing
def test_phases_leave_older_experts_as_they_were(stack: ModuleStack, run_phase: RunPhase, per: Any) -> None:
    run_phase(stack, "pmoe", "one", {"per": per})
    first = tensor_digests(stack.module_tensors("one"))
    answers = stack(tokens()).logits
    run_phase(stack, "pmoe", "three", {"per": per})
    assert tensor_digests(stack.module_tensors("one")) == first
    assert kinds_of(stack, "one") == {"experts", "lora"}
    assert kinds_of(stack, "three") == {"experts"}
    assert {key for key in stack.module_tensors("one") if key.startswith("lora")} == {
        f"lora.{linear}.{factor}" for linear in stack.architecture.linear_sites(None, range(3)) for factor in "AB"
    }
    with stack.active("one"):
        assert torch.equal(stack(tokens()).logits, answers)
    assert not torch.equal(stack(tokens()).logits, answers)


def test_without_the_general_change_there_are_experts_only(stack: ModuleStack, run_phase: RunPhase) -> None:
    run_phase(stack, "pmoe", "one", {"general": False})
    assert kinds_of(stack, "one") == {"experts"}


def test_a_phase_on_the_bare_base_has_a_general_change_of_its_own(stack: ModuleStack, run_phase: RunPhase) -> None:
    run_phase(stack, "pmoe", "one")
    method = Pmoe()
    method.grow_on(stack, ())
    assert set(method.build(stack, NO_SKILL)) == {"experts", "lora"}
    method.grow_on(stack, ("one",))
    assert set(method.build(stack, NO_SKILL)) == {"experts"}


def test_examples_are_kept_and_told_apart(stack: ModuleStack, run_phase: RunPhase, begin: Begin) -> None:
    examples = encoded(3)
    run_phase(stack, "pmoe", "one", {"replay": 0.5}, examples)
    kept = {key.removeprefix("examples/"): value for key, value in stack.method_tensors("one").items()}
    buffer = ReplayBuffer.from_tensors(kept, 320, 256, "one")
    assert len(buffer.examples) == 3
    assert {example.input_ids for example in buffer.examples} < {example.input_ids for example in examples}
    options = {"identity": 0.5, "base_texts": 0, "per": "token"}
    member, batches = begin(stack, "pmoe", options, "three", encoded(5))
    batch = batches(0)
    with torch.no_grad():  # so that the columns differ
        for column in gates(stack).values():
            column.weight.normal_()
    torch.manual_seed(0)
    loss = member.loss(stack, batch)
    torch.manual_seed(0)  # half of three rows is one, of the one skill there is
    torch.randint(1, (1,))
    old = buffer.examples[int(torch.randint(3, ()))].input_ids
    new = [
        row[: 1 + int((labels != IGNORED).nonzero().max())]
        for row, labels in zip(batch.input_ids, batch.labels, strict=True)
    ]
    surprises = []
    for ids, target in [*((row, 2) for row in new), (torch.tensor(old), 1)]:
        with torch.no_grad():
            stack.hidden_states(ids[None])
        found = torch.stack([torch.zeros(len(ids)), *(column.logits()[0] for column in gates(stack).values())])
        surprises.append(-found.log_softmax(0)[target])
    identity = (torch.cat(surprises[:-1]).mean() + surprises[-1].mean()) / 2
    torch.testing.assert_close(loss, trained_token_losses(stack, batch).mean() + 0.5 * identity)


def test_the_base_writes_texts_of_its_own(stack: ModuleStack, run_phase: RunPhase, begin: Begin) -> None:
    texts = sample_texts(stack, (), 4, "seed")
    run_phase(stack, "pmoe", "one")
    before = torch.random.get_rng_state()
    assert sample_texts(stack, (), 4, "seed") == texts  # whatever is active
    assert stack.path == ("one",)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert sample_texts(stack, (), 4, "other") != texts
    assert sample_texts(stack, (), 0, "seed") == ()
    assert {len(text.input_ids) for text in texts} == {32}
    member, batches = begin(stack, "pmoe", {"base_texts": 3}, "three", encoded(5))
    assert isinstance(member, Pmoe)
    assert {owner: len(examples) for owner, examples in member._memory.items()} == {"one": 1, "base": 3}
    assert member.loss(stack, batches(0)).isfinite()


def test_gates_learn_to_close_for_what_the_base_writes(stack: ModuleStack, run_phase: RunPhase) -> None:
    examples = [Encoded("", (200 + row, 210, 220, 230), (False, False, True, True)) for row in range(9)]
    texts = [text.input_ids for text in sample_texts(stack, (), 20, "held out")]
    means = []
    for name, count in (("one", 0), ("other", 40)):
        run_phase(stack, "pmoe", name, {"base_texts": count}, examples, steps=60)
        with torch.no_grad(), stack.active(name, closed=False):
            stack.hidden_states(torch.tensor(texts))
        means.append(gates(stack)[name].logits()[:, 4:].mean().item())
        stack.undo()
    assert means[1] < min(0, means[0] - 0.5)


def test_without_identity_it_is_plain_training(stack: ModuleStack, run_phase: RunPhase, begin: Begin) -> None:
    run_phase(stack, "pmoe", "one")
    member, batches = begin(stack, "pmoe", {"identity": 0.0, "replay": 0.0}, "three", encoded(5))
    assert torch.equal(member.loss(stack, batches(0)), trained_token_losses(stack, batches(0)).mean())
    assert member.end(stack, batches) == {}


@pytest.mark.parametrize("mixture", ["softmax", "gated"])
def test_gates_learn_to_distinguish_skills(stack: ModuleStack, run_phase: RunPhase, mixture: str) -> None:
    """Two skills whose prompts begin with different tokens go to their own experts."""
    words = {"one": [40, 41, 42], "three": [200, 201, 202]}
    for name, own in words.items():
        examples = [
            Encoded(str(row), (own[row % 3], own[row // 3], 50, 60), (False, False, True, True)) for row in range(9)
        ]
        run_phase(stack, "pmoe", name, {"replay": 1.0, "mixture": mixture}, examples, steps=60)
    for name, own in words.items():
        batch = collate([Encoded("", (own[0], own[2], 50), (False, False, True))], 5)
        with torch.no_grad():
            stack.hidden_states(batch.input_ids)
        found = {member: column.logits()[0, 1].item() for member, column in gates(stack).items()}
        assert max(found, key=lambda member: found[member]) == name
        assert found[name] > 0 or mixture == "softmax", "a gate acts above 0, a softmax by the difference"


def test_damaged_examples_are_refused(stack: ModuleStack, run_phase: RunPhase, begin: Begin) -> None:
    run_phase(stack, "pmoe", "one")
    kept = stack.method_tensors("one")
    stack._method_tensors["one"] = {**kept, "examples/tokens": kept["examples/tokens"] + 10**6}
    with pytest.raises(GrowlmError, match="module 'one': the examples kept for replay hold a token that is none"):
        begin(stack, "pmoe", {}, "three", encoded(5))


def test_a_module_without_examples_is_passed_over(stack: ModuleStack, run_phase: RunPhase, begin: Begin) -> None:
    run_phase(stack, "pmoe", "one")
    empty = {key: value[:0] for key, value in stack.method_tensors("one").items()}
    stack._method_tensors["one"] = empty | {"examples/offsets": torch.zeros(1, dtype=torch.int64)}
    member, batches = begin(stack, "pmoe", {}, "three", encoded(5))
    assert member.loss(stack, batches(0)).isfinite()


@pytest.mark.parametrize(
    ("option", "value"), [("identity", -1.0), ("replay", 1.5), ("identity", float("nan")), ("base_texts", -1)]
)
def test_options_of_the_method_that_make_no_sense(option: str, value: float) -> None:
    with pytest.raises(GrowlmError, match=f"pmoe {option} {value} is"):
        methods.build("pmoe", {option: value})


def test_the_papers_softmax_is_the_default_and_older_experts_stay_gated(
    stack: ModuleStack, run_phase: RunPhase
) -> None:
    run_phase(stack, "pmoe", "one")
    assert stack.manifest.modules[0].kinds["experts"]["mixture"] == "softmax"
    assert gates(stack)["one"].spec.weighting == "softmax"
    # a record of version 0.1.0 names no mixture
    assert module_kinds.build("experts", {"rank": 8}).options()["mixture"] == "gated"


@pytest.mark.parametrize("asked", [{"mixture": "gated"}, {"num_experts": 9}])
def test_a_path_has_one_mixture(stack: ModuleStack, run_phase: RunPhase, begin: Begin, asked: dict[str, Any]) -> None:
    run_phase(stack, "pmoe", "one")
    with pytest.raises(GrowlmError, match=r"grown with mixture 'softmax' and num_experts 16, and this phase asks for"):
        begin(stack, "pmoe", asked, "three", encoded(5))


def test_a_full_router_is_refused_before_anything_is_trained(
    stack: ModuleStack, run_phase: RunPhase, begin: Begin
) -> None:
    run_phase(stack, "pmoe", "one", {"num_experts": 2})
    with pytest.raises(GrowlmError, match="the router has room for 1 expert, and the path has 1"):
        begin(stack, "pmoe", {"num_experts": 2}, "three", encoded(5))
