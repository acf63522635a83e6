"""Suggestions of a known name in the place of an unknown one."""

import difflib
from collections.abc import Collection, Mapping


def did_you_mean(
    name: object, known: Collection[str], aliases: Mapping[str, str] | None = None
) -> str:
    """Return a sentence that suggests a known name in the place of `name`, or "".

    Parameters
    ----------
    name : object
        The unknown name. The suggestion is empty if it is not a string.
    known : collection of str
    aliases : mapping of str to str, default=None
        Names that other libraries use, in lower case, and the known ones; "" where
        there is none. They come before the nearest name.
    """
    if not isinstance(name, str):
        return ""
    meant = (aliases or {}).get(name.lower())
    if meant is None:
        near = difflib.get_close_matches(name.lower(), sorted(known), n=1, cutoff=0.5)
        meant = near[0] if near else ""
    return f" Did you mean {meant!r}?" if meant in known else ""
