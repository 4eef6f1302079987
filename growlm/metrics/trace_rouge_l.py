"""ROUGE-L as TRACE's own scorer computes it, which is not the usual ROUGE-L.

TRACE (Wang et al. 2023, arXiv 2310.06762) scores MeetingBank with the summary level of the package ``rouge`` 1.0.1:
texts are split into sentences at full stops and into words at white space, without stems or lower case. The words of
the longest common subsequences of all pairs of sentences are united as a set, and so are the words of each text:

    F = 2 P R / (P + R + 1e-8),    P = |union| / |set of words of the answer|,    R = |union| / |set of the reference|

So a word counts once however often it is there, and the order of words counts within sentences only. On a long text
with many repeated words it is far below the usual ROUGE-L. Proved by tests/golden/test_trace_rouge_l.py.
"""

from collections.abc import Sequence


def trace_rouge_l(answer: str, reference: str) -> float:
    """Compute TRACE's ROUGE-L of one answer.

    Args:
        answer: the model's answer.
        reference: the right one.

    Returns:
        F, from 0 to 1; 0 if a text has no word.
    """
    answer_sentences, reference_sentences = _sentences(answer), _sentences(reference)
    num_answer, num_reference = _num_words(answer_sentences), _num_words(reference_sentences)
    if not num_answer or not num_reference:
        return 0.0
    # TRACE gives the answer as the reference and the reference as the hypothesis: of several longest subsequences
    # that decides which is taken, and nothing else, for F is symmetric
    union = {
        word
        for own in answer_sentences
        for other in reference_sentences
        for word in _longest_common_subsequence(own, other)
    }
    precision, recall = len(union) / num_answer, len(union) / num_reference
    return 2 * precision * recall / (precision + recall + 1e-8)


def _sentences(text: str) -> list[list[str]]:
    # a sentence of white space alone is one empty word to that package
    return [sentence.split() or [""] for sentence in text.split(".") if sentence]


def _num_words(sentences: Sequence[Sequence[str]]) -> int:
    return len({word for sentence in sentences for word in sentence})


def _longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Find a longest common subsequence, its words from the last to the first; of equal ones, the package's."""
    lengths = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, word in enumerate(first, 1):
        for j, other in enumerate(second, 1):
            longest = max(lengths[i - 1][j], lengths[i][j - 1])
            lengths[i][j] = lengths[i - 1][j - 1] + 1 if word == other else longest
    found: list[str] = []
    i, j = len(first), len(second)
    while i and j:
        if first[i - 1] == second[j - 1]:
            found.append(first[i - 1])
            i, j = i - 1, j - 1
        elif lengths[i - 1][j] > lengths[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found
