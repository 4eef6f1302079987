"""What a stack's manifest says, as a model card and as accuracy matrices."""

import json
import re
from collections.abc import Iterator
from typing import Any

from growlm.manifest.manifest import Manifest, ModuleRecord
from growlm.manifest.own_files import ROUTER_FILE
from growlm.manifest.path import format_path
from growlm.manifest.recorded_skill import portable, portable_base
from growlm.manifest.records import IMPORT
from growlm.manifest.scores import MODES, Matrix, ScoreTables
from growlm.terminal import counted, markdown_code, markdown_text

ROUTING_ACCURACY = "routing accuracy ↑"
BARE_BASE = "bare base"
_TITLES = {"base": BARE_BASE, "oracle": "own path", "routed": "routed", "all": "all modules on"}


def accuracy_json(manifest: Manifest) -> str:
    """Render the accuracy matrices of a stack; see ``growlm.manifest.scores``.

    Args:
        manifest: the stack's manifest.

    Returns:
        The text of ``accuracy.json``.
    """
    return json.dumps(score_tables(manifest).to_json(), indent=2, ensure_ascii=False) + "\n"


def score_tables(manifest: Manifest, field: str = "value") -> ScoreTables:
    """Collect the scores that were measured when each module of a stack was finished.

    Args:
        manifest: the stack's manifest.
        field: which field of each score: ``value``, ``loss``, or ``routing_accuracy``.

    Returns:
        A matrix for each inference mode.
    """
    modules = manifest.modules
    skills = tuple(record.name for record in modules)
    matrices: dict[str, Matrix] = {}
    for mode in MODES:
        base_row = [record.scores.get(record.name, {}).get("base", {}).get(field) for record in modules]
        rows = [[record.scores.get(skill, {}).get(mode, {}).get(field) for skill in skills] for record in modules]
        matrices[mode] = [base_row, *rows]
    metrics = {record.name: record.scores.get(record.name, {}).get("oracle", {}).get("metric") for record in modules}
    return ScoreTables(skills, matrices, metrics)


def stack_card(manifest: Manifest) -> str:
    """Render the model card of a stack.

    Args:
        manifest: the stack's manifest.

    Returns:
        The text of its ``README.md``.
    """
    return "\n".join(_card_lines(manifest)) + "\n"


def score_titles(record: ModuleRecord) -> tuple[str, ...]:
    """Name the columns of ``score_rows`` that hold values: the bare base and the modes that were measured."""
    return tuple(_TITLES[mode] for mode in _measured(record))


def score_rows(record: ModuleRecord) -> list[tuple[str, ...]]:
    """List the scores that were measured when a module was finished.

    Args:
        record: the module.

    Returns:
        For each skill and each of its scores: skill, score (an arrow says which way is better), and its value on the
        bare base, on the skill's own path, with the router choosing if that was measured, and on the whole stack.
    """
    modes = _measured(record)
    rows: list[tuple[str, ...]] = []
    for skill, entry in record.scores.items():
        columns = [named_scores(entry[mode]["metric"], entry[mode]["value"], entry[mode]["loss"]) for mode in modes]
        for score in zip(*columns, strict=True):
            rows.append((skill, score[0][0], *(value for _, value in score)))
        right = entry.get("routed", {}).get("routing_accuracy")
        if right is not None:
            shown = {"routed": percent(right)}
            rows.append((skill, ROUTING_ACCURACY, *(shown.get(mode, "") for mode in modes)))
    return rows


def _measured(record: ModuleRecord) -> list[str]:
    everywhere = [mode for mode in ("base", *MODES) if all(mode in entry for entry in record.scores.values())]
    return everywhere if record.scores else []


def named_scores(metric: str, value: float, loss: float) -> list[tuple[str, str]]:
    """Format a score for people.

    Args:
        metric: the skill's metric.
        value: its value.
        loss: mean cross-entropy of the trained tokens, in nats.

    Returns:
        Pairs of a score's name, with an arrow to the better side, and its value: the metric, and the loss where the
        metric is another thing than a loss.
    """
    if metric == "bits_per_byte":
        return [("bits per byte ↓", f"{value:.9f}")]  # all digits: retention means that none of them moves
    loss_score = ("loss per token ↓", f"{loss:.3f}")
    return [loss_score] if metric == "loss" else [(f"{metric} ↑".replace("_", " "), percent(value)), loss_score]


