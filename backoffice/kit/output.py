"""Output of `follow`: one line for each event and each finding, flushed before anything is recorded."""

import json
from collections.abc import Callable
from typing import TextIO

from backoffice.kit.order import Finding
from shared.events.base import Envelope
from shared.messaging import codec

Wanted = Callable[[Envelope], bool]


def printable(text: str) -> str:
    """Return the text with line ends and control sequences escaped, so that it cannot control a terminal."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


class Printer:
    """Printer of events. With `as_json` each line is the CloudEvent, as the feed serves it over HTTP."""

    def __init__(self, out: TextIO, *, as_json: bool, wanted: Wanted = lambda event: True) -> None:
        self._out = out
        self._as_json = as_json
        self._wanted = wanted
        self.findings = 0

    def __call__(self, what: Envelope | Finding) -> None:
        """Print an event or a finding, unless it is filtered out."""
        if isinstance(what, Finding):
            self.findings += 1
        elif not self._wanted(what):
            return
        self._out.write(self._line(what) + "\n")
        self._out.flush()

    def _line(self, what: Envelope | Finding) -> str:
        if self._as_json:
            # A finding may quote foreign text, so its escapes are escaped again. An event contains none.
            quotes = isinstance(what, Finding)
            document = what.as_json() if isinstance(what, Finding) else codec.to_json(what)
            return json.dumps(document, ensure_ascii=quotes, separators=(",", ":"))
        return printable(self._for_people(what))

    def _for_people(self, what: Envelope | Finding) -> str:
        if isinstance(what, Finding):
            return f"!! {what.kind}  {what.position or '-'}  {what.detail}"
        name, time = (
            what.type.removeprefix("hk.ecert.issuance.").rpartition(".")[0] or what.type,
            codec.attributes(what)["time"],
        )
        return f"{what.position:>8}  {time}  {name:24}  {what.subject}  {_about(what)}".rstrip()


def _about(event: Envelope) -> str:
    """Return an event's fields that a person looks for."""
    try:
        data = json.loads(event.data)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(data, dict):
        return ""
    words = [data.get("serial"), *(data.get("server_names") or []), data.get("reason")]
    return " ".join(str(word) for word in words if word)
