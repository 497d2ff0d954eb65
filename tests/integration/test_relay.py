"""The relay between real servers: sending, trimming, freezing and outages."""

import pytest
from aiokafka import AIOKafkaProducer
from holdfast.inventory.v1 import events_pb2

from inventory_service.domain.shards import CommitId, LedgerProgress
from inventory_service.service.relay import shard_monitor
from order_persister.adapters.ledger.migrator import migrate
from tests.integration.persister_double import publish_progress
from tests.integration.shard_processes import SHARDS, ShardProcesses
from tests.integration.shard_steps import journal_of, sent_to_kafka, serves_anew
from tests.servers import StartPostgres, StartValkey, connected
from tests.shared_kafka import Kafka
from tests.waiting import eventually


def report(processes: ShardProcesses, head_hash: str, seq: int, later: int = 0) -> LedgerProgress:
    epoch = processes.epoch + later
    return LedgerProgress(0, epoch, seq, head_hash, epoch, seq, resend=False, frozen_reason="")


async def test_the_ledger_gets_all_commits_in_order(processes: ShardProcesses) -> None:
    """The journey's first half: outbox, Kafka, ledger, and back to an empty outbox."""
    async with processes.at_work():
        await processes.commit(count=30)
        await processes.commit(shard=1, count=3)

        await eventually(processes.is_drained)
        await eventually(lambda: processes.is_drained(1))


async def test_the_outbox_is_trimmed_to_the_watermark_exactly(processes: ShardProcesses) -> None:
    """Commits that the ledger lacks must stay, or a lost Kafka loses them."""
    await processes.commit(count=5)
    third = await processes.outbox.find(0, CommitId(processes.epoch, 3))
    assert third is not None

    trimmed = await processes.shards.trim(report(processes, third.hash, 3))

    assert (trimmed.result, trimmed.trimmed) == ("TRIMMED", CommitId(processes.epoch, 3))
    left = await processes.outbox.read_after(0, CommitId(processes.epoch, 0), wait_ms=1)
    assert [commit.seq for commit in left] == [4, 5]


async def test_a_stale_report_is_ignored(processes: ShardProcesses) -> None:
    """Reports come late and twice; one below the trim point is ignored, whatever its hash."""
    last = await processes.commit(count=5)
    head = (await processes.status()).hash
    await processes.shards.trim(report(processes, head, last.seq))

    trimmed = await processes.shards.trim(report(processes, "0" * 40, 3))

    assert (trimmed.result, trimmed.trimmed) == ("STALE", last)
    assert await processes.serves()


@pytest.mark.parametrize(
    ("later", "seq", "word"),
    [(1, 0, "NEWER_EPOCH"), (0, 9, "HEAD_BEHIND_LEDGER"), (0, 2, "HASH_DIFFERS")],
)
async def test_a_report_that_contradicts_redis_freezes_the_shard(
    processes: ShardProcesses, later: int, seq: int, word: str
) -> None:
    """The ledger has commits that this Redis lacks, so the shard must not sell another unit."""
    await processes.commit(count=5)

    trimmed = await processes.shards.trim(report(processes, "0" * 40, seq, later))

    assert trimmed.result == "FROZEN"
    assert (await processes.status()).frozen_reason.startswith(f"{word}: ")
    assert not await processes.serves()


@pytest.mark.parametrize(
    ("lost", "requests_resend", "stall_timeout_s"),
    [(4, True, 60.0), (4, False, 0.5), (11, True, 0.5)],
    ids=["requested", "not requested", "the last"],
)
async def test_a_lost_commit_is_sent_again(
    processes: ShardProcesses, lost: int, requests_resend: bool, stall_timeout_s: float
) -> None:
    """The ledger requests a resend at a gap; without a request, the relay resends when the watermark stalls."""
    processes.persister.requests_resend = requests_resend
    async with processes.at_work(stall_timeout_s=stall_timeout_s):
        await processes.commit()
        await eventually(processes.is_drained)

        processes.persister.lose = {lost}
        await processes.commit(count=10)

        await eventually(processes.is_drained)
    assert not processes.persister.lose


async def test_a_commit_that_the_ledger_rejects_is_retried_with_backoff(
    processes: ShardProcesses,
) -> None:
    """The ledger may be repaired at any time, and the shard serves no call until then."""
    await processes.commit(count=3)
    processes.persister.refuse = {2}
    async with processes.at_work():
        await eventually(lambda: frozen(processes, "CHAIN_BROKEN: "))
        await eventually(lambda: processes.persister.refusals >= 3)
        assert not await processes.serves()
        assert "NEEDS_RESTORE" not in (await processes.status()).frozen_reason
        assert processes.persister.refusals < 10

        processes.persister.refuse = set()

        await eventually(lambda: serves_anew(processes))
    assert await journal_of(processes) == [(processes.epoch, seq) for seq in (1, 2, 3)]


