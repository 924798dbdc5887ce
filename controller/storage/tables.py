"""Every table, as after `REVISION`: a new file is made from here. The migrations make the same of an empty one, which a
test holds us to.

Portable SQL only: PostgreSQL is to join. Moments are seconds since the epoch, sizes are bytes.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

REVISION = "r0003"

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

# --- the door: `auth/rows.py` says what the columns mean ---

NUMBER = BigInteger().with_variant(Integer, "sqlite")  # which counts up by itself in an INTEGER primary key alone

INVITES = Table(
    "invites",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("label", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("by", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("revoked_at", Double),
    Column("giver", Text, nullable=False),  # an identity: it outlives its row, so no foreign key
)

USERS = Table(
    "users",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("folded", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("password", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("by", Text, nullable=False),
    Column("lane", Double),
    Column("models", JSON, nullable=False),
    Column("per_minute", Integer),
    Column("running", Integer),
    Column("waiting", Integer),
    Column("invite_id", Text, ForeignKey("invites.id")),
    Column("password_at", Double),
    Column("disabled", Boolean, nullable=False),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("device", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("started_from", Text, nullable=False),
    Column("proven_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("used_at", Double, nullable=False),
    Column("used_from", Text, nullable=False),
)

KEYS = Table(
    "keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    Column("last4", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), index=True),
    Column("lane", Double, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("models", JSON, nullable=False),
    Column("cidrs", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("by", Text, nullable=False),
    Column("default_model", Text, nullable=False),
    Column("per_minute", Integer),
    Column("running", Integer),
    Column("waiting", Integer),
    Column("expires_at", Double),
    Column("paused", Boolean, nullable=False),
    Column("revoked_at", Double),
    Column("used_at", Double),
    Column("used_from", Text, nullable=False),
    Column("giver", Text, nullable=False),
)

ALLOWED = Table(
    "allowed",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("label", Text, nullable=False),
    Column("cidr", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("lane", Double, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("models", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("by", Text, nullable=False),
    Column("expires_at", Double),
    Column("used_at", Double),
    Column("hits", Integer, nullable=False),
    Column("giver", Text, nullable=False),
)

RESETS = Table(
    "resets",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), index=True),
    Column("created_at", Double, nullable=False),
    Column("by", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("giver", Text, nullable=False),
)

USAGE = Table(
    "usage",
    METADATA,
    Column("id", NUMBER, primary_key=True),
    Column("at", Double, nullable=False, index=True),
    Column("request", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("caller_id", Text, nullable=False, index=True),
    Column("key_id", Text, nullable=False, index=True),  # no foreign key: what was used outlives who used it
    Column("user_id", Text, nullable=False, index=True),
    Column("model", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("lane", Double, nullable=False),
    Column("waited", Double),
    Column("loaded", Double),
    Column("first_byte", Double),
    Column("seconds", Double, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("answer_tokens", BigInteger, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
)

USAGE_DAILY = Table(
    "usage_daily",
    METADATA,
    Column("day", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("caller", Text, primary_key=True),
    Column("caller_id", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("answer_tokens", BigInteger, nullable=False),
    Column("estimated", BigInteger, nullable=False),
    Column("waited", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("before", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
