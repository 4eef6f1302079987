"""Inputs that are led by the coverage of the code they reach: atheris, where it is installed.

Not in the default tests: ``nox -s torture``. ``TORTURE_RUNS`` sets the number of inputs for each reader.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

RUNS = int(os.environ.get("TORTURE_RUNS", "100000"))
SEED = int(os.environ.get("TORTURE_SEED", "0"))
SECONDS = 10
LONGEST = 2_000
SAMPLES = {
    "JSON": b'{"format_version": 2, "modules": [{"name": "a", "digest": "0f"}], "score": -1.5e3, "on": [true, null]}',
    "rows": b'{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hey", "weight": 1}]}',
    "YAML": b"model: &m\n  skill: chat\n  options: {rank: 16, layers: [1, 2]}\ntrainer:\n  <<: *m\n  max_steps: 3e2\n",
    "differences": b"\x00\x01\x02\x03" * 20,
}


@pytest.mark.parametrize("reader", SAMPLES)
def test_inputs_led_by_coverage(reader: str, tmp_path: Path, say: Callable[[str], None]) -> None:
    pytest.importorskip("atheris")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "sample").write_bytes(SAMPLES[reader])
    limits = [f"-runs={RUNS}", f"-seed={SEED + 1}", f"-timeout={SECONDS}", f"-max_len={LONGEST}", "-rss_limit_mb=1024"]
    command = [sys.executable, "-m", "tests.torture.torture_coverage", reader, *limits, str(corpus)]
    done = subprocess.run(command, cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found = re.search(r"Done (\d+) runs", done.stderr)
    assert found
    covered = re.findall(r"cov: (\d+)", done.stderr)[-1]
    say(f"{reader}: {found[1]} inputs led by coverage, {covered} places reached")


def _environment() -> dict[str, str]:
    top = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([top, os.environ.get("PYTHONPATH", "")])}


def main() -> None:
    """Give inputs to the reader that the first argument names; the others are libFuzzer's."""
    import atheris

    with atheris.instrument_imports(include=["growlm", "json", "yaml"]):
        from growlm.data.json_lines import json_object, line_text
        from growlm.errors import GrowlmError
        from growlm.files import parse_json
        from growlm.manifest.earlier import decode_difference
        from growlm.recipes import parse_yaml
    readers: dict[str, Callable[[bytes], object]] = {
        "JSON": lambda content: parse_json(content, Path("x")),
        "rows": lambda content: json_object(line_text(content, 1, "x"), "x"),
        "YAML": lambda content: parse_yaml(content.decode("utf-8", "replace"), "x"),
        "differences": lambda content: decode_difference(content[::2], content[1::2], Path("x")),
    }
    read = readers[sys.argv.pop(1)]

    def once(content: bytes) -> None:
        try:
            read(content)
        except GrowlmError as error:
            if not 0 < len(str(error)) < 4_000:
                raise ValueError(f"a message of {len(str(error))} characters") from error

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
