from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bench.peers.comparison import require_answers
from tests.bench.peers.opa_server import opa
from tests.bench.peers.question import ANSWERS, Question

if TYPE_CHECKING:
    from pathlib import Path


def test_the_policy_for_opa_alone_answers_all_questions(tmp_path: Path) -> None:
    with opa(tmp_path / "opa.log") as server:
        require_answers(server.ask)


def test_a_peer_that_answers_one_question_differently_is_not_measured() -> None:
    def generous(question: Question) -> bool:
        return ANSWERS[question] or question.role == "support"

    with pytest.raises(AssertionError, match=r"answers True to .*role='support'.* but False is right"):
        require_answers(generous)
