"""Placet beside Cerbos and OPA: the same question, the same load, in the same rounds."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final

from tests.bench import load, opa_query, programs, raw_load
from tests.bench.lines import measured, plain
from tests.bench.peers.cerbos_server import VERSION, cerbos
from tests.bench.peers.opa_server import opa
from tests.bench.peers.question import ANSWERS, Question, ask_placet
from tests.bench.raw_load import Sending
from tests.bench.rounds import take_turns
from tests.bench.state import CALLERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.bench.checkouts import Checkout
    from tests.bench.lines import Line
    from tests.bench.load import Amount, Load
    from tests.bench.rounds import Case, Rounds

CERBOS: Final = f"Cerbos {VERSION}"
CERBOS_LOG: Final = f"{CERBOS} with its decision log in a file"
OPA: Final = "OPA"
OPA_LOG: Final = "OPA with its decision log in a file"
OPA_PLACET: Final = "OPA with Placet's policy"
QUESTION: Final = Question()
STREAMS: Final = 4
"""Streams of ghz at once. Each has an equal part of the calls in flight."""


def peers(folder: Path, checkouts: Sequence[Checkout], amount: Amount, rounds: int) -> Iterator[Line]:
    """Compare unary calls and streams of each checkout with the peers."""
    many, one = Sending(CALLERS, amount.seconds), Sending(1, amount.seconds)
    cases: dict[str, Case] = {}
    with contextlib.ExitStack() as stack:
        plain_cerbos = stack.enter_context(cerbos(folder))
        logged_cerbos = stack.enter_context(cerbos(folder, folder / "cerbos-decisions.log"))
        plain_opa = stack.enter_context(opa(folder / "opa.log"))
        logged_opa = stack.enter_context(opa(folder / "decisions.log", more=["--set", "decision_logs.console=true"]))
        query = opa_query.record(_made(folder / "query"))
        full_opa = stack.enter_context(opa(folder / "full.log", query.bundle))
        for ask in (plain_cerbos.ask, logged_cerbos.ask, plain_opa.ask, logged_opa.ask):
            require_answers(ask)
        cases |= {
            f"{CERBOS}, ghz": lambda: measures(plain_cerbos.ghz(QUESTION, CALLERS, amount)),
            f"{CERBOS}, many": lambda: measures(plain_cerbos.unary(QUESTION, many)),
            f"{CERBOS}, one": lambda: measures(plain_cerbos.unary(QUESTION, one)),
            f"{CERBOS_LOG}, many": lambda: measures(logged_cerbos.unary(QUESTION, many)),
            f"{OPA}, many": lambda: measures(plain_opa.post(QUESTION, many)),
            f"{OPA}, one": lambda: measures(plain_opa.post(QUESTION, one)),
            f"{OPA_LOG}, many": lambda: measures(logged_opa.post(QUESTION, many)),
            f"{OPA_PLACET}, many": lambda: measures(full_opa.post_query(query, many)),
        }
        for checkout in checkouts:
            server = stack.enter_context(programs.placet(checkout=checkout))
            require_answers(partial(ask_placet, server.address))
            cases |= {
                f"{checkout.name}, {name}": case for name, case in _cases(checkout, server.address, amount).items()
            }
        result = take_turns(cases, rounds)
    yield from _peers(result)
    for checkout in checkouts:
        yield from (line.of(checkout.name) for line in _compared(result, checkout.name))


def require_answers(ask: Callable[[Question], bool]) -> None:
    """Raise AssertionError unless a peer answers all questions as the others do."""
    for question, allowed in ANSWERS.items():
        answer = ask(question)
        assert answer == allowed, f"{ask!r} answers {answer} to {question}, but {allowed} is right"


def _cases(checkout: Checkout, address: str, amount: Amount) -> dict[str, Case]:
    many, one = Sending(CALLERS, amount.seconds), Sending(1, amount.seconds)
    cases: dict[str, Case] = {
        "ghz": lambda: measures(load.unary(address, CALLERS, amount)),
        "many": lambda: measures(raw_load.unary(address, many)),
        "one": lambda: measures(raw_load.unary(address, one)),
    }
    if checkout.streams:
        cases["stream"] = lambda: measures(raw_load.stream(address, many))
        cases["ghz stream"] = lambda: measures(load.streams(address, STREAMS, CALLERS // STREAMS, amount))
    return cases


def _peers(result: Rounds) -> Iterator[Line]:
    for name in (CERBOS, CERBOS_LOG, OPA, OPA_LOG, OPA_PLACET):
        yield plain(f"{name}, 32 callers", result.spread(f"{name}, many", "per_second"), "calls/s")
    yield plain(f"{CERBOS}, 32 callers, by ghz", result.spread(f"{CERBOS}, ghz", "per_second"), "calls/s")
    for name in (CERBOS, OPA):
        yield plain(f"{name}, p50 at 1 caller", result.spread(f"{name}, one", "p50_ms"), "ms")


def _compared(result: Rounds, checkout: str) -> Iterator[Line]:
    """Yield the lines of one checkout. Each ratio is of figures of the same load generator."""

    def compared(name: str, case: str, floor: str, target: str = "", measure: str = "per_second") -> Line:
        case, unit = f"{checkout}, {case}", {"per_second": "calls/s", "p50_ms": "ms"}[measure]
        values = result.spread(case, measure), result.spread(floor, measure)
        return measured(name, values[0], unit, values[1], result.ratio(case, floor, measure), target)

    yield compared(f"unary, 32 callers / {CERBOS}, by ghz", "ghz", f"{CERBOS}, ghz", ">= 0.45x")
    if f"{checkout}, stream" in result.results[0]:
        target = ">= 0.8x"
        yield compared(
            f"AuthorizeStream, at most 32 in flight / {CERBOS}, unary, by ghz", "ghz stream", f"{CERBOS}, ghz", target
        )
        yield compared(f"AuthorizeStream, 32 in flight / {CERBOS}, unary", "stream", f"{CERBOS}, many", target)
    for peer in (CERBOS, CERBOS_LOG, OPA, OPA_LOG, OPA_PLACET):
        yield compared(f"unary, 32 callers / {peer}", "many", f"{peer}, many")
    yield compared(f"p50 at 1 caller / {CERBOS}", "one", f"{CERBOS}, one", measure="p50_ms")


def measures(result: Load) -> dict[str, float]:
    """Return what is compared."""
    return {"per_second": result.per_second, "p50_ms": result.p50_ms}


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
