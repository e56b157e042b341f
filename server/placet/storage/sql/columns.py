"""The type of text columns, for the tables and for the migrations that make them."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

TEXT: Final = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""Text in the order of its bytes, in each engine alike. Any other order is the operating system's: an update of its C
library would leave PostgreSQL's indexes wrong, and a wrong index of idempotency keys would have one decided twice."""
