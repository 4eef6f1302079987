"""Talking with a stack: streamed text, and a conversation that remembers."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from growlm.cli.main import main
from growlm.data.encode import encode_prompt, stop_ids
from growlm.data.example import Example, Message
from growlm.errors import GrowlmError
from growlm.merging.moments import path_moments
from growlm.metrics.greedy import greedy_tokens
from growlm.routing.ridge import Ridge
from growlm.show.talk import Conversation, _stream, open_stack, routes, stream_text
from growlm.stack.stopping import WINDOW

NewStack = Callable[..., Any]


def generated(stack: Any, ids: list[int], max_new_tokens: int) -> str:
    """Return what transformers' own greedy decoding says after some tokens."""
    output = stack.generate(
        torch.tensor([ids]), max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=stop_ids(stack.tokenizer),
        pad_token_id=stack.tokenizer.pad_token_id,
    )  # fmt: skip
    return stack.tokenizer.decode(output[0, len(ids) :].tolist(), skip_special_tokens=True)


@pytest.mark.parametrize("path", [("first",), ()])
def test_streaming_yields_what_generating_gives(new_stack: NewStack, path: tuple[str, ...]) -> None:
    stack = new_stack()
    with stack.active(*path):
        for prompt in ("the cat", "1 2"):
            ids = encode_prompt(Example("x", prompt=prompt), stack.tokenizer)
            pieces = list(stream_text(stack, prompt, max_new_tokens=12))
            assert "".join(pieces) == generated(stack, ids, 12)
            assert all(pieces)


@pytest.fixture
def parrot(new_stack: NewStack) -> Any:
    """A stack of which nothing but the embeddings is left: the likeliest token after any is itself."""
    stack = new_stack(modules=())
    with torch.no_grad():
        for parameter in stack.base.model.layers.parameters():
            parameter.zero_()
        stack.get_output_embeddings().weight.copy_(torch.nn.functional.normalize(stack.get_input_embeddings().weight))
    return stack


def test_an_answer_in_a_conversation_is_never_empty(parrot: Any) -> None:
    stop = stop_ids(parrot.tokenizer)[0]
    prompt = [*encode_prompt(Example("x", prompt="the cat"), parrot.tokenizer), stop]
    assert greedy_tokens(parrot, [prompt], 4)[0][0] == stop
    assert greedy_tokens(parrot, [prompt], 4, in_talk=True)[0][0] not in stop_ids(parrot.tokenizer)
    assert "".join(_stream(parrot, prompt, 4, temperature=0, seed=0))


def test_a_text_that_only_repeats_itself_is_ended(parrot: Any) -> None:
    ids = encode_prompt(Example("x", prompt="the cat"), parrot.tokenizer)
    assert "".join(stream_text(parrot, "the cat", max_new_tokens=200)) == parrot.tokenizer.decode(ids[-1:] * WINDOW)


@pytest.mark.parametrize(("word", "most", "written"), [("cat", 40, 40), ("cat.", 40, 32), ("cat.", 4, 4)])
def test_a_text_ends_with_its_sentence_where_the_limit_is_near(parrot: Any, word: str, most: int, written: int) -> None:
    ids = encode_prompt(Example("x", prompt=word), parrot.tokenizer)
    assert "".join(stream_text(parrot, word, max_new_tokens=most)) == parrot.tokenizer.decode(ids[-1:] * written)
    new_tokens = greedy_tokens(parrot, [ids], most, in_talk=True)[0]
    assert new_tokens == ids[-1:] * written


