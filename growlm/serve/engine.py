"""Answer requests in batches, each row on a path of its own.

One thread runs the stack. It takes the requests that wait, up to a limit, into one batch and generates for all of them
at once; every new token goes to its request as soon as it is there.

Shapes: B rows, T tokens so far, V vocabulary.
"""

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from growlm.data.encode import encode_prompt, stop_ids
from growlm.data.example import Example, Message
from growlm.errors import GrowlmError
from growlm.manifest.path import Path, parse_path
from growlm.routing.turns import needed_turns, routed_turns
from growlm.stack.cache import roomy_cache
from growlm.stack.stack import ModuleStack
from growlm.stack.stopping import answer_endings

AUTO = "auto"


@dataclass(frozen=True)
class Sampling:
    """How the tokens of an answer are chosen.

    Args:
        max_new_tokens: greatest number of tokens.
        temperature: 0 takes the likeliest token always; above, tokens are drawn.
        top_p: draw from the likeliest tokens that together have this probability.
        seed: seed of the drawing; a request with one is answered alone, so that it repeats.
    """

    max_new_tokens: int = 200
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


@dataclass
class Job:
    """A request on its way.

    Args:
        ids: tokens of the prompt.
        path: the path that answers.
        sampling: how tokens are chosen.
        deadline: ``time.monotonic()`` after which the answer is ended.
    """

    ids: list[int]
    path: Path
    sampling: Sampling
    deadline: float
    cancelled: bool = False
    finish_reason: str = "length"
    num_tokens: int = 0
    _tokens: "queue.SimpleQueue[int | BaseException | None]" = field(default_factory=queue.SimpleQueue)

    def tokens(self) -> Iterator[int]:
        """Yield the tokens of the answer as they are generated, without the stop token.

        Raises:
            BaseException: what went wrong in the thread that generates.
        """
        while (token := self._tokens.get()) is not None:
            if isinstance(token, BaseException):
                raise token
            yield token

    def put(self, token: "int | BaseException | None") -> None:
        """Hand a token to the reader; None ends the answer."""
        self._tokens.put(token)


class BusyError(Exception):
    """More requests wait than the engine takes."""


class Engine:
    """Runs a stack for many requests.

    Args:
        stack: the stack, in evaluation mode; nothing else may run it from now on.
        max_batch: greatest number of rows of a batch.
        max_waiting: greatest number of requests that wait.
        seconds: greatest time that an answer may take, waiting included.
    """

    def __init__(self, stack: ModuleStack, max_batch: int = 8, max_waiting: int = 64, seconds: float = 120.0) -> None:
        self.stack = stack
        self._max_batch = max_batch
        self._seconds = seconds
        self._waiting: queue.Queue[Job | None] = queue.Queue(max_waiting)
        self._stack_in_use = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="growlm-serve", daemon=True)
        self._thread.start()

    def models(self) -> list[str]:
        """List what a request may name: ``auto``, the bare base, and each module by its name."""
        return [AUTO, "base", *self.stack.manifest.current()]

    def submit(self, messages: Sequence[Message], model: str, sampling: Sampling) -> Job:
        """Put a conversation in the queue.

        Args:
            messages: the conversation; it ends with a user's turn.
            model: ``auto``, or a path as ``parse_path`` reads it.
            sampling: how tokens are chosen.

        Returns:
            The job, whose ``tokens()`` yields the answer.

        Raises:
            GrowlmError: if there is no such path, or the conversation does not fit the context.
            BusyError: if too many requests wait.
        """
        length, context = len(self._encode(messages)), self.stack.context_length
        if length >= context:  # refused before the router reads it
            raise GrowlmError(
                f"the conversation has {length} tokens, the context {context}: send fewer or shorter turns"
            )
        path, turns = self._route(model, messages)
        ids = self._encode(turns)
        most = min(sampling.max_new_tokens, context - len(ids))
        job = Job(
            ids,
            path,
            Sampling(most, sampling.temperature, sampling.top_p, sampling.seed),
            time.monotonic() + self._seconds,
        )
        try:
            self._waiting.put_nowait(job)
        except queue.Full:
            raise BusyError("too many requests wait: try again later") from None
        return job

    def close(self) -> None:
        """End the thread after the batch that it is at."""
        self._waiting.put(None)
        self._thread.join()

    def _encode(self, messages: Sequence[Message]) -> list[int]:
        return encode_prompt(Example("the request", messages=tuple(messages)), self.stack.tokenizer)

    def _route(self, model: str, messages: Sequence[Message]) -> tuple[Path, tuple[Message, ...]]:
        """Return the path that answers, and the turns that it is shown."""
        if model == AUTO and self.stack.router is not None:
            with self._stack_in_use:
                return routed_turns(self.stack, messages)
        newest = self.stack.manifest.modules[-1:]
        path = parse_path(model, self.stack.parents()) if model != AUTO else newest[0].path if newest else ()
        return path, needed_turns(self.stack, path, messages)

    def _run(self) -> None:
        left_over: Job | None = None
        while True:
            first = left_over or self._waiting.get()
            if first is None:
                return
            jobs, left_over, ended = self._gather(first)
            try:
                with self._stack_in_use:
                    _generate(self.stack, jobs)
            except BaseException as error:  # the readers raise it; the thread goes on with the next batch
                for job in jobs:
                    job.put(error)
            for job in jobs:
                job.put(None)
            if ended:
                return

    def _gather(self, first: Job) -> tuple[list[Job], Job | None, bool]:
        """Collect a batch: the jobs that wait, none with a seed beside others.

        Returns:
            The batch, a job that was taken and has to be alone, and whether the engine is to end.
        """
        jobs = [first]
        while first.sampling.seed is None and len(jobs) < self._max_batch:
            try:
                job = self._waiting.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return jobs, None, True
            if job.sampling.seed is not None:
                return jobs, job, False
            jobs.append(job)
        return jobs, None, False


