"""Every table. What is here and what the migrations make of an empty file are the same, which a test holds us to.

Portable SQL only: PostgreSQL is to join. Moments are seconds since the epoch, sizes are bytes.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Integer, MetaData, Table, Text

METADATA = MetaData(
    naming_convention={  # so that a later migration can name what it changes
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

LEARNED = Table(
    "learned",
    METADATA,
    Column("runner", Text, primary_key=True),  # its key
    Column("name", Text, nullable=False),  # it was last asked for by, for people
    Column("load_seconds", Double),
    Column("tokens_rate", Double),
    Column("prompt_rate", Double),
    Column("answer_seconds", Double),
    Column("memory", BigInteger),
    Column("loads", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("updated_at", Double, nullable=False),
)
"""What experience says of each runner: `residency/learned.py` says what the figures mean."""
