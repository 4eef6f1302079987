"""Names that are scripts, in a report and in a card, as a real browser shows them: nothing of them runs."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from growlm.bench.report.report import write_report
from growlm.manifest.card import stack_card
from growlm.manifest.html import stack_html
from growlm.manifest.manifest import Manifest
from tests.conftest import module
from tests.unit.bench.conftest import make

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--virtual-time-budget=2000", "--dump-dom"),
)
HOSTILE = (
    "<script>document.title='OWNED'</script>",
    "</title></td></svg><img src=x onerror=\"document.title='OWNED'\">",
    '"\' onmouseover=x autofocus onfocus="document.title=\'OWNED\'" x="',
    "`<img src=x onerror=document.title='OWNED'>`",
    "[x](javascript:document.title='OWNED')",
)


def shown(page: Path, tmp_path: Path) -> str:
    """The page's elements after its scripts have run."""
    words = [str(BROWSER), *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout


def is_owned(dom: str) -> bool:
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    return (title is not None and title[1].strip() == "OWNED") or 'href="javascript:' in dom


def test_the_browser_runs_scripts(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<title>x</title><p>{HOSTILE[0]}</p>")
    assert is_owned(shown(page, tmp_path))


@pytest.mark.filterwarnings("ignore:constrained_layout not applied")  # the names are longer than a plot is wide
def test_a_report(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for number, name in enumerate(HOSTILE):
        cell = make()
        cell.settings.update(label=name, order=name, stream=HOSTILE[0])
        cell.base["source"] = HOSTILE[1]
        cell.environment = {"python": name, "machine": name}
        cell.write(results / "cells" / str(number) / "1" / "0" / "cell.json")
    report = write_report(results).page
    assert "OWNED" in report.read_text()
    assert not is_owned(shown(report, tmp_path))


def test_cards(tmp_path: Path, manifest: Manifest) -> None:
    markdown = pytest.importorskip("markdown")
    hostile = [
        module(
            f"m{number}",
            kinds={name: {"x": name}},
            skill={"name": name, "options": {name: name}, "train_digest": name},
            method={"name": name, "options": {}},
            recipe={name: name},
            environment={name: name},
            scores={name: {"oracle": {"metric": name, "value": 0.5, "loss": 1.0}}},
        )
        for number, name in enumerate(HOSTILE)
    ]
    made = Manifest(replace(manifest.base, source=HOSTILE[0], model_type=HOSTILE[1]), tuple(hostile))
    card = markdown.markdown(stack_card(made), extensions=["tables"])
    page = tmp_path / "card.html"
    page.write_text(f"<title>card</title>{card}{stack_html(made)}")
    assert "OWNED" in card
    assert not is_owned(shown(page, tmp_path))
