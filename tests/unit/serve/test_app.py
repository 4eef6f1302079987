"""Chat completions over HTTP."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

pytest.importorskip("fastapi")
from fastapi.testclient import TestClient

from growlm.data.encode import encode_prompt, stop_ids
from growlm.data.example import Example, Message
from growlm.serve.app import MAX_BODY, create_app, text_pieces
from growlm.serve.engine import Engine, Sampling, sharpened

NewStack = Callable[..., Any]
HELLO = [{"role": "user", "content": "hello Tom"}]


@pytest.fixture
def engine(new_stack: NewStack) -> Iterator[Engine]:
    engine = Engine(new_stack(modules=("first", "second")), max_batch=4, seconds=60)
    yield engine
    engine.close()


@pytest.fixture
def client(engine: Engine) -> TestClient:
    return TestClient(create_app(engine, max_new_tokens=12))


def ask(client: TestClient, **changes: Any) -> dict[str, Any]:
    response = client.post("/v1/chat/completions", json={"messages": HELLO, "max_tokens": 8, **changes})
    return response.json()


def expected_text(stack: Any, path: tuple[str, ...], content: str = "hello Tom", most: int = 8) -> str:
    """What stock greedy generation says for the same prompt on the same path."""
    ids = encode_prompt(Example("it", messages=(Message("user", content),)), stack.tokenizer)
    with stack.active(*path):
        output = stack.generate(
            torch.tensor([ids]),
            max_new_tokens=most,
            min_new_tokens=1,
            do_sample=False,
            eos_token_id=stop_ids(stack.tokenizer),
            pad_token_id=0,
        )
    return stack.tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True)


def test_models_are_the_paths(client: TestClient) -> None:
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["auto", "base", "first", "second"]


@pytest.mark.parametrize(("model", "path"), [("base", ()), ("first", ("first",)), ("auto", ("first", "second"))])
def test_an_answer_is_the_path_s_own(client: TestClient, engine: Engine, model: str, path: tuple[str, ...]) -> None:
    answer = ask(client, model=model)
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": expected_text(engine.stack, path)}
    assert answer["model"] == ("+".join(path) or "base")
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert 1 <= usage["completion_tokens"] <= 8


def test_requests_at_once_get_what_they_get_alone(client: TestClient, engine: Engine) -> None:
    contents = ["hello", "the cat sat on the big red box", "yes", "Lily said no 1 2 3", "park", "Tom ran"]
    models = ["base", "first", "second", "first", "base", "second"]
    bodies = [
        {"model": model, "messages": [{"role": "user", "content": content}]}
        for model, content in zip(models, contents, strict=True)
    ]
    alone = [ask(client, **body)["choices"][0]["message"]["content"] for body in bodies]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda body: ask(client, **body)["choices"][0]["message"]["content"], bodies))
    assert together == alone


def test_a_stream_adds_up_to_the_whole(client: TestClient) -> None:
    whole = ask(client)["choices"][0]["message"]["content"]
    response = client.post("/v1/chat/completions", json={"messages": HELLO, "max_tokens": 8, "stream": True})
    lines = [line for line in response.text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == whole
    assert chunks[-1]["choices"][0]["finish_reason"] in ("stop", "length")


def test_drawn_answers_repeat_with_a_seed(client: TestClient) -> None:
    texts = [ask(client, temperature=1.5, seed=seed)["choices"][0]["message"]["content"] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_the_server_s_limit_wins(client: TestClient) -> None:
    assert ask(client, max_tokens=1000)["usage"]["completion_tokens"] <= 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "frist"}, "first"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, "user's turn"),
        ({"messages": [{"role": "user", "content": "a<|end|>b"}]}, "special token"),
        ({"messages": [{"role": "user", "content": "the cat " * 200}]}, "tokens, the context 256"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, "content"),
        ({"temperature": -1}, "temperature"),
        ({"n": 2}, "n"),
    ],
)
def test_bad_requests_are_refused_in_one_line(client: TestClient, changes: dict[str, Any], message: str) -> None:
    answer = ask(client, **changes)
    assert message in answer["error"]["message"]
    assert "\n" not in answer["error"]["message"]


def test_the_router_reads_no_conversation_that_does_not_fit(
    client: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []
    monkeypatch.setattr(engine.stack, "router", object())
    monkeypatch.setattr(engine.stack, "choose_paths", lambda prompts: read.append(prompts) or [("first",)])
    long = [{"role": "user", "content": "the cat " * 200}, {"role": "assistant", "content": "hi"}, *HELLO]
    assert "send fewer or shorter turns" in ask(client, messages=long)["error"]["message"]
    assert read == []
    assert ask(client)["choices"]
    assert len(read) == 1


def test_a_huge_request_is_refused_unread(client: TestClient) -> None:
    response = client.post("/v1/chat/completions", content=b"x" * (MAX_BODY + 1))
    assert response.status_code == 413


def test_a_full_queue_is_busy(new_stack: NewStack) -> None:
    engine = Engine(new_stack(), max_waiting=1)

    def submit() -> Any:
        return engine.submit([Message("user", "hello")], "base", Sampling(2))

    with engine._stack_in_use:  # the thread takes one job and waits for this lock
        jobs = [submit()]
        while not engine._waiting.empty():
            time.sleep(0.01)
        jobs.append(submit())
        client = TestClient(create_app(engine))
        assert ask(client, model="base")["error"]["message"].startswith("too many requests wait")
    assert all(len(list(job.tokens())) <= 2 for job in jobs)
    engine.close()


@pytest.mark.parametrize(("seconds", "num_tokens"), [(0.0, 1), (600.0, 6)])
def test_an_answer_ends_at_its_deadline(new_stack: NewStack, seconds: float, num_tokens: int) -> None:
    engine = Engine(new_stack(), seconds=seconds)
    job = engine.submit([Message("user", "hello")], "base", Sampling(6))
    assert len(list(job.tokens())) == num_tokens
    assert job.finish_reason == "length"
    engine.close()


def test_an_error_of_the_stack_reaches_the_client_and_the_next_request_is_answered(
    engine: Engine, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(engine.stack, "generate", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ask(client)
    assert ask(client)["choices"]


def test_the_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http" not in page.text.replace("http-equiv", "")


def test_stop_texts_end_an_answer(engine: Engine) -> None:
    tokenizer = engine.stack.tokenizer
    ids = tokenizer("the cat sat on a red box", add_special_tokens=False)["input_ids"]
    assert "".join(text_pieces(tokenizer, ids, ["on a"])) == "the cat sat "
    assert "".join(text_pieces(tokenizer, ids)) == "the cat sat on a red box"
    assert "".join(text_pieces(tokenizer, ids, ["nowhere"])) == "the cat sat on a red box"


def test_characters_of_several_tokens_come_whole(engine: Engine) -> None:
    tokenizer = engine.stack.tokenizer
    ids = tokenizer("naïve €", add_special_tokens=False)["input_ids"]
    pieces = list(text_pieces(tokenizer, ids))
    assert "".join(pieces) == "naïve €"
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_top_p_keeps_the_likeliest() -> None:
    scores = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    kept = sharpened(scores, Sampling(temperature=1.0, top_p=0.7)).isfinite()
    assert kept.tolist() == [True, True, False, False]
    assert sharpened(scores, Sampling(temperature=0.0)).isfinite().tolist() == [True, False, False, False]


def test_the_openai_client_talks_to_it(client: TestClient) -> None:
    openai = pytest.importorskip("openai")
    api = openai.OpenAI(api_key="none", base_url="http://testserver/v1", http_client=client)
    answer = api.chat.completions.create(model="auto", messages=HELLO, max_tokens=4)
    assert answer.choices[0].message.content is not None
    pieces = api.chat.completions.create(model="first", messages=HELLO, max_tokens=4, stream=True)
    assert all(piece.model == "first" for piece in pieces)
