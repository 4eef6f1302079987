"""Measures of importance: one a file, and one of another package in the methods that fuse by importance."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from growlm import registry
from growlm.errors import GrowlmError
from growlm.methods import importance
from growlm.methods.importance.measure import ImportanceMeasure
from growlm.methods.importance.running import Importance
from growlm.registry import importance_measures, methods
from tests.unit.test_registry import Point

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "importance-measure.md"


@pytest.fixture
def magnitude(monkeypatch: pytest.MonkeyPatch) -> None:
    """Declare the measure that the page about measures shows."""
    names: dict[str, Any] = {}
    exec(re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1], names)
    points = {"growlm.methods.importance": [Point("magnitude", names["Magnitude"])]}
    monkeypatch.setattr(registry, "entry_points", lambda group: points.get(group, []))


def test_every_file_of_the_folder_is_a_measure() -> None:
    files = {path.stem for path in Path(importance.__path__[0]).glob("[a-z]*.py")}
    assert set(importance_measures) == files - {"measure", "running", "units"} == {"first", "mixed", "second"}
    assert all(issubclass(importance_measures.get(name), ImportanceMeasure) for name in importance_measures)
    assert all(importance_measures.summary(name).endswith(".") for name in importance_measures)


def test_a_measure_of_another_package_is_used(magnitude: None) -> None:
    running = Importance(beta1=0.5, order="magnitude")
    running.see("w", torch.tensor([2.0, -4.0]), torch.tensor([0.0, 1.0]))
    running.see("w", torch.tensor([2.0, 0.0]), torch.tensor([0.0, 1.0]))
    # means of |w| from 0: 1 and 2, then 1.5 and 1
    torch.testing.assert_close(running.elements({"w": torch.zeros(2)})["w"], torch.tensor([1.5, 1.0]).double())


@pytest.mark.parametrize("method", ["tasl", "kif", "recurrent_kif"])
def test_methods_take_any_measure(magnitude: None, method: str) -> None:
    assert methods.build(method, {"order": "magnitude"})
    with pytest.raises(GrowlmError, match="unknown importance measure 'magnitud': did you mean 'magnitude'"):
        methods.build(method, {"order": "magnitud"})
