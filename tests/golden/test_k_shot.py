"""k-shot: a path with examples against the bare base that is shown them as part of its prompt."""

import logging
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from growlm.data.batches import padded
from growlm.data.encode import Encoded
from growlm.data.example import Example
from growlm.errors import GrowlmError
from growlm.methods.k_shot import KShot
from growlm.metrics.candidates import choose_answers
from growlm.modules.demonstrations import DemonstrationsPart
from growlm.registry import methods, module_kinds
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import encoded

OPTIONS = {"k": 3, "max_tokens": 18}


def tokens(rows: int = 2, length: int = 9, seed: int = 1) -> torch.Tensor:
    return torch.randint(6, 300, (rows, length), generator=torch.Generator().manual_seed(seed))


def examples_of(stack: ModuleStack, name: str) -> list[list[int]]:
    (part,) = (
        part
        for site in stack.sites().values()
        for part in site.parts.values()
        if isinstance(part, DemonstrationsPart) and part.owner == name
    )
    return part.examples()


def joined(examples: Sequence[Sequence[int]]) -> list[int]:
    return [token for example in examples for token in example]


def before(prefix: Sequence[int], ids: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.tensor([prefix]).expand(len(ids), -1), ids], 1)


@pytest.fixture
def shot(stack: ModuleStack, begin: Any) -> ModuleStack:
    """A stack with two modules of examples, each on the bare base, the second one's path active."""
    kept = 0
    for name, seed in (("one", 3), ("two", 4)):
        member, _ = begin(stack, "k_shot", OPTIONS, name, encoded(seed))
        kept += len(examples_of(stack, name))
        assert member.kept_rows == kept
        stack.freeze(name)
    return stack.eval()


def test_examples_are_drawn_and_kept_as_tokens(stack: ModuleStack, begin: Any, caplog: Any) -> None:
    data = encoded(3, 40)
    with caplog.at_level(logging.INFO, "growlm"):
        begin(stack, "k_shot", OPTIONS, "one", data)
    kept = examples_of(stack, "one")
    assert all(tuple(example) in {row.input_ids for row in data} for example in kept)
    assert len({tuple(example) for example in kept}) == 3
    assert sum(map(len, kept)) <= 18
    assert caplog.messages == []
    begin(stack, "k_shot", {**OPTIONS, "max_tokens": 14}, "two", data)
    assert len(examples_of(stack, "two")) == 2


def test_what_does_not_fit_is_said_once_or_refused(stack: ModuleStack, begin: Any, caplog: Any) -> None:
    data = [Encoded("", tuple(range(6, 16)), (False, *[True] * 9)) for _ in range(5)]
    with caplog.at_level(logging.INFO, "growlm"):
        begin(stack, "k_shot", {"k": 4, "max_tokens": 25}, "one", data)
    assert caplog.messages == ["2 of 4 examples fit into 25 tokens of the context"]
    with pytest.raises(GrowlmError, match="the shortest example has 10 tokens and k_shot has room for 9"):
        begin(stack, "k_shot", {"max_tokens": 9}, "two", data)


def test_half_precision_holds_every_token_and_foreign_ones_are_the_last() -> None:
    part = DemonstrationsPart(6, 151_936).to(torch.bfloat16)
    part.write([[0, 65_535], [151_935, 3, 255]])
    assert part.examples() == [[0, 65_535], [151_935, 3, 255]]
    with torch.no_grad():
        part.tokens[0] = torch.tensor([255.0, 255.0, 255.0, 1.0])
    assert part.examples()[0][0] == 151_935


def test_logits_are_those_of_a_longer_prompt(shot: ModuleStack) -> None:
    ids, prefix = tokens(), joined(examples_of(shot, "two"))
    with shot.active():
        expected = shot(before(prefix, ids)).logits[:, len(prefix) :]
        loss = shot(before(prefix, ids), labels=torch.cat([torch.full((2, len(prefix)), -100), ids], 1)).loss
    found = shot(ids, labels=ids, output_hidden_states=True)
    torch.testing.assert_close(found.logits, expected)
    torch.testing.assert_close(found.loss, loss)
    assert {len(states[0]) for states in found.hidden_states} == {9}
    torch.testing.assert_close(shot(ids, logits_to_keep=1).logits, expected[:, -1:])
    torch.testing.assert_close(shot(ids, logits_to_keep=torch.tensor([2, 5])).logits, expected[:, [2, 5]])
    embeds = shot.get_input_embeddings()(ids)
    torch.testing.assert_close(shot(inputs_embeds=embeds).logits, expected)
    torch.testing.assert_close(shot.logits(shot.hidden_states(ids)), expected)
    torch.testing.assert_close(shot.logits(shot.base_model(ids).last_hidden_state), expected)


def test_padding_on_the_left_comes_between(shot: ModuleStack) -> None:
    ids, prefix = tokens(), joined(examples_of(shot, "two"))
    mask = torch.ones_like(ids)
    mask[1, :3] = 0
    found = shot(ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp_min(0)).logits
    with shot.active():
        whole = shot(before(prefix, ids[:1])).logits[:, len(prefix) :]
        short = shot(before(prefix, ids[1:, 3:])).logits[:, len(prefix) :]
    torch.testing.assert_close(found[:1], whole)
    torch.testing.assert_close(found[1:, 3:], short)