def _generate(stack: ModuleStack, jobs: list[Job]) -> None:
    length, padding = max(len(job.ids) for job in jobs), stack.pad_id
    rows = [[padding] * (length - len(job.ids)) + job.ids for job in jobs]
    mask = [[0] * (length - len(job.ids)) + [1] * len(job.ids) for job in jobs]
    most = max(job.sampling.max_new_tokens for job in jobs)
    ends = stop_ids(stack.tokenizer)
    endings = answer_endings(stack.tokenizer, length, most)
    endings.append(_RowEndings(jobs, length))
    if jobs[0].sampling.seed is not None:
        torch.manual_seed(jobs[0].sampling.seed)
    with torch.inference_mode(), stack.active_rows([job.path for job in jobs]):
        stack.generate(
            torch.tensor(rows, device=stack.device),
            attention_mask=torch.tensor(mask, device=stack.device),
            past_key_values=roomy_cache(stack.config.get_text_config()),
            max_new_tokens=most,
            do_sample=True,
            top_k=0,
            eos_token_id=ends,
            pad_token_id=padding,
            logits_processor=LogitsProcessorList([_RowSampling(jobs, length, ends)]),
            stopping_criteria=endings,
            streamer=_RowStreamer(jobs, set(ends)),
        )


class _RowSampling(LogitsProcessor):
    """Apply each row's own temperature and top-p; no answer is empty."""

    def __init__(self, jobs: Sequence[Job], num_prompt: int, ends: Sequence[int]) -> None:
        self._sampling = [job.sampling for job in jobs]
        self._num_prompt = num_prompt
        self._ends = list(ends)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if input_ids.shape[1] == self._num_prompt:  # here rather than by min_new_tokens, which would come afterwards
            scores[:, self._ends] = -torch.inf
        rows = [sharpened(row_V, sampling) for row_V, sampling in zip(scores, self._sampling, strict=True)]
        return torch.stack(rows)


def sharpened(scores_V: Tensor, sampling: Sampling) -> Tensor:
    """Apply temperature and top-p (Holtzman et al. 2020, arXiv 1904.09751) to the scores of one row.

    Args:
        scores_V: logits, [V].
        sampling: temperature and top-p; at temperature 0 the likeliest token alone is left.

    Returns:
        Logits to draw from, -inf for what cannot be drawn, [V].
    """
    if sampling.temperature == 0:
        only_V = torch.full_like(scores_V, -torch.inf)
        only_V[scores_V.argmax()] = 0.0
        return only_V
    scores_V = scores_V / sampling.temperature
    if sampling.top_p >= 1:
        return scores_V
    falling_V, order_V = scores_V.sort(descending=True)
    shares_V = falling_V.softmax(-1)
    outside_V = shares_V.cumsum(-1) - shares_V >= sampling.top_p  # the token that crosses the limit is kept
    return scores_V.masked_fill(outside_V.scatter(-1, order_V, outside_V), -torch.inf)


class _RowEndings(StoppingCriteria):
    """End a row at its own length, at its deadline, or when its reader has gone."""

    def __init__(self, jobs: Sequence[Job], num_prompt: int) -> None:
        self._jobs = jobs
        self._num_prompt = num_prompt

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        new, now = input_ids.shape[1] - self._num_prompt, time.monotonic()
        ended = [job.cancelled or new >= job.sampling.max_new_tokens or now > job.deadline for job in self._jobs]
        return torch.tensor(ended, device=input_ids.device)


class _RowStreamer(BaseStreamer):
    """Hand each new token to the job of its row, up to the row's end."""

    def __init__(self, jobs: Sequence[Job], ends: set[int]) -> None:
        self._jobs = jobs
        self._ends = ends
        self._open = [True] * len(jobs)
        self._prompt_seen = False

    def put(self, value: Tensor) -> None:
        """Take the prompt first, then one token for each row."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        for row, token in enumerate(value.tolist()):
            if self._open[row]:
                self._give(row, token)

    def end(self) -> None:
        """Do nothing: the engine ends every job."""

    def _give(self, row: int, token: int) -> None:
        job = self._jobs[row]
        job.num_tokens += 1
        if token in self._ends:
            job.finish_reason = "stop"
            self._open[row] = False
            job.put(None)
            return
        job.put(token)
        if job.cancelled or job.num_tokens >= job.sampling.max_new_tokens:
            self._open[row] = False
            job.put(None)