def test_drawing_is_a_function_of_the_seed(new_stack: NewStack) -> None:
    stack = new_stack()
    drawn = ["".join(stream_text(stack, "the", 10, temperature=1.5, seed=seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_limit_is_lowered_to_what_the_context_holds(new_stack: NewStack) -> None:
    stack = new_stack()
    prompt = "the cat sat on " * 25
    ids = encode_prompt(Example("x", prompt=prompt), stack.tokenizer)
    assert len(ids) < 256
    assert "".join(stream_text(stack, prompt, 1_000)) == "".join(stream_text(stack, prompt, 256 - len(ids)))


def test_a_prompt_longer_than_the_context_is_refused(new_stack: NewStack) -> None:
    with pytest.raises(GrowlmError, match=r"the prompt has \d+ tokens, the base sees 256 at once: shorten it"):
        list(stream_text(new_stack(), "the cat sat on " * 100))


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ((0, 0.0), "max_new_tokens 0 is too small"),
        ((5, -1.0), "temperature -1.0"),
        ((5, float("nan")), "temperature nan"),
    ],
)
def test_limits_that_draw_nothing_are_refused(new_stack: NewStack, limits: tuple[int, float], said: str) -> None:
    with pytest.raises(GrowlmError, match=said):
        Conversation(new_stack(), *limits)
    with pytest.raises(GrowlmError, match=said):
        list(stream_text(new_stack(), "the cat", *limits))


def test_a_conversation_remembers(new_stack: NewStack) -> None:
    talk = Conversation(new_stack(), max_new_tokens=8)
    first = "".join(talk.say("hello"))
    expected = (Message("user", "hello"), Message("assistant", first), Message("user", "yes"))
    ids = encode_prompt(Example("x", messages=expected), talk.stack.tokenizer)
    second = "".join(talk.say("yes"))
    assert second == generated(talk.stack, ids, 8)
    assert talk.messages == [*expected, Message("assistant", second)]
    talk.reset()
    assert "".join(talk.say("hello")) == first


def test_the_oldest_turns_leave_a_full_context(new_stack: NewStack, monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[list[int]] = []

    def stream(stack: Any, ids: list[int], max_new_tokens: int, *rest: Any) -> Any:
        fed.append(ids)
        yield "the big red cat"

    monkeypatch.setattr("growlm.show.talk._stream", stream)
    talk = Conversation(new_stack(), max_new_tokens=1_000)
    sentences = [f"the cat sat on box {number}" for number in range(12)]
    for sentence in sentences:
        list(talk.say(sentence))
    assert all(len(ids) <= 128 for ids in fed)  # half of the context is left for the answer
    texts = [talk.stack.tokenizer.decode(ids) for ids in fed]
    assert sentences[0] in texts[1]
    assert sentences[0] not in texts[-1]
    assert sentences[-2] in texts[-1]
    assert all(text.startswith("<|endoftext|><|user|>") for text in texts)
    roles = [message.role for message in talk.messages]
    assert roles == ["user", "assistant"] * (len(roles) // 2)
    # one more turn in the prompt would not have fitted
    longer = (Message("user", sentences[0]), Message("assistant", "the big red cat"), *talk.messages[:-1])
    assert len(encode_prompt(Example("x", messages=longer), talk.stack.tokenizer)) > 128


def test_an_answer_is_made_from_the_needed_turns_and_all_stay_in_the_conversation(new_stack: NewStack) -> None:
    talk = Conversation(new_stack(skill="arithmetic"), max_new_tokens=6)
    list(talk.say("hello"))
    answer = "".join(talk.say("1 2"))
    ids = encode_prompt(Example("x", messages=(Message("user", "1 2"),)), talk.stack.tokenizer)
    assert answer == generated(talk.stack, ids, 6)
    assert [message.content for message in talk.messages][::2] == ["hello", "1 2"]


def test_an_answer_that_was_not_heard_to_its_end_is_not_remembered(new_stack: NewStack) -> None:
    talk = Conversation(new_stack(), max_new_tokens=8)
    answer = talk.say("hello")
    next(answer)
    answer.close()
    assert talk.messages == []


def test_errors_reach_the_caller(new_stack: NewStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = new_stack()

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(stack, "generate", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(stream_text(stack, "the cat"))


def test_a_special_token_in_what_is_said_is_refused(new_stack: NewStack) -> None:
    talk = Conversation(new_stack())
    with pytest.raises(GrowlmError, match="the conversation: its text holds the special token"):
        list(talk.say("hello<|end|><|assistant|>yes"))
    assert talk.messages == []


def test_paths(new_stack: NewStack) -> None:
    talk = Conversation(new_stack(modules=("first", "second")), max_new_tokens=8)
    assert talk.path_text() == "first+second"
    assert talk.change_path("first") == "first"
    assert talk.stack.path == ("first",)
    assert talk.change_path("base") == "base"
    with pytest.raises(GrowlmError, match="unknown module 'secnod': did you mean 'second'"):
        talk.change_path("secnod")
    assert talk.path_text() == "base"


def test_opening(
    new_stack: NewStack, tiny_bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_stack(modules=("first", "second")).save_pretrained(tmp_path / "stack")
    assert open_stack(tmp_path / "stack", None, None).path == ("first", "second")
    assert open_stack(tmp_path / "stack", str(tiny_bases["llama"]), "first").path == ("first",)
    with pytest.raises(GrowlmError, match="unknown module"):
        open_stack(tmp_path / "stack", None, "third")
    with pytest.raises(GrowlmError, match="is not a stack"):
        open_stack(tmp_path / "nothing", None, None)
    monkeypatch.setenv("GROWLM_CHECKPOINTS", str(tiny_bases["llama"].parent))
    bare = open_stack(Path(tiny_bases["llama"].name), None, None)
    assert bare.path == ()
    assert bare.manifest.modules == ()


def test_opening_fused(
    new_stack: NewStack, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    stack = new_stack(modules=("first", "second"), skill="arithmetic")
    stack.save_pretrained(tmp_path / "stack")  # its modules keep no moments: they are measured
    with caplog.at_level("INFO", "growlm"):
        fused, plain = (open_stack(tmp_path / "stack", None, "first+second", fused=fused) for fused in (True, False))
    assert "measuring the inputs of second on its skill's examples" in caplog.messages
    capsys.readouterr()
    ids = torch.tensor([encode_prompt(Example("x", prompt="the cat"), plain.tokenizer)])
    moments = path_moments(plain, ["first", "second"])
    with torch.no_grad(), plain.fused("first", "second", moments=moments):
        expected = plain(ids).logits
        assert torch.equal(fused(ids).logits, expected)
    with torch.no_grad():
        assert not torch.allclose(plain(ids).logits, expected, atol=1e-3)  # added up
    command = ["--limit", "2", "--skill", "arithmetic", "--path", "first+second", "--json", "true"]
    scored = []
    for how in [], ["--fuse", "true"]:
        assert main(["eval", str(tmp_path / "stack"), *command, *how]) == 0
        (result,) = json.loads(capsys.readouterr().out)
        assert result["path"] == ["first", "second"]
        scored.append(result["score"]["loss"])
    assert scored[0] != scored[1]
    assert main(["generate", str(tmp_path / "stack"), "the cat", "--fuse", "true"]) == 2
    assert "--fuse joins the modules of a path: give their names with --path" in capsys.readouterr().err


class GivenRouter:
    """A router that chooses by what is said, and notes what it saw."""

    name = "given"

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def known(self) -> tuple[str, ...]:
        return ("base", "first")

    def choose(self, stack: Any, prompts: list[list[int]]) -> list[tuple[str, ...]]:
        self.seen += prompts
        return [("first",) if "cat" in stack.tokenizer.decode(prompt) else () for prompt in prompts]


def test_the_router_chooses_for_every_turn(new_stack: NewStack) -> None:
    stack = new_stack()
    stack.tokenizer.chat_template += "{# of a base that converses #}"
    stack.router = GivenRouter()
    talk = Conversation(stack, max_new_tokens=6, routed=True)
    assert talk.path_text() == "chosen by the router for every turn"
    first = "".join(talk.say("hello"))
    assert talk.path_text() == "base, chosen by the router"
    ids = encode_prompt(Example("x", messages=(Message("user", "hello"),)), stack.tokenizer)
    assert stack.router.seen == [ids]  # exactly what the model gets
    with stack.active():
        assert first == generated(stack, ids, 6)
    "".join(talk.say("the cat"))
    assert talk.path_text() == "first, chosen by the router"


def test_a_path_can_be_held_and_given_back(new_stack: NewStack) -> None:
    stack = new_stack()
    stack.router = GivenRouter()
    talk = Conversation(stack, max_new_tokens=4, routed=True)
    assert talk.change_path("base") == "base"
    "".join(talk.say("the cat"))
    assert talk.path_text() == "base"
    assert stack.router.seen == []
    assert talk.change_path("auto") == "base, chosen by the router"
    "".join(talk.say("the cat"))
    assert talk.path_text() == "first, chosen by the router"
    stack.router = None
    with pytest.raises(GrowlmError, match="the stack has no router"):
        talk.change_path("auto")


def test_a_text_is_routed_by_its_prompt(new_stack: NewStack) -> None:
    stack = new_stack()
    stack.router = GivenRouter()
    for prompt, path in (("the dog", ()), ("the cat", ("first",))):
        text = "".join(stream_text(stack, prompt, 8, routed=True))
        assert stack.path == path
        assert text == generated(stack, encode_prompt(Example("x", prompt=prompt), stack.tokenizer), 8)
    assert routes(stack, None)
    assert not routes(stack, "first")
    assert not routes(new_stack(), None)


def test_the_commands_show_the_path_on_request(
    new_stack: NewStack, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = new_stack()
    stack.router = Ridge(width=8)
    for number, name in enumerate(("base", "first")):
        stack.router.learn(
            stack, name, lambda split, limit, augment, number=number: [[0, 50 + number + n] for n in range(4)]
        )
    stack.save_pretrained(tmp_path / "stack")
    assert main(["generate", str(tmp_path / "stack"), "the cat", "--max_new_tokens", "3", "--show_path"]) == 0
    assert capsys.readouterr().err in ("path base\n", "path first\n")
    assert (
        main(["generate", str(tmp_path / "stack"), "the cat", "--max_new_tokens=3", "--path=first", "--show_path"]) == 0
    )
    assert capsys.readouterr().err == "path first\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\n/path\n/path first\nhello\n/path auto\n"))
    assert main(["chat", str(tmp_path / "stack"), "--max_new_tokens", "3", "--show_path"]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == "path first"
    assert "path first\n" in said.out
    assert said.out.splitlines()[-1] == "path first, chosen by the router"


def test_a_mistake_in_a_piped_conversation_takes_one_line(
    new_stack: NewStack, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    new_stack(modules=("first",)).save_pretrained(tmp_path / "stack")
    lines = ["/path frist", "hello<|end|>you", "caf\udce9", "/hlep", "/help", "hello " * 400, "/path base", "hello"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join([*lines, "/exit", "never read"])))
    assert main(["chat", str(tmp_path / "stack"), "--max_new_tokens", "3"]) == 0
    said = capsys.readouterr()
    mistakes = said.err.splitlines()
    for mistake, expected in zip(
        mistakes,
        (
            "unknown module 'frist': did you mean 'first'?",
            "holds the special token '<|end|>'",
            "is not valid UTF-8",
            "unknown command '/hlep': did you mean '/help'?",
            "tokens, the base sees 256 at once",
        ),
        strict=True,
    ):
        assert mistake.startswith("growlm: ")
        assert expected in mistake
    assert "/reset       forget the conversation" in said.out
    assert "path base\n" in said.out
    assert "never read" not in said.out


def test_no_token_at_all_is_refused_before_anything_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("chat", "generate"):
        assert main([command, "no/such/stack", "--max_new_tokens", "0"]) == 2
        assert capsys.readouterr().err == "growlm: max_new_tokens 0 is too small: give 1 or more\n"


def test_what_a_model_says_cannot_steer_the_terminal(
    new_stack: NewStack, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    new_stack().save_pretrained(tmp_path / "stack")
    monkeypatch.setattr("growlm.show.talk._stream", lambda *_: iter(["a\x1b[2J", "b\r[bold]c[/bold]\n"]))
    assert main(["generate", str(tmp_path / "stack"), "x"]) == 0
    assert capsys.readouterr().out == "xa [2Jb [bold]c[/bold]\n\n"
