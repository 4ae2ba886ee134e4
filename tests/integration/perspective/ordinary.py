"""Cases of every test run: what domains have, and the simplest faults of DNSSEC."""

from typing import Final

from dns.rdatatype import RdataType

from tests.integration.perspective.cases import NOT_PROVED, PERMITTED, PROVED, Table
from tests.integration.perspective.zones import (
    Zone,
    expired,
    insecure,
    not_yet_valid,
    replaced,
    spoilt,
    stripped,
    without,
    without_signatures,
    wrong_key,
)

TABLE: Final = Table("o")
row = TABLE.row

# CAA: whose records count (RFC 8659, 3).
row("no records anywhere", "www A 127.0.1.1", "caa www", "absent", PERMITTED, secure=True)
row("no records and no name", "", "caa www", "absent", PERMITTED, secure=True)
row("no records, unsigned", "www A 127.0.1.1", "caa www", "absent", PERMITTED, signing=insecure, secure=False)
row("us at the name", 'www CAA 0 issue "ca.example"', "caa www", "found", PERMITTED, secure=True)
row("us at the name, unsigned", 'www CAA 0 issue "ca.example"', "caa www", "found", PERMITTED, signing=insecure)
row("another CA at the name", 'www CAA 0 issue "other.example"', "caa www", "found", "caa-other-issuer", secure=True)
row("us at the parent", '@ CAA 0 issue "ca.example"', "caa www", "found", PERMITTED)
row("another CA at the parent", '@ CAA 0 issue "other.example"', "caa www", "found", "caa-other-issuer")
row("another CA far above", '@ CAA 0 issue "other.example"', "caa a.b.c.d", "found", "caa-other-issuer")
row(
    "the name's records win over its parent's",
    '@ CAA 0 issue ";"\nwww CAA 0 issue "ca.example"',
    "caa www",
    "found",
    PERMITTED,
)
row(
    "the parent of a name with records is not asked",
    '@ CAA 0 issue "ca.example"\nwww CAA 0 issue ";"',
    "caa www",
    "found",
    "caa-forbids-all",
)
row("a child's records do not count", 'a.www CAA 0 issue ";"', "caa www", "absent", PERMITTED)
row(
    "records of a zone above a delegation",
    '@ CAA 0 issue "other.example"',
    "caa www.sub",
    "found",
    "caa-other-issuer",
    more=[Zone("sub", "www A 127.0.1.1")],
)
row(
    "records of a zone below a delegation",
    '@ CAA 0 issue "other.example"',
    "caa www.sub",
    "found",
    PERMITTED,
    more=[Zone("sub", '@ CAA 0 issue "ca.example"')],
)

# CAA and aliases.
row(
    "CNAME to a name with records",
    'www CNAME t\nt CAA 0 issue "other.example"',
    "caa www",
    "found",
    "caa-other-issuer",
    secure=True,
)
row(
    "CNAME to a name without records: the alias's own parents count",
    '@ CAA 0 issue "ca.example"\nwww CNAME t.sub\nsub CAA 0 issue "other.example"\nt.sub A 127.0.1.1',
    "caa www",
    "found",
    PERMITTED,
)
row(
    "CNAME to no name: the alias's own parents count",
    '@ CAA 0 issue "other.example"\nwww CNAME nowhere',
    "caa www",
    "found",
    "caa-other-issuer",
)
row(
    "CNAME of the parent",
    'shop CNAME t\nt CAA 0 issue "other.example"\n',
    "caa a.shop",
    "found",
    "caa-other-issuer",
)
row(
    "wildcard's records",
    '*.shop CAA 0 issue "other.example"\n@ CAA 0 issue "ca.example"',
    "caa a.shop",
    "found",
    "caa-other-issuer",
    secure=True,
)
row(
    "wildcard does not apply to a name with other records",
    '*.shop CAA 0 issue "other.example"\na.shop A 127.0.1.1\n@ CAA 0 issue "ca.example"',
    "caa a.shop",
    "found",
    PERMITTED,
    secure=True,
)
row(
    "chain of 8 CNAMEs",
    "\n".join([f"c{n} CNAME c{n + 1}" for n in range(8)] + ['c8 CAA 0 issue ";"']),
    "caa c0",
    "found",
    "caa-forbids-all",
)
row(
    "chain of 9 CNAMEs",
    "\n".join([f"c{n} CNAME c{n + 1}" for n in range(9)] + ['c9 CAA 0 issue "ca.example"']),
    "caa c0",
    "too-long-a-chain",
    "too-long-a-chain",
)

