"""Languages of e-mails and letters: texts by gettext, dates and money by Babel."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from babel import dates, numbers
from babel.support import NullTranslations

from shared import i18n
from shared.vocabulary import Language, Product

HERE: Final = Path(__file__).parent
CATALOGS: Final = HERE / "translations"
LOCALES: Final[Mapping[Language, str]] = {
    Language.ENGLISH: i18n.SOURCE,
    Language.TRADITIONAL_CHINESE: "zh_Hant_HK",
    Language.SIMPLIFIED_CHINESE: "zh_Hans_HK",
}


def N_(text: str) -> str:
    """Mark a text for translation where it is used."""
    return text


PRODUCTS: Final[Mapping[str, str]] = {
    Product.STANDARD: N_("e-Cert (Server)"),
    Product.WILDCARD: N_("e-Cert (Server) with “Wildcard” feature"),
    Product.MULTI_DOMAIN: N_("e-Cert (Server) with “Multi-domain” feature"),
}
# Reason of a renewal's end without a certificate, as application announces it → text.
ENDINGS: Final[Mapping[str, str]] = {
    "cancelled": N_("It was cancelled on our web site. If that was not your wish, please call us at once."),
    "not-paid": N_("It was not paid in time."),
    "no-csr": N_("No Certificate Signing Request (CSR) came in time that a certificate could be issued for."),
    "not-issued": N_("Its certificates could not be issued in time."),
    "not-released": N_(
        "By now another Authorised Representative is on record for these certificates. They can apply with the form at "
        "any post office."
    ),
    "refused": N_("None of its certificates could be issued. The reasons are given below."),
}
_ENDED: Final = N_("Its certificates will not be issued. If you would like to know more, please call or write to us.")
# Cause of an item's refusal, as issuance announces it → text.
CAUSES: Final[Mapping[str, str]] = {
    "cancelled": N_("No certificate had been made for it yet when the renewal was to end."),
    "subject-not-certifiable": N_(
        "The name or place of your organisation on our records cannot stand in a certificate. Please contact us."
    ),
    "names-not-certifiable": N_(
        "Its server names can no longer stand in a certificate, such as an address, or a name that is not registered "
        "to you alone. Please contact us."
    ),
    "revoked": N_("We revoked it before you could have it. Please contact us."),
    "subscription-over": N_("The subscription would have ended before the certificate could begin."),
}
# Reason of a revocation, as in the CRL → text.
REVOCATIONS: Final[Mapping[str, str]] = {
    "keyCompromise": N_(
        "Reason: its private key is lost, or others may know it. The key is blocked for good: make a new one for the "
        "next certificate."
    ),
    "superseded": N_("Reason: another certificate has replaced it."),
    "cessationOfOperation": N_("Reason: the server or its name is no longer used."),
    "affiliationChanged": N_("Reason: the name or other details of the organisation have changed."),
    "privilegeWithdrawn": N_("Reason: the terms of the certificate were not kept, or it should not have been issued."),
}
_UNSPECIFIED: Final = N_("No reason was given.")
# Kind and reason of an obstacle, as issuance announces them → text.
_FORBIDS: Final = N_("A CAA record of its domain allows other certification authorities only.")
_CONDITION: Final = N_("A CAA record of its domain sets a condition that this certificate does not meet.")
_UNREADABLE: Final = N_("Its DNS records cannot be read: the name servers of the domain give no valid answer.")
_NOT_EVERYWHERE: Final = N_("Not all places of the Internet see the same DNS records or file for it.")
OBSTACLES: Final[Mapping[tuple[str, str], str]] = {
    ("validation", "record-missing"): N_("We found neither the DNS record nor the file that proves control of it."),
    ("validation", "another-value"): N_("The DNS record or file for it does not have the value of your renewal."),
    ("validation", "value-expired"): N_("The value for it was too old. Your renewal has a new one."),
    ("validation", "not-corroborated"): _NOT_EVERYWHERE,
    ("caa", "not-corroborated"): _NOT_EVERYWHERE,
    ("caa", "caa-other-issuer"): _FORBIDS,
    ("caa", "caa-forbids-all"): N_("A CAA record of its domain allows no certification authority."),
    ("caa", "caa-other-account"): _CONDITION,
    ("caa", "caa-other-method"): _CONDITION,
    ("caa", "caa-unknown-critical-tag"): _CONDITION,
    ("caa", "caa-parameter-unusable"): _CONDITION,
    ("caa", "caa-value-unparsable"): N_("A CAA record of its domain cannot be understood."),
    ("caa", "caa-lookup-failed"): _UNREADABLE,
    ("evidence", "authority-evidence-lapsed"): N_(
        "Our check that you may act for your organisation is too old to be relied on. Please contact us."
    ),
}
# For reasons that the table lacks, by kind; those of DNS are the same for both.
_OBSTACLES: Final[Mapping[str, str]] = {
    "validation": N_("Control of it is not proved yet."),
    "caa": N_("The CAA records of its domain do not permit the certificate."),
    "evidence": N_("Our check of your organisation is too old to be relied on. Please contact us."),
}
_MISSING: Final = N_("Something is missing for it. Please contact us.")
_REFUSED: Final = N_("It did not pass the checks before issuing. Please contact us.")


@dataclass(frozen=True)
class Wording:
    """Texts and formats of one language."""

    language: Language

    @property
    def translations(self) -> NullTranslations:
        """The translations of the language."""
        return i18n.translations(CATALOGS, LOCALES[self.language])

    def text(self, english: str, **values: object) -> str:
        """Return a text with its placeholders filled."""
        found: str = self.translations.gettext(english)
        return found % values if values else found

    def money(self, amount: Mapping[str, Any]) -> str:
        """Return an amount, given as `amount_minor` and `currency`, formatted."""
        places = numbers.get_currency_precision(amount["currency"])
        value = Decimal(amount["amount_minor"]).scaleb(-places)
        return numbers.format_currency(value, amount["currency"], locale=LOCALES[self.language])

    def day(self, day: date | str) -> str:
        """Return a date, formatted."""
        value = day if isinstance(day, date) else date.fromisoformat(str(day))
        return dates.format_date(value, "long", locale=LOCALES[self.language])

    def moment(self, moment: str) -> str:
        """Return a time in ISO 8601 as date and time of its zone, formatted."""
        at = datetime.fromisoformat(str(moment))
        clock = dates.format_time(at, "HH:mm", locale=LOCALES[self.language])
        return self.text(N_("%(day)s at %(time)s"), day=self.day(at.date()), time=clock)

    def revocation(self, reason: str) -> str:
        """Return why a certificate was revoked."""
        return self.text(REVOCATIONS.get(reason, _UNSPECIFIED))

    def product(self, product: str) -> str:
        """Return a product's name."""
        return self.text(PRODUCTS[product])

    def ending(self, reason: str) -> str:
        """Return why a renewal ended."""
        return self.text(ENDINGS.get(reason, _ENDED))

    def cause(self, cause: str) -> str:
        """Return why an item was refused."""
        return self.text(CAUSES.get(cause, _REFUSED))

    def obstacle(self, obstacle: Mapping[str, str]) -> str:
        """Return what stands between a CSR and its certificate, given as `kind` and `reason`."""
        kind, reason = obstacle["kind"], obstacle["reason"]
        default = _UNREADABLE if reason.startswith("dns-") else _OBSTACLES.get(kind, _MISSING)
        return self.text(OBSTACLES.get((kind, reason), default))


def texts() -> set[str]:
    """Return all texts of e-mails and letters, in English: what each catalog must contain."""
    return i18n.texts(HERE, templates="templates/**.jinja")
