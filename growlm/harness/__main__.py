"""``python -m growlm.harness``: the command ``lm_eval``, which then knows ``--model growlm``."""

from lm_eval.__main__ import cli_evaluate  # type: ignore[import-untyped, import-not-found, unused-ignore]

import growlm.harness.model  # noqa: F401  # registers the name

cli_evaluate()
