"""A stack's folder as a repository of the Hugging Face hub."""

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from growlm.base.load import find_base
from growlm.errors import GrowlmError
from growlm.files import write_text
from growlm.manifest.integrity import rebuild
from growlm.manifest.manifest import Manifest
from growlm.manifest.own_files import CARD_FILE
from growlm.manifest.recorded_skill import portable, portable_base

_LICENSE = re.compile(r"\A---\n(?:.*\n)*?license: *(\S+)\n")


def portable_manifest(manifest: Manifest) -> Manifest:
    """Return a manifest in which paths of this machine are reduced to file names: they mean nothing elsewhere."""
    modules = (
        replace(record, skill=portable(record.skill), recipe=portable(record.recipe)) for record in manifest.modules
    )
    return replace(
        manifest,
        base=replace(manifest.base, source=portable_base(manifest.base.source)),
        modules=tuple(modules),
    )


def push(
    stack: Any,
    repo_id: str,
    *,
    license: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    commit_message: str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
) -> Any:
    """Upload a stack; see ``ModuleStack.push_to_hub``."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "stack"
        manifest = portable_manifest(stack.manifest)
        stack.write(folder, manifest)
        license = license or base_license(manifest.base.source)
        if license is not None and manifest.modules:
            card = (folder / CARD_FILE).read_text(encoding="utf-8")
            write_text(folder / CARD_FILE, card.replace("---\n", f"---\nlicense: {license}\n", 1))
            rebuild(folder, manifest.base)  # lists the files as they are
        api = HfApi(token=token)
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            return api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                commit_message=commit_message or "Upload a growlm stack",
                revision=revision,
                create_pr=create_pr,
                delete_patterns="modules/*",  # of a stack that was there before
            )
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            raise GrowlmError(f"{repo_id}: the hub refused it ({' '.join(str(error).split())[:200]})") from error


def base_license(source: str) -> str | None:
    """Return the licence that a base's own card names, if the base is at hand and its card does."""
    try:
        path = Path(find_base(source)) / CARD_FILE
        found = _LICENSE.match(path.read_text(encoding="utf-8"))
    except (GrowlmError, OSError):
        return None
    return found[1] if found else None
