"""Two tenants of one server, the books of one of them, and all that there is to know of these."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import grpc
from redis.asyncio import Redis

from tests.integration.refused_orders import RefusedOrders
from tests.token_caller import TokenCaller
from tests.tokens import claims, secret_token

SCOPES = "inventory.read inventory.reserve inventory.audit inventory.admin"
SALE = {"sale_id": "lamp-sale"}
RESERVATIONS = ("held", "sold", "returned", "released", "refused-1", "refused-2", "never")
BUYERS = ("ann", "mallory", "eve")
MOVES: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "ConfirmReservation": [{}, {"partial": {"lines": [{"sku": "lamp", "quantity": 1}]}}],
    "ReleaseReservation": [{"reason": "no"}, {"spend_id": True}],
    "ExtendReservation": [{"hold_ttl": {"seconds": 900}}],
    "ChangeReservation": [{"lines": [{"sku": "lamp", "quantity": 1}]}],
    "ReturnReservation": [{"reason": "broken"}],
    "GetReservation": [{}],
    "WatchReservation": [{}],
}
LISTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "ListReservations": [SALE, {"buyer_id": "ann"}, {"reference": "cart-1"}],
    "ListSales": [{}],
    "ListAdjustments": [SALE],
    "ListDeadLetters": [{}, SALE],
    "ListBlockedBuyers": [{}],
}
TENANT_TABLES = """
select table_name from information_schema.columns where column_name = 'tenant' and table_schema = current_schema()
 order by 1"""


class Theirs(NamedTuple):
    """What a stranger may have got to know of a tenant's: every id that there is."""

    letters: Sequence[str]
    page_tokens: Mapping[str, Sequence[tuple[Mapping[str, Any], str]]]  # by list: a selection, and the next page of it
    etag: str
    jti: str


class Tenants:
    """Callers of one server, and what the server keeps."""

    def __init__(self, channel: grpc.aio.Channel, orders: RefusedOrders) -> None:
        self.channel = channel
        self.orders = orders
        self.acme = self.caller("acme", jti="t-acme")
        self.zenith = self.caller("zenith", jti="t-zenith")

    def caller(self, tenant: str, **changed: Any) -> TokenCaller:
        return TokenCaller(self.channel, secret_token(claims(tenant=tenant, scope=SCOPES, **changed)))

    async def books(self, tenant: str) -> dict[str, Any]:
        """All that ledger and Redis have of a tenant, once the ledger has everything."""
        await self.orders.record()
        rows = {
            table: sorted(map(repr, await self.orders.db.fetch(f"select * from {table} where tenant = $1", tenant)))
            for (table,) in await self.orders.db.fetch(TENANT_TABLES)
        }
        return {**rows, **await in_redis(self.orders.url, tenant)}


async def in_redis(url: str, tenant: str) -> dict[str, Any]:
    """What Redis has under a tenant's name: whole keys, fields and members."""
    found: dict[str, Any] = {}
    client: Any = Redis.from_url(url)
    async with client as redis:
        for key in sorted(await redis.keys("*")):
            if f":{tenant}/".encode() in key:
                is_hash = await redis.type(key) == b"hash"  # whose order in a dump reading alone may change
                found[key.decode()] = await redis.hgetall(key) if is_hash else await redis.dump(key)
            elif key.endswith((b":blocked", b":due")):
                members = await redis.hkeys(key) if key.endswith(b":blocked") else await redis.zrange(key, 0, -1)
                found[f"{tenant} in {key}"] = sorted(one for one in members if one.startswith(f"{tenant}/".encode()))
    return {name: value for name, value in found.items() if value}


async def make_books(tenants: Tenants) -> Theirs:
    """Two elements of everything that can be listed, and reservations in every state."""
    acme = tenants.acme
    for sale_id in ("sofa-sale", "lamp-sale"):
        await acme.answer("CreateSale", sale={"sale_id": sale_id, "items": [{"sku": "lamp", "total": 100}]})
    for number in (1, 2):
        await acme.answer("AdjustStock", **SALE, sku="lamp", adjustment_id=f"a-{number}", delta=1, reason="found")
    await tenants.orders.db.executemany(
        "insert into blocked_buyer (tenant, buyer_id, reason, create_time) values ('acme', $1, $2, to_timestamp(0))",
        [("mallory", "a bot"), ("eve", "a bot")],
    )
    for name in RESERVATIONS[:-1]:
        buyer = "mallory" if name.startswith("refused") else "ann"
        await acme.answer("Reserve", **reserve(name, buyer))
    for name in ("sold", "returned", "refused-2"):
        await acme.answer("ConfirmReservation", **SALE, reservation_id=name)
    await acme.answer("ReturnReservation", **SALE, reservation_id="returned", reason="broken")
    await acme.answer("ReleaseReservation", **SALE, reservation_id="released")
    await tenants.orders.settle_refused()
    for buyer in ("mallory", "eve"):  # in Redis too
        assert (await acme.answer("BlockBuyer", buyer_id=buyer, reason="a bot")).replayed
    await acme.answer("RevokeTokens", jti="t-lost", reason="lost")
    letters = list(await tenants.orders.letters())
    assert len(letters) == 2
    etag = (await acme.answer("GetSale", **SALE)).sale.etag
    return Theirs(letters, await page_tokens(acme), etag, "t-acme")


async def page_tokens(acme: TokenCaller) -> Mapping[str, Sequence[tuple[Mapping[str, Any], str]]]:
    """Of the second page of each list, which is not empty."""
    found: dict[str, list[tuple[Mapping[str, Any], str]]] = {name: [] for name in LISTS}
    for name, selections in LISTS.items():
        for selection in selections:
            token = (await acme.answer(name, **selection, page_size=1)).next_page_token
            assert listed(await acme.answer(name, **selection, page_token=token))
            found[name].append((selection, token))
    return found


def reserve(name: str, buyer: str = "ann") -> dict[str, Any]:
    lines = [{"sku": "lamp", "quantity": 2}]
    return {**SALE, "reservation_id": name, "buyer_id": buyer, "lines": lines, "reference": "cart-1"}


def listed(page: Any) -> list[Any]:
    """The elements of a page of any list."""
    [elements] = [value for field, value in page.ListFields() if field.is_repeated] or [[]]
    return list(elements)
