"""Looks at the first bytes of inputs at submit: how they are compressed, and whether they can be text at all.

An input that would be cut is looked at here, for a compressed one cannot be entered in the middle. So is each local
file, which costs nothing. A small object elsewhere is read whole by its task, which looks at it then: ten thousand of
them would be ten thousand requests before the job starts.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from gomr.backends import Storage
from gomr.content import HEAD_BYTES, judged, no_text_message, why_no_text
from gomr.errors import Denied, NotFound, Unavailable, UnavailableError, UsageError
from gomr.model import SPOOLED, Input

# More than hides the round trip to a bucket, few enough for any server.
LOOKS_AT_A_TIME = 16
HERE = ("file://", SPOOLED)


def looked_at(
    inputs: Sequence[Input],
    locate: Callable[[str], tuple[Storage, str]],
    *,
    split: str,
    split_bytes: int,
    text: bool,
    all_of_them: bool = False,
) -> list[Input]:
    """Return the inputs with their compression, where they were looked at.

    `split` says where they may be cut ("lines", "records", "none"), and `text` whether the job reads text.
    Raises UsageError for what is plainly no text, and UnavailableError for what cannot be read.
    """

    def is_wanted(item: Input) -> bool:
        is_cut = item.size > split_bytes and split != "none"
        return all_of_them or is_cut or item.url.startswith(HERE)

    def look(item: Input, place: tuple[Storage, str] | None) -> Input:
        if place is None:
            return item
        head = _head(item, *place)
        compression = judged(item.shown, head, split)
        problem = "" if compression or not text else why_no_text(head)
        if problem:
            raise UsageError(no_text_message(item.shown, problem))
        return replace(item, compression=compression)

    with ThreadPoolExecutor(LOOKS_AT_A_TIME, "look") as pool:
        places = [locate(item.url) if is_wanted(item) else None for item in inputs]
        return list(pool.map(look, inputs, places))


def _head(item: Input, storage: Storage, key: str) -> bytes:
    if not item.size:
        return b""
    try:
        return storage.read(key, 0, HEAD_BYTES)
    except NotFound as error:
        raise UsageError(f"{item.shown}: no such input: it was deleted while the job was submitted") from error
    except (Denied, Unavailable) as error:
        raise UnavailableError(f"{item.shown}: cannot be read: {error}") from error
