"""The skill stories: TinyWorld's own, or those of a file."""

from pathlib import Path

import pytest

from growlm.errors import GrowlmError
from growlm.skills.stories import Stories


def test_own_stories_are_fixed_and_apart():
    skill = Stories(num_train=300)
    train = [example.text for example in skill.examples("train")]
    test = [example.text for example in skill.examples("test")]
    assert len(train) == 300
    assert len(test) == 200
    assert not set(train) & set(test)
    assert train == [example.text for example in Stories(num_train=300).examples("train")]
    assert skill.metric == "bits_per_byte"


def test_a_file_is_split_by_content(tmp_path: Path):
    path = tmp_path / "stories.txt"
    path.write_text("\n<|endoftext|>\n".join(f"Story {n}." for n in range(100)) + "\n<|endoftext|>\n", encoding="utf-8")
    skill = Stories(str(path))
    found = {split: [example.text for example in skill.examples(split)] for split in skill.counts}
    assert sorted(text for texts in found.values() for text in texts if text) == sorted(
        f"Story {n}." for n in range(100)
    )
    assert len(found["train"]) > 60
    assert len(list(Stories(str(path), num_train=5).examples("train"))) == 5


def test_bad_files(tmp_path: Path):
    with pytest.raises(GrowlmError, match="is missing"):
        Stories(str(tmp_path / "no.txt"))
    path = tmp_path / "empty.txt"
    path.write_text("")
    with pytest.raises(GrowlmError, match="no story for test"):
        list(Stories(str(path)).examples("test"))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(GrowlmError, match="not UTF-8"):
        list(Stories(str(path)).examples("test"))
