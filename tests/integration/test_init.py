"""`init` opens the shards of empty servers, continues after a crash, and changes no open shard."""

from inventory_service.adapters.kafka.commits import KafkaCommits
from inventory_service.domain.shards import Commit
from tests.integration.shard_processes import SHARDS, ShardProcesses
from tests.integration.shard_steps import first_steps
from tests.servers import StartValkey, connected, flush
from tests.shared_kafka import Kafka
from tests.waiting import eventually


async def test_init_opens_every_shard_once(processes: ShardProcesses) -> None:
    """It ran in the fixture; a second run changes nothing."""
    before = [await processes.status(shard) for shard in range(SHARDS)]

    assert await processes.init_code() == 0

    assert [await processes.status(shard) for shard in range(SHARDS)] == before
    assert all(status.serving and status.shards == SHARDS for status in before)


async def test_init_rejects_another_number_of_shards(processes: ShardProcesses) -> None:
    """Sales would be read from other shards than they are in."""
    assert await processes.init_code(shards=SHARDS + 1) == 1

    assert (await processes.status(SHARDS)).blank


async def test_init_continues_after_a_crash(valkey: str, database: str, kafka: Kafka) -> None:
    """The first run left a take-over token in Redis and a row in the ledger."""
    processes = ShardProcesses(valkey, database, kafka)
    await first_steps(processes.takeover(), 4)
    opened = await processes.ledger.row(0)
    assert opened is not None

    assert await processes.init_code() == 0

    assert await processes.serves()
    assert await processes.serves(1)
    assert (await processes.status()).epoch > opened.epoch
    await processes.close()


async def test_init_says_which_server_does_not_answer(start_valkey: StartValkey, database: str, kafka: Kafka) -> None:
    """Exit code 2: no shard could be read."""
    server = start_valkey()
    processes = ShardProcesses(server.address, database, kafka)
    server.kill()

    assert await processes.init_code() == 2
    await processes.close()


async def test_init_opens_nothing_beside_the_records_of_an_earlier_ledger(
    processes: ShardProcesses, valkey: str
) -> None:
    """The orders of old records would become this ledger's. --beside-old-records draws an epoch above that of each."""
    async with processes.at_work():
        await processes.commit()
        await eventually(processes.is_drained)
    await flush(valkey)
    async with connected(processes.dsn) as db:
        await db.execute("truncate shard_watermark, shard_epoch, journal")

    assert await processes.init_code() == 1
    assert (await processes.status()).blank

    later = processes.epoch + 1000  # the earlier ledger's clock was ahead
    await send(processes, Commit(later, 1, b"", "0" * 40))
    assert await processes.init_code(beside_old_records=True) == 0
    status = await processes.status()
    assert status.serving
    assert status.epoch > later


async def send(processes: ShardProcesses, commit: Commit) -> None:
    """Put a commit into Kafka."""
    topic = KafkaCommits(processes.kafka.config)
    await topic.publish(0, [commit])
    await topic.close()
