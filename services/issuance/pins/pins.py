"""PINs: digits that a letter carries and a person types; a slip is seen before it costs an attempt."""

import hmac
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from services.issuance.domain import PIN
from shared.errors import Refused, Unavailable
from shared.validation import texts

DIGITS: Final = 16
MAX_ATTEMPTS: Final = 5
MAX_CONCURRENT_HASHES: Final = 2
_SLOT_TIMEOUT_SECONDS: Final = 10.0
_MIN_PEPPER: Final = 32
_SALT_BYTES: Final = 16
# 19 MiB and two passes: the PIN has 50 random bits, five attempts and a pepper; this is the last of four fences.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, salt_len=_SALT_BYTES)
# Damm's quasigroup: the check digit detects every single wrong digit and every swap of neighbours.
_DAMM: Final = (
    "0317598642", "7092154863", "4206871359", "1750983426", "6123045978",
    "3674209581", "5869720134", "8945362017", "9438617205", "2581436790",
)  # fmt: skip

Random = Callable[[int], bytes]


class PINSlip(Refused):
    """Not a PIN at all: too short, too long, or its check digit is wrong. It costs no attempt."""

    reason = "pin-slip"

    def __init__(self, server_names: Sequence[str] = ()) -> None:
        super().__init__(", ".join(server_names) or "not a PIN")
        self.extensions = {"mistyped": list(server_names)}


class TooBusy(Unavailable):
    """Too many PINs are being verified; no attempt was consumed."""

    reason = "too-busy"


def make(random: Random) -> str:
    """Return a new PIN of 15 random digits and a check digit."""
    digits = ""
    while len(digits) < DIGITS - 1:
        digits += "".join(str(byte % 10) for byte in random(DIGITS) if byte < 250)  # all equally likely
    digits = digits[: DIGITS - 1]
    return digits + str(_check_digit(digits))


def for_print(pin: str) -> str:
    """Return the PIN in groups of four, as printed."""
    return " ".join(pin[i : i + 4] for i in range(0, len(pin), 4))


def typed(text: str) -> str:
    """Return the PIN in typed text; spaces, hyphens and full-width digits are tolerated. Raises PINSlip."""
    if len(text) > 64:
        raise PINSlip
    pin = texts.compact(text)
    if len(pin) != DIGITS or not (pin.isascii() and pin.isdigit()) or _check_digit(pin) != 0:
        raise PINSlip
    return pin


def _check_digit(digits: str) -> int:
    row = 0
    for digit in digits:
        row = int(_DAMM[row][int(digit)])
    return row


class Pepper:
    """Secret of PIN hashes that a stolen database lacks; from a file, never printed."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _MIN_PEPPER:
            raise ValueError(f"PIN pepper under {_MIN_PEPPER} bytes")
        self._secret = secret

    @classmethod
    def load(cls, path: Path) -> "Pepper":
        """Read the pepper from a file, every byte of it."""
        return cls(path.read_bytes())

    def hash(self, envelope_id: UUID, pin: str, random: Random) -> str:
        """Return the stored hash: argon2id over the PIN mixed with the pepper and bound to its envelope."""
        return _HASHER.hash(self._mixed(envelope_id, pin), salt=random(_SALT_BYTES))

    def matches(self, envelope_id: UUID, pin: str, hashed: str) -> bool:
        """Return whether this is the envelope's PIN; slow on purpose, so never call it inside a transaction."""
        try:
            return _HASHER.verify(hashed, self._mixed(envelope_id, pin))
        except VerifyMismatchError:
            return False

    def _mixed(self, envelope_id: UUID, pin: str) -> bytes:
        return hmac.digest(self._secret, envelope_id.bytes + pin.encode(), sha256().name)


class PINVerifier:
    """PIN verification with a limit on concurrent hashes: each takes 19 MiB and some milliseconds of a processor."""

    def __init__(self, pepper: Pepper, max_concurrent: int = MAX_CONCURRENT_HASHES) -> None:
        self._pepper = pepper
        self._slots = threading.BoundedSemaphore(max_concurrent)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a slot, before any attempt is consumed. Raises TooBusy."""
        if not self._slots.acquire(timeout=_SLOT_TIMEOUT_SECONDS):
            raise TooBusy("try again in a moment")
        try:
            yield
        finally:
            self._slots.release()

    def verify(self, found: Mapping[str, PIN], typed: Mapping[str, str]) -> set[str]:
        """Return the server names whose PIN is right."""
        return {
            name
            for name, pin in found.items()
            if pin.hash is not None and self._pepper.matches(pin.envelope_id, typed[name], pin.hash)
        }