def percent(share: float) -> str:
    """Format a share for people."""
    return f"{100 * share:.1f} %"


def _front_matter(text: str) -> str:
    """Quote a text in the card's YAML head, inert where a page shows the head as Markdown."""
    return re.sub(r"[<>&\[\]()`]", lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text))


def _card_lines(manifest: Manifest) -> Iterator[str]:
    base = manifest.base
    source = portable_base(base.source)
    names = [record.name for record in manifest.modules]
    kinds = sorted({kind for record in manifest.modules for kind in record.kinds})
    tags = ["growlm", "continual-learning", base.model_type, *kinds]
    yield "---"
    yield "library_name: growlm"
    yield "pipeline_tag: text-generation"
    if source.count("/") == 1:  # an id of the hub
        yield f"base_model: {_front_matter(source)}"
    yield f"tags: [{', '.join(map(_front_matter, tags))}]"
    yield "---"
    yield f"# {markdown_text(f'{format_path(names)} on {source}')}"
    yield ""
    yield "A stack grown with growlm: a frozen base and modules, each of which trained alone and was then frozen."
    yield ""
    kind = f"({markdown_text(base.model_type)}, {base.parameters:,} parameters), {len(base.tensors)} tensors"
    yield f"- base: {markdown_code(source)} {kind}, "
    yield f"  sha256 {markdown_code(base.digest)}; not copied into this folder"
    yield "- load: `import growlm`, then `growlm.ModuleStack.from_pretrained(folder)` or transformers' "
    yield '  `AutoModelForCausalLM.from_pretrained(folder)` and `pipeline("text-generation", folder)`'
    yield "- check: `growlm verify`"
    router = f"a router, if {markdown_code(ROUTER_FILE)} is there"
    yield f"- {router}, keeps moments or directions computed from prompts of the training"
    yield "  data, no text"
    for record in manifest.modules:
        yield ""
        yield from _module_lines(record)


def _module_lines(record: ModuleRecord) -> Iterator[str]:
    kinds = (f"{markdown_text(kind)} {_json(options)}" for kind, options in record.kinds.items())
    skill, data = record.skill, str(record.skill.get("train_digest", "not recorded"))
    yield f"## {markdown_text(record.name)}"
    yield ""
    yield f"- path: {markdown_code(format_path(record.path))}"
    yield f"- kinds: {', '.join(kinds)}"
    tensors = counted(len(record.tensors), "tensor")
    yield f"- parameters: {record.parameters:,} in {tensors}, sha256 {markdown_code(record.digest)}"
    digest = record.method.get("options", {}).get("digest")
    origin = (
        f"imported from a PEFT adapter, sha256 {markdown_code(str(digest))}" if digest else "trained outside growlm"
    )
    if not skill:
        yield f"- {origin}"
        return
    yield f"- skill: {markdown_text(skill['name'])} {_json(portable(skill.get('options', {})))}, "
    yield f"  training data sha256 {markdown_code(data)}"
    if record.method["name"] == IMPORT:
        yield f"- {origin}"
    else:
        settings = _json(portable(record.recipe))
        yield f"- method: {markdown_text(record.method['name'])}, seed {record.seed}; settings {settings}"
        steps, tokens, seconds = (record.cost.get(unit, 0) for unit in ("steps", "tokens", "seconds"))
        yield f"- cost: {counted(steps, 'step')}, {counted(tokens, 'token')}, {seconds} s"
    if any(name.endswith("/tokens") for name in record.method_tensors):
        yield "- kept for later phases: token ids of training examples, from which their text can be read"
    elif record.method_tensors:
        yield "- kept for later phases: tensors computed from the training data, no text"
    made_with = ", ".join(f"{key} {value}" for key, value in record.environment.items())
    yield f"- made with: {markdown_text(made_with)}"
    yield ""
    yield "Scores when the module was finished (held-out examples, greedy decoding):"
    yield ""
    titles = ("skill", "score", *score_titles(record))
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in score_rows(record):
        yield f"| {' | '.join(map(markdown_text, row))} |"


def _json(value: Any) -> str:
    return markdown_code(json.dumps(value))
