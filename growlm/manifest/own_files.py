"""Which entries of a stack's folder belong to growlm: everything else is the user's and stays as it is."""

import os
import re
import stat
from pathlib import Path

from growlm.errors import GrowlmError
from growlm.files import file_kind

MODULES = "modules"
BEFORE = "before"
STATE_FILE = "state.json"
DELTA = ".delta"
CONFIG_FILE = "config.json"
CARD_FILE = "README.md"
ACCURACY_FILE = "accuracy.json"
ROUTER_FILE = "router.safetensors"
TOP_FILES = (CONFIG_FILE, CARD_FILE, ACCURACY_FILE, ROUTER_FILE)
TRANSFORMERS_FILES = ("chat_template.jinja", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
"""Copies of the base's, for transformers; growlm reads the base's own, so one that the user edits is the user's."""

_TOP = "|".join(map(re.escape, (*TOP_FILES, *TRANSFORMERS_FILES)))
_IN_MODULE = (
    rf"module\.json|module\.safetensors|method\.safetensors|{BEFORE}/(state\.json|stack\.json|({_TOP})(\.delta)?)"
)
_OWN_FILE = re.compile(rf"{_TOP}|{MODULES}/[0-9]{{2,6}}-[a-z0-9][a-z0-9_-]{{0,63}}/({_IN_MODULE})")


def is_own_file(name: str) -> bool:
    """Return whether growlm writes a file of this relative path (``stack.json`` itself is not counted)."""
    return _OWN_FILE.fullmatch(name) is not None


def refuse_links(folder: Path) -> None:
    """Refuse links, pipes, sockets and devices anywhere below a folder; nothing is followed or opened.

    Args:
        folder: the folder, which may itself be reached through a link.

    Raises:
        GrowlmError: naming the first such entry.
    """
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    pending.append(Path(entry.path))
                elif not stat.S_ISREG(mode):
                    raise GrowlmError(
                        f"{entry.path} is {file_kind(mode)}, and a stack that is written to holds files and folders "
                        "only: move it away"
                    )
