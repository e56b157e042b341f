"""How people name a counter."""

from __future__ import annotations

import pytest

from placet.budgets.listing import is_member, scope_key_form
from placet.budgets.model import Budget, Measure, Scope
from placet.budgets.windows import Window


@pytest.mark.parametrize("scope", list(Scope))
def test_the_form_that_is_told_is_one_that_there_may_be(scope: Scope) -> None:
    budget = Budget("b", scope, Measure.CALLS, 1, Window.DAY)
    assert is_member(budget, scope_key_form(budget).split()[-1])
