"""The HTTP interface: chat completions as OpenAI's clients expect them, and a page to try them.

https://platform.openai.com/docs/api-reference/chat. Each path of the stack is a model; ``auto`` lets the router choose.
The ``model`` of an answer names the path that answered.
"""

import json
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from importlib.resources import files
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from growlm.data.example import Message
from growlm.errors import GrowlmError
from growlm.manifest.path import format_path
from growlm.serve.engine import AUTO, BusyError, Engine, Job, Sampling

MAX_BODY = 1 << 20
"""Largest request in bytes."""
_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class TextPart(BaseModel):
    """A part of a message's content; only text is known."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One turn."""

    model_config = ConfigDict(extra="ignore")
    role: Literal["system", "user", "assistant"]
    content: str | list[TextPart]

    def text(self) -> str:
        """Return the content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatRequest(BaseModel):
    """What a client asks for; fields of the interface that a stack has no use for are ignored."""

    model_config = ConfigDict(extra="ignore")
    model: str = AUTO
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1_000)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=10)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool = False
    n: Literal[1] = 1

    def stops(self) -> list[str]:
        """Return the texts that end the answer."""
        found = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [stop for stop in found if stop]


def create_app(engine: Engine, max_new_tokens: int = 200) -> FastAPI:
    """Build the application.

    Args:
        engine: what answers.
        max_new_tokens: greatest number of tokens of an answer, whatever a request asks for.

    Returns:
        The application.
    """
    app = FastAPI(title="growlm", docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def limit_size(request: Request, call_next: Any) -> Any:
        if int(request.headers.get("content-length") or 0) > MAX_BODY or "chunked" in request.headers.get(
            "transfer-encoding", ""
        ):
            return _error(413, f"a request may have {MAX_BODY} bytes and must state its length")
        return await call_next(request)

    @app.exception_handler(GrowlmError)
    async def refuse(request: Request, error: GrowlmError) -> JSONResponse:
        return _error(400, str(error))

    @app.exception_handler(RequestValidationError)
    async def explain(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return _error(400, f"{'.'.join(map(str, first['loc'][1:])) or 'body'}: {first['msg']}")

    @app.exception_handler(BusyError)
    async def put_off(request: Request, error: BusyError) -> JSONResponse:
        return _error(503, str(error))

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "growlm"} for name in engine.models()]
        return {"object": "list", "data": listed}

    @app.get("/")
    def page() -> HTMLResponse:
        text = files("growlm.serve").joinpath("page.html").read_text(encoding="utf-8")
        policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
        return HTMLResponse(text, headers={"content-security-policy": policy})

    @app.post("/v1/chat/completions")
    async def chat(request: ChatRequest) -> Any:
        asked = request.max_completion_tokens or request.max_tokens or max_new_tokens
        sampling = Sampling(min(asked, max_new_tokens), request.temperature, request.top_p, request.seed)
        turns = [Message(turn.role, turn.text()) for turn in request.messages]
        if turns[-1].role != "user":
            raise GrowlmError(f"the last message has role {turns[-1].role!r}: end with a user's turn")
        job = await run_in_threadpool(engine.submit, turns, request.model, sampling)
        answer = _Answer(engine, job, request.stops())
        if request.stream:
            return StreamingResponse(answer.events(), media_type="text/event-stream")
        return await run_in_threadpool(answer.whole)

    return app


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "invalid_request_error"}}, status)


class _Answer:
    """An answer in the two forms of the interface: as a whole, and as a stream of events."""

    def __init__(self, engine: Engine, job: Job, stops: list[str]) -> None:
        self._engine = engine
        self._job = job
        self._stops = stops
        self._head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": format_path(job.path),
        }

    def whole(self) -> dict[str, Any]:
        """Wait for the whole answer."""
        text = "".join(self._pieces())
        message = {"role": "assistant", "content": text}
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": self._finish_reason()}],
            "usage": self._usage(),
        }

    async def events(self) -> AsyncIterator[str]:
        """Yield server-sent events, one for each piece of text; a reader that goes ends the generation."""
        try:
            yield self._event({"role": "assistant", "content": ""})
            async for piece in iterate_in_threadpool(self._pieces()):
                yield self._event({"content": piece})
            yield self._event({}, self._finish_reason())
            yield "data: [DONE]\n\n"
        finally:
            self._job.cancelled = True

    def _pieces(self) -> Iterator[str]:
        yield from text_pieces(self._engine.stack.tokenizer, self._job.tokens(), self._stops)
        self._job.cancelled = True  # a stop text ends the row, too

    def _finish_reason(self) -> str:
        ended = self._job.finish_reason == "stop" or self._job.num_tokens < self._job.sampling.max_new_tokens
        return "stop" if ended else "length"

    def _usage(self) -> dict[str, int]:
        prompt, completion = len(self._job.ids), self._job.num_tokens
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def _event(self, delta: dict[str, str], finish_reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return f"data: {json.dumps({**self._head, 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"


def text_pieces(tokenizer: Any, tokens: Iterable[int], stops: Sequence[str] = ()) -> Iterator[str]:
    """Decode tokens as they come; a character is yielded once all of its bytes are there.

    Args:
        tokenizer: the tokenizer.
        tokens: token ids.
        stops: texts that end the answer; neither they nor anything after them is yielded.

    Yields:
        Pieces that add up to the decoded text.
    """
    seen: list[int] = []
    sent = 0
    longest = max(map(len, stops), default=0)
    for token in tokens:
        seen.append(token)
        text = tokenizer.decode(seen, skip_special_tokens=True)
        if text.endswith(_UNFINISHED):
            continue
        found = [position for stop in stops if (position := text.find(stop)) >= 0]
        if found:
            yield text[sent : min(found)]
            return
        ready = len(text) - max(0, longest - 1)  # what could be the beginning of a stop text waits
        if ready > sent:
            yield text[sent:ready]
            sent = ready
    rest = tokenizer.decode(seen, skip_special_tokens=True)[sent:]
    if rest:
        yield rest
