"""docs/how-to/operations.md plans disks with the bytes that a decision really adds, and rotates what can be rotated."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.bench.calls_per_action import LIMITED, PLAIN
from tests.bench.disk_per_decision import postgres_size, sqlite_size
from tests.docs.tables import DOCS

if TYPE_CHECKING:
    from tests.postgres import Postgres

PAGE: Final = DOCS / "how-to/operations.md"
ROWS: Final = {
    PLAIN: "without budgets",
    LIMITED: "with six budgets and a limit of the run, before its outcome",
    "key": "its idempotency key, deleted after `idempotency_retention_hours`",
}
TOLERANCE: Final = 0.15


def documented(row: str) -> tuple[int, int]:
    found = re.search(rf"^\| {re.escape(row)} \| ([\d,]+) bytes \| ([\d,]+) bytes \|$", PAGE.read_text(), re.MULTILINE)
    assert found is not None, row
    sqlite, postgres = (int(number.replace(",", "")) for number in found.groups())
    return sqlite, postgres


@pytest.mark.parametrize("tenant", [PLAIN, LIMITED])
def test_the_bytes_of_a_decision_on_sqlite(tenant: str) -> None:
    size = sqlite_size(tenant)
    assert size.stays == pytest.approx(documented(ROWS[tenant])[0], rel=TOLERANCE)
    assert size.key == pytest.approx(documented(ROWS["key"])[0], rel=TOLERANCE)


@pytest.mark.parametrize("tenant", [PLAIN, LIMITED])
def test_the_bytes_of_a_decision_on_postgres(tenant: str, postgres_server: Postgres) -> None:
    size = postgres_size(tenant, postgres_server.url(postgres_server.new_database()))
    assert size.stays == pytest.approx(documented(ROWS[tenant])[1], rel=TOLERANCE)
    assert size.key == pytest.approx(documented(ROWS["key"])[1], rel=TOLERANCE)


def test_the_example_is_the_product() -> None:
    [(rate, count, sqlite, postgres)] = re.findall(
        r"(\d+) decisions/s for a year are ([\d.]+) billion decisions: ([\d.]+) TB on SQLite and ([\d.]+) TB on Postgr",
        " ".join(PAGE.read_text().split()),
    )
    decisions = int(rate) * 365 * 86_400
    assert float(count) == pytest.approx(decisions / 1e9, rel=0.02)
    for said, stays in zip((sqlite, postgres), documented(ROWS[PLAIN]), strict=True):
        assert float(said) == pytest.approx(decisions * stays / 1e12, rel=0.05)
