"""Two benchmarks side by side: what differs in what was run, and in what was measured."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from growlm.bench.report.definitions import DEFINITIONS, TITLES
from growlm.bench.report.html import page
from growlm.bench.report.markdown import NUMBERS, is_summary, read_numbers
from growlm.bench.report.phases import common_settings
from growlm.bench.report.report import PAGE, TABLES
from growlm.bench.report.significance import compare
from growlm.bench.report.statistics import Row, Spread, read_results
from growlm.bench.report.table import NOT_KNOWN, Table, number, to_csv, to_latex, written
from growlm.errors import GrowlmError
from growlm.files import write_text

_METRICS = ("ap", "bwt")
TEST = (
    "Difference: second run minus first. p: exact two-sided sign-flip test over the questions, or else the cells, of "
    "the seeds and orders that both runs have (cells that are the same in every order count once a seed); it needs the "
    "cells of both."
)


def differences_table(first: Path, second: Path) -> Table:
    """Compare two benchmarks entry by entry, each in the mode that its method's authors intend.

    Args:
        first: folder of the results of one, with its cells or with its ``results.json`` alone.
        second: likewise.

    Returns:
        The table; an entry that only one of them has is shown without a difference.

    Raises:
        GrowlmError: if a folder has neither, or the two share no entry.
    """
    one, other = (_entries(folder) for folder in (first, second))
    if not set(one) & set(other):
        raise GrowlmError(f"{first} and {second} have no entry in common: {', '.join(one)}; {', '.join(other)}")
    rows_of = [{row.label: row for row in _rows(folder)} for folder in (first, second)]
    percent = all(_is_share(entry) for entry in (*one.values(), *other.values()))
    scale, decimals = (100.0, 1) if percent else (1.0, 3)
    table: list[tuple[str, ...]] = []
    for label in (*one, *(label for label in other if label not in one)):
        cells: list[str] = []
        for metric in _METRICS:
            pair = [_metric(entries[label], metric) if label in entries else Spread.of([]) for entries in (one, other)]
            cells += [written(spread, decimals, scale) for spread in pair]
            cells.append(_signed(scale * (pair[1].mean - pair[0].mean), decimals))
        cells.append(_p_value(rows_of[0].get(label), rows_of[1].get(label)))
        table.append((label, *cells))
    columns = [f"{TITLES[metric]}, {which}" for metric in _METRICS for which in ("first", "second", "difference")]
    title = f"{first.resolve().name} and {second.resolve().name}"
    return Table("two-runs", title, ("method", *columns, "p of AP"), tuple(table), note=TEST)


def what_differs(first: Path, second: Path) -> list[str]:
    """Say in sentences what the two benchmarks did not have in common: stream, base, test examples, orders, seeds.

    Returns:
        A sentence for each; empty if all of them are equal.
    """
    one, other = _numbers(first), _numbers(second)
    aspects: dict[str, Any] = {
        "stream": lambda numbers: numbers["stream"],
        "base": lambda numbers: str(numbers["base"]["digest"])[:12],
        "test examples": lambda numbers: {skill: digest[:12] for skill, digest in sorted(numbers["data"].items())},
        "seeds": lambda numbers: sorted({seed for entry in numbers["entries"] for seed in entry["seeds"]}),
        "orders": lambda numbers: sorted({order for entry in numbers["entries"] for order in entry["orders"]}),
        "settings of phases": lambda numbers: common_settings([entry["phase"] for entry in numbers["entries"]]),
    }
    found: list[str] = []
    for name, read in aspects.items():
        pair = [_known(read, numbers) for numbers in (one, other)]
        if pair[0] != pair[1]:
            found.append(f"Different {name}: {pair[0]} in the first, {pair[1]} in the second.")
    return found


def write_comparison(first: Path, second: Path, out: Path | None) -> tuple[list[Table], list[str], Path | None]:
    """Compare two benchmarks, and write a page of it.

    Args:
        first: folder of the results of one.
        second: likewise.
        out: where to write the page and its table as CSV and LaTeX; None: nowhere.

    Returns:
        The tables, what differs in what was run, and the page.
    """
    table, differing = differences_table(first, second), what_differs(first, second)
    if out is None:
        return [table], differing, None
    (out / TABLES).mkdir(parents=True, exist_ok=True)
    write_text(out / TABLES / f"{table.name}.csv", to_csv(table))
    write_text(out / TABLES / f"{table.name}.tex", to_latex(table))
    found = differing or ["Both runs have the same stream, base, test examples, seeds, orders and settings."]
    facts = [f"First: {first}.", f"Second: {second}."]
    write_text(out / PAGE, page(table.title, found, facts, {"AP and BWT": DEFINITIONS}, [table], []))
    return [table], differing, out / PAGE


def _numbers(folder: Path) -> dict[str, Any]:
    if is_summary(folder) or (folder / NUMBERS).is_file():
        return read_numbers(folder / NUMBERS)
    raise GrowlmError(f"{folder} has no {NUMBERS}: write it with growlm report {folder}")


def _entries(folder: Path) -> dict[str, dict[str, Any]]:
    return {str(entry["label"]): entry for entry in _numbers(folder)["entries"]}


def _rows(folder: Path) -> list[Row]:
    return [] if is_summary(folder) else read_results(folder)[0]


def _metric(entry: Mapping[str, Any], metric: str) -> Spread:
    value = entry["metrics"][entry["mode"]][metric]
    mean, deviation = (math.nan if value[key] is None else float(value[key]) for key in ("mean", "deviation"))
    return Spread(mean, deviation, int(value["count"]))


def _is_share(entry: Mapping[str, Any]) -> bool:
    mean = _metric(entry, "ap").mean
    return math.isnan(mean) or 0 <= mean <= 1


def _signed(value: float, decimals: int) -> str:
    if math.isnan(value):
        return NOT_KNOWN
    text = number(value, decimals)
    return f"+{text}" if value > 0 and float(text.replace(",", "")) > 0 else text


def _p_value(one: Row | None, other: Row | None) -> str:
    if one is None or other is None:
        return f"{NOT_KNOWN} (needs the cells of both)"
    found = compare(other, one)
    return f"{NOT_KNOWN} ({found.reason})" if math.isnan(found.p_value) else f"{found.p_value:.2g}"


def _known(read: Any, numbers: Mapping[str, Any]) -> object:
    try:
        return read(numbers)
    except (KeyError, TypeError, AttributeError):
        return "not recorded"
