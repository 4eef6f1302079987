import json
from pathlib import Path

import numpy as np
import pytest

from growlm.base.tokenizer import train_tokenizer
from growlm.errors import GrowlmError
from growlm.pretrain.source import TextSource
from growlm.pretrain.text import encode_source
from growlm.registry import skills

STORIES = ["The cat sat.\nIt ran.", "A dog said hello.", "One two three."]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "stories.txt"
    path.write_text("\n<|endoftext|>\n".join(STORIES) + "\n<|endoftext|>\n\n")
    return path


def test_plain_text_is_cut_at_the_separator(plain: Path) -> None:
    assert list(TextSource(path=str(plain)).documents()) == STORIES


def test_jsonl_gives_its_text_field(tmp_path: Path) -> None:
    path = tmp_path / "stories.jsonl"
    path.write_text("".join(json.dumps({"story": story, "id": 1}) + "\n" for story in STORIES))
    assert list(TextSource(path=str(path), field="story").documents()) == STORIES


def test_a_malformed_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "stories.jsonl"
    path.write_text('{"text": "fine"}\n{"txt": "not"}\n')
    with pytest.raises(GrowlmError, match=r"stories\.jsonl, line 2: no JSON object with 'text'"):
        list(TextSource(path=str(path)).documents())


def test_only_the_first_documents_are_taken(plain: Path) -> None:
    limit = len(STORIES[0]) + len(STORIES[1])
    assert list(TextSource(path=str(plain), max_bytes=limit).documents()) == STORIES[:2]


def test_a_skill_tells_its_training_texts() -> None:
    got = TextSource(skill="stories", skill_options={"num_train": 3})
    stories = list(got.documents())
    assert len(stories) == 3
    assert stories == [example.text for example in skills.build("stories", {"num_train": 3}).examples("train")]
    assert got.digest() == TextSource(skill="stories", skill_options={"num_train": 3}).digest()
    assert got.digest() != TextSource(skill="stories", skill_options={"num_train": 2}).digest()


def test_a_skill_without_plain_texts_is_refused() -> None:
    with pytest.raises(GrowlmError, match="skill 'chat' has no plain texts"):
        list(TextSource(skill="chat").documents())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"path": "a.txt", "hub": "b"},
        {"path": "a.txt", "skill": "stories"},
        {"path": "a.txt", "skill_options": {"num_train": 3}},
        {"path": "a.txt", "repeat": 0},
    ],
)
def test_a_source_that_makes_no_sense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(GrowlmError):
        TextSource(**options)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(GrowlmError, match=r"nowhere\.txt is missing"):
        list(TextSource(path="nowhere.txt").documents())


def test_the_memory_map_holds_every_document_after_a_start_token(plain: Path, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(STORIES, vocab_size=320)
    text = encode_source(TextSource(path=str(plain)), tokenizer, tmp_path / "cache")
    assert text.tokens[text.starts].tolist() == [0, 0, 0, 0]
    assert [tokenizer.decode(part[1:]) for part in np.split(text.tokens, text.starts[1:])[:3]] == STORIES
    assert text.num_bytes == sum(len(story.encode()) for story in STORIES)


def test_it_is_written_once_and_anew_for_other_text(plain: Path, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(STORIES, vocab_size=320)
    cache = tmp_path / "cache"
    encode_source(TextSource(path=str(plain)), tokenizer, cache)
    before = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    encode_source(TextSource(path=str(plain), repeat=2.5), tokenizer, cache)
    assert {path.name: path.stat().st_mtime_ns for path in cache.iterdir()} == before
    plain.write_text("Other text.")
    encode_source(TextSource(path=str(plain)), tokenizer, cache)
    assert len(list(cache.iterdir())) == 2 * len(before)


def test_an_empty_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n<|endoftext|>\n")
    with pytest.raises(GrowlmError, match=r"empty\.txt holds no text"):
        encode_source(TextSource(path=str(tmp_path / "empty.txt")), train_tokenizer(STORIES, vocab_size=320), tmp_path)


def test_new_names_take_only_documents_with_a_name_and_have_a_digest_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "stories.txt"
    path.write_text("Lily saw a cat. Lily ran.<|endoftext|>A dog said hello.<|endoftext|>Tom sat.")
    renamed = TextSource(path=str(path), new_names=True)
    first, second = renamed.documents()
    name = first.split()[0]
    assert first == f"{name} saw a cat. {name} ran."
    assert name != "Lily"
    assert second.endswith(" sat.")
    assert list(renamed.documents()) == [first, second]
    assert renamed.digest() != TextSource(path=str(path)).digest()


def test_word_lists_take_the_place_of_documents_and_have_a_digest_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "stories.txt"
    path.write_text("Lily saw a cat. Lily ran.<|endoftext|>1 2 3")
    source = TextSource(path=str(path), word_lists=True)
    (text,) = source.documents()
    assert list(source.documents()) == [text]
    assert len(text.split()) >= 12
    digests = {TextSource(path=str(path), **changes).digest() for changes in ({}, {"new_names": True})}
    assert source.digest() not in digests
    with pytest.raises(GrowlmError, match="word_lists have new names anyway: leave new_names out"):
        TextSource(path=str(path), new_names=True, word_lists=True)
