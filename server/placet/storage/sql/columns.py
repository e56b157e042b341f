"""The type of text columns, for the tables and the migrations."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

TEXT: Final = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""Text ordered by its bytes, on both engines. Any other order comes from the operating system: an update of its C
library would corrupt PostgreSQL's indexes, and a corrupt index of idempotency keys would let a key be decided twice."""
