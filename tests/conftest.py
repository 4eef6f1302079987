"""What every test gets: fixed seeds, one thread, no network; and a manifest written by hand for those that ask."""

import gc
import json
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

# before transformers or torch are imported
os.environ["HF_HUB_OFFLINE"] = "1"
# workers that share cores wait for each other's threads
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest

from growlm.manifest.manifest import BaseRecord, Manifest, ModuleRecord, module_json, stack_json
from tests.tiers import tiers_of

TESTS = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--min-coverage``; SlipCover's own limit keeps it from showing what processes side by side have covered."""
    parser.addoption("--min-coverage", type=float, help="fail below this percentage; under slipcover, with -n")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if fewer lines are covered than ``--min-coverage`` asks."""
    wanted = session.config.getoption("min_coverage")
    if wanted is None or hasattr(session.config, "workerinput"):
        return
    merged = Path(os.environ.get("SLIPCOVER_COVERAGE_DIR", "")) / "merged.json"
    covered = json.loads(merged.read_text())["summary"]["percent_covered"] if merged.is_file() else 0.0
    if covered < wanted:
        session.config.get_terminal_writer().line(f"\ncoverage is {covered:.1f} %, wanted are {wanted:g} %")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add its tiers to each test as markers."""
    for item in items:
        for tier in sorted(tiers_of(item, item.path.relative_to(TESTS).as_posix())):
            item.add_marker(tier)


