"""Files that describe sales: what is read, and that every error is told with its line before anything is sent."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from holdfast.cli import sale_files
from holdfast.cli.fail import CommandFailed
from holdfast.cli.sale_files import State, WantedItem, WantedSale, read_sales

from tests.unit.clients.cli.command import invoke

WHOLE = """\
sales:
  - sale_id: lamps
    title: Lamps, at last
    start_time: 2026-11-27T10:00:00+01:00
    end_time: "2026-11-27 12:00:00.1239Z"
    hold_ttl: 90s
    max_hold_ttl: 1h30m
    buyer_limit: 4
    attempts_per_minute: 30
    return_window: 14d
    state: paused
    items:
      - {sku: lamp, total: 100, buyer_limit: 2}
      - sku: 0123
        total: 0
  - sale_id: bulbs
    title: ~
    end_time:
    hold_ttl: 0
    items: [{sku: bulb, total: 5}]
"""


def read(tmp_path: Path, text: str | bytes) -> list[WantedSale]:
    file = tmp_path / "sales.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_sales(str(file), as_json=True)


def errors_of(tmp_path: Path, text: str | bytes) -> list[str]:
    """What the file's error says, without the name of the file."""
    with pytest.raises(CommandFailed) as failed:
        read(tmp_path, text)
    assert failed.value.exit_code == 2
    return (
        failed.value.message.replace(f"{tmp_path}/sales.yaml: ", "").removeprefix("nothing was sent: ").split("; line")
    )


def test_a_file_has_several_sales_with_any_of_their_settings(tmp_path: Path) -> None:
    """A setting that is left out differs from one that is null; an id keeps its zeros."""
    lamps, bulbs = read(tmp_path, WHOLE)

    assert lamps == WantedSale(
        "lamps",
        {
            "title": "Lamps, at last",
            "start_time": datetime(2026, 11, 27, 9, tzinfo=UTC),
            "end_time": datetime(2026, 11, 27, 12, 0, 0, 123_000, tzinfo=UTC),
            "hold_ttl": timedelta(seconds=90),
            "max_hold_ttl": timedelta(minutes=90),
            "buyer_limit": 4,
            "attempts_per_minute": 30,
            "return_window": timedelta(days=14),
        },
        {"lamp": WantedItem("lamp", 100, 2), "0123": WantedItem("0123", 0, None)},
        State.PAUSED,
    )
    assert bulbs.settings == {"title": None, "end_time": None, "hold_ttl": timedelta(0)}
    assert bulbs.state is None


def test_json_is_yaml_too(tmp_path: Path) -> None:
    """For a program that writes the file."""
    [sale] = read(tmp_path, json.dumps({"sales": [{"sale_id": "a", "items": [{"sku": "b", "total": 1}]}]}))

    assert sale == WantedSale("a", {}, {"b": WantedItem("b", 1, None)}, None)


