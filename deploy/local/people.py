"""Sample organisations, the people who act for them, and their e-Certs."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Organisation:
    """A subscriber, or an organisation that could become one. The BRN is its business registration number."""

    id: str
    name: str
    name_zh: str
    brn: str
    branch: str


@dataclass(frozen=True, kw_only=True)
class Person:
    """An Authorised Representative of one organisation."""

    id: str
    organisation: Organisation
    name: str
    name_zh: str
    email: str
    address: tuple[str, ...]


class ECertClass(StrEnum):
    """Classes of e-Certs, as the client sub-CAs name them inside a certificate."""

    ORGANISATIONAL = "Hongkong Post e-Cert (Organisational)"
    PERSONAL = "Hongkong Post e-Cert (Personal)"
    ENCIPHERMENT = "Hongkong Post e-Cert (Encipherment)"


# The CA's class OIDs are not published in one place; these are invented, under the arc of its practice statements.
POLICY_OIDS: Final = {
    ECertClass.ORGANISATIONAL: "1.3.6.1.4.1.16030.1.1.99.2",
    ECertClass.PERSONAL: "1.3.6.1.4.1.16030.1.1.99.1",
    ECertClass.ENCIPHERMENT: "1.3.6.1.4.1.16030.1.1.99.3",
}
# The sub-CA of Mutual Recognition certificates, and their additional policy.
MUTUAL_RECOGNITION_CA: Final = "ca-2-15"
MUTUAL_RECOGNITION_OID: Final = "2.16.344.8.2.2008.810.2.2015.1.1"


@dataclass(frozen=True, kw_only=True)
class SampleECert:
    """A sample e-Cert: its holder, class and sub-CA, and its fault, if any."""

    file: str
    person: Person
    srn: str
    what: str
    ecert_class: ECertClass = ECertClass.ORGANISATIONAL
    issuer: str = "ca-2-17"
    revoked: bool = False
    registered: bool = True
    begins_days_ago: int = 60
    ends_in_days: int = 670


HARBOUR: Final = Organisation(
    id="harbour-lights",
    name="Harbour Lights Trading Limited",
    name_zh="海港燈飾貿易有限公司",
    brn="61402957",
    branch="Information Technology",
)
LION_ROCK: Final = Organisation(
    id="lion-rock",
    name="Lion Rock Logistics (Hong Kong) Limited",
    name_zh="獅子山物流(香港)有限公司",
    brn="58830416",
    branch="Head Office",
)
ORCHID: Final = Organisation(
    id="peak-orchid",
    name="Peak Orchid Hotels Limited",
    name_zh="山頂蘭酒店有限公司",
    brn="70218845",
    branch="Head Office",
)

CHAN: Final = Person(
    id="chan-mei-ling",
    organisation=HARBOUR,
    name="CHAN Mei Ling",
    name_zh="陳美玲",
    email="meiling.chan@harbourlights.example.hk",
    address=("Flat B, 12/F, Harbour Lights Centre", "88 Des Voeux Road Central", "Central", "Hong Kong"),
)
WONG: Final = Person(
    id="wong-ka-ho",
    organisation=HARBOUR,
    name="WONG Ka Ho",
    name_zh="黃家豪",
    email="kaho.wong@harbourlights.example.hk",
    address=("Unit 1805, Tower 2, Millennium Plaza", "418 Kwun Tong Road", "Kwun Tong, Kowloon", "Hong Kong"),
)
LEE: Final = Person(
    id="lee-siu-fong",
    organisation=LION_ROCK,
    name="LEE Siu Fong",
    name_zh="李小芳",
    email="siufong.lee@lionrock.example.hk",
    address=("5/F, Lion Rock Logistics Building", "21 Container Port Road South", "Kwai Chung, N.T.", "Hong Kong"),
)
HO: Final = Person(
    id="ho-chi-wai",
    organisation=LION_ROCK,
    name="HO Chi Wai",
    name_zh="何志偉",
    email="chiwai.ho@lionrock.example.hk",
    address=("Shop 3, G/F, Wai Shing House", "160 Castle Peak Road", "Yuen Long, N.T.", "Hong Kong"),
)
LAM: Final = Person(
    id="lam-yuk-lan",
    organisation=ORCHID,
    name="LAM Yuk Lan",
    name_zh="林玉蘭",
    email="yuklan.lam@peakorchid.example.hk",
    address=("99 Peak Road", "The Peak", "Hong Kong"),
)

# The enrolled people; the third organisation never enrolled.
ENROLLED: Final = (CHAN, WONG, LEE, HO)
SUBSCRIBERS: Final = (HARBOUR, LION_ROCK)

SAMPLES: Final = (
    SampleECert(file="chan-mei-ling", person=CHAN, srn="0001245001", what="good; acts for Harbour Lights"),
    SampleECert(file="wong-ka-ho", person=WONG, srn="0001245002", what="good; acts for Harbour Lights too"),
    SampleECert(file="lee-siu-fong", person=LEE, srn="0001245003", what="good; acts for Lion Rock"),
    SampleECert(file="ho-chi-wai-revoked", person=HO, srn="0001245004", what="revoked", revoked=True),
    SampleECert(
        file="lam-yuk-lan-not-enrolled", person=LAM, srn="0001245005", what="of an organisation that is not enrolled"
    ),
    SampleECert(
        file="chan-mei-ling-personal",
        person=CHAN,
        srn="0001245006",
        what="e-Cert (Personal)",
        ecert_class=ECertClass.PERSONAL,
    ),
    SampleECert(
        file="chan-mei-ling-encipherment",
        person=CHAN,
        srn="0001245007",
        what="e-Cert (Encipherment)",
        ecert_class=ECertClass.ENCIPHERMENT,
    ),
    SampleECert(
        file="wong-ka-ho-expired",
        person=WONG,
        srn="0001245008",
        what="expired",
        begins_days_ago=760,
        ends_in_days=-30,
    ),
    SampleECert(
        file="lee-siu-fong-mutual-recognition",
        person=LEE,
        srn="0001245009",
        what="mutual recognition, of the sibling sub-CA 2 - 15",
        issuer=MUTUAL_RECOGNITION_CA,
    ),
    SampleECert(
        file="lee-siu-fong-renewed",
        person=LEE,
        srn="0001245003",
        what="good; renews the first one of Lion Rock, and is registered at its first sign-in",
        registered=False,
        begins_days_ago=1,
        ends_in_days=729,
    ),
)
