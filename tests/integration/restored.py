"""Runs `holdfast restore` on the servers of a shard's processes."""

from inventory_service.domain.restore import ON_REQUEST, Permission
from inventory_service.service import restore
from tests.integration.shard_processes import SHARDS, ShardProcesses


class Restored(list[str]):
    """The exit code of a restore, and what it wrote."""

    def __init__(self, processes: ShardProcesses) -> None:
        self._processes = processes
        self.code = -1

    async def run(
        self, permission: Permission = ON_REQUEST, dry_run: bool = False, only: int | None = None, as_json: bool = False
    ) -> "Restored":
        self.clear()
        processes = self._processes
        dependencies = restore.Dependencies(
            processes.shards, processes.ledger, processes.takeover(), processes.audit(), self.append
        )
        self.code = await restore.run(dependencies, restore.Options(SHARDS, only, permission, dry_run, as_json))
        return self

    @property
    def lines(self) -> list[str]:
        return self[0].splitlines()
