"""Makes sales what a file describes: compares, asks before what cannot be taken back, and does step after step."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import groupby
from typing import NoReturn, cast

import typer

from holdfast import errors
from holdfast.calls.sales import SaleSettings
from holdfast.cli.apply_report import Report
from holdfast.cli.ask import Options, ask, reads_interrupted
from holdfast.cli.ask_first import ask_first
from holdfast.cli.fail import NO, UNKNOWN, CommandFailed, fail
from holdfast.cli.new_ids import NewId
from holdfast.cli.sale_differences import Kind, Plan, Step, plan
from holdfast.cli.sale_files import WantedItem, WantedSale
from holdfast.client import Client
from holdfast.inventory.v1.sale_pb2 import Sale

USUAL_REASON = "sale apply"
MOST_ASKED = 5  # steps that a question names
OUTDATED = ("ERROR_REASON_ETAG_MISMATCH", "ERROR_REASON_TOTAL_MISMATCH")


def check_sales(options: Options, wanted: Sequence[WantedSale], *, with_stock: bool) -> None:
    """Print what `apply_sales` would do, with exit code 1 if that is anything."""
    plans = _plans(options, wanted, with_stock)
    report = Report(plans, options.json, is_check=True)
    for each in plans:
        report.begin()
        report.add(each.steps)
        report.end()
    report.sum_up()
    if any(each.steps or each.fixed for each in plans):
        raise typer.Exit(NO)


def apply_sales(
    options: Options, wanted: Sequence[WantedSale], *, with_stock: bool, reason: str = "", yes: bool = False
) -> None:
    """Do what is missing. The first step that fails ends the command, which then says what was done before."""
    plans = _plans(options, wanted, with_stock)
    if fixed := [f"sale {each.wanted.sale_id}: {one}" for each in plans for one in each.fixed]:
        fail(f"nothing was done: {'; '.join(fixed)}", NO, "FAILED_PRECONDITION")
    if destroying := [_destroyed(each, step) for each in plans for step in each.steps if step.destroys]:
        more = f", and {len(destroying) - MOST_ASKED} more" if len(destroying) > MOST_ASKED else ""
        ask_first(f"{'; '.join(destroying[:MOST_ASKED])}{more}: do it?", yes)
    report = Report(plans, options.json)
    ids: dict[str, str] = {}  # what the call that is out is about

    async def call(client: Client) -> None:
        for each in plans:
            await _Steps(client, each, report, ids, reason or USUAL_REASON).run()

    try:
        ask(options, call, ids, _interrupted)
    except CommandFailed as failure:
        report.failed(failure)
        failure.message += _advice(failure)
        raise
    report.sum_up()


def _plans(options: Options, wanted: Sequence[WantedSale], with_stock: bool) -> list[Plan]:
    ids: dict[str, str] = {}

    async def call(client: Client) -> list[Plan]:
        found = []
        for sale in wanted:
            ids["sale_id"] = sale.sale_id
            found.append(plan(sale, await _read(client, sale.sale_id), with_stock=with_stock))
        return found

    return ask(options, call, ids, reads_interrupted({}))


async def _read(client: Client, sale_id: str) -> Sale | None:
    try:
        return (await client.get_sale(sale_id)).sale
    except errors.SaleNotFound:
        return None


def _destroyed(each: Plan, step: Step) -> str:
    if step.kind is Kind.CLOSE:
        return f"Close sale {each.wanted.sale_id} for good"
    return f"Lower item {step.sku} of sale {each.wanted.sale_id} from {step.old} to {step.new}"


def _interrupted(is_sent: bool) -> NoReturn:
    if is_sent:
        unknown = "interrupted while a call was out; it is unknown whether that was done"
        raise CommandFailed(unknown, UNKNOWN, code="CANCELLED")
    reads_interrupted({})(is_sent)


def _advice(failure: CommandFailed) -> str:
    """A new run reads everything anew, so it is harmless whatever was done."""
    if failure.reason in OUTDATED or failure.exit_code == UNKNOWN:
        return "; run it again with the same file, which begins by reading"
    return ""


class _Steps:
    """Does the steps of one sale. Each call names the etag that the one before it has left."""

    def __init__(self, client: Client, each: Plan, report: Report, ids: dict[str, str], reason: str) -> None:
        self._client = client
        self._plan = each
        self._sale_id = each.wanted.sale_id
        self._report = report
        self._ids = ids
        self._reason = reason
        self._etag = each.etag

    async def run(self) -> None:
        self._report.begin()
        self._ids.clear()
        self._ids["sale_id"] = self._sale_id
        for call, steps in groupby(self._plan.steps, lambda step: self._calls()[step.kind]):
            await call(list(steps))
        self._report.end()

    def _calls(self) -> dict[Kind, Callable[[list[Step]], Awaitable[None]]]:
        return {
            Kind.CREATE: self._create,
            Kind.PAUSE: self._pause,
            Kind.CHANGE: self._update,
            Kind.ADD: self._update,
            Kind.ADJUST: self._adjust,
            Kind.RESUME: self._resume,
            Kind.CLOSE: self._close,
        }

    async def _create(self, steps: list[Step]) -> None:
        wanted = self._plan.wanted
        items, limits = _units(wanted.items.values())
        response = await self._client.create_sale(self._sale_id, items, item_limits=limits, **wanted.settings)
        self._did(steps, response.sale)

    async def _update(self, steps: list[Step]) -> None:
        """All of it is one call, so that it is done as a whole or not at all."""
        wanted = self._plan.wanted
        changed = {step.field for step in steps if step.kind is Kind.CHANGE}
        settings = {name: value for name, value in wanted.settings.items() if name in changed}
        items, limits = _units(wanted.items[step.sku] for step in steps if step.kind is Kind.ADD)
        response = await self._client.update_sale(
            self._sale_id, items=items, item_limits=limits, etag=self._etag, **cast(SaleSettings, settings)
        )
        self._did(steps, response.sale)

    async def _adjust(self, steps: list[Step]) -> None:
        """Under a new id in each run: where a total is again what it was once, the old id would mean the old change."""
        for step in steps:
            self._ids["sku"] = step.sku
            await self._client.adjust_stock(
                self._sale_id,
                step.sku,
                NewId("", "a").id,
                self._reason,
                new_total=cast(int, step.new),
                expected_total=cast(int, step.old),
            )
            self._report.add([step])
        del self._ids["sku"]

    async def _pause(self, steps: list[Step]) -> None:
        response = await self._client.pause_sale(self._sale_id, reason=self._reason, etag=self._etag)
        self._did(steps, response.sale)

    async def _resume(self, steps: list[Step]) -> None:
        response = await self._client.resume_sale(self._sale_id, reason=self._reason, etag=self._etag)
        self._did(steps, response.sale)

    async def _close(self, steps: list[Step]) -> None:
        response = await self._client.close_sale(self._sale_id, reason=self._reason, etag=self._etag)
        self._did(steps, response.sale)

    def _did(self, steps: list[Step], sale: Sale) -> None:
        self._etag = sale.etag
        self._report.add(steps)


def _units(items: Iterable[WantedItem]) -> tuple[dict[str, int], dict[str, int]]:
    """The totals and the limits of items that are made."""
    every = list(items)
    return {item.sku: cast(int, item.total) for item in every}, {item.sku: item.buyer_limit or 0 for item in every}
