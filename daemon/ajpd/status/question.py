"""What somebody wants of the status page, read from a query string and a submitted form.

Names and their meaning are mod_jk's, so that scripts go on as they are. Nothing is done here, and
nothing of the daemon is known.

Source: mod_jk `jk_status.c` `service`, `parse_uri`. Differs: text is escaped where it is shown, not
masked where it is read; a form counts like the query string; `json` is one more form of the answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag, StrEnum
from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ["Command", "Form", "Hide", "Question", "QuestionError", "read_question"]

#: The longest pause between two refreshes that is believed, in seconds.
_MOST_REFRESH: Final = 86400


class Command(StrEnum):
    """What is to be done."""

    LIST = "list"
    SHOW = "show"
    EDIT = "edit"
    UPDATE = "update"
    RESET = "reset"
    RECOVER = "recover"
    VERSION = "version"
    DUMP = "dump"

    @property
    def changes(self) -> bool:
        """Something is another than before afterwards."""
        return self in (Command.UPDATE, Command.RESET, Command.RECOVER)

    @property
    def is_for_writers(self) -> bool:
        """Not for those who may only read."""
        return self.changes or self is Command.EDIT


class Form(StrEnum):
    """How the answer is written."""

    HTML = "html"
    XML = "xml"
    TXT = "txt"
    PROP = "prop"
    JSON = "json"


class Hide(IntFlag):
    """Bits of `opt`: what is left out."""

    NOTHING = 0
    MEMBERS = 0x0001
    MAPS = 0x0002
    LEGEND = 0x0004
    BALANCERS = 0x0008
    WORKERS = 0x0010
    #: Not a part: this page changes nothing.
    READ_ONLY = 0x0020
    BALANCER_SETTINGS = 0x0040
    SUMMARY = 0x0080
    WORKER_SETTINGS = 0x0100


class QuestionError(Exception):
    """It cannot be understood; the message is mod_jk's.

    Attributes:
        form: of the answer, as far as that was understood.
    """

    def __init__(self, text: str, form: Form) -> None:
        super().__init__(text)
        self.form = form


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is wanted.

    Attributes:
        command: to be done.
        form: of the answer.
        worker: `w`; None when it is not there.
        member: `sw`, of a balancer; None when it is not there.
        attribute: `att`: one attribute of all members.
        hide: `opt`.
        refresh_s: `re`: seconds after which a page loads itself again; 0 never.
        values: everything, by name.
    """

    command: Command = Command.LIST
    form: Form = Form.HTML
    worker: str | None = None
    member: str | None = None
    attribute: str | None = None
    hide: Hide = Hide.NOTHING
    refresh_s: int = 0
    values: Mapping[str, str] = field(default_factory=dict)


_COMMANDS: Final[Mapping[str, Command]] = {str(each): each for each in Command}
_FORMS: Final[Mapping[str, Form]] = {str(each): each for each in Form}


def read_question(query: bytes | None, submitted: Mapping[str, str]) -> Question:
    """Read a question.

    Args:
        query: as it was sent.
        submitted: fields of a form; they win over the query.

    Raises:
        QuestionError: it cannot be understood.
    """
    values = {**_parameters(query or b""), **submitted}
    form = _form(values.get("mime", ""))
    command = values.get("cmd", "") or Command.LIST
    if command not in _COMMANDS:
        raise QuestionError("Invalid command.", form or Form.PROP)
    if form is None:
        raise QuestionError("Invalid mime type.", Form.PROP)
    return Question(
        command=_COMMANDS[command],
        form=form,
        worker=values.get("w"),
        member=values.get("sw"),
        attribute=values.get("att"),
        hide=Hide(_number(values.get("opt", "")) & 0x1FF),
        refresh_s=min(_number(values.get("re", "")), _MOST_REFRESH),
        values=values,
    )


def _form(word: str) -> Form | None:
    if not word:
        return Form.HTML
    return _FORMS.get(word)


def _number(text: str) -> int:
    """As C's atoi, without a sign."""
    digits = ""
    for letter in text.strip()[:9]:
        if not ("0" <= letter <= "9"):
            break
        digits += letter
    return int(digits or "0")


def _parameters(query: bytes) -> dict[str, str]:
    """Names and values; the last one of a name counts, what has no name or no value does not."""
    found = {}
    for part in query.split(b"&"):
        name, equals, value = part.partition(b"=")
        if name and equals:
            found[_decoded(name)] = _decoded(value)
    return found


def _decoded(text: bytes) -> str:
    return unquote_to_bytes(text.replace(b"+", b" ")).decode("utf-8", "replace")
