"""Write and check a GGUF file for llama.cpp: Llama layout, the base's byte-level BPE.

llama.cpp rotates pairs of neighbouring dimensions where transformers rotates the two halves of a head, so the rows of
the query and key projections are reordered within each head. Norms are always F32. Layout and keys:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Proved by tests/unit/export/test_gguf.py.

Shapes: H heads, K head dim, D hidden.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from growlm.data.encode import chat_template, stop_ids
from growlm.errors import GrowlmError, needs_extra
from growlm.export._compare import NUM_GREEDY, greedy, sample_prompts
from growlm.export.exporter import Check
from growlm.stack.stack import ModuleStack
from growlm.terminal import counted

_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write_gguf(stack: ModuleStack, file: Path, dtype: torch.dtype) -> list[Check]:
    """Write the active path of a stack as one GGUF file and check it.

    Args:
        stack: the stack.
        file: the file.
        dtype: type of the matrices, fp32 or fp16.

    Returns:
        What was compared.

    Raises:
        GrowlmError: if llama.cpp cannot compute the path or its tokens exactly, or the package ``gguf`` is missing.
    """
    model = stack.merged()
    _write_file(file, model, stack.tokenizer, dtype)
    checks = [_check_tensors(file, model, dtype)]
    return checks if dtype != torch.float32 else [*checks, _check_tokens(file, stack)]


def tensors_of(model: PreTrainedModel) -> dict[str, Tensor]:
    """Name and order the tensors of a stock Llama as llama.cpp does.

    Args:
        model: the model.

    Returns:
        fp32 tensors by GGUF name; a tied output embedding is left out.
    """
    config: Any = model.config
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    found: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stem = name.removesuffix(".weight")
        if stem in _OUTSIDE:
            found[f"{_OUTSIDE[stem]}.weight"] = tensor.float()
            continue
        layer, _, rest = stem.removeprefix("model.layers.").partition(".")
        own = _NAMES[rest]
        found[f"blk.{layer}.{own}.weight"] = interleave(tensor.float(), heads[own]) if own in heads else tensor.float()
    return found


def interleave(weight_HKD: Tensor, num_heads: int) -> Tensor:
    """Reorder the rows of a projection from two halves of each head to neighbouring pairs.

    Args:
        weight_HKD: rows by head, [H * K, D].
        num_heads: H.

    Returns:
        The same rows, [H * K, D]; row (h, 2 i + j) is row (h, j K / 2 + i) of the input.
    """
    rows, width = weight_HKD.shape
    halves = weight_HKD.view(num_heads, 2, rows // num_heads // 2, width)
    return halves.transpose(1, 2).reshape(rows, width)


def pre_tokenizer_name(tokenizer: Any) -> str:
    """Find llama.cpp's name for how a tokenizer splits text before merging.

    Args:
        tokenizer: a fast tokenizer of transformers.

    Returns:
        The value of ``tokenizer.ggml.pre``.

    Raises:
        GrowlmError: if it is not a byte-level BPE, or splits in another way.
    """
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    split = parts["pre_tokenizer"] or {}
    steps = [
        (step["type"], bool(step.get("individual_digits")), bool(step.get("use_regex")))
        for step in (split.get("pretokenizers") or [split])
        if step
    ]
    known = {
        (("ByteLevel", False, True),): "gpt-2",
        (("Digits", True, False), ("ByteLevel", False, True)): "smollm",
    }
    name = known.get(tuple(steps)) if parts["model"]["type"] == "BPE" else None
    if name is None:
        raise GrowlmError(
            "the base's tokenizer is not a byte-level BPE whose splitting llama.cpp is known to share: export with "
            "--to hf, then convert that folder with llama.cpp's own script"
        )
    return name


def starts_with_token(tokenizer: Any) -> bool:
    """Return whether llama.cpp has to put the start token before a text.

    Args:
        tokenizer: the base's tokenizer.

    Returns:
        Whether it has one that its chat template, if there is one, writes once, at the beginning: a token that each
        turn begins or ends with is written by the template alone.
    """
    start = tokenizer.bos_token
    if start is None or not tokenizer.chat_template:
        return start is not None
    turns = [{"role": role, "content": "."} for role in ("user", "assistant", "user")]
    text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    return text.startswith(start) and text.count(start) == 1


def plain_template(template: str) -> str:
    """Remove transformers' ``{% generation %}`` tags, which other template engines refuse."""
    for word in ("generation", "endgeneration"):
        for left in ("{%-", "{%"):
            for right in ("-%}", "%}"):
                template = template.replace(f"{left} {word} {right}", "")
    return template


