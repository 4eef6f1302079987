"""Scores of single answers, by hand; those that need a package are skipped by name only where it is missing."""

from pathlib import Path

import pytest

from growlm.errors import GrowlmError
from growlm.metrics import answers
from growlm.metrics.answers.answer_metric import answer_metric
from growlm.registry import answer_metrics
from growlm.skills import metric as _metric
from growlm.skills.metric import higher_is_better, require_metric


@pytest.mark.parametrize(
    ("metric", "answer", "wanted", "expected"),
    [
        ("exact_match", "True", "True", 1),
        ("exact_match", " True\n", "True", 1),
        ("exact_match", "true", "True", 0),
        ("label_match", "true", "True", 1),
        ("label_match", " Very Negative ", "very negative", 1),
        ("label_match", "negative", "very negative", 0),
        ("label_match", "true.", "true", 0),
        ("label_match", "", "", 0),
        ("letter_match", "B", "B\nA clause is a group of words.", 1),
        ("letter_match", "b because it is", "B\nA clause.", 1),
        ("letter_match", "B.", "B", 1),
        ("letter_match", "Because", "B", 0),
        ("letter_match", "A or B", "B", 0),
        # three of five words in order; four words wanted: precision 3/5, recall 3/4
        ("rouge_l", "the cat big dog sat", "The cat dog, sat!", 8 / 9),
        ("rouge_l", "sat dog the cat", "the cat dog sat", 1 / 2),
        ("rouge_l", "he was jumping", "they jumped", 2 / 5),  # one stem
        ("rouge_l", "", "the cat", 0),
        ("trace_rouge_l", " he was jumping", "they jumped ", 0),
        ("trace_rouge_l", "the cat the cat", "the cat sat", 4 / 5),
        ("edit_similarity", "abcd", "abcd", 1),
        ("edit_similarity", "abcd", "abxd", 1 - 2 / 8),  # one character out, one in
        ("edit_similarity", "ab", "cd", 0),
        ("edit_similarity", "f('<STR_LIT:name>', <NUM_LIT:3>)", "f('name', 3)", 1),
        ("edit_similarity", "<NUM_LIT><STR_LIT>", "0", 1),
    ],
)
def test_scores(metric: str, answer: str, wanted: str, expected: float):
    assert answer_metric(metric)(answer, wanted, "") == pytest.approx(expected)


def test_sari_splits_words_as_usual():
    sari = answer_metric("sari")
    assert sari("The cat sat.", "the cat sat .", "The CAT sat .") == 1
    assert sari("", "the cat", "the cat") == 0
    assert 0 < sari("The cat sat", "The cat sat down", "The old cat sat down quietly") < 1


@pytest.mark.parametrize(
    ("metric", "package"), [("rouge_l", "nltk"), ("sari", "sacrebleu"), ("edit_similarity", "rapidfuzz")]
)
def test_a_missing_package_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, metric: str, package: str):
    require_metric(metric)
    monkeypatch.setattr(_metric, "find_spec", lambda name: None)
    with pytest.raises(GrowlmError) as error:
        answer_metric(metric)
    assert str(error.value) == f"metric {metric!r} needs the package {package}: pip install 'growlm[metrics]'"
    require_metric("exact_match")


def test_a_metric_is_the_file_of_its_name():
    files = {path.stem for path in Path(answers.__path__[0]).glob("*.py")} - {"__init__", "answer_metric"}
    assert set(answer_metrics) == files
    assert all(answer_metrics.summary(name).endswith(".") for name in answer_metrics)
    with pytest.raises(GrowlmError, match=r"unknown metric 'exact_mach': did you mean 'exact_match'"):
        require_metric("exact_mach")


def test_to_which_side_a_metric_is_better():
    assert [higher_is_better(metric) for metric in ("sari", "contains", "loss", "bits_per_byte")] == [
        True, True, False, False,
    ]  # fmt: skip
