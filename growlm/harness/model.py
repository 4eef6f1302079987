"""A stack as a model of lm-evaluation-harness, by the name ``growlm``.

Requests are answered on one path, or each on the path that the router chooses for its context: all choices of a
question have one context, and so one path.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from lm_eval.api.registry import register_model  # type: ignore[import-untyped, import-not-found, unused-ignore]
from lm_eval.models.huggingface import HFLM  # type: ignore[import-untyped, import-not-found, unused-ignore]

from growlm.errors import GrowlmError
from growlm.manifest.path import Path as StackPath
from growlm.show.talk import open_stack
from growlm.stack.stack import ModuleStack

NAME = "growlm"
AUTO = "auto"

R = TypeVar("R")


@register_model(NAME)
class GrowlmLM(HFLM):  # type: ignore[misc, unused-ignore]  # lm_eval may not be installed
    """A stack for lm-evaluation-harness.

    Args:
        pretrained: the stack's folder, the name of a shipped base, or a stack.
        path: ``base``, a module's name, or names joined by ``+``; ``auto``: the router chooses; None: the router if the
            stack has one, else the active path.
        base: where the base is now, if not where the manifest says.
        **options: what the harness gives its models of transformers: ``batch_size``, ``max_length`` and the like.
    """

    def __init__(
        self, pretrained: str | ModuleStack, path: str | None = None, base: str | None = None, **options: Any
    ) -> None:
        if isinstance(pretrained, str):
            pretrained = open_stack(Path(pretrained), base, None if path == AUTO else path)
        if pretrained.architecture.has_encoder:
            raise GrowlmError(
                "lm-evaluation-harness cannot be run on a stack on an encoder-decoder: score skills instead"
            )
        self._stack = pretrained
        self._routed = path == AUTO or (path is None and pretrained.router is not None)
        options.pop("device", None)
        options.setdefault("max_length", pretrained.context_length)
        tokenizer = pretrained.tokenizer
        super().__init__(pretrained, tokenizer=tokenizer, backend="causal", **options)

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[Any]:
        """Score continuations, each on its context's path."""
        return self._by_path(requests, super().loglikelihood, disable_tqdm)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[Any]:
        """Score whole texts, each on its own path."""
        return self._by_path(requests, super().loglikelihood_rolling, disable_tqdm)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[Any]:
        """Generate answers, each on its context's path."""
        return self._by_path(requests, super().generate_until, disable_tqdm)

    def _by_path(self, requests: Sequence[Any], answer: Callable[..., list[R]], disable_tqdm: bool) -> list[R]:
        if not self._routed or not requests:
            return answer(requests, disable_tqdm=disable_tqdm)
        contexts = [request.args[0] for request in requests]
        chosen = self._paths(list(dict.fromkeys(contexts)))
        groups: dict[StackPath, list[int]] = {}
        for index, context in enumerate(contexts):
            groups.setdefault(chosen[context], []).append(index)
        found: dict[int, R] = {}
        for path, indices in groups.items():
            with self._stack.active(*path):
                own = answer([requests[index] for index in indices], disable_tqdm=disable_tqdm)
            found.update(zip(indices, own, strict=True))
        return [found[index] for index in range(len(requests))]

    def _paths(self, contexts: list[str]) -> dict[str, StackPath]:
        """Let the router choose the path of each context, as it is encoded and as much of its end as fits."""
        prompts = [cast(list[int], self.tok_encode(context))[-self.max_length :] for context in contexts]
        prompts = [prompt or [self.prefix_token_id] for prompt in prompts]
        return dict(zip(contexts, self._stack.choose_paths(prompts), strict=True))
