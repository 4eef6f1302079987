from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from growlm.base.tokenizer import SPECIAL_TOKENS, special_id, train_tokenizer

TEXTS = ["Once upon a time there was a cat.", "The cat sat on a mat and said hello to 12 dogs."] * 20
AWKWARD = ["", " two  spaces ", "a\n\nb\tc", "naïve café — 12,345.60 €", "日本語 🐈", "\x00\x7f", "don't <|ends|>"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(TEXTS, vocab_size=400).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("text", AWKWARD + TEXTS[:2])
def test_every_text_comes_back(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert not any(i < len(SPECIAL_TOKENS) for i in ids)


def test_the_special_tokens_have_the_first_ids(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(tokenizer) <= 400
    for token in SPECIAL_TOKENS:
        assert tokenizer.convert_tokens_to_ids(token) == special_id(token)
    assert len(SPECIAL_TOKENS) == 38
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (0, 0, special_id("<|pad|>"))


def test_digits_stay_single(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.tokenize("1212") == ["1", "2", "1", "2"]


def test_learning_is_deterministic() -> None:
    first, again = (train_tokenizer(TEXTS, vocab_size=350).backend_tokenizer.to_str() for _ in range(2))
    assert first == again


def test_the_chat_template_marks_what_the_assistant_says_and_its_end(tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "The cat."},
        {"role": "user", "content": "the mat"},
        {"role": "assistant", "content": "a dog"},
    ]
    encoded = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    assert tokenizer.decode(encoded["input_ids"]) == (
        "<|endoftext|><|system|>Be kind.<|end|><|user|>hello<|end|><|assistant|>The cat.<|end|>"
        "<|user|>the mat<|end|><|assistant|>a dog<|end|>"
    )
    trained = [i for i, kept in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if kept]
    assert tokenizer.decode(trained) == "The cat.<|end|>a dog<|end|>"


def test_the_generation_prompt_is_a_prefix_of_the_answered_conversation(tokenizer: PreTrainedTokenizerFast) -> None:
    question = [{"role": "user", "content": "hello"}]
    answered = [*question, {"role": "assistant", "content": "The cat."}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_dict=True)["input_ids"]
    whole = tokenizer.apply_chat_template(answered, return_dict=True)["input_ids"]
    assert whole[: len(prompt)] == prompt
    assert tokenizer.decode(prompt).endswith("<|end|><|assistant|>")


def test_an_unknown_role_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(Exception, match="unknown role robot: known: system, user, assistant"):
        tokenizer.apply_chat_template([{"role": "robot", "content": "beep"}], tokenize=False)


def test_nothing_else_is_in_the_folder(tmp_path: Path) -> None:
    train_tokenizer(TEXTS, vocab_size=320).save_pretrained(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".jinja"}
