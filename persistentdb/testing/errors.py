"""The errors of the fake driver, as PEP 249 has them."""

from __future__ import annotations

__all__ = [
    "DataError",
    "DatabaseError",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Warning",
]


class Warning(Exception):  # noqa: A001  PEP 249 has it so
    """As PEP 249 has it."""


class Error(Exception):
    """As PEP 249 has it.

    Args:
        *args: The message.
        code: What a server would say beside it. A known driver's error with a code of your own (a deadlock's, say) is
            no loss; `"unsent"` and `"closed"` prove that the request was never sent.
    """

    def __init__(self, *args: object, code: str | None = None) -> None:
        super().__init__(*args)
        self.code = code


class InterfaceError(Error):
    """As PEP 249 has it."""


class DatabaseError(Error):
    """As PEP 249 has it."""


class DataError(DatabaseError):
    """As PEP 249 has it."""


class OperationalError(DatabaseError):
    """As PEP 249 has it."""


class IntegrityError(DatabaseError):
    """As PEP 249 has it."""


class InternalError(DatabaseError):
    """As PEP 249 has it."""


class ProgrammingError(DatabaseError):
    """As PEP 249 has it."""


class NotSupportedError(DatabaseError):
    """As PEP 249 has it."""
