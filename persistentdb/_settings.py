"""What the caller sets on a steady connection, and set again on every new one (X3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from persistentdb._link import Link
from persistentdb._recovery import Operation, Pending, Recovery
from persistentdb._transactions import begin
from persistentdb.steady import SteadyConnection

__all__ = ["call_setting", "call_unsetting", "set_attribute"]


def set_attribute(steady: SteadyConnection[Any], name: str, value: object) -> None:
    """Set an attribute of the driver's connection, and of its successors."""

    def setting(connection: Any) -> None:
        setattr(connection, name, value)

    _apply(steady, setting)
    _remember(steady, (name,), setting)


def call_setting(
    steady: SteadyConnection[Any], name: str, key_length: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a method that sets something on the driver's connection, and on its successors.

    Args:
        steady: The connection.
        name: The driver's method.
        key_length: How many of the leading arguments tell one setting from another.
        args: For the driver's method.
        kwargs: For the driver's method.
    """

    def setting(connection: Any) -> Any:
        return getattr(connection, name)(*args, **kwargs)

    result = _apply(steady, setting)
    profile, key = steady.link.profile, _key(name, key_length, args, kwargs)
    if name in profile.permissions:
        _remember_permission(steady, name, profile.permissions[name], setting)
    elif name in profile.taken_back_by_none and (*args, *kwargs.values())[-1:] == (None,):
        steady._settings.pop(key, None)
    elif name not in profile.permissions.values() or key not in steady._settings:
        _remember(steady, key, setting)  # what was permitted stays where it was permitted
    return result


def call_unsetting(
    steady: SteadyConnection[Any], name: str, undone: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a method that takes back what another one set, so that it is not set again.

    Args:
        steady: The connection.
        name: The driver's method.
        undone: The method that had set it, with the same arguments.
        args: For the driver's method.
        kwargs: For the driver's method.
    """
    result = _apply(steady, lambda connection: getattr(connection, name)(*args, **kwargs))
    given = (*args, *kwargs.values())
    for key in [key for key in steady._settings if key[0] == undone and key[len(key) - len(given) :] == given]:
        del steady._settings[key]
    return result


def _key(name: str, key_length: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[object, ...]:
    return (name, len(args), *sorted(kwargs), *[*args, *kwargs.values()][:key_length])


def _remember(steady: SteadyConnection[Any], key: tuple[object, ...], setting: Callable[[Any], Any]) -> None:
    steady._settings.pop(key, None)  # the last one set is to be the last one set again
    steady._settings[key] = setting


def _remember_permission(
    steady: SteadyConnection[Any], name: str, permitted: str, setting: Callable[[Any], Any]
) -> None:
    """Remember that something was permitted, or no more, where it was: what came before it was done by another word."""
    related = [key for key in steady._settings if key[0] in (name, permitted)]
    if related and related[-1][0] == name:
        del steady._settings[related[-1]]  # nothing came of that
    steady._settings[name, len(related)] = setting


def _apply(steady: SteadyConnection[Any], setting: Callable[[Any], Any]) -> Any:
    """Do something to the driver's connection, or to a new one if that finds it dead."""
    link = steady.ready(None, None)
    before = link.profile.autocommit(link.connection)
    try:
        result = setting(link.connection)
    except BaseException as error:
        commits = link.profile.autocommit_commits
        if steady.settle(error, Operation.CURSOR, link, may_commit=commits) is not Recovery.RESEND:
            raise
        link = steady.link
        result = steady.once_more(lambda link: setting(link.connection))
    link.settings_changed(before)
    if link.profile.autocommit(link.connection) != before:
        link.whole = False  # some databases commit by that
    if link.pending is Pending.EXPLICIT and before is False and link.profile.autocommit(link.connection) is True:
        _begin_in_autocommit(steady, link)
    return result


def _begin_in_autocommit(steady: SteadyConnection[Any], link: Link) -> None:
    """Send what `begin()` had left to the driver, which opens no transaction by itself any more."""
    if link.drivers_begin is None:
        link.begun(by_sql=steady.once_more(lambda link: begin(link, (), {})))
