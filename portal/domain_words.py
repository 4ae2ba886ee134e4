"""Words for domain control: what the CA saw of a domain, why that is not enough, and what to change."""

from collections.abc import Mapping
from typing import Any, Final

from portal.languages import N_, day, gettext

_OURS: Final = N_(
    "The CA’s own observers did not answer. Nothing is wrong with your domain: check again in a few minutes."
)
_GENERAL: Final = N_("It could not be checked. Check again in a few minutes; if this stays, contact us.")
_EVIDENCE: Final = N_(
    "The CA verifies the details of your organisation once more. You need not do anything: we contact you if a paper "
    "is missing."
)

REASONS: Final = {
    "not-proved": N_("It has not been checked yet. Put the value in place, then choose Check now."),
    "record-missing": N_(
        "Neither record nor file was found. Check the name of the record. A new record may take an hour until it is "
        "seen everywhere."
    ),
    "another-value": N_(
        "A record or file was found, but it holds another value. Compare it letter by letter with the one to publish."
    ),
    "not-corroborated": N_(
        "The CA sees it, but too few of its observers in other parts of the world do. Wait until all your name servers "
        "have it and answer everywhere, then check again."
    ),
    "value-expired": N_("The value was older than 30 days. Put the new one in its place."),
    "dns-bogus": N_(
        "The domain’s DNSSEC signatures are not valid. Have the zone signed again, or correct the DS record at your "
        "registrar."
    ),
    "dns-timeout": N_("The domain’s name servers did not answer in time. Check that they can be reached from abroad."),
    "dns-servfail": N_("The domain’s name servers cannot answer (SERVFAIL). Have them put right."),
    "dns-refused": N_("The domain’s name servers refuse to answer (REFUSED). Have them put right."),
    "dns-malformed": N_("The answer of the domain’s name servers cannot be read. Have them put right."),
    "too-long-a-chain": N_("Too many CNAME records follow one another. Make fewer of them."),
    "too-many-records": N_("There are too many records of this name. Delete those that nobody needs any more."),
    "too-large": N_("The answer is too large. The record or file must hold the value alone."),
    "name-without-address": N_("The domain has no address, so the file cannot be fetched. Use the TXT record instead."),
    "address-forbidden": N_(
        "The domain’s address is not a public one, so the file cannot be fetched. Use the TXT record instead."
    ),
    "connection-failed": N_("The web server cannot be reached on port 80. Open it, or use the TXT record instead."),
    "http-status": N_("The web server does not have the file at this address: its answer must be 200."),
    "http-malformed": N_("The answer of the web server cannot be read. Use the TXT record instead."),
    "redirect-forbidden": N_(
        "The web server redirects to an address that is not allowed. Serve the file at the address itself."
    ),
    "too-many-redirects": N_("The web server redirects too many times. Serve the file at the address itself."),
    "fetch-timeout": N_("The web server did not send the file in time."),
    "perspective-fault": _OURS,
    "perspective-busy": _OURS,
    "perspective-refused": _OURS,
    "perspective-unavailable": _OURS,
    "perspective-unreadable": _OURS,
    "perspective-timed-out": _OURS,
    "not-checked": N_("The CAA records are about to be looked at again: this happens by itself."),
    "caa-lookup-failed": N_(
        "The domain’s CAA records cannot be read, and without an answer no certificate may be issued. Have the name "
        "servers put right."
    ),
    "caa-unknown-critical-tag": N_(
        "A CAA record is marked as critical and has a tag that the CA does not know. Delete it, or change its 128 to 0."
    ),
    "caa-other-issuer": N_(
        "The domain’s CAA records permit other CAs only. Add one that permits this CA; the others may stay."
    ),
    "caa-forbids-all": N_("The domain’s CAA records permit no CA. Add one that permits this CA."),
    "caa-value-unparsable": N_("The value of a CAA record is not valid. Correct it, so that it permits this CA."),
    "caa-parameter-unusable": N_("The CAA record has parameters that are not valid. Leave them out."),
    "caa-other-account": N_("The CAA record names another account. Leave out “accounturi”."),
    "caa-other-method": N_("The CAA record permits other ways of proof only. Leave out “validationmethods”."),
    "caa-forbids": N_("The domain’s CAA records do not permit this certificate."),
}

