"""The demo runs on real servers: the persister is killed during the sale, and the audit finds no difference."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.apache_kafka import ApacheKafka
from tests.real.debian_postgres import DebianPostgres
from tests.real.redis_server import RedisServer
from tests.servers import PARTITIONS
from tests.stacks import ENVIRONMENT

HOLDFAST = Path(sys.executable).with_name("holdfast")
SALE_S = 300.0
SMALL = ("--units", "1000", "--buyers", "200")  # other tests run meanwhile, and a hold that waits for them expires


@pytest.mark.timeout(500)
def test_nothing_is_oversold_lost_or_doubled(tmp_path: Path) -> None:
    """With the three addresses set, the same demo uses external servers."""
    servers = (
        RedisServer(tmp_path / "redis"),
        DebianPostgres(tmp_path / "postgres"),
        ApacheKafka(tmp_path / "kafka", PARTITIONS, topics=()),
    )
    try:
        for server in servers:
            server.start()
        redis, postgres, kafka = (server.address for server in servers)

        ended = subprocess.run(
            [HOLDFAST, "demo", *SMALL],
            env={
                **ENVIRONMENT,
                "HOLDFAST_REDIS_URL": redis,
                "HOLDFAST_POSTGRES_DSN": postgres,
                "HOLDFAST_KAFKA_BROKERS": kafka,
            },
            capture_output=True,
            text=True,
            timeout=SALE_S,
        )
    finally:
        for server in servers:
            server.kill()

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-1] == "nothing is oversold, lost or doubled"
