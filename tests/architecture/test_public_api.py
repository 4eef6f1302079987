"""growlm's public interface is one lazy page."""

import inspect
import subprocess
import sys

import pytest

import growlm


def test_import_is_light():
    heavy = "{'torch', 'lightning', 'transformers', 'torchmetrics', 'rich', 'jsonargparse'}"
    code = f"import sys, growlm; print(*({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


@pytest.mark.parametrize("name", growlm.__all__)
def test_every_public_name_exists_and_is_documented(name: str):
    value = getattr(growlm, name)
    described = value if inspect.isclass(value) or inspect.isfunction(value) else type(value)
    assert inspect.getdoc(described)


def test_every_public_method_is_documented():
    classes = [value for name in growlm.__all__ if inspect.isclass(value := getattr(growlm, name))]
    own = [
        (cls, name, member)
        for cls in classes
        for name, member in vars(cls).items()
        if not name.startswith("_") and inspect.isfunction(member)
    ]
    assert own
    assert [f"{cls.__name__}.{name}" for cls, name, member in own if not inspect.getdoc(member)] == []


def test_unknown_names_fail():
    with pytest.raises(AttributeError, match="no attribute 'stacks'"):
        _ = growlm.stacks


def test_dir_is_the_page():
    assert dir(growlm) == sorted(growlm.__all__)
