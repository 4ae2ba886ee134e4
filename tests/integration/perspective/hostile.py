"""Cases of the long test run about sizes and servers: aliases, floods, servers that misbehave."""

from typing import Final

from tests.integration.perspective.cases import NOT_PROVED, PROVED, Table
from tests.integration.perspective.zones import Zone, expired, insecure, replaced, spoilt

TABLE: Final = Table("h")
row = TABLE.row
FORBIDDING: Final = '@ CAA 0 issue ";"\nwww A 127.0.1.1'

# Aliases.
row(
    "DNAME above the name",
    'old DNAME new\nwww.new CAA 0 issue ";"',
    "caa www.old",
    "found",
    "caa-forbids-all",
    secure=True,
)
row(
    "DNAME above the value",
    "old DNAME new\n_validation.www.new TXT {value}",
    "txt _validation.www.old",
    "found",
    PROVED,
    secure=True,
)
row(
    "DNAME, tampered",
    'old DNAME new\nwww.new CAA 0 issue ";"\nwww.other CAA 0 issue "ca.example"',
    "caa www.old",
    "dns-bogus",
    "dns-bogus",
    signing=spoilt(replaced("old", "DNAME", "other.{origin}".replace("{origin}", "hk."))),
)
row("DNAME to itself", "old DNAME a.old", "caa www.old", "dns-servfail", "dns-servfail")
row("CNAME to itself", "www CNAME www", "caa www", "dns-servfail", "dns-servfail")
row("circle of CNAMEs", "a CNAME b\nb CNAME c\nc CNAME a", "caa a", "dns-servfail", "dns-servfail")
row(
    "100 CNAMEs",
    "\n".join([*(f"c{n} CNAME c{n + 1}" for n in range(100)), 'c100 CAA 0 issue "ca.example"']),
    "caa c0",
    "too-long-a-chain",
    "too-long-a-chain",
)
row(
    "100 CNAMEs before the value",
    "\n".join([*(f"c{n} CNAME c{n + 1}" for n in range(100)), "c100 TXT {value}"]),
    "txt c0",
    "too-long-a-chain",
    NOT_PROVED,
)
row(
    "CNAME into a zone with expired signatures",
    "www CNAME www.sub",
    "caa www",
    "dns-bogus",
    "dns-bogus",
    more=[Zone("sub", 'www CAA 0 issue "ca.example"', expired)],
)
row(
    "CNAME from a signed into an unsigned zone",
    "_validation.www CNAME t.sub",
    "txt _validation.www",
    "found",
    PROVED,
    more=[Zone("sub", "t TXT {value}", insecure)],
    secure=False,
)
row(
    "forged CNAME",
    "_validation.www CNAME t",
    "txt _validation.www",
    "dns-bogus",
    NOT_PROVED,
    signing=spoilt(replaced("_validation.www", "CNAME", "t.elsewhere.hk.")),
)

# Floods.
row(
    "1,001 CAA records by TCP",
    "\n".join(f'@ CAA 0 issue "ca{n}.example"' for n in range(1000)) + '\n@ CAA 0 issue "ca.example"',
    "caa www",
    "too-many-records",
    "too-many-records",
)
row(
    "1,001 CAA records by TCP, unsigned",
    "\n".join(f'@ CAA 0 issue "ca{n}.example"' for n in range(1000)) + '\n@ CAA 0 issue "ca.example"',
    "caa www",
    "too-many-records",
    "too-many-records",
    signing=insecure,
)
row(
    "60 CAA records of 200 bytes by TCP",
    "\n".join(f'@ CAA 0 issue "ca.example; a{n}={"x" * 200}"' for n in range(60)),
    "caa www",
    "too-large",
    "too-large",
)
row("CAA value of 9,000 bytes", f'@ CAA 0 issue "ca.example; a={"x" * 9000}"', "caa www", "too-large", "too-large")
row(
    "65 TXT records",
    "\n".join(f"_validation.www TXT v{n}" for n in range(64)) + "\n_validation.www TXT {value}",
    "txt _validation.www",
    "too-many-records",
    NOT_PROVED,
)
row(
    "64 TXT records",
    "\n".join(f"_validation.www TXT v{n}" for n in range(63)) + "\n_validation.www TXT {value}",
    "txt _validation.www",
    "found",
    PROVED,
)
row(
    "TXT of 60 KB",
    "_validation.www TXT " + " ".join('"' + "x" * 250 + '"' for _ in range(240)),
    "txt _validation.www",
    "too-large",
    NOT_PROVED,
)
row(
    "TXT of 3 KB beside the value",
    "_validation.www TXT {value}\n_validation.www TXT " + " ".join('"' + "x" * 250 + '"' for _ in range(12)),
    "txt _validation.www",
    "found",
    PROVED,
)
row(
    "TXT of control characters",
    "_validation.www TXT " + '"' + "\\000" * 200 + '"',
    "txt _validation.www",
    "found",
    NOT_PROVED,
)
row("10 MB by TCP", "", "txt www", "dns-servfail", NOT_PROVED, server="flood")

# Servers at fault.
row("server without authority", "", "caa www", "dns-servfail", "dns-servfail", server="lame")
row("server that sends garbage", "", "caa www", "dns-servfail", "dns-servfail", server="garbage")
row("server that implements nothing", "", "caa www", "dns-servfail", "dns-servfail", server="not-implementing")
row("server that is silent", "", "caa www", "dns-timeout", "dns-timeout", server="silent")
row("server that never finishes", "", "txt www", "dns-timeout", NOT_PROVED, server="drip")
row("server that answers with another id", "", "txt www", "dns-timeout", NOT_PROVED, server="other-id")
row("server that answers another question", "", "txt www", "dns-servfail", NOT_PROVED, server="other-question")
row(
    "silent server of a child",
    FORBIDDING,
    "caa www.sub",
    "dns-timeout",
    "dns-timeout",
    more=[Zone("sub", server="silent")],
)
