from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from tests.bench import markdown, report
from tests.bench.checkouts import HERE, HERE_ROOT, Checkout, other
from tests.bench.lines import Spread, bounded, holds, measured
from tests.bench.rounds import Rounds, take_turns

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def test_cases_take_turns_after_a_round_that_does_not_count() -> None:
    ran: list[str] = []

    def case(name: str) -> Mapping[str, float]:
        ran.append(name)
        return {"value": float(len(ran))}

    result = take_turns({"a": lambda: case("a"), "b": lambda: case("b")}, 3)
    assert "".join(ran) == "ab" + "ab" + "ba" + "ab"
    assert [each["a"]["value"] for each in result.results] == [3, 6, 7]


def test_a_ratio_is_taken_within_each_round() -> None:
    slow, fast = {"a": {"v": 10.0}, "b": {"v": 100.0}}, {"a": {"v": 60.0}, "b": {"v": 200.0}}
    result = Rounds([slow, fast, {"a": {"v": 20.0}, "b": {"v": 100.0}}])
    assert result.ratio("a", "b", "v") == Spread(0.2, 0.1, 0.3)
    assert result.spread("a", "v") == Spread(20, 10, 60)


@pytest.mark.parametrize(
    ("value", "target", "expected"),
    [(0.45, ">= 0.45x", True), (0.44, ">= 0.45x", False), (151, "<= 150", False), (150, "<= 150", True), (1, "", None)],
)
def test_a_target_is_met_at_its_bound(value: float, target: str, expected: bool | None) -> None:  # noqa: FBT001 - parameter
    assert holds(value, target) is expected


def test_the_table_shows_both_checkouts_beside_each_other() -> None:
    before = Checkout("abc1234", HERE_ROOT)
    lines = [
        measured("unary", Spread(800, 700, 900), "calls/s", Spread(1600, 1, 2), Spread(0.5, 0.4, 0.6), ">= 0.45x"),
        bounded("CPU", 100, "us", "<= 150"),
        bounded("stream", 7, "us", ""),
    ]
    both = [line.of("here") for line in lines]
    both.append(
        measured("unary", Spread(400, 1, 2), "calls/s", Spread(1, 1, 1), Spread(0.2, 0.1, 0.3), "").of("abc1234")
    )
    console = Console(width=200, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(report.table(both, [HERE, before], "machine"))
    rows = [[cell.strip() for cell in row.split("│")[1:-1]] for row in captured.get().splitlines() if "│" in row]
    assert rows == [
        ["unary", "800 calls/s", "0.50x (0.40..0.60)", "400 calls/s", "0.20x (0.10..0.30)", "2.00x", ">= 0.45x", "yes"],
        ["CPU", "100 us", "", "", "", "", "<= 150", "yes"],
        ["stream", "7.000 us", "", "", "", "", "", ""],
    ]


def test_a_folder_without_placet_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no checkout of Placet"):
        other(tmp_path)


def test_the_documentation_gets_the_other_checkout_first(tmp_path: Path) -> None:
    lines = [
        measured("unary", Spread(800, 700, 900), "calls/s", Spread(1, 1, 1), Spread(0.5, 0.4, 0.6), ">= 0.6x").of(
            "here"
        ),
        measured("unary", Spread(400, 1, 2), "calls/s", Spread(1, 1, 1), Spread(0.2, 0.1, 0.3), "").of("abc1234"),
        bounded("CPU", 100, "us", "<= 150").of("here"),
    ]
    report.write_json(tmp_path / "bench.json", "machine", lines)
    title, read = markdown.read(tmp_path / "bench.json")
    assert (title, read) == ("machine", lines)
    assert markdown.table(read).splitlines()[2:] == [
        "| unary | 400 calls/s | 0.20x (0.10..0.30) | 800 calls/s | 0.50x (0.40..0.60) | >= 0.6x, **not reached** |",
        "| CPU | | | 100 us | | <= 150 |",
    ]
