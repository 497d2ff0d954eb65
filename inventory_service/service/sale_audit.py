"""Answers AuditSale, one call at a time."""

import asyncio
from typing import Final

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.audit_ports import RedisReservations, SaleSnapshots
from inventory_service.domain.keys import SaleKey, shard_of
from inventory_service.domain.results import Failure
from inventory_service.domain.sale_reconciliation import SaleAudit
from inventory_service.domain.shards import LedgerUnavailable, OtherFormat, RedisUnavailable
from inventory_service.domain.time_left import question_limit_s
from inventory_service.service.sale_comparison import CannotCompare, SaleComparison, not_serving

LONGEST_S = 290.0  # an audit; gRPC cuts a call that outlasts its connection's age and grace

_OVERLOADED: Final = Failure(reasons.ERROR_REASON_OVERLOADED)
_TOO_LONG: Final = Failure(reasons.ERROR_REASON_DEADLINE_TOO_SHORT)
_STORE_UNREACHABLE: Final = Failure(reasons.ERROR_REASON_STORE_UNREACHABLE)
_LEDGER_UNREACHABLE: Final = Failure(reasons.ERROR_REASON_LEDGER_UNREACHABLE)


class SaleAudits:
    """One audit at a time, because each reads the whole sale in Redis and in the ledger."""

    def __init__(self, redis: RedisReservations, ledger: SaleSnapshots, shards: int) -> None:
        self._redis = redis
        self._ledger = ledger
        self._shards = shards
        self._is_running = False

    async def audit(self, sale: SaleKey) -> SaleAudit | Failure:
        """Compare a sale; a Failure, and no half answer, if that is not possible within the caller's deadline."""
        if self._is_running:
            return _OVERLOADED
        self._is_running = True
        try:
            async with asyncio.timeout(question_limit_s(LONGEST_S)):
                return await SaleComparison(self._redis, self._ledger, sale, shard_of(sale, self._shards)).run()
        except TimeoutError:
            return _TOO_LONG
        except CannotCompare as error:
            return error.failure
        except OtherFormat:
            return not_serving()
        except RedisUnavailable:
            return _STORE_UNREACHABLE
        except LedgerUnavailable:
            return _LEDGER_UNREACHABLE
        finally:
            self._is_running = False
