"""The learned router: the columns of progressive experts, compared over a prompt."""

from pathlib import Path
from typing import Any

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.manifest.path import BASE
from growlm.metrics.routed import routed_score
from growlm.modules.block import Block
from growlm.modules.experts import Experts
from growlm.modules.lora import Lora
from growlm.routing.gates import gates
from growlm.routing.learned import Learned
from growlm.skills.jsonl import Jsonl
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import grown

PROMPTS = [[0, 60, 61, 62], [0, 200], [0, 90, 91, 92, 93, 94, 95]]


def no_prompts(split: str, limit: int) -> list[list[int]]:
    raise AssertionError("the columns are looked at, no data")


def taught(stack: ModuleStack) -> Learned:
    router = Learned()
    for name in (BASE, *gates(stack)):
        router.learn(stack, name, no_prompts)
    return router


@pytest.fixture
def stack(tiny_bases: dict[str, Path]) -> ModuleStack:
    """Two experts, and a change of the shallow layers in the first module."""
    stack = ModuleStack.from_base(str(tiny_bases["llama"])).eval()
    grown(stack, "first", {"experts": Experts(per="token"), "lora": Lora(rank=2, layers=[0, 1, 2])})
    grown(stack, "second", {"experts": Experts(per="token")})
    return stack


def opened(stack: ModuleStack, **biases: float) -> None:
    """Make gates that are the same for every token."""
    with torch.no_grad():
        for name, bias in biases.items():
            gates(stack)[name].weight.zero_()
            gates(stack)[name].bias.fill_(bias)


@pytest.mark.parametrize("per", ["token", "sequence"])
def test_the_mean_logit_is_that_over_the_prompts_own_tokens(stack: ModuleStack, per: Any) -> None:
    grown(stack, "third", {"experts": Experts(per=per)})
    names = ["first", "second", "third"]
    found = taught(stack).mean_logits(stack, PROMPTS, names)
    for row, prompt in enumerate(PROMPTS):
        with torch.no_grad():
            stack.hidden_states(torch.tensor([prompt]))
        for index, name in enumerate(names):
            logits_T = gates(stack)[name].logits()[0]
            expected = logits_T[-1] if (name, per) == ("third", "sequence") else logits_T.mean()
            torch.testing.assert_close(found[row, index], expected, rtol=1e-4, atol=1e-5)


def test_the_greatest_column_answers_and_the_base_where_none_is_above_it(stack: ModuleStack) -> None:
    router = taught(stack)
    opened(stack, first=1.0, second=2.0)
    assert router.choose(stack, PROMPTS) == [("first", "second")] * 3
    opened(stack, first=3.0)
    assert router.choose(stack, PROMPTS) == [("first",)] * 3
    opened(stack, first=0.0, second=-1.0)
    assert router.choose(stack, PROMPTS) == [()] * 3
    assert router.choose(stack, []) == []
    assert Learned().choose(stack, PROMPTS) == [()] * 3


def test_a_choice_depends_neither_on_the_active_path_nor_on_later_modules(stack: ModuleStack) -> None:
    router = taught(stack)
    expected, names = router.mean_logits(stack, PROMPTS, ["first", "second"]), ["first", "second"]
    with stack.active():
        assert torch.equal(router.mean_logits(stack, PROMPTS, names), expected)
        assert stack.path == ()
    grown(stack, "shallow", {"block": Block(after=[0])})
    assert torch.equal(router.mean_logits(stack, PROMPTS, names), expected)
    with torch.no_grad():
        stack.hidden_states(torch.tensor(PROMPTS[:1]))
    assert gates(stack)["first"].logits().mean() != expected[0, 0]  # with the later module active it would


def test_only_the_shallow_layers_are_run(stack: ModuleStack) -> None:
    ran: list[int] = []
    for layer in range(stack.architecture.num_layers):
        part = stack.architecture.resolve(f"{stack.architecture.layer_site(layer)}.mlp")
        part.register_forward_hook(lambda module, inputs, output, layer=layer: ran.append(layer))
    taught(stack).choose(stack, PROMPTS)
    assert ran == [0, 1, 2]


def test_the_state_comes_back_and_a_module_is_forgotten(stack: ModuleStack) -> None:
    router = taught(stack)
    opened(stack, first=1.0, second=2.0)
    again = Learned()
    again.load_state_dict(router.state_dict(), stack.architecture)
    assert again.known() == ("base", "first", "second")
    assert again.choose(stack, PROMPTS) == [("first", "second")] * 3
    again.forget("second")
    assert again.known() == ("base", "first")
    assert again.choose(stack, PROMPTS) == [("first",)] * 3
    assert router.options() == {}


def test_saved_with_the_stack(stack: ModuleStack, tmp_path: Path) -> None:
    stack.router = taught(stack)
    stack.save_pretrained(tmp_path)
    loaded = ModuleStack.from_pretrained(tmp_path)
    assert loaded.router is not None
    assert loaded.router.name == "learned"
    assert loaded.router.choose(loaded, PROMPTS) == stack.router.choose(stack, PROMPTS)
    loaded.undo()
    assert loaded.router.known() == ("base", "first")


def test_routing_accuracy_is_reported(stack: ModuleStack, tmp_path: Path) -> None:
    file = tmp_path / "skill.jsonl"
    file.write_text("".join(f'{{"prompt": "the cat {number}", "completion": " sat"}}\n' for number in range(9)))
    opened(stack, first=1.0, second=2.0)
    stack.router = taught(stack)
    skill = Jsonl(train=str(file))
    assert routed_score(stack, skill, ("first", "second")).routing_accuracy == 1
    assert routed_score(stack, skill, ("first",)).routing_accuracy == 0


def test_a_module_without_experts_is_refused(new_stack: Any) -> None:
    stack = new_stack("first")
    with pytest.raises(GrowlmError, match=r"module 'first' has no experts.*--method pmoe"):
        Learned().check(stack, "first", no_prompts)
    with pytest.raises(GrowlmError, match="has no experts"):
        Learned().learn(stack, "first", no_prompts)


@pytest.mark.parametrize(
    ("key", "value"), [("other/first", torch.ones(1, dtype=torch.uint8)), ("known/first", torch.ones(2))]
)
def test_a_state_that_does_not_fit_is_refused(stack: ModuleStack, key: str, value: torch.Tensor) -> None:
    with pytest.raises(GrowlmError, match="does not fit router 'learned'"):
        Learned().load_state_dict({key: value}, stack.architecture)
