"""Hugging Face data sets, from local copies alone."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from growlm.errors import GrowlmError
from growlm.skills.hub import Hub

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def saved(folder: Path, **splits: int) -> str:
    """Save a data set of news with numbered labels to disk."""
    features = datasets.Features({
        "text": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["World", "Sports"]),
        "more": {"title": datasets.Value("string"), "tags": datasets.List(datasets.Value("string"))},
    })  # fmt: skip
    parts = {
        split: datasets.Dataset.from_dict(
            {
                "text": [f"{split} {n}" for n in range(count)],
                "label": [n % 2 for n in range(count)],
                "more": [{"title": f"title {n}", "tags": ["a", f"b{n}"]} for n in range(count)],
            },
            features=features,
        )
        for split, count in (splits or {"train": 20, "test": 6}).items()
    }
    datasets.DatasetDict(parts).save_to_disk(str(folder / "news"))
    return str(folder / "news")


NEWS: dict[str, Any] = {"template": {"prompt": "{text}\nTopic:", "completion": " {label}"}}


def test_a_saved_data_set_with_labels(tmp_path: Path):
    skill = Hub(saved(tmp_path), **NEWS)
    test = list(skill.examples("test"))
    assert len(test) == 6
    assert (test[1].name, test[1].prompt, test[1].completion) == ("news:2", "test 1\nTopic:", " Sports")
    assert test[1].choices == (" World", " Sports")
    assert (skill.metric, skill.chance()) == ("label_match", 0.5)
    sizes = [len(list(skill.examples(split))) for split in ("train", "validation")]  # type: ignore[arg-type]
    assert sum(sizes) == 20
    assert sizes[1] >= 1


def test_fields_by_key_and_inside_keys(tmp_path: Path):
    data = saved(tmp_path)
    example = next(Hub(data, fields={"prompt": "more.title", "completion": "more.tags.1"}).examples("test"))
    assert (example.prompt, example.completion, example.choices) == ("title 0", "b0", ())
    skill = Hub(
        data, fields={"prompt": "text", "completion": "label"}, labels={"label": ["earth", "games"]}, cut="left"
    )
    example = next(skill.examples("test"))
    assert (example.completion, example.choices, example.cut) == ("earth", ("earth", "games"), "left")
    assert Hub(data, fields={"text": "text"}).metric == "bits_per_byte"
    assert Hub(data).metric == "bits_per_byte", "a row's own keys are taken where nothing is mapped"


def test_a_folder_of_json_lines_and_held_out_splits(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    rows = [{"turns": [f"hello {n}", "hello you"]} for n in range(30)]
    (tmp_path / "mine" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    skill = Hub(str(tmp_path / "mine"))
    parts = [{e.messages for e in skill.examples(split)} for split in ("train", "validation", "test")]  # type: ignore[arg-type]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 30
    assert skill.metric == "loss"


def test_splits_by_the_data_sets_names_and_samples(tmp_path: Path):
    data = saved(tmp_path, train=20, validation=5, extra=7)
    skill = Hub(data, splits={"train": "train", "test": "extra"}, num_train=4, **NEWS)
    assert len(list(skill.examples("test"))) == 7
    assert len(list(skill.examples("train"))) == 4
    assert all(str(e.prompt).startswith("train") for e in skill.examples("validation")), "held out from training"
    skill = Hub(data, **NEWS)
    assert {str(e.prompt).split()[0] for e in skill.examples("validation")} == {"validation"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"template": {"prompt": "{txet}", "completion": "{label}"}}, r"unknown key in .*'txet': did you mean 'text'"),
        ({"template": {"promt": "{text}"}}, r"unknown name in template 'promt': did you mean 'prompt'"),
        ({"fields": {"promt": "text"}}, r"unknown name in fields 'promt'"),
        ({"fields": {"prompt": "text"}, "template": {"prompt": "{text}"}}, r"prompt is given twice"),
        ({"fields": {"prompt": "more.titel", "completion": "text"}}, r"unknown key in .*'more.titel'"),
        ({"fields": {"prompt": "text", "completion": "label"}, "labels": {"label": ["one"]}},
         r"row 2: 'label' is 1, which is none of its 1 label"),
        ({**NEWS, "splits": {"trian": "train"}}, r"unknown split 'trian': did you mean 'train'"),
        ({**NEWS, "splits": {"train": "trian"}}, r"unknown split of .*'trian': did you mean 'train'"),
        ({**NEWS, "splits": {"test": "test"}}, r"nothing to train on; name one of its splits \(train, test\)"),
        ({**NEWS, "splits": {"train": "train", "test": "train"}}, r"each of them has to be another one"),
        ({**NEWS, "held_out_share": 0.7}, r"held_out_share is 0.7"),
        ({**NEWS, "max_answer_tokens": 0}, r"max_answer_tokens 0"),
        ({**NEWS, "num_test": 0}, r"num_test 0"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, options: dict[str, Any], message: str):
    data = saved(tmp_path)
    with pytest.raises(GrowlmError, match=message) as error:
        Hub(data, **options)
    assert "\n" not in str(error.value)


def test_an_empty_split_and_an_unlabelled_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(GrowlmError, match="cannot be loaded"):  # by the package itself
        Hub(saved(tmp_path, train=20, test=0), **NEWS)
    rows = {"text": ["a"], "label": ["b"]}
    parts = {"train": datasets.Dataset.from_dict(rows), "test": datasets.Dataset.from_dict({"text": [], "label": []})}
    with monkeypatch.context() as patch:
        patch.setattr("growlm.skills.hub._load", lambda *names: parts)
        with pytest.raises(GrowlmError, match="news: its split 'test' is empty"):
            Hub("news", **NEWS)
    table = datasets.Dataset.from_list([{"text": "a", "label": -1}] * 3)
    table.save_to_disk(str(tmp_path / "bare"))
    with pytest.raises(GrowlmError, match="'label' is -1, which is none of its 2 labels"):
        Hub(str(tmp_path / "bare"), labels={"label": ["x", "y"]}, **NEWS)


def test_what_cannot_be_loaded(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.jsonl").write_text('{"text": "a"}\n{broken\n')
    for name in (str(tmp_path / "mine"), str(tmp_path / "nothing")):
        with pytest.raises(GrowlmError, match="cannot be loaded") as error:
            Hub(name)
        assert "\n" not in str(error.value)
        assert ("no file or folder here has that name" in str(error.value)) == name.endswith("nothing")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(GrowlmError) as error:
        Hub("news")
    assert str(error.value) == "news needs the package datasets: pip install 'growlm[data]'"