def pytest_collection_finish() -> None:
    """Save time that no test is about.

    The collector of garbage passes over what was imported, which stays. torch, if it was imported, seeds no device that
    is not there: for each it would keep the stack of calls as text, which takes a millisecond or two.
    """
    if "torch" in sys.modules:
        import torch

        for device in (torch.cuda, torch.xpu, torch.mtia):
            if not device.is_available():
                device.manual_seed_all = lambda seed: None
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what growlm knows of its user away from the user who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROWLM_STATE", str(tmp_path_factory.getbasetemp() / "state"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_disks() -> Iterator[None]:
    """Write to the system's cache alone: no test cuts the power, and waiting takes a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


_CONNECT = socket.socket.connect
_LOCAL = ("127.", "localhost", "::1", "0.0.0.0")


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    """Seed what the test may use; torch only if it was imported."""
    random.seed(0)
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a socket reach this machine alone."""
    if request.node.get_closest_marker("network"):
        return

    def connect(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"  # a Unix socket's address is a path
        if not str(host).startswith(_LOCAL):
            raise AssertionError(f"a test tried to reach {address!r}")
        _CONNECT(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture
def signals_end_commands() -> Iterator[None]:
    """Let signals do what they do in a terminal: what is started in the background or by nohup ignores some."""
    endings = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, handler) for number, handler in endings.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def short_answers() -> Iterator[None]:
    """Let no answer become longer than a few tokens: untrained bases never end theirs."""
    with pytest.MonkeyPatch.context() as patch:
        shorten_answers(patch)
        yield


def shorten_answers(patch: pytest.MonkeyPatch) -> None:
    from growlm.skills.chat import Chat
    from growlm.skills.code import Code
    from growlm.skills.commands import Commands
    from growlm.skills.procedural import Procedural
    from growlm.skills.skill import Skill

    for skill in (Skill, Procedural, Chat, Code, Commands):
        patch.setattr(skill, "max_answer_tokens", 6)


@pytest.fixture
def few_router_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let routers look at a few prompts of a skill, also of the base's own stories."""
    from growlm.routing.prompts import drawn_prompts

    def few(skill: Any, split: Any, tokenizer: Any, limit: int, augment: bool = False) -> Any:
        return drawn_prompts(skill, split, tokenizer, min(limit, 20), augment)

    monkeypatch.setattr("growlm.routing.update.drawn_prompts", few)


LAYER_TYPES = ["sliding_attention", "full_attention"] * 2
SENTENCE = "the cat dog sat ran on in big red box park Tom Lily said hello goodbye yes no 1 2 3"


@pytest.fixture(scope="session")
def tiny_bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders with a small random base of each supported family, saved as stock models when first asked for."""
    import torch
    import transformers as hf

    from growlm.base.load import auto_class
    from growlm.base.tokenizer import train_tokenizer

    tokenizer = train_tokenizer([SENTENCE] * 4, vocab_size=320)
    small = {"vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    small |= {**ends, "pad_token_id": tokenizer.pad_token_id}
    llama = {**small, "num_attention_heads": 4, "num_key_value_heads": 2}
    window = {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 2}
    neo = {"attention_types": [[["global", "local"], 2]], "window_size": 6, "max_position_embeddings": 256}
    experts = {"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    configs = {
        "llama": hf.LlamaConfig(**llama, tie_word_embeddings=True, max_position_embeddings=256),
        "mistral": hf.MistralConfig(**llama, sliding_window=6),
        "qwen2": hf.Qwen2Config(**llama, **window),
        "qwen3": hf.Qwen3Config(**llama, head_dim=8),
        "smollm3": hf.SmolLM3Config(**llama),
        "granite": hf.GraniteConfig(
            **llama, embedding_multiplier=3.0, residual_multiplier=0.4, attention_multiplier=0.2, logits_scaling=2.0
        ),
        "olmo2": hf.Olmo2Config(**llama),
        "gemma": hf.GemmaConfig(**llama, head_dim=8),
        "gemma2": hf.Gemma2Config(
            **llama, head_dim=8, sliding_window=6, attn_logit_softcapping=5.0, final_logit_softcapping=3.0
        ),
        "gemma3_text": hf.Gemma3TextConfig(**llama, head_dim=8, sliding_window=6, layer_types=LAYER_TYPES),
        "phi3": hf.Phi3Config(**llama),
        "mixtral": hf.MixtralConfig(**llama, num_local_experts=3, num_experts_per_tok=2),
        "qwen2_moe": hf.Qwen2MoeConfig(**llama, **experts, shared_expert_intermediate_size=32, mlp_only_layers=[0]),
        "qwen3_moe": hf.Qwen3MoeConfig(**llama, **experts, head_dim=8, mlp_only_layers=[3]),
        "opt": hf.OPTConfig(
            **{key: value for key, value in small.items() if key != "intermediate_size"},
            ffn_dim=64,
            num_attention_heads=4,
            max_position_embeddings=256,
            word_embed_proj_dim=32,
            dropout=0.0,
        ),
        "gpt2": hf.GPT2Config(**ends, vocab_size=len(tokenizer), n_embd=32, n_layer=4, n_head=4, n_positions=256),
        "gpt_neo": hf.GPTNeoConfig(**ends, vocab_size=len(tokenizer), hidden_size=32, num_layers=4, num_heads=4, **neo),
        "gpt_neox": hf.GPTNeoXConfig(**small, num_attention_heads=4),
        "t5": hf.T5Config(
            vocab_size=len(tokenizer),
            **{"d_model": 32, "d_kv": 8, "d_ff": 64, "num_heads": 4, "num_layers": 2, "num_decoder_layers": 2},
            **{key: value for key, value in ends.items() if key != "bos_token_id"},
            pad_token_id=tokenizer.pad_token_id,
            decoder_start_token_id=tokenizer.pad_token_id,
        ),
    }

    class Folders(dict[str, Path]):
        def __missing__(self, name: str) -> Path:
            config = configs[name]
            torch.manual_seed(0)
            model: Any = getattr(hf, auto_class(config)).from_config(config)
            for parameter in model.parameters():  # biases and norms as training leaves them, not at 0 and 1
                parameter.data += 0.02 * torch.randn_like(parameter)
            if name == "t5":  # its tied embedding is so large that it would say each token again
                model.shared.weight.data *= 0.2
            folder = tmp_path_factory.mktemp(f"base-{name}")
            model.to(torch.bfloat16).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            self[name] = folder
            return folder

    return Folders()


@pytest.fixture(scope="session")
def empty_stack(tiny_bases: dict[str, Path]) -> Callable[..., Any]:
    """Make a stack without modules on the small base of a family, loaded once: a copy takes a seventh of the time."""
    from growlm.stack.stack import ModuleStack

    @cache
    def loaded(family: str) -> ModuleStack:
        return ModuleStack.from_base(str(tiny_bases[family])).eval()

    return lambda family="llama": deepcopy(loaded(family))


def scores(**values: tuple[str, float, float, float]) -> dict[str, dict[str, dict[str, object]]]:
    return {
        skill: {
            mode: {"metric": metric, "value": value, "loss": 1.5}
            for mode, value in zip(("base", "oracle", "all"), rest, strict=True)
        }
        for skill, (metric, *rest) in values.items()
    }


def module(name: str, parents: tuple[str, ...] = (), parameters: int = 1_234, **changes: object) -> ModuleRecord:
    return ModuleRecord(
        **{
            "name": name,
            "kinds": {"lora": {"rank": 8, "alpha": None}},
            "parents": parents,
            "skill": {"name": name, "options": {}, "train_digest": "5" * 64},
            "method": {"name": "grow", "options": {}},
            "seed": 7,
            "recipe": {},
            "parameters": parameters,
            "tensors": {"a": "1" * 64},
            "digest": "2" * 64,
            "scores": scores(**{name: ("contains", 0.125, 0.75, 0.5)}),
            "cost": {"steps": 1200, "tokens": 34_000, "seconds": 2.5},
            **changes,
        }
    )


@pytest.fixture
def make_module() -> Callable[..., ModuleRecord]:
    return module


@pytest.fixture
def manifest() -> Manifest:
    """Two modules on the base, one of them with a child."""
    base = BaseRecord("tiny", "llama", 12_340, {"embed": "3" * 64}, "4" * 64)
    return Manifest(base, (module("chat"), module("memory", ("chat",)), module("rhymes", parameters=2_500_000)))


@pytest.fixture
def stack_folder(tmp_path: Path, manifest: Manifest) -> Path:
    """The manifest as files, without tensors."""
    folder = tmp_path / "stack"
    for record in manifest.modules:
        own = folder / manifest.folder_of(record.name)
        own.mkdir(parents=True)
        (own / "module.json").write_text(module_json(record))
    (folder / "stack.json").write_text(stack_json(manifest))
    return folder
