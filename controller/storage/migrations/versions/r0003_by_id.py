"""Usage is counted by who a caller is, not by what it is called; and what was given out says by whom, likewise."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0003"
down_revision = "r0002"

_CALLER = """
    CASE kind
        WHEN 'key' THEN 'key:' || key_id
        WHEN 'person' THEN 'person:' || user_id
        WHEN 'address' THEN 'address:' || coalesce(
            (SELECT min(id) FROM allowed WHERE label = caller HAVING count(*) = 1), 'access.yaml/' || caller)
        ELSE kind || ':' || caller
    END
"""
_GIVER = """
    CASE (SELECT count(*) FROM users WHERE name = {table}.by) + (SELECT count(*) FROM keys WHERE name = {table}.by)
        WHEN 1 THEN coalesce(
            (SELECT 'person:' || id FROM users WHERE name = {table}.by),
            (SELECT 'key:' || id FROM keys WHERE name = {table}.by))
        ELSE 'operator'
    END
"""
"""Where a label names one person or key, it is theirs. What nobody can be found for is the operator's to answer for."""


def upgrade() -> None:
    """Add `caller_id` to `usage` and `usage_daily`, and `giver` to `invites`, `keys`, `allowed` and `resets`."""
    _add("usage", "caller_id", after="caller")
    op.execute(f"UPDATE usage SET caller_id = {_CALLER}")  # noqa: S608 - our own text
    op.create_index("ix_usage_caller_id", "usage", ["caller_id"])
    _count_by_id()
    for table in ("invites", "keys", "allowed", "resets"):
        _add(table, "giver")
        op.execute(f"UPDATE {table} SET giver = {_GIVER.format(table=table)}")  # noqa: S608 - our own text


def _add(table: str, column: str, after: str | None = None) -> None:
    with op.batch_alter_table(table, recreate="always") as batch:
        batch.add_column(sa.Column(column, sa.Text(), nullable=False, server_default=""), insert_after=after)
    with op.batch_alter_table(table, recreate="always") as batch:
        batch.alter_column(column, server_default=None, existing_type=sa.Text(), existing_nullable=False)


def _count_by_id() -> None:
    """SQLite makes no other primary key of a table that is there."""
    sums = ("requests", "failed", "prompt_tokens", "answer_tokens", "estimated")
    op.rename_table("usage_daily", "usage_daily_before")
    op.create_table(
        "usage_daily",
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("day", "kind", "caller", "caller_id", "key_id", "user_id", "model")
        ),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in sums),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("waited", "seconds")),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("bytes_in", "bytes_out")),
        sa.PrimaryKeyConstraint(
            "day", "kind", "caller", "caller_id", "key_id", "user_id", "model", name="pk_usage_daily"
        ),
    )
    rest = "key_id, user_id, model, requests, failed, prompt_tokens, answer_tokens, estimated, waited, seconds"
    op.execute(
        f"INSERT INTO usage_daily SELECT day, kind, caller, {_CALLER}, {rest}, bytes_in, bytes_out "  # noqa: S608
        "FROM usage_daily_before"
    )
    op.drop_table("usage_daily_before")
