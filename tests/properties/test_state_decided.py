"""Random histories of decisions, reports, votes, switches, levels, time and crashes come out as the reference says."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.state_driver import MemoryStore, PostgresStore, SqliteStore
from tests.properties.state_machine import StateMachine
from tests.properties.state_reference import Ask
from tests.properties.state_strategies import FRESH

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.postgres import Postgres
    from tests.properties.state_driver import Store

SOAK_STEPS: Final = 10_000


def check_histories(open_store: Callable[[], Store], examples: int, steps: int, *, least: int = 0) -> None:
    """Play so many histories of so many steps, the same ones each time unless it must be very many."""

    class Counted(StateMachine):
        """Counts its own steps."""

        def __init__(self) -> None:
            super().__init__(open_store())

    run_state_machine_as_test(
        Counted,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=not least,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Counted.steps >= least


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Callable[[], Store]:
    numbers = itertools.count()
    return lambda: SqliteStore(tmp_path / f"{next(numbers)}.db")


@pytest.fixture
def postgres_store(postgres_server: Postgres) -> Callable[[], Store]:
    return lambda: PostgresStore(postgres_server.url(postgres_server.new_database()))


def test_a_few_histories_in_memory() -> None:
    check_histories(MemoryStore, 6, 40)


def test_a_few_histories_on_sqlite(sqlite_store: Callable[[], Store]) -> None:
    check_histories(sqlite_store, 4, 35)


def test_a_few_histories_on_postgresql(postgres_store: Callable[[], Store]) -> None:
    check_histories(postgres_store, 3, 40)


@pytest.mark.parametrize("number", [0, 1])
def test_a_key_of_an_approved_action_at_both_at_once(number: int) -> None:
    machine = StateMachine(MemoryStore())
    ask = Ask(FRESH, "acme", "c1", "pay", "u2", "bot2", "r2", "c_1", "one", 1, 0, dry_run=False)
    machine.authorize(number=number, ask=ask)
    machine.all_agree_to_the_newest(number=number)
    machine.authorize_at_both_at_once(ask=ask)
    machine.teardown()  # checks all state
    assert machine.reference.keys


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_many_histories_in_memory() -> None:
    check_histories(MemoryStore, 220, 60, least=SOAK_STEPS)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_many_histories_on_sqlite(sqlite_store: Callable[[], Store]) -> None:
    check_histories(sqlite_store, 220, 60, least=SOAK_STEPS)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_many_histories_on_postgresql(postgres_store: Callable[[], Store]) -> None:
    check_histories(postgres_store, 220, 60, least=SOAK_STEPS)
