"""GRPO: loss and advantages by hand, the gradient of a step against REINFORCE, and what the warm-up is."""

import math
from collections.abc import Iterator

import pytest
import torch

from growlm.data.batches import IGNORED, StepBatches
from growlm.data.encode import encode
from growlm.data.example import Example, Split
from growlm.errors import GrowlmError
from growlm.methods.grpo import Grpo, clipped_loss, group_advantages
from growlm.skills.skill import Skill
from growlm.stack.loss import trained_logits
from growlm.stack.stack import ModuleStack

OPTIONS = {"warmup_steps": 1, "prompts": 3, "group": 4, "max_answer_tokens": 6, "rank": 2}


class Copies(Skill):
    """The answer is a word of the prompt; every answer of a random model is a little right."""

    metric = "edit_similarity"

    def examples(self, split: Split) -> Iterator[Example]:
        """Yield the same examples in every split."""
        for word in ("cat", "dog", "Tom", "Lily"):
            yield Example(f"copies/{word}", prompt=f"the {word}", completion=f" {word}")


def test_the_loss_by_hand() -> None:
    old = torch.tensor([0.5, 0.5, 0.5, 0.5]).log()
    now = torch.tensor([0.5, 0.75, 0.75, 0.25]).log()  # ratios 1, 1.5, 1.5, 0.5
    advantages = torch.tensor([1.0, 1.0, -1.0, -1.0])
    # 1; 1.2 is less than 1.5; -1.5 is less than -1.2; -0.8 is less than -0.5
    assert clipped_loss(now, old, advantages, 0.2).item() == pytest.approx(-(1 + 1.2 - 1.5 - 0.8) / 4)


def test_advantages_by_hand() -> None:
    assert group_advantages([[1.0, 0.0, 0.0, 1.0], [1.0, 1.0], [0.25, 0.75]]) == [
        [0.5, -0.5, -0.5, 0.5],
        None,
        [-0.25, 0.25],
    ]


def start(stack: ModuleStack, options: dict[str, int] | None = None) -> tuple[Grpo, StepBatches]:
    method = Grpo(**(options or OPTIONS))  # type: ignore[arg-type]
    stack.attach("one", method.build(stack, Copies()), ())
    examples = [encode(example, stack.tokenizer, 32) for example in Copies().examples("train")]
    batches = StepBatches(examples, 3, 0, pad_id=5)
    method.begin(stack, "one", batches)
    return method, batches


def test_the_warm_up_is_plain_training(stack: ModuleStack) -> None:
    method, batches = start(stack)
    batch = batches(0)
    assert method.batch(batch) is batch
    logits_NV, targets_N = trained_logits(stack, batch)
    expected = torch.nn.functional.cross_entropy(logits_NV, targets_N)
    torch.testing.assert_close(method.loss(stack, batch), expected)


def test_a_step_is_reinforce_with_the_groups_mean_as_baseline(stack: ModuleStack) -> None:
    method, batches = start(stack)
    method.batch(batches(0))
    own = method.batch(batches(1))
    assert len(own.input_ids) in (4, 8, 12), "whole groups"
    method.loss(stack, own).backward()
    found = {key: value.grad.clone() for key, value in stack.module_parameters("one").items()}
    for parameter in stack.module_parameters("one").values():
        parameter.grad = None

    # the same from nothing but the rows: rewards by the metric, advantages, and the log-probability of each token
    rows = own.labels != IGNORED
    assert rows.any(1).all()
    measure = {" ".join(("the", word)): word for word in ("cat", "dog", "Tom", "Lily")}
    rewards: list[float] = []
    prompts: list[str] = []
    from rapidfuzz.fuzz import ratio

    for ids, trained in zip(own.input_ids, rows, strict=True):
        before = ids[: int(trained.nonzero()[0])]
        prompts.append(stack.tokenizer.decode(before, skip_special_tokens=True).strip())
        answer = stack.tokenizer.decode(ids[trained], skip_special_tokens=True).strip()
        rewards.append(ratio(answer, measure[prompts[-1]]) / 100 if answer else 0.0)
    assert len(rewards) % OPTIONS["group"] == 0
    groups = [rewards[at : at + OPTIONS["group"]] for at in range(0, len(rewards), OPTIONS["group"])]
    assert all(len(set(group)) > 1 for group in groups), "equal ones are left out"
    advantages = torch.tensor([reward - math.fsum(group) / len(group) for group in groups for reward in group])
    logits_NV, targets_N = trained_logits(stack, own)
    log_p_N = logits_NV.log_softmax(-1).gather(1, targets_N[:, None])[:, 0]
    (-(log_p_N * advantages.repeat_interleave(rows.sum(1))).mean()).backward()
    assert any(gradient.abs().sum() > 0 for gradient in found.values())
    for key, parameter in stack.module_parameters("one").items():
        torch.testing.assert_close(found[key], parameter.grad)


def test_steps_resume_with_the_same_answers(stack: ModuleStack) -> None:
    method, batches = start(stack)
    method.batch(batches(0))
    state = method.state_dict()
    expected = method.batch(batches(1))
    method.load_state_dict(state)
    assert torch.equal(method.batch(batches(1)).input_ids, expected.input_ids)


def test_without_any_difference_there_is_no_gradient(stack: ModuleStack, monkeypatch: pytest.MonkeyPatch) -> None:
    method, batches = start(stack)
    monkeypatch.setattr("growlm.methods.grpo.group_advantages", lambda rewards: [None for _ in rewards])
    method.batch(batches(0))
    own = method.batch(batches(1))
    assert len(own.input_ids) == 1
    method.loss(stack, own).backward()
    assert all(not value.grad.any() for value in stack.module_parameters("one").values())


def test_a_metric_without_answers_is_refused(stack: ModuleStack) -> None:
    with pytest.raises(GrowlmError, match="grpo rewards whole answers, and the phase is scored by token_accuracy"):
        Grpo().build(stack, Copies().scored_by("token_accuracy"))


@pytest.mark.parametrize("options", [{"group": 1}, {"prompts": 0}, {"clip": 1.0}, {"temperature": 0.0}])
def test_wrong_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(GrowlmError, match=f"grpo {next(iter(options))} "):
        Grpo(**options)  # type: ignore[arg-type]
