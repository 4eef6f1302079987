"""Writing a grown module into the stack's folder."""

import shutil

from growlm.manifest import store
from growlm.manifest.card import accuracy_json, stack_card
from growlm.stack.router_file import router_files
from growlm.train.prepare import Prepared
from growlm.train.result import Grown


def commit(prepared: Prepared, grown: Grown) -> None:
    """Add the module to the folder in one step, then remove the work folder.

    Raises:
        GrowlmError: if the disk is too full.
    """
    stack, manifest = grown.stack, grown.stack.manifest
    files: store.Files = {
        **router_files(stack.router, manifest),
        "README.md": stack_card(manifest),
        "accuracy.json": accuracy_json(manifest),
    }
    tensors = stack.module_tensors(grown.record.name)
    store.commit(prepared.config.stack, manifest, stack.config, tensors, grown.method_tensors, files)
    shutil.rmtree(prepared.work)
