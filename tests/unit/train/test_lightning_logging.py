import logging
import warnings

import pytest

from growlm.train.lightning_logging import suppress_lightning_notices


def test_notices_are_silenced_and_levels_restored(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    before = logger.level
    with suppress_lightning_notices():
        assert not logger.isEnabledFor(logging.INFO)
        assert logger.isEnabledFor(logging.ERROR)
    assert logger.level == before


def test_needless_warnings_are_dropped_and_others_come_through() -> None:
    with suppress_lightning_notices():
        warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated", FutureWarning, stacklevel=1)
        with pytest.warns(UserWarning, match="something new"):
            warnings.warn("something new", UserWarning, stacklevel=1)