# CAA: what the records say (RFC 8659, 4; RFC 8657).
row("issuewild for the wildcard", '@ CAA 0 issue ";"\n@ CAA 0 issuewild "ca.example"', "caa *.www", "found", PERMITTED)
row(
    "issuewild against the wildcard",
    '@ CAA 0 issue "ca.example"\n@ CAA 0 issuewild ";"',
    "caa *.www",
    "found",
    "caa-forbids-all",
)
row(
    "issuewild and an ordinary name", '@ CAA 0 issue "ca.example"\n@ CAA 0 issuewild ";"', "caa www", "found", PERMITTED
)
row("tag in capitals", '@ CAA 0 ISSUE "other.example"', "caa www", "found", "caa-other-issuer")
row(
    "unknown critical tag",
    '@ CAA 0 issue "ca.example"\n@ CAA 128 future "x"',
    "caa www",
    "found",
    "caa-unknown-critical-tag",
)
row("unknown tag, not critical", '@ CAA 0 future "x"', "caa www", "found", PERMITTED)
row("iodef alone", '@ CAA 0 iodef "mailto:a@shop.hk"', "caa www", "found", PERMITTED)
row("empty value", '@ CAA 0 issue ""', "caa www", "found", "caa-forbids-all")
row("value with a NUL", '@ CAA 0 issue "ca.exa\\000mple"', "caa www", "found", "caa-value-unparsable")
row("our account", '@ CAA 0 issue "ca.example; accounturi=acct:S1@ca.example"', "caa www", "found", PERMITTED)
row(
    "another account",
    '@ CAA 0 issue "ca.example; accounturi=acct:S2@ca.example"',
    "caa www",
    "found",
    "caa-other-account",
)
row("our method", '@ CAA 0 issue "ca.example; validationmethods=ca-tbr-7"', "caa www", "found", PERMITTED)
row("another method", '@ CAA 0 issue "ca.example; validationmethods=http-01"', "caa www", "found", "caa-other-method")
row(
    "set of 100 records",
    "\n".join(f'@ CAA 0 issue "ca{n}.example"' for n in range(99)) + '\n@ CAA 0 issue "ca.example"',
    "caa www",
    "found",
    PERMITTED,
)
row(
    "set of 101 records",
    "\n".join(f'@ CAA 0 issue "ca{n}.example"' for n in range(100)) + '\n@ CAA 0 issue "ca.example"',
    "caa www",
    "too-many-records",
    "too-many-records",
)

# TXT and CNAME records that prove control.
row("TXT with the value", "_validation.www TXT {value}", "txt _validation.www", "found", PROVED, secure=True)
row(
    "TXT with the value, unsigned",
    "_validation.www TXT {value}",
    "txt _validation.www",
    "found",
    PROVED,
    signing=insecure,
    secure=False,
)
row(
    "TXT in two strings",
    '_validation.www TXT "abcdefghijklmnop" "qrstuvwxyz234567"',
    "txt _validation.www",
    "found",
    PROVED,
)
row(
    "TXT beside others",
    '_validation.www TXT "v=spf1 -all"\n_validation.www TXT {value}',
    "txt _validation.www",
    "found",
    PROVED,
)
row(
    "TXT with another value",
    "_validation.www TXT abcdefghijklmnopqrstuvwxyz234568",
    "txt _validation.www",
    "found",
    NOT_PROVED,
)
row("TXT at the name itself", "www TXT {value}", "txt _validation.www", "absent", NOT_PROVED, secure=True)
row(
    "TXT at the end of a CNAME",
    "_validation.www CNAME t\nt TXT {value}",
    "txt _validation.www",
    "found",
    PROVED,
    secure=True,
)
row("TXT of a wildcard", "*.www TXT {value}", "txt _validation.www", "found", PROVED, secure=True)
row(
    "CNAME with the value",
    "_validation.www CNAME {value}.dcv.ca.example.",
    "cname _validation.www",
    "found",
    PROVED,
    secure=True,
)
row(
    "CNAME in capitals",
    "_validation.www CNAME ABCDEFGHIJKLMNOPQRSTUVWXYZ234567.DCV.CA.EXAMPLE.",
    "cname _validation.www",
    "found",
    PROVED,
)
row(
    "CNAME to another name",
    "_validation.www CNAME {value}.other.example.",
    "cname _validation.www",
    "found",
    NOT_PROVED,
)
row("no CNAME", "_validation.www TXT {value}", "cname _validation.www", "absent", NOT_PROVED, secure=True)

# DNSSEC: what does not validate is never an answer.
row("expired signatures, CAA", '@ CAA 0 issue "ca.example"', "caa www", "dns-bogus", "dns-bogus", signing=expired)
row("expired signatures, no CAA", "www A 127.0.1.1", "caa www", "dns-bogus", "dns-bogus", signing=expired)
row(
    "expired signatures, TXT",
    "_validation.www TXT {value}",
    "txt _validation.www",
    "dns-bogus",
    NOT_PROVED,
    signing=expired,
)
row(
    "signatures of the future", '@ CAA 0 issue "ca.example"', "caa www", "dns-bogus", "dns-bogus", signing=not_yet_valid
)
row("no signatures", '@ CAA 0 issue "ca.example"', "caa www", "dns-bogus", "dns-bogus", signing=stripped)
row("another key's signatures", '@ CAA 0 issue "ca.example"', "caa www", "dns-bogus", "dns-bogus", signing=wrong_key)
row(
    "records put in the place of signed ones",
    '@ CAA 0 issue "other.example"',
    "caa www",
    "dns-bogus",
    "dns-bogus",
    signing=spoilt(replaced("@", "CAA", '0 issue "ca.example"')),
)
row(
    "signature of the CAA records missing",
    '@ CAA 0 issue "ca.example"',
    "caa www",
    "dns-bogus",
    "dns-bogus",
    signing=spoilt(without_signatures("@", RdataType.CAA)),
)
row(
    "forbidding records removed",
    'www CAA 0 issue ";"\nwww A 127.0.1.1',
    "caa www",
    "dns-bogus",
    "dns-bogus",
    signing=spoilt(without("www", RdataType.CAA)),
)
row(
    "value forged into a signed zone",
    "_validation.www TXT other",
    "txt _validation.www",
    "dns-bogus",
    NOT_PROVED,
    signing=spoilt(replaced("_validation.www", "TXT", '"abcdefghijklmnopqrstuvwxyz234567"')),
)
row(
    "unsigned zone below a signed one",
    '@ CAA 0 issue ";"',
    "caa www.sub",
    "found",
    PERMITTED,
    more=[Zone("sub", '@ CAA 0 issue "ca.example"', insecure)],
    secure=False,
)

# Servers at fault.
row("server that refuses", "", "caa www", "dns-servfail", "dns-servfail", server="refusing")
row("server that fails", "", "txt www", "dns-servfail", NOT_PROVED, server="failing")
