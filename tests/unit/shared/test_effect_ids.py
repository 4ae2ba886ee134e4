"""Ids of effects."""

import uuid

from shared.effect_ids import effect_id


def test_effect_id_never_changes() -> None:
    # A literal: other services and the payment provider keep these ids.
    renewal = uuid.UUID("00000000-0000-4000-8000-000000000001")
    assert str(effect_id("refund", renewal, None, "cancelled")) == "7a6ca9bc-9855-5bb0-af12-fed0b43a1357"


def test_effect_id_differs_with_every_part() -> None:
    ids = [
        effect_id("refund", "a", "b"),
        effect_id("refund", "ab"),
        effect_id("refund", "a", None),
        effect_id("refund", "a", "None"),
        effect_id("mail", "a", "b"),
    ]
    assert len(set(ids)) == len(ids)
