"""Signatures that are good but for one thing, and why each is refused."""

import functools
from datetime import datetime
from typing import Any

import pytest
from asn1crypto import cms

from services.identity.cms import verify
from services.identity.refusals import SignatureFault, SignatureRefused
from tests.unit.services.identity import builders
from tests.unit.services.identity.builders import NOW, Holder, Leaf, issue, world
from tests.unit.services.identity.cms_builder import DOCUMENT, Attributes, attribute, sign


@functools.cache
def other_holder() -> Holder:
    """Return another holder of the same sub-CA."""
    return issue(world().sub, Leaf(key=builders.rsa_key("other")))


def fault(signature: bytes, document: bytes = DOCUMENT, now: datetime = NOW) -> SignatureFault:
    """Return why this signature is refused."""
    with pytest.raises(SignatureRefused) as caught:
        verify(signature, document, now)
    assert caught.value.reason == caught.value.fault.value
    return caught.value.fault


def changed_signed_data(**fields: Any) -> bytes:
    """Return a signature whose SignedData has these fields in place of its own."""

    def change(signed_data: cms.SignedData) -> cms.SignedData:
        for name, value in fields.items():
            signed_data[name] = value
        return signed_data

    return sign(world().holder, change_signed_data=change)


def attributes_changed_to(change: Any, holder: Holder | None = None) -> bytes:
    """Return a signature, good but for the attributes that were signed."""
    return sign(holder or world().holder, change_attributes=change)


def replaced(kind: str, *values: Any) -> Any:
    """Return the change that gives an attribute these values, or none at all."""

    def change(attributes: Attributes) -> Attributes:
        kept = [each for each in attributes if each["type"].native != kind]
        return [*kept, attribute(kind, *values)] if values else kept

    return change