ONE = "sales:\n  - sale_id: lamps\n    items: [{sku: lamp, total: 1}]\n"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("colour: red", "'colour' is no field of the sale; it has sale_id, title, start_time"),
        ("title: a\n    title: b", "title is given twice"),
        ("start_time: 2026-11-27T10:00:00", "no moment with its zone"),
        ("start_time: +10m", "'+10m' is no moment with its zone"),
        ("start_time: 9999-12-31T23:59:59-01:00", "no moment with its zone"),
        ("start_time: 1969-12-31T23:59:59Z", "must be from 1970 to 9999"),
        ("end_time: 2026-11-27", "no moment with its zone"),
        ("start_time: 2026-11-27T10:00:00Z\n    end_time: 2026-11-27T11:00:00+01:00", "must be after start_time"),
        ("hold_ttl: 90", "'90' is no duration"),
        ("hold_ttl: 25h", "'25h' is longer than 24h"),
        ("hold_ttl: 0.0001s", "is shorter than 1ms"),
        ("hold_ttl: 10m\n    max_hold_ttl: 5m", "max_hold_ttl: must be at least hold_ttl"),
        ("return_window: 91d", "is longer than 90d"),
        ("buyer_limit: -1", "'-1' is no whole number from 0 to"),
        ("buyer_limit: 0x10", "is no whole number"),
        ("buyer_limit: 010", "is no whole number"),
        ("buyer_limit: 1e3", "is no whole number"),
        ('buyer_limit: "5"', "is no whole number"),
        ("attempts_per_minute: 601", "is no whole number from 0 to 600"),
        ("attempts_per_minute: [1]", "attempts_per_minute must be a single value"),
        (f"title: {'a' * 201}", "must be at most 200 characters"),
        ("title: !!python/name:os.system x", "title must be a single value without a tag"),
        ("title: &a b", "title has an anchor; anchors and aliases are not taken"),
        ("<<: {title: b}", "'<<' is no field"),
        ("state: on", "'on' is no state; it is one of open, paused, closed"),
        ("state: [closed]", "state must be a single value"),
    ],
)
def test_an_error_in_a_sale_names_its_line(tmp_path: Path, line: str, why: str) -> None:
    """That of the field, or of the later one of two."""
    [error] = errors_of(tmp_path, f"{ONE}    {line}\n")

    assert error.startswith(f"line {4 + line.count(chr(10))}: ")
    assert why in error


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ("", "items must be a list with at least one element"),
        ("[]", "items must be a list with at least one element"),
        ("{lamp: 5}", "items must be a list with at least one element"),
        ("[lamp]", "the item must be a mapping of sku, total, buyer_limit"),
        ("[{total: 1}]", "the item has no sku"),
        ("[{sku: lamp, total: 1000000000001}]", "is no whole number from 0 to 1000000000000"),
        ("[{sku: lamp, total: }]", "is no whole number"),
        ("[{sku: a b, total: 1}]", "'a b' is no id"),
        ("[{sku: null, total: 1}]", "'null' is no id"),
        ("[{sku: lamp, total: 1}, {sku: lamp, total: 2}]", "item lamp is described twice"),
        ("[{sku: lamp, total: 1, price: 2}]", "'price' is no field of the item"),
        ("[{sku: a, total: 1}, {sku: b, total: 1}, {sku: c, total: 1}]", "items: has 3, and a sale at most 2"),
    ],
)
def test_an_error_in_the_items_names_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, items: str, why: str
) -> None:
    """As one of the sale does."""
    monkeypatch.setattr(sale_files, "MOST_ITEMS", 2)

    [error] = errors_of(tmp_path, f"sales:\n  - sale_id: lamps\n    items: {items}\n")

    assert error.startswith("line 3: ")
    assert why in error


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "line 1: the file is empty"),
        ("# only a comment\n", "line 1: the file is empty"),
        ("sales: [\n", "line 2: this is no YAML: while parsing a flow"),
        ("a: b: c", "line 1: this is no YAML: mapping values are not allowed"),
        ("sales:\n\t- a", "line 2: this is no YAML: while scanning"),
        (f"{ONE}---\n{ONE}", "line 4: this is no YAML: expected a single document"),
        ("- " * 600, "line 1: this is nested too deeply"),
        ("- a", "line 1: the file must be a mapping of sales"),
        ("sale_id: lamps", "line 1: 'sale_id' is no field of the file; it has sales"),
        ("sales: lamps", "line 1: sales must be a list"),
        ("sales: *all", "line 1: this is no YAML: found undefined alias"),
        (b"\xff", "is not UTF-8 at byte 0"),
        (b"a: \x00", "line 1: this is no YAML: unacceptable character"),
    ],
)
def test_a_text_that_is_no_such_file_is_refused(tmp_path: Path, text: str | bytes, why: str) -> None:
    """In a sentence, whatever it is."""
    assert why in errors_of(tmp_path, text)[0]


def test_a_sale_that_is_described_twice_is_an_error(tmp_path: Path) -> None:
    """Only one of them could be meant."""
    [error] = errors_of(tmp_path, ONE + ONE.removeprefix("sales:\n"))

    assert error == "line 4: sale lamps is described twice"


def test_aliases_stand_for_nothing(tmp_path: Path) -> None:
    """Some lines of them could stand for a billion elements."""
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))

    assert len(errors_of(tmp_path, f"{bomb}sales: *a29\n")) == 31


def test_a_file_that_is_too_long_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing takes seconds for each megabyte."""
    monkeypatch.setattr(sale_files, "MOST_BYTES", 100)

    assert errors_of(tmp_path, ONE + "#" * 100) == ["has more than 100 bytes"]


def test_every_error_is_a_line_and_nothing_is_sent(tmp_path: Path) -> None:
    """No server needs to be there; as JSON it is one object as ever."""
    (tmp_path / "sales.yaml").write_text(f"{ONE}    hold_ttl: 90\n    state: on\n")
    words = ("sale", "apply", str(tmp_path / "sales.yaml"), "--address", "127.0.0.1:1")

    done, as_json = invoke(words), invoke([*words, "--json"])

    assert done.exit_code == as_json.exit_code == 2
    assert done.stderr.splitlines() == [
        f"{tmp_path}/sales.yaml, line 4: hold_ttl: '90' is no duration; write it as 90s, 10m, 1h30m or 0",
        f"{tmp_path}/sales.yaml, line 5: state: 'on' is no state; it is one of open, paused, closed",
        f"holdfast: {tmp_path}/sales.yaml: has 2 errors; nothing was sent",
    ]
    assert "line 5: state" in json.loads(as_json.stdout)["error"]["message"]


def test_errors_beyond_the_first_ones_are_counted(tmp_path: Path) -> None:
    """A file of another kind must not fill the screen."""
    (tmp_path / "sales.yaml").write_text("sales:\n" + "  - 1\n" * 60)

    done = invoke(("sale", "apply", str(tmp_path / "sales.yaml")))

    *lines, last = done.stderr.splitlines()
    assert len(lines) == 50
    assert "has 60 errors, of which the first 50 are shown" in last


def test_a_hyphen_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a template that another program fills in."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(WHOLE.encode())))

    assert [sale.sale_id for sale in read_sales("-", as_json=False)] == ["lamps", "bulbs"]


def test_a_file_that_is_missing_is_named() -> None:
    """As `reserve --file` does."""
    done = invoke(("sale", "apply", "/nowhere/sales.yaml"))

    assert (done.exit_code, done.stderr) == (2, "holdfast: /nowhere/sales.yaml: No such file or directory\n")