def test_generated_answers_are_those_to_a_longer_prompt(shot: ModuleStack) -> None:
    rows = [tokens(1, 9)[0].tolist(), tokens(1, 5, seed=2)[0].tolist()]
    prefix = joined(examples_of(shot, "two"))
    settings = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 5, "eos_token_id": None}
    ids, mask = padded(rows, 5, left=True)
    with shot.active():
        expected = [shot.generate(before(prefix, torch.tensor([row])), **settings)[0, -6:].tolist() for row in rows]
    for options in ({"use_cache": True}, {"use_cache": False}, {"num_return_sequences": 1, "num_beams": 1}):
        found = shot.generate(ids, attention_mask=mask, **settings, **options)
        assert found[:, : ids.shape[1]].equal(ids)
        assert found[:, -6:].tolist() == expected
    assert shot.generate(ids, attention_mask=mask, num_beams=2, num_return_sequences=2, **settings).shape == (4, 15)


def test_rows_have_the_examples_of_their_own_path(shot: ModuleStack) -> None:
    ids = tokens(4)
    paths = [(), ("one",), ("two",), ("one", "two")]
    settings = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 5, "eos_token_id": None}
    mask = torch.ones_like(ids)
    mask[:, :2] = 0
    with shot.active_rows(paths):
        plain = shot(ids).logits
        first = shot(ids[:, :6])
        then = shot(ids[:, 6:], past_key_values=first.past_key_values).logits
        answers = shot.generate(ids, attention_mask=mask, **settings)
    for row, path in enumerate(paths):
        with shot.active(*path):
            alone = shot(ids[row : row + 1]).logits[0]
            torch.testing.assert_close(plain[row], alone)
            torch.testing.assert_close(torch.cat([first.logits[row], then[row]]), alone)
            expected = shot.generate(ids[row : row + 1, 2:], attention_mask=mask[row : row + 1, 2:], **settings)
        assert answers[row, 2:].equal(expected[0])


def test_several_modules_come_in_order_of_growth_and_the_oldest_are_left_out(shot: ModuleStack) -> None:
    one, two = examples_of(shot, "one"), examples_of(shot, "two")
    limit = shot.context_length
    room = len(joined(two)) + len(one[-1])
    for prefix, length in ((joined([*one, *two]), 9), ([*one[-1], *joined(two)], limit - room), ([], limit - 1)):
        ids = tokens(1, length)
        with shot.active():
            expected = shot(before(prefix, ids) if prefix else ids).logits[:, len(prefix) :]
        with shot.active("one", "two"):
            torch.testing.assert_close(shot(ids).logits, expected)
    with shot.active("two"), shot.expecting(limit):
        found = shot(tokens()).logits
    with shot.active():
        torch.testing.assert_close(found, shot(tokens()).logits)


def test_candidates_are_read_after_the_examples(shot: ModuleStack) -> None:
    prompts = [
        Example(str(number), prompt=text, choices=(" sat on", " big", " in red box"))
        for number, text in enumerate(("the cat", "the dog ran in big"))
    ]
    prefix = joined(examples_of(shot, "two"))
    found = choose_answers(shot, prompts, per_token=False)
    tokenizer = shot.tokenizer
    for prompt, answer in zip(prompts, found, strict=True):
        scores = {}
        for choice in prompt.choices:
            ids = [tokenizer.bos_token_id, *tokenizer(prompt.prompt, add_special_tokens=False)["input_ids"]]
            after = [*tokenizer(choice, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
            with shot.active():
                logits = shot(torch.tensor([[*prefix, *ids, *after]])).logits[0].log_softmax(-1)
            begin = len(prefix) + len(ids)
            scores[choice.strip()] = sum(logits[begin + at - 1, token].item() for at, token in enumerate(after))
        assert answer == max(scores, key=scores.__getitem__)


def test_a_cache_of_another_path_goes_on_without_examples(shot: ModuleStack) -> None:
    ids = tokens()
    with shot.active():
        cache = shot(ids[:, :5], use_cache=True).past_key_values
        expected = shot(ids).logits[:, 5:]
    assert isinstance(cache, DynamicCache)
    torch.testing.assert_close(shot(ids[:, 5:], past_key_values=cache).logits, expected)


def test_what_cannot_be_done_is_refused(shot: ModuleStack) -> None:
    with pytest.raises(GrowlmError, match="a mask of 4 dimensions cannot be extended"):
        shot(tokens(), attention_mask=torch.ones(2, 1, 9, 9))
    with pytest.raises(GrowlmError, match="module 'two' has a demonstrations, which no stock model can compute"):
        shot.merged()
    with pytest.raises(GrowlmError, match="module 'one' has a demonstrations, which is not a change of weights"):
        shot.fused("one").__enter__()
    with pytest.raises(GrowlmError, match="replay cannot wrap k_shot, which has no batches"):
        methods.build("replay", {"method": "k_shot"})
    for options, said in (({"k": 0}, "k_shot k 0 is too small"), ({"max_tokens": 0}, "k_shot max_tokens 0 is too")):
        with pytest.raises(GrowlmError, match=said):
            KShot(**options)
    with pytest.raises(GrowlmError, match="demonstrations capacity 0 is too small"):
        module_kinds.build("demonstrations", {"capacity": 0})
