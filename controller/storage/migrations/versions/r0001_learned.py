"""What was learned of each runner."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0001"
down_revision = None


def upgrade() -> None:
    """Make `learned`."""
    op.create_table(
        "learned",
        sa.Column("runner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("load_seconds", sa.Double()),
        sa.Column("tokens_rate", sa.Double()),
        sa.Column("prompt_rate", sa.Double()),
        sa.Column("answer_seconds", sa.Double()),
        sa.Column("memory", sa.BigInteger()),
        sa.Column("loads", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("runner", name="pk_learned"),
    )
