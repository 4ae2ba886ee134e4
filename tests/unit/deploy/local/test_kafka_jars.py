"""Kafka's jars are downloaded once, however many processes ask for them at the same time."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.local import kafka_jars

# Stands for the resolver: it takes a while, and it returns what the folder holds if another one is at work there.
RESOLVER = """
import pathlib, time, types
def build(coordinates, cache_dir):
    if not cache_dir.exists():
        cache_dir.mkdir()
        for name in ("a.jar", "b.jar"):
            time.sleep(0.3)
            (cache_dir / name).write_bytes(name.encode())
    return types.SimpleNamespace(all_jars=list(cache_dir.iterdir()))
"""


@pytest.fixture
def resolver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the stand-in before the resolver, and its two jars in place of the committed hashes."""
    modules, hashes = tmp_path / "modules", tmp_path / "jars.sha256"
    modules.mkdir()
    (modules / "jgo.py").write_text(RESOLVER)
    hashes.write_text("".join(f"{hashlib.sha256(n.encode()).hexdigest()}  {n}\n" for n in ("a.jar", "b.jar")))
    monkeypatch.setenv("PYTHONPATH", str(modules))
    monkeypatch.setattr(kafka_jars, "HASHES", hashes)


@pytest.mark.usefixtures("resolver")
def test_two_who_ask_at_once_both_get_every_jar(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with ThreadPoolExecutor(2) as both:
        found = list(both.map(kafka_jars.jars, (cache, cache)))
    assert [[jar.name for jar in jars] for jars in found] == [["a.jar", "b.jar"]] * 2


@pytest.mark.usefixtures("resolver")
def test_what_an_interrupted_download_left_is_fetched_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "jgo").mkdir(parents=True)
    assert [jar.name for jar in kafka_jars.jars(cache)] == ["a.jar", "b.jar"]


@pytest.mark.usefixtures("resolver")
def test_jar_of_another_content_is_refused(tmp_path: Path) -> None:
    (jar, _) = kafka_jars.jars(tmp_path / "cache")
    jar.write_bytes(b"changed")
    with pytest.raises(kafka_jars.WrongJar, match=r"differ from .*: a\.jar;"):
        kafka_jars.jars(tmp_path / "cache")
