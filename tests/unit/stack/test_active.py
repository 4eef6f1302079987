"""Paths of threads, of tasks and of rows, and what runs after merging in nested blocks."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

import growlm
from growlm.errors import GrowlmError
from growlm.modules.lora import Lora

NewStack = Callable[..., Any]
TOKENS = torch.arange(6, 42).reshape(2, 18)


def logits_by_path(stack: Any, *paths: tuple[str, ...]) -> dict[tuple[str, ...], torch.Tensor]:
    found = {}
    for path in paths:
        with stack.active(*path):
            found[path] = stack(TOKENS).logits
    return found


def test_threads_run_paths_of_their_own(new_stack: NewStack):
    stack = new_stack(modules=("first", "second"))
    expected = logits_by_path(stack, ("first",), ("first", "second"))

    def wrong(path: tuple[str, ...]) -> int:
        with stack.active(*path):
            return sum(not torch.equal(stack(TOKENS).logits, expected[path]) for _ in range(20))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(wrong, expected)) == [0, 0]


def test_a_thread_sees_the_path_set_last_and_its_blocks_are_its_own(new_stack: NewStack):
    stack = new_stack(modules=("first", "second"))
    stack.set_path(("first",))
    with ThreadPoolExecutor(1) as pool, stack.active():
        assert pool.submit(lambda: stack.path).result() == ("first",)
        stack.set_path(("first", "second"))  # within a block: for this thread, until the block ends
        assert pool.submit(lambda: stack.path).result() == ("first",)
    assert stack.path == ("first",)


def test_tasks_that_wait_keep_their_paths(new_stack: NewStack):
    stack = new_stack(modules=("first", "second"))

    async def path_after_waiting(path: tuple[str, ...]) -> tuple[str, ...]:
        with stack.active(*path):
            await asyncio.sleep(0)
            return stack.path

    async def both() -> list[tuple[str, ...]]:
        return await asyncio.gather(path_after_waiting(("first",)), path_after_waiting(()))

    assert asyncio.run(both()) == [("first",), ()]


@pytest.mark.parametrize("paths", [[["first"]], [], [["first"], [], ["first"]]])
def test_as_many_paths_as_rows(new_stack: NewStack, paths: list[list[str]]):
    stack = new_stack()
    with stack.active_rows(paths):
        for run in (stack, stack.hidden_states, stack.generate):
            with pytest.raises(GrowlmError, match=rf"got {len(paths)} paths? and the batch has 2 rows"):
                run(TOKENS)


@pytest.mark.parametrize("asked", [{"num_beams": 3}, {"num_beams": 3, "num_return_sequences": 2}])
def test_beams_of_a_row_are_on_its_path(new_stack: NewStack, asked: dict[str, int]):
    stack = new_stack(modules=("first", "second"))
    settings: dict[str, Any] = {**asked, "max_new_tokens": 5, "do_sample": False, "eos_token_id": None}
    settings |= {"pad_token_id": 5, "attention_mask": torch.ones(1, 18).long()}
    paths = [("first",), ("first", "second")]
    with stack.active_rows(paths):
        together = stack.generate(TOKENS, **{**settings, "attention_mask": torch.ones(2, 18).long()})
    alone = []
    for row, path in enumerate(paths):
        with stack.active(*path):
            alone.append(stack.generate(TOKENS[row : row + 1], **settings))
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("inner", ["fused", "frozen_merged", "merged"])
def test_a_fused_block_goes_on_after_another_in_it(new_stack: NewStack, inner: str):
    stack = new_stack(modules=())
    moments = {}
    for number, name in enumerate(("first", "second")):
        stack.attach(name, {"lora": Lora(rank=2)}, on=(), seed=number)
        with torch.no_grad():
            for parameter in stack.module_parameters(name).values():
                parameter.add_(0.2 * torch.randn(parameter.shape))
        width = {site: stack.architecture.linear_shape(site)[1] for site in stack.sites()}
        moments[name] = {f"moments.{site}.factor": torch.randn(size, 3) for site, size in width.items()}
        moments[name] |= {f"moments.{site}.rest": torch.rand(size) for site, size in width.items()}
    with stack.active("first", "second"):
        added_up = stack(TOKENS).logits
    with growlm.fused(stack, "first", "second", moments=moments):
        expected = stack(TOKENS).logits
        assert not torch.equal(expected, added_up)
        if inner == "fused":
            with stack.fused("first", moments=moments):
                assert not torch.equal(stack(TOKENS).logits, expected)
        elif inner == "frozen_merged":
            with stack.frozen_merged():
                assert torch.equal(stack(TOKENS).logits, expected)
        else:
            torch.testing.assert_close(stack.merged()(TOKENS).logits, expected, rtol=1e-4, atol=1e-4)
        assert torch.equal(stack(TOKENS).logits, expected)
    with stack.active("first", "second"):
        assert torch.equal(stack(TOKENS).logits, added_up)
