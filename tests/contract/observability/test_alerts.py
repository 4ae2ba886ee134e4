"""Alerts, dashboards and runbooks fit each other, and each alert fires on the figures it is meant for."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.contract.observability.rules import ROOT, alerts, groups

CASES: Final = Path(__file__).parent / "alerts.test.yaml"


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    named = {alert["annotations"]["runbook"] for alert in alerts()}
    assert named == {f"docs/runbooks/{path.name}" for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert all(alert["annotations"]["runbook"] == f"docs/runbooks/{alert['alert']}.md" for alert in alerts())


def test_every_alert_has_a_case_in_which_it_is_quiet_and_one_in_which_it_fires() -> None:
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case.get("exp_alerts")}
    quiet = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    assert fires == quiet == {alert["alert"] for alert in alerts()}


def test_every_alert_has_a_severity() -> None:
    assert {alert["labels"]["severity"] for alert in alerts()} == {"page", "ticket"}


def test_runbooks_name_commands_that_exist() -> None:
    for path in (ROOT / "docs" / "runbooks").glob("*.md"):
        for service, command in re.findall(r"python -m services\.(\w+)\.main ([\w-]+)", path.read_text()):
            module = f"services.{'application' if service == 'SERVICE' else service}.main"
            done = subprocess.run(
                [ROOT / ".venv/bin/python", "-m", module, command, "--help"], cwd=ROOT, capture_output=True, check=False
            )
            assert done.returncode == 0, f"{path.name}: {module} {command}: {done.stderr.decode()}"


@pytest.mark.slow
def test_each_alert_fires_when_it_should(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is needed: apt-get install prometheus"
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups()}))
    shutil.copy(CASES, tmp_path)
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", CASES.name]):
        done = subprocess.run([promtool, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
