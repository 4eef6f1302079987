"""Ways to separate the rows of an embedding that have a twin: cost on stories, twins left, and what skills gain.

``python benchmarks/embedding_rows.py FOLDER train.txt valid.txt [--steps 40]``

The base is one whose rows are as training left them, such as ``mini`` of version 0.1.0. Each way changes its embedding
and nothing else. Bits per byte are those of the first validation stories. A skill's loss is the mean of the last fifth
of a short training: a LoRA on every linear and a low-rank change of the token embedding, the head frozen, the same
examples for every way.
"""

import json
import sys
from collections.abc import Callable
from itertools import islice, pairwise
from typing import Any

import numpy as np
import torch
from jsonargparse import auto_cli
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from growlm.base.embedding_rows import final_states_moment, rows_with_a_twin, separate_rows
from growlm.base.load import load_base, load_tokenizer
from growlm.data.batches import IGNORED, collate
from growlm.data.encode import encode
from growlm.metrics.bits_per_byte import bits_per_byte
from growlm.pretrain.source import TextSource
from growlm.pretrain.text import EncodedText, encode_source
from growlm.registry import skills as skill_registry

_BATCH_SIZE = 8
_LEARNING_RATE = 2e-3

Way = Callable[[Tensor], None]


def main(
    base: str, train: str, valid: str, skills: list[str] | None = None, steps: int = 60, stories: int = 40
) -> None:
    """Print one line of JSON for each way.

    Args:
        base: the base, by name or folder.
        train: the text that it was trained on.
        valid: validation text.
        skills: skills that are learned for a moment; none: arithmetic, code and commands.
        steps: steps of such a training; 0: none.
        stories: validation stories that are measured.
    """
    tokenizer = load_tokenizer(base)
    texts = list(islice(TextSource(path=valid).documents(), stories))
    text = encode_source(TextSource(path=train), tokenizer)
    seen, moment = _seen_tokens(base, text), _moment(base, text)
    for name, way in _ways(seen, moment, base).items():
        model = load_base(base)
        weight: Any = model.get_input_embeddings().weight
        way(weight)
        line = {"way": name, "bits_per_byte": bits_per_byte(model, tokenizer, texts)}
        line["rows_with_a_twin"] = int(rows_with_a_twin(weight).sum())
        for skill in (skills or ["arithmetic", "code", "commands"]) if steps else []:
            line[skill] = _short_training(base, weight.detach().clone(), skill, steps)
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def _ways(seen: Tensor, moment: Tensor, base: str) -> dict[str, Way]:
    width = len(moment)
    low = torch.linalg.eigh(moment)[1][:, : width // 2].float()
    everywhere = torch.eye(width)

    def moved(share: float, directions: Tensor) -> Way:
        def way(weight: Tensor) -> None:
            twins = rows_with_a_twin(weight)
            steps = torch.randn(int(twins.sum()), directions.shape[1], generator=_generator()) @ directions.T
            weight[twins] += share * weight[twins].norm(dim=1, keepdim=True) * nn.functional.normalize(steps, dim=1)

        return way

    def separated(weight: Tensor) -> None:
        model = load_base(base)
        separate_rows(model, moment, seed=0)
        embedding: Any = model.get_input_embeddings()
        weight.copy_(embedding.weight)

    def fresh(weight: Tensor) -> None:  # where such tokens were left out of the softmax, they end as they began
        weight[~seen] = 0.02 * torch.randn(int((~seen).sum()), width, generator=_generator())

    return {
        "as trained": lambda weight: None,
        "half their length, any direction": moved(0.5, everywhere),
        "half their length, low half": moved(0.5, low),
        "a quarter, low half, until none is left": separated,
        "never-seen tokens as they began": fresh,
    }


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _seen_tokens(base: str, text: EncodedText) -> Tensor:
    seen = torch.zeros(len(load_tokenizer(base)), dtype=torch.bool)
    seen[torch.from_numpy(np.unique(text.tokens).astype(np.int64))] = True
    return seen


def _moment(base: str, text: EncodedText) -> Tensor:
    pieces = [text.tokens[begin:end][:512].astype(np.int64) for begin, end in islice(pairwise(text.starts), 100)]
    return final_states_moment(load_base(base), ({"input_ids": torch.from_numpy(piece)[None]} for piece in pieces))


class _LowRank(nn.Module):
    """A linear or embedding with a low-rank change that is zero at first."""

    def __init__(self, original: Any, num_inputs: int, num_outputs: int, rank: int) -> None:
        super().__init__()
        self.original = original
        self.weight = original.weight
        self.A = nn.Parameter(torch.randn(num_inputs, rank) / num_inputs**0.5)
        self.B = nn.Parameter(torch.zeros(rank, num_outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.is_floating_point():
            change = inputs @ self.A @ self.B
        else:
            change = nn.functional.embedding(inputs, self.B.T) @ self.A.T
        return self.original(inputs) + change


def _short_training(base: str, weight: Tensor, skill: str, steps: int) -> float:
    torch.manual_seed(0)
    tokenizer, model = load_tokenizer(base), load_base(base)
    decoder: Any = model.get_decoder()
    decoder.embed_tokens.weight.copy_(weight)
    for layer in decoder.layers:
        for block in (layer.self_attn, layer.mlp):
            for name, linear in list(block.named_children()):
                if isinstance(linear, nn.Linear):
                    setattr(block, name, _LowRank(linear, linear.in_features, linear.out_features, 16))
    # an embedding is a linear of one-hot rows, its change the transpose of one
    decoder.embed_tokens = _LowRank(decoder.embed_tokens, weight.shape[1], weight.shape[0], 64)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], weight_decay=0.0)
    examples = islice(skill_registry.build(skill, {}).examples("train"), steps * _BATCH_SIZE)
    encoded = [encode(example, tokenizer, 512) for example in examples]
    losses: list[float] = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * min(1.0, (step + 1) / 10) * (1 - step / steps)
        batch = collate(encoded[step * _BATCH_SIZE : (step + 1) * _BATCH_SIZE], int(tokenizer.pad_token_id))
        with torch.autocast("cpu", torch.bfloat16):
            states = decoder(batch.input_ids, use_cache=False).last_hidden_state[:, :-1]
            kept = batch.labels[:, 1:] != IGNORED
            logits = states[kept] @ weight.T.bfloat16()
        loss = cross_entropy(logits.float(), batch.labels[:, 1:][kept])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    last = losses[-max(1, steps // 5) :]
    return sum(last) / len(last)


if __name__ == "__main__":
    auto_cli(main)
