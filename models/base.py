"""Base class and column types shared by all tables."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from sqlalchemy import BigInteger, DateTime, Enum, Identity, MetaData, Numeric, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

Key = Annotated[int, mapped_column(BigInteger, Identity(), primary_key=True)]
Moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]
CreatedAt = Annotated[
    datetime, mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
]
Json = dict[str, Any]

# For `Mapped[State]` and other enums: stored as text, checked by a CHECK of the table.
ENUM = Enum(
    StrEnum,
    native_enum=False,
    create_constraint=False,
    length=None,
    values_callable=lambda words: [word.value for word in words],
)
MONEY = Numeric(14, 2)
QUANTITY = Numeric(14, 4)
PRICE = Numeric(14, 4)
PERCENT = Numeric(7, 4)


class Base(DeclarativeBase):
    # Constraints have predictable names, so that a later migration can alter them.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {Json: JSONB, int: BigInteger, StrEnum: ENUM}  # noqa: RUF012  (SQLAlchemy's own idiom)
