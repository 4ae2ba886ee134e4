"""A pod that is stopped has the time it needs: preStop, grace, probes and time-outs fit each other and the code."""

from typing import Final

from deploy.gateway import rules
from services.identity import crl_sources
from services.issuance.ca import pkcs11_signer
from services.issuance.dcv import perspectives
from services.mailing.settings import _STEPS_OF_A_CONVERSATION
from services.payment import provider_adapter as provider
from shared.lifecycle import STALE_AFTER_SECONDS
from shared.messaging import consumer, relay
from shared.web import gunicorn_server
from tests.contract.k8s.rendering import Object, Rendered, container, is_perspective, name, pod

# What the roles' statement_timeout lets one statement take, and the pool's wait before it.
STATEMENT_SECONDS: Final = 15 + 5
SMTP_TIMEOUT_SECONDS: Final = 15
# The longest turn of each loop, in seconds: it is ended before the process ends.
MAX_ITERATION_SECONDS: Final = {
    "consume": STATEMENT_SECONDS + consumer.COMMIT_MS / 1000 + consumer.CLOSE_MS / 1000,
    "relay": STATEMENT_SECONDS + relay.SEND_TIMEOUT_SECONDS + 2,
    "application-work": STATEMENT_SECONDS,
    "identity-work": STATEMENT_SECONDS + crl_sources.TOTAL_TIMEOUT_SECONDS,
    # Four calls under one lease.
    "payment-work": STATEMENT_SECONDS + 4 * provider.CALL_TIMEOUT_SECONDS,
    "mailing-work": STATEMENT_SECONDS + _STEPS_OF_A_CONVERSATION * SMTP_TIMEOUT_SECONDS,
    "mailing-print": 2 * STATEMENT_SECONDS,
    "issuance-work": STATEMENT_SECONDS + pkcs11_signer.CALL_TIMEOUT_SECONDS,
    "issuance-validate": 2 * STATEMENT_SECONDS + perspectives.TOTAL_TIMEOUT,
    "desk-work": STATEMENT_SECONDS,
}


def longest(each: Object) -> float:
    return MAX_ITERATION_SECONDS.get(name(each)) or MAX_ITERATION_SECONDS[name(each).rpartition("-")[2]]


def answers_requests(each: Object) -> bool:
    return name(each).endswith(("-web", "-operate", "-feed")) or is_perspective(each)


def loops(rendered: Rendered) -> list[Object]:
    deployments = (each for each in rendered.ours() if each["kind"] == "Deployment" and "sandbox" not in name(each))
    return [each for each in deployments if not answers_requests(each)]


def test_loop_finishes_its_iteration_before_it_is_killed(rendered: Rendered) -> None:
    for each in loops(rendered):
        assert pod(each)["terminationGracePeriodSeconds"] >= longest(each) + 5, name(each)
        assert "lifecycle" not in container(each)


def test_long_iteration_does_not_fail_the_liveness_probe(rendered: Rendered) -> None:
    for each in loops(rendered):
        probe = container(each)["livenessProbe"]
        assert STALE_AFTER_SECONDS + probe["periodSeconds"] * (probe["failureThreshold"] - 1) >= longest(each), name(
            each
        )


def test_web_process_serves_until_it_gets_no_traffic_then_finishes_running_requests(rendered: Rendered) -> None:
    for each in rendered.ours():
        if answers_requests(each):
            pause = container(each)["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert 5 <= pause <= 15
            assert pod(each)["terminationGracePeriodSeconds"] >= pause + gunicorn_server.GRACE_SECONDS + 5


def test_gateway_drains_as_long_as_a_request_may_take(production: Rendered) -> None:
    shutdown = production.one("EnvoyProxy", "ecert")["spec"]["shutdown"]
    assert int(shutdown["drainTimeout"].rstrip("s")) >= rules.REQUEST_SECONDS + int(
        shutdown["minDrainDuration"].rstrip("s")
    )


def test_readiness_waits_as_long_as_the_pool(rendered: Rendered) -> None:
    for each in rendered.ours():
        if each["kind"] == "Deployment" and "sandbox" not in name(each):
            assert container(each)["readinessProbe"]["timeoutSeconds"] > 5