def _gguf() -> Any:
    try:
        import gguf
    except ImportError:
        raise needs_extra("GGUF", "gguf", "gguf") from None
    return gguf


def _write_file(file: Path, model: PreTrainedModel, tokenizer: Any, dtype: torch.dtype) -> None:
    gguf = _gguf()
    config: Any = model.config
    if config.model_type != "llama" or config.attention_bias or config.mlp_bias:
        raise GrowlmError(f"GGUF takes Llama without biases, not {config.model_type!r}: export with --to hf")
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(0 if dtype == torch.float32 else 1)
    _add_tokenizer(writer, tokenizer, config.vocab_size)
    for name, tensor in tensors_of(model).items():
        writer.add_tensor(name, tensor.to(dtype if tensor.ndim > 1 else torch.float32).cpu().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any, tokenizer: Any, vocab_size: int) -> None:
    gguf = _gguf()
    pre = pre_tokenizer_name(tokenizer)
    words = {index: token for token, index in tokenizer.get_vocab().items()}
    special = set(tokenizer.all_special_ids) | {
        index for index, token in tokenizer.added_tokens_decoder.items() if token.special
    }
    normal, control, unused = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL, gguf.TokenType.UNUSED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([words.get(index, f"[unused{index}]") for index in range(vocab_size)])
    writer.add_token_types(
        [control if index in special else normal if index in words else unused for index in range(vocab_size)]
    )
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    end, *turn_ends = dict.fromkeys([tokenizer.eos_token_id, *stop_ids(tokenizer)])
    writer.add_eos_token_id(end)
    if turn_ends:
        writer.add_eot_token_id(turn_ends[0])
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(starts_with_token(tokenizer))
    if tokenizer.chat_template:
        writer.add_chat_template(plain_template(chat_template(tokenizer)))


def _check_tensors(file: Path, model: PreTrainedModel, dtype: torch.dtype) -> Check:
    """Read the file back and compare every tensor with what the model holds."""
    expected = tensors_of(model)
    found = {tensor.name: torch.from_numpy(tensor.data.copy()) for tensor in _gguf().GGUFReader(file).tensors}
    wrong = [
        name
        for name, tensor in expected.items()
        if name not in found
        or not torch.equal(found[name], tensor.to(dtype if tensor.ndim > 1 else torch.float32).cpu())
    ]
    if wrong or len(found) != len(expected):
        raise GrowlmError(f"{file.name}: tensor {(wrong or ['?'])[0]!r} was not written as it is")
    return Check("tensors read back, bit for bit", str(len(expected)))


def _check_tokens(file: Path, stack: ModuleStack) -> Check:
    """Let llama.cpp generate, where its Python package is installed, and compare with the stack."""
    try:
        from llama_cpp import Llama  # type: ignore[import-not-found, unused-ignore]  # installed by hand
    except ImportError:
        return Check("greedy tokens in llama.cpp", "not checked: llama-cpp-python is not installed")
    prompts_BT = sample_prompts(stack)
    ours = greedy(stack, prompts_BT)
    context = prompts_BT.shape[1] + NUM_GREEDY
    full = 0  # GGML_TYPE_F32: keys and values are kept in half precision unless asked otherwise
    threads = torch.get_num_threads()
    llama = Llama(str(file), n_ctx=context, n_threads=threads, type_k=full, type_v=full, logits_all=True, verbose=False)
    ends = set(stop_ids(stack.tokenizer))
    try:
        theirs = [_llama_tokens(llama, prompt.tolist(), ends) for prompt in prompts_BT]
    finally:
        llama.close()
    same = [found == own for found, own in zip(theirs, ours, strict=True)]
    if not all(same):
        raise GrowlmError(
            f"llama.cpp says other tokens than the stack on {same.count(False)} of {counted(len(same), 'prompt')}"
        )
    return Check(f"{NUM_GREEDY} greedy tokens in llama.cpp, prompts with the same ones", f"{len(same)} of {len(same)}")


def _llama_tokens(llama: Any, prompt: list[int], ends: set[int]) -> list[int]:
    """Generate greedily in llama.cpp without its end tokens, as ``greedy`` does."""
    llama.reset()
    llama.eval(prompt)
    tokens: list[int] = []
    while len(tokens) < NUM_GREEDY:
        scores = torch.from_numpy(llama.scores[llama.n_tokens - 1].copy())
        scores[list(ends)] = -torch.inf
        tokens.append(int(scores.argmax()))
        llama.eval(tokens[-1:])
    return tokens
