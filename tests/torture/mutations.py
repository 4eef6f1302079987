"""Mutants of files: of their bytes, or of their values, among them those that somebody hostile would write."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from growlm.sealed import rendered_digest, seal
from tests.torture import folders

MARKER = "hostile_marker"
"""A module that lies on the path and that nothing may import."""
_DEEP: Any = 0
for _ in range(150):
    _DEEP = [_DEEP]
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3.5, 2**31, 2**63, 10**30, -(10**30), 1e308, -1e308, 1e-300),
    *(
        "",
        "x",
        "a",
        "grow",
        "lora",
        "ridge",
        "chat",
        "jsonl",
        "stories",
        "hub",
        "llama",
        "gpt2",
        "t5",
        "silu",
        "float32",
    ),
    *("../outside", "/etc/passwd", "~/.ssh/id_rsa", "/dev/zero", "file.jsonl", "a/b", ".", "\x00", "\ud800"),
    *("\x1b[31mred\x1b[0m", "[bold]x[/]", "[/]", "<script>alert(1)</script>", "{{x}}", "${x}", "%s%s", "x" * 3000),
    *("os.system", "builtins.eval", f"{MARKER}.Run", "NaN", "Infinity", "1e999", "0x10", "1_000"),
    *({}, [], [[]], [None], {"": None}, [0] * 300, _DEEP, ["a", "a"], [1, "a"], {"name": "a", "options": {}}),
    {"class_path": f"{MARKER}.Run", "init_args": {"x": 1}},
    {"class_path": "os.system", "init_args": {"command": "true"}},
    {"name": "jsonl", "options": {"train": "/etc/passwd"}},
    {"auto_map": {"AutoConfig": f"{MARKER}.Run"}},
)


def mutate_bytes(rng: random.Random, content: bytes) -> bytes:
    """Flip a bit, cut, repeat, put in, replace, or empty."""
    kind, at = rng.randrange(7), rng.randrange(len(content) + 1)
    if kind <= 1 and content:
        at = min(at, len(content) - 1)
        return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
    if kind == 2:
        return content[:at]
    if kind == 3:
        return content[:at] + content[at : at + rng.randrange(1, 200)] * rng.choice((1, 1, 2, 30)) + content[at:]
    if kind == 4:
        return content[:at] + rng.randbytes(rng.randrange(1, 12)) + content[at:]
    if kind == 5:
        more = rng.randbytes(rng.randrange(1, 12))
        return content[:at] + more + content[at + len(more) :]
    return rng.choice((b"", b"\x00", b"{}", b"[]", b"null", content + content, content[::-1]))


def mutate_json(rng: random.Random, content: Any) -> Any:
    """Change one to three places of a JSON value: other values, other keys, more and fewer of them."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = _mutated(rng, content)
    return content


def dump_json(content: Any, **options: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, **options).encode(errors="surrogatepass")


def _places(content: Any) -> list[tuple[Any, ...]]:
    """List the paths of keys to the first two thousand values of a JSON value, itself among them."""
    found: list[tuple[Any, ...]] = [()]
    values = [content]
    for path, value in zip(found, values, strict=False):  # both grow
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, held in inner:
            found.append((*path, key))
            values.append(held)
        if len(found) > 2000:
            break
    return found


def _mutated(rng: random.Random, content: Any) -> Any:
    if content is _DEEP:
        return content
    keys = ("", *rng.choice(_places(content)))
    copied = json.loads(json.dumps({"": content}))
    holder = copied
    for key in keys[:-1]:
        holder = holder[key]
    key, kind = keys[-1], rng.randrange(6)
    if kind == 0 and len(keys) > 1:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder[key:key] = [holder[key]] * rng.choice((1, 2, 200))
    elif kind == 1 and isinstance(holder, dict) and len(keys) > 1:
        holder[rng.choice(("", "class_path", "auto_map", "name", f"{key}2", "x" * 300))] = holder.pop(key)
    elif kind == 2 and isinstance(holder[key], dict):
        holder[key][rng.choice(("extra", "class_path", "init_args", "auto_map", "torch_dtype"))] = rng.choice(HOSTILE)
    elif kind == 3 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = rng.choice((-holder[key], holder[key] + 1, holder[key] * 1000, float(holder[key]), 0))
    else:
        holder[key] = rng.choice(HOSTILE)
    return copied[""]


def mutate_file(rng: random.Random, path: Path) -> bytes:
    """Return a mutant of a file: of its bytes, or of its values if it is JSON or has a header that is."""
    whole = path.read_bytes()
    if path.suffix == ".json" and rng.random() < 0.7:
        return dump_json(mutate_json(rng, json.loads(whole)))
    if path.suffix == ".safetensors" and rng.random() < 0.6:
        size = int.from_bytes(whole[:8], "little")
        head = dump_json(mutate_json(rng, json.loads(whole[8 : 8 + size])))
        return len(head).to_bytes(8, "little") + head + whole[8 + size :]
    return mutate_bytes(rng, whole)


def sealed(content: Any, digest: Callable[[Any], str] = rendered_digest) -> Any:
    """Seal values as one does who knows how; what growlm could not write has no digest and gets a false one."""
    if not isinstance(content, dict):
        return content
    content = {key: value for key, value in content.items() if key != "digest"}
    try:
        return seal(content, digest)
    except (ValueError, UnicodeError):
        return {**content, "digest": "0" * 64}


def rewritten(path: Path, content: bytes, read: Callable[[], object]) -> object:
    """Read with other content in a file, which has its own again afterwards."""
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        return read()
    finally:
        path.write_bytes(whole)


def restored(folder: Path, work: Callable[[], object]) -> None:
    """Work on a folder, which is as it was afterwards."""
    whole = folders.contents(folder)
    try:
        work()
    finally:
        for name in {*folders.contents(folder), *whole}:
            if name not in whole:
                (folder / name).unlink()
            elif not (folder / name).exists() or (folder / name).read_bytes() != whole[name]:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(whole[name])