@pytest.mark.usefixtures("long_lease")  # a relay that regains its lease begins a new window
async def test_the_relay_sends_no_more_than_its_window(processes: ShardProcesses) -> None:
    """A ledger that is down for hours must not fill Kafka."""
    window_bytes = 500
    await processes.commit(count=60)

    async with processes.relaying(window_bytes=window_bytes):
        await eventually(lambda: 0 in processes.gauges.shown and 0 < processes.gauges.shown[0].unsent < 60)
        updates = processes.gauges.times
        await eventually(lambda: processes.gauges.times > updates + 2 * SHARDS)  # it had the time to send more
        sent = await sent_to_kafka(processes)

        async with processes.persister.running():
            await eventually(processes.is_drained)

    size = sum(len(commit.payload) for commit in sent)
    assert window_bytes - len(sent[0].payload) < size <= window_bytes


async def test_an_older_ledger_freezes_the_shard(processes: ShardProcesses) -> None:
    """The ledger lacks commits that Redis has trimmed: later ones would leave a gap in the journal."""
    async with processes.at_work():
        await processes.commit(count=5)
        await eventually(processes.is_drained)

        async with connected(processes.dsn) as db:
            await db.execute("delete from journal where shard = 0 and seq > 3")
            await db.execute("""update shard_watermark set seq = 3,
                hash = (select hash from journal where shard = 0 and seq = 3) where shard = 0""")

        await eventually(lambda: frozen(processes, "LEDGER_WENT_BACK: ", "NEEDS_RESTORE: "))


@pytest.mark.parametrize("wiped", ["delete from shard_watermark", "update shard_watermark set seq = 0, hash = ''"])
async def test_a_wiped_ledger_freezes_the_shard_without_a_report(
    processes: ShardProcesses, wiped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a row there is no report, so the monitor of a serving shard reads the ledger at intervals."""
    monkeypatch.setattr(shard_monitor, "COMPARE_INTERVAL_S", 0.5)
    async with processes.at_work():
        await processes.commit(count=2)
        await eventually(processes.is_drained)

    async with connected(processes.dsn) as db:
        await db.execute(wiped)

    async with processes.relaying():
        await eventually(lambda: frozen(processes, "LEDGER_WENT_BACK: "))


async def test_a_shard_serves_while_the_ledger_is_down(
    valkey: str, start_postgres: StartPostgres, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 5: a ledger that cannot be read is not taken for an older one."""
    monkeypatch.setattr(shard_monitor, "COMPARE_INTERVAL_S", 0.1)
    postgres = start_postgres()
    await migrate(postgres.address)
    processes = ShardProcesses(valkey, postgres.address, kafka)
    await processes.open()
    async with processes.relaying():
        await eventually(lambda: 0 in processes.gauges.shown)
        postgres.kill()
        shown = processes.gauges.times
        await eventually(lambda: processes.gauges.times > shown + 6)

        assert await processes.serves()
    await processes.close()


async def test_a_late_report_does_not_freeze_with_ledger_went_back(processes: ShardProcesses) -> None:
    """Only the row itself, read after the trim point was, proves that the ledger went back."""
    async with processes.at_work():
        await processes.commit(count=5)
        await eventually(processes.is_drained)
        first = CommitId(processes.epoch, 1)

        producer = AIOKafkaProducer(bootstrap_servers=processes.kafka.address)
        await producer.start()
        for _ in range(3):
            await publish_progress(
                producer,
                processes.kafka,
                events_pb2.LedgerProgress(shard=0, epoch=first.epoch, seq=first.seq, hash=b"0" * 40),
            )
        await producer.stop()
        await processes.commit(count=2)

        await eventually(processes.is_drained)
        assert await processes.serves()


async def test_the_relay_continues_after_an_outage_of_redis_and_postgres(
    start_valkey: StartValkey, start_postgres: StartPostgres, kafka: Kafka
) -> None:
    """It waits for both, and continues where it was."""
    valkey, postgres = start_valkey(), start_postgres()
    await migrate(postgres.address)
    processes = ShardProcesses(valkey.address, postgres.address, kafka)
    await processes.open()
    async with processes.relaying():
        await processes.commit(count=3)
        await eventually(lambda: sent_all(processes))

        valkey.kill()
        postgres.kill()
        await eventually(lambda: "Redis" in processes.waited_for)
        valkey.start()
        postgres.start()

        async with processes.persister.running():
            await eventually(processes.serves)
            await processes.commit(count=3)
            await eventually(processes.is_drained)
    assert (await processes.status()).epoch > processes.epoch
    await processes.close()


async def test_the_relay_shows_backlog_and_lag(processes: ShardProcesses) -> None:
    """An operator checks outbox length and lags first."""
    async with processes.relaying():
        await processes.commit(count=4)

        await eventually(lambda: sent_all(processes))
        assert processes.gauges.shown[0].outbox == 4
        assert processes.gauges.shown[0].unledgered_s >= 0
        assert processes.gauges.shown[0].serving


async def frozen(processes: ShardProcesses, *words: str) -> bool:
    return (await processes.status()).frozen_reason.startswith(words)


async def sent_all(processes: ShardProcesses) -> bool:
    """Kafka has confirmed the whole outbox."""
    backlog = processes.gauges.shown.get(0)
    return backlog is not None and backlog.sends and backlog.outbox > 0 and backlog.unsent == 0
