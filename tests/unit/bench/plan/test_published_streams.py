"""The streams of the published benchmarks: orders as in the papers, data found, what is missing named."""

import json
from pathlib import Path

import pytest

from growlm.bench.plan.stream import read_stream
from growlm.errors import GrowlmError
from growlm.recipes import recipe_names, recipe_path

ENDINGS = {"cl_task": ".jsonl", "superni_task": ".json", "trace_task": ".json"}


def data_of(name: str, folder: Path, without: tuple[str, ...] = ()) -> Path:
    """Make the files that a stream's tasks are looked for in; nothing reads them before a phase does."""
    from growlm.recipes import read_yaml

    for skill, entry in read_yaml(recipe_path("streams", name))["skills"].items():
        if skill not in without:
            task = folder / entry["options"]["task"]
            task.mkdir(parents=True)
            for split in ("train", "test"):
                (task / f"{split}{ENDINGS[entry['skill']]}").write_text("")
    return folder


@pytest.mark.parametrize(
    ("name", "orders", "size"),
    [
        ("standard_cl", ("1", "2", "3"), 4),
        ("long_15", ("4", "5", "6"), 15),
        ("superni_15", ("1", "2"), 15),
        ("trace_8", ("1",), 8),
    ],
)
def test_every_order_has_every_task(tmp_path: Path, name: str, orders: tuple[str, ...], size: int):
    stream = read_stream(name, data_of(name, tmp_path))
    assert tuple(stream.orders) == orders
    assert len(stream.skills) == size
    assert all(sorted(order) == sorted(stream.skills) for order in stream.orders.values())
    assert len(set(stream.orders.values())) == len(orders)
    assert all(skill.options["data"] == str(tmp_path) for skill in stream.skills.values())
    assert stream.composites == {}


@pytest.mark.parametrize(
    ("name", "order", "first", "last"),
    [
        ("standard_cl", "1", "dbpedia", "agnews"),
        ("standard_cl", "2", "dbpedia", "yahoo"),
        ("standard_cl", "3", "yahoo", "dbpedia"),
        ("long_15", "4", "mnli", "yahoo"),
        ("long_15", "5", "multirc", "yahoo"),
        ("long_15", "6", "yelp", "wic"),
        ("superni_15", "1", "task1572", "task875"),
        ("superni_15", "2", "task748", "task875"),
        ("trace_8", "1", "c-stance", "20minuten"),
    ],
)
def test_orders_begin_and_end_as_in_the_papers(tmp_path: Path, name: str, order: str, first: str, last: str):
    names = read_stream(name, data_of(name, tmp_path)).orders[order]
    assert (names[0], names[-1]) == (first, last)


def test_missing_tasks_are_named_and_left_out_only_when_asked(tmp_path: Path):
    data = data_of("long_15", tmp_path, without=("imdb", "yelp"))
    with pytest.raises(GrowlmError) as error:
        read_stream("long_15", data)
    assert str(error.value) == (
        f"stream 'long_15': no data in {tmp_path} for 2 of 15 skills, imdb, yelp (looked for {tmp_path}/imdb); put it "
        "there, or leave them out with --exclude imdb,yelp"
    )
    stream = read_stream("long_15", data, exclude=["imdb", "yelp"])
    assert all(len(order) == 13 for order in stream.orders.values())


@pytest.mark.parametrize("name", ["standard_cl", "long_15", "superni_15", "trace_8"])
def test_a_folder_is_asked_for(name: str, tmp_path: Path):
    assert name in recipe_names("streams")
    with pytest.raises(GrowlmError, match="reads its tasks from a folder and none is given: add --data DIR"):
        read_stream(name)
    with pytest.raises(GrowlmError, match="no data in"):
        read_stream(name, tmp_path / "nowhere")


def test_what_the_recipe_says_of_data_stays(tmp_path: Path):
    own = tmp_path / "own.yaml"
    own.write_text(
        json.dumps(
            {
                "skills": {"rte": {"skill": "cl_task", "options": {"task": "rte", "data": str(tmp_path / "there")}}},
                "orders": {"1": ["rte"]},
                "phase": {"steps": 1},
            }
        )
    )
    for split in ("train", "test"):
        (tmp_path / "there" / "rte").mkdir(parents=True, exist_ok=True)
        (tmp_path / "there" / "rte" / f"{split}.jsonl").write_text("")
    assert read_stream(str(own)).skills["rte"].options["data"] == str(tmp_path / "there")
