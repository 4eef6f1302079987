"""Finding and loading a base: one that growlm ships, a folder, or a model of the Hugging Face hub."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from growlm.base.tokenizer import ENCODER_DECODER_TEMPLATE, PLAIN_TEMPLATE
from growlm.errors import GrowlmError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_BASE = "mini"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "spiece.model")


def checkpoint_folders() -> list[Path]:
    """List the folders in which bases are looked up by name, the first found wins.

    Returns:
        The folder that ``GROWLM_CHECKPOINTS`` names, ``./checkpoints``, the one of growlm's own repository if this is
        it, and the package ``growlm-bases`` if it is installed.
    """
    package = Path(__file__).resolve().parent.parent
    named = os.environ.get("GROWLM_CHECKPOINTS")
    data = find_spec("growlm_bases")
    return [
        *([Path(named)] if named else []),
        Path("checkpoints"),
        package.parent / "checkpoints",
        *map(Path, (data.submodule_search_locations or []) if data else []),
    ]


def shipped_bases() -> dict[str, Path]:
    """Find the bases by name; a folder counts as one if it has a model's configuration and weights."""
    found: dict[str, Path] = {}
    for folder in checkpoint_folders():
        for config in sorted(folder.glob("*/config.json")):
            path = config.parent
            if not (path / "stack.json").exists() and any(path.glob("*.safetensors")):
                found.setdefault(path.name, path)
    return found


def find_base(name_or_path: str | Path) -> Path | str:
    """Resolve what a user calls a base.

    Args:
        name_or_path: a shipped name such as ``"mini"``, a folder, or a model id such as ``"org/model"``.

    Returns:
        The folder, or the id where it can be nothing else.

    Raises:
        GrowlmError: if there is no such base.
    """
    shipped = shipped_bases()
    name = str(name_or_path)
    if name in shipped:
        return shipped[name]
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").exists():
            raise GrowlmError(f"{path} is not a base: config.json is missing; give a folder that transformers saved")
        return path
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return name
    if not shipped:
        raise GrowlmError(
            f"unknown base {name!r}: none is installed here; get growlm's own with pip install growlm-bases, or give a "
            "folder or a Hugging Face model id"
        )
    known = ", ".join(sorted(shipped))
    raise GrowlmError(f"unknown base {name!r}: give a shipped one ({known}), a folder, or a Hugging Face model id")


def as_recorded(source: str) -> str:
    """Write a folder that could be taken for an id of the hub, ``bases/mine``, as ``./bases/mine``."""
    return f"./{source}" if source.count("/") == 1 and source[0] not in "./~" and Path(source).is_dir() else source


def auto_class(config: "PreTrainedConfig") -> str:
    """Return the name of the class of transformers that loads a base."""
    return "AutoModelForSeq2SeqLM" if config.is_encoder_decoder else "AutoModelForCausalLM"


def load_base(name_or_path: str | Path, dtype: "torch.dtype | Literal['auto'] | None" = None) -> "PreTrainedModel":
    """Load a base, frozen.

    Args:
        name_or_path: a shipped name such as ``"mini"``, a folder, or a model id such as ``"org/model"``.
        dtype: type of the weights in memory; fp32 if left out, whatever they are on disk; ``"auto"``: as on disk.

    Returns:
        The model in evaluation mode, no parameter of which takes a gradient.

    Raises:
        GrowlmError: if there is no such base or its files are damaged.
    """
    import torch
    import transformers
    from transformers import AutoConfig

    from growlm.base.architecture import check_supported

    source = find_base(name_or_path)
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False, local_files_only=isinstance(source, Path))
        check_supported(config)  # another one is refused as such, not as damaged
        if isinstance(source, Path):
            _check_layers(config, source)
        with no_progress_bar():
            loaded: Any = getattr(transformers, auto_class(config)).from_pretrained(
                source,
                dtype=dtype or torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=isinstance(source, Path),
                output_loading_info=True,
            )
        model, missing = loaded[0], loaded[1]["missing_keys"]
        if missing:
            raise GrowlmError(
                f"{source}: {len(missing)} of its base's tensors are missing, the first of them {min(missing)!r}: "
                "restore the folder from a copy"
            )
    except GrowlmError:
        raise
    except Exception as error:  # transformers checks few of a file's values: any error may follow from them
        raise _unloadable(source, "base", error) from error
    _restore_scales(model)
    model.eval().requires_grad_(False)
    _check_computes(model, source)
    return model


