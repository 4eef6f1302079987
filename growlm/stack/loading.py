"""Options of loading a stack: those that transformers' loaders take, and where its folder is."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import torch

from growlm.base.quantize import Quantization
from growlm.errors import GrowlmError, unknown_name
from growlm.files import parse_json, read_bytes
from growlm.manifest.own_files import CONFIG_FILE

_OF_THE_AUTO_CLASSES = {"adapter_kwargs", "code_revision", "trust_remote_code", "weights_only"}
"""What the Auto classes pass on whatever the user asked for, and a stack has no use for."""


@dataclass(frozen=True)
class LoadOptions:
    """Options of ``from_pretrained``, named as in transformers.

    Args:
        base: where the base is now, if not where the manifest says.
        dtype: what the weights are held in: a type or its name; ``"auto"``: the base's own; None: fp32, or bf16 if they
            are quantized.
        torch_dtype: the older name of ``dtype``.
        tokenizer: where the tokenizer is now, if not with the base or where it was.
        quantization: hold the linears of the decoder layers in 8 (``int8``) or 4 bits (``nf4``).
        attn_implementation: such as ``"sdpa"`` or ``"eager"``; None: the base's own.
        config: from the Auto classes, which put ``attn_implementation`` into it.
        device_map: a device, ``"auto"`` (the accelerator if there is one), or ``{"": device}``.
        revision: branch, tag or commit on the hub.
        token: access token of the hub.
        cache_dir: where the hub's files are kept.
        local_files_only: never ask the hub.
        force_download: fetch what is in the cache once more.
        proxies: not supported.
        subfolder: the stack's folder within the hub's repository.
        low_cpu_mem_usage: has no effect, as in transformers.
        use_safetensors: True has no effect; a stack is never read from anything else.
    """

    base: str | None = None
    dtype: torch.dtype | str | None = None
    torch_dtype: torch.dtype | str | None = None
    tokenizer: str | None = None
    quantization: Quantization | None = None
    attn_implementation: str | None = None
    config: Any = None
    device_map: Any = None
    revision: str | None = None
    token: str | bool | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False
    force_download: bool = False
    proxies: None = None
    subfolder: str = ""
    low_cpu_mem_usage: bool | None = None
    use_safetensors: bool | None = None

    def __post_init__(self) -> None:
        if self.proxies is not None:
            raise GrowlmError("proxies cannot be given to a stack: set HTTPS_PROXY in the environment")
        if self.use_safetensors is False:
            raise GrowlmError("a stack is read from safetensors alone: leave out use_safetensors")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Build from keyword arguments.

        Raises:
            GrowlmError: for an unknown one.
        """
        known = [item.name for item in fields(cls)]
        given = {name: value for name, value in options.items() if not _is_internal(name)}
        for name in given:
            if name not in known:
                raise unknown_name("argument of from_pretrained", name, known)
        return cls(**given)

    @property
    def attention(self) -> str | None:
        """What ``attn_implementation`` is, wherever it was given."""
        return self.attn_implementation or getattr(self.config, "_attn_implementation_internal", None)

    def torch_type(self, folder: Path) -> torch.dtype | None:
        """Return what the weights are to be held in; None if nothing was asked for.

        Raises:
            GrowlmError: if there is no such type.
        """
        asked = self.torch_dtype if self.dtype is None else self.dtype
        if asked == "auto":
            path = folder / CONFIG_FILE
            asked = parse_json(read_bytes(path), path).get("base_config", {}).get("dtype")
        found = getattr(torch, asked.removeprefix("torch."), None) if isinstance(asked, str) else asked
        if found is None and asked is None:
            return None
        if not isinstance(found, torch.dtype) or not found.is_floating_point:
            raise GrowlmError(f"dtype {asked!r} is not a type of floating-point numbers: give one such as 'bfloat16'")
        return found

    def device(self) -> torch.device | None:
        """Return the device that everything goes to; None: it stays where it is loaded.

        Raises:
            GrowlmError: for a map over several devices.
        """
        asked = self.device_map
        if isinstance(asked, dict):
            devices = set(asked.values())
            if len(devices) != 1:
                raise GrowlmError("a stack is loaded on one device: give device_map a device, or 'auto'")
            (asked,) = devices
        if asked is None:
            return None
        if asked in ("auto", "balanced", "balanced_low_0", "sequential"):
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            return torch.device(asked)
        except (RuntimeError, TypeError):
            raise GrowlmError(
                f"device_map {asked!r} is not a device: give one such as 'cpu', 'cuda:0' or 'auto'"
            ) from None

    def folder(self, name: str | Path) -> Path:
        """Return a stack's folder, fetched from the hub if the name is that of a repository.

        Raises:
            GrowlmError: if the hub has no such repository, or it cannot be reached.
        """
        path = Path(name)
        # where growlm writes by default is no user of the hub
        is_path = str(name).startswith((".", "/", "~", "checkpoints/"))
        if path.exists() or is_path or str(name).count("/") != 1:
            return path
        from huggingface_hub import snapshot_download

        try:
            fetched = snapshot_download(
                str(name),
                revision=self.revision,
                token=self.token,
                cache_dir=self.cache_dir,
                local_files_only=self.local_files_only,
                force_download=self.force_download,
            )
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise GrowlmError(f"{name} is not a folder, and cannot be fetched from the hub ({reason})") from error
        return Path(fetched) / self.subfolder


def _is_internal(name: str) -> bool:
    return name.startswith("_") or name in _OF_THE_AUTO_CLASSES