PLACES: Final = {
    "txt": N_("TXT record"),
    "cname": N_("CNAME record"),
    "file": N_("File"),
    "caa": N_("CAA records"),
}

# Reasons of CAA that a record with our issuer domain ends.
_RECORD_HELPS: Final = (
    "caa-other-issuer",
    "caa-forbids-all",
    "caa-value-unparsable",
    "caa-parameter-unusable",
    "caa-other-account",
    "caa-other-method",
)
_ISSUE_TAGS: Final = ("issue", "issuewild")


def reason(slug: str) -> str:
    """Return why control of a domain is not proved, or why CAA forbids, with what to do."""
    return gettext(REASONS.get(slug, _GENERAL))


def obstacle(found: Mapping[str, Any]) -> str:
    """Return what an obstacle of an order means."""
    return gettext(_EVIDENCE) if found["kind"] == "evidence" else reason(found["reason"])


def permitting_record(forbidding: Mapping[str, Any], issuer_domain: str) -> str | None:
    """Return the CAA record that would permit the certificate, as in a zone file; None where none would."""
    if forbidding["reason"] not in _RECORD_HELPS:
        return None
    owner, found, rest = (forbidding["record"] or "").partition(" CAA ")
    if not found:
        owner = forbidding["server_name"].removeprefix("*.")
    tag = next((tag for tag in rest.split(" ")[1:2] if tag in _ISSUE_TAGS), "issue")
    return f'{owner} CAA 0 {tag} "{issuer_domain}"'


def domain_state(domain: Mapping[str, Any]) -> str:
    """Return the state of a domain: what is under way first, then whether it is proved."""
    if domain["state"] == "checking":
        return gettext("Being checked")
    return gettext("Proved") if domain["proved_at"] else gettext("Not proved yet")


def file_suffices(domain: Mapping[str, Any]) -> bool:
    """Return whether a file on the web server proves all that is wanted: it proves no wildcard (BR 3.2.2.4.18)."""
    return not any(name.startswith("*.") for name in domain["server_names"])


def place(kind: str) -> str:
    """Return the name of a place where the CA looked."""
    return gettext(PLACES.get(kind, kind))


def observers(quorum: str | None) -> str:
    """Return how many of the other observers saw the same, of a text such as 4/5; an empty text if none was asked."""
    seen, _, total = (quorum or "").partition("/")
    return gettext("%(seen)s of %(total)s") % {"seen": seen, "total": total} if total else ""


def status(control: Any) -> str:
    """Return how far a renewal's domains are, in a few words."""
    if control.checking:
        return gettext("Being checked")
    if control.forbidden:
        return gettext("A CAA record forbids it")
    if control.complete:
        return gettext("All proved until %(day)s") % {"day": day(control.until)}
    if not control.begun:
        return gettext("Not begun")
    return gettext("%(proved)s of %(all)s proved") % {"proved": control.proved, "all": control.domains}


def task_status(control: Any) -> dict[str, Any]:
    """Return the status of a task list's row; `control` is None if it is not known."""
    if control is None:
        return {"text": gettext("Not known just now")}
    if control.complete and not control.checking:
        return {"text": status(control)}
    return {"tag": {"text": status(control), "classes": tag(control)}}


def tag(control: Any) -> str:
    """Return the class of the tag with the status, which says the same in a colour."""
    if control.checking:
        return "govuk-tag--yellow"
    if control.forbidden:
        return "govuk-tag--red"
    return "govuk-tag--green" if control.complete else "govuk-tag--blue"