def load_tokenizer(name_or_path: str | Path, encoder_decoder: bool = False) -> "PreTrainedTokenizerBase":
    """Load the tokenizer that belongs to a base.

    Args:
        name_or_path: a shipped name, a folder, which may hold a tokenizer alone, or a model id.
        encoder_decoder: whether the base is an encoder-decoder.

    Returns:
        The tokenizer; one without a chat template has ``PLAIN_TEMPLATE``, that of an encoder-decoder always
        ``ENCODER_DECODER_TEMPLATE``.

    Raises:
        GrowlmError: if there is no such base or it has no tokenizer.
    """
    from transformers import AutoTokenizer

    folder = Path(name_or_path).expanduser()
    alone = folder.is_dir() and any((folder / file).exists() for file in _TOKENIZER_FILES)
    if alone:
        source: Path | str = folder
    else:
        try:
            source = find_base(name_or_path)
        except GrowlmError:
            raise GrowlmError(
                f"there is no tokenizer in {str(name_or_path)!r}: give a folder or a Hugging Face model id that has one"
            ) from None
    if isinstance(source, Path) and not any((source / file).exists() for file in _TOKENIZER_FILES):
        raise GrowlmError(f"{source} has no tokenizer: name a folder or model id that has one with --tokenizer")
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            source, trust_remote_code=False, local_files_only=isinstance(source, Path)
        )
    except Exception as error:
        raise _unloadable(source, "tokenizer", error) from error
    tokenizer.chat_template = ENCODER_DECODER_TEMPLATE if encoder_decoder else tokenizer.chat_template or PLAIN_TEMPLATE
    return cast("PreTrainedTokenizerBase", tokenizer)


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Hide transformers' own progress bars within the block."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _check_layers(config: "PreTrainedConfig", folder: Path) -> None:
    """Refuse weights that are not safetensors, and a config that names more layers than there are tensors.

    Raises:
        GrowlmError: if it does, before any layer is built.
    """
    from safetensors import safe_open

    files = list(folder.glob("*.safetensors"))
    if not files:
        raise GrowlmError(
            f"{folder} has no .safetensors file, and other weights are not read: load the model with transformers, and "
            "save it again with save_pretrained"
        )
    tensors = 0
    for file in files:
        with safe_open(file, "pt") as opened:
            tensors += len(opened.keys())
    layers = getattr(config, "num_hidden_layers", None)
    if not isinstance(layers, int) or not 1 <= layers <= tensors:
        raise GrowlmError(
            f"{folder / 'config.json'} names {layers!r} layers, but the folder has {tensors} tensors: restore the "
            "folder from a copy"
        )


def _check_computes(model: "PreTrainedModel", source: Path | str) -> None:
    """Refuse a base whose configuration loads but does not fit its layers: one token finds it.

    Raises:
        GrowlmError: if it does not compute.
    """
    import torch

    try:
        token = torch.zeros((1, 1), dtype=torch.long, device=model.device)
        decoded = {"decoder_input_ids": token} if model.config.is_encoder_decoder else {}
        with torch.no_grad():
            model(input_ids=token, **decoded)
    except (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError) as error:
        raise _unloadable(source, "base", error) from error


def _restore_scales(model: "PreTrainedModel") -> None:
    """Hold the factors of scaled embeddings in full precision; loading in a half precision rounds them."""
    import torch

    for module in model.modules():
        scale = getattr(module, "scalar_embed_scale", None)
        if scale is not None:
            rounded: Any = module.embed_scale
            module.embed_scale = torch.tensor(float(scale), dtype=torch.float32, device=rounded.device)


def _unloadable(source: Path | str, what: str, error: Exception) -> GrowlmError:
    reason = " ".join(str(error).split())[:300]
    remedy = "restore the folder from a copy" if isinstance(source, Path) else "check the id and the network"
    if isinstance(error, ImportError):  # weights in a format of another package, such as GPTQ
        remedy = "install that package, or take the base in full precision"
    return GrowlmError(f"{source}: its {what} cannot be loaded ({reason}); {remedy}")
