"""Writes docs/topics.md from the protos and from what `holdfast topics` makes, or finds the committed page stale."""

import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet

from holdfast_runtime.kafka import (
    COMMITS,
    COMPENSATIONS,
    COMPENSATOR_GROUP,
    LARGEST_RECORD,
    ORDERS,
    PERSISTER_GROUP,
    PROGRESS,
    SALES,
)
from inventory_service.server_checks.kafka import RECOMMENDED_BROKERS, recommended_replication
from inventory_service.service.topics import topic_spec
from inventory_service.settings import Settings
from protos.compile import PROTOS
from protos.compile import main as compile_protos

PAGE = PROTOS.parent / "docs" / "topics.md"
PACKAGE = "holdfast.inventory.v1"
USAGE = "usage: topics_page.py page | check"
MESSAGES, ENUMS, FIELDS, VALUES = 4, 5, 2, 2  # numbers of fields of descriptors, of which a comment's path is made
DAY_MS = 24 * 60 * 60 * 1000
MESSAGE, ENUM = FieldDescriptorProto.TYPE_MESSAGE, FieldDescriptorProto.TYPE_ENUM
REPEATED = FieldDescriptorProto.LABEL_REPEATED
Declared = DescriptorProto | EnumDescriptorProto


class Topic(NamedTuple):
    """What the protos do not say of a topic."""

    key: str
    writer: str
    readers: str
    delivery: str
    order: str


FACTS = (
    "At least once. A persister sends a fact once its change is committed in PostgreSQL, and notes there what Kafka "
    "has confirmed; after a lost confirmation or a crash it sends again from that note. What is noted is not sent "
    "again, so what Kafka deletes is gone for a reader that was away."
)
FACTS_ORDER = (
    "By position within a partition: a fact that is read there for the first time is above all before it, and a repeat "
    "is not, so the highest position of each partition tells repeats. No order between partitions or topics."
)
ANYONE = "your services, each with a consumer group of its own; no process of Holdfast"

TOPICS = {
    ORDERS: Topic("`tenant/sale/reservation`", "`holdfast persist`", ANYONE, FACTS, FACTS_ORDER),
    SALES: Topic("`tenant/sale`", "`holdfast persist`", ANYONE, FACTS, FACTS_ORDER),
    COMMITS: Topic(
        "the shard, in decimal",
        "`holdfast relay`",
        f"`holdfast persist`, in the group `{PERSISTER_GROUP}`",
        "At least once. The outbox in Redis keeps a commit until the ledger holds it, and the relay sends it again if "
        "Kafka loses it. The persister drops what the ledger has, and never applies what does not follow.",
        "By epoch and seq within a partition. Two relays of a moment, and a resend, repeat what was sent.",
    ),
    PROGRESS: Topic(
        "the shard, in decimal",
        "`holdfast persist`",
        "`holdfast relay`, without a group; each one reads all partitions",
        "At least once after each transaction, and again after ten seconds without one. A lost report does no harm: "
        "the next one says as much or more.",
        "By position within a partition; two persisters of a moment may repeat older reports.",
    ),
    COMPENSATIONS: Topic(
        "the shard, in decimal",
        "`holdfast persist`",
        f"`holdfast compensate`, in the group `{COMPENSATOR_GROUP}`",
        "At least once, and again until the ledger holds the change that ends the order. The script acts on the "
        "reservation made at `created`, and once.",
        "None that matters: each stands by itself.",
    ),
}

HEAD = """# Topics

`make topics-page` writes this page from the [protos](../protos/holdfast/inventory/v1) and from what `holdfast topics`
makes. Values are protobuf; Python has their classes in `holdfast.inventory.v1`, and
[the page of all clients](../clients/README.md) says how other languages get them. [Two
consumers](../clients/examples/README.md) show how facts are read.

| topic | value | for |
|---|---|---|
{topics}

Names begin with `HOLDFAST_KAFKA_PREFIX`, if it is set. A record lies in the partition of its shard, which
`Position.shard` names, and all of one sale is in one shard. Writers ask for `acks=all`.

`holdfast topics` makes each topic with:

| setting | one broker or two | three brokers or more |
|---|---|---|
{settings}

## Reading facts

- **Take raw bytes and decode them yourself**, so that a value that does not decode is seen. It was written by no
  persister, or by a newer one: stop there, or keep it aside.
- **Drop repeats by position.** Keep for each partition the last position that you acted on, together with what you did,
  or tell a repeat by it where you act. Positions compare by epoch, then seq, then index.
- **Commit offsets after you acted**, and start at `earliest`: a reader that is away for longer than the retention
  misses facts, and gets the rest from the API.
- **Pass over what you do not know**: an enum value, or a change of a sale that is not set, of a newer Holdfast.
- **A reader cannot hold a sale up.** Facts are sent after the change is on the books, and wait for no reader.
"""


class Protos:
    """Messages, enums and comments of the protos, by name."""

    def __init__(self, files: FileDescriptorSet) -> None:
        self.declared: dict[str, Declared] = {}
        self.comments: dict[str, str] = {}  # of `Message`, `Message.field`, `Enum` and `Enum.VALUE`
        self.home: dict[str, str] = {}  # the file of a message or an enum
        for file in files.file:
            if file.package == PACKAGE:
                said = {tuple(one.path): one.leading_comments for one in file.source_code_info.location}
                for number, message in enumerate(file.message_type):
                    self._add(file.name, message, said, (MESSAGES, number), [one.name for one in message.field], FIELDS)
                for number, enum in enumerate(file.enum_type):
                    self._add(file.name, enum, said, (ENUMS, number), [one.name for one in enum.value], VALUES)

    def _add(
        self,
        file: str,
        what: Declared,
        said: dict[tuple[int, ...], str],
        path: tuple[int, int],
        parts: list[str],
        kind: int,
    ) -> None:
        self.declared[what.name], self.home[what.name] = what, file
        self.comments[what.name] = plain(said.get(path, ""))
        for number, part in enumerate(parts):
            self.comments[f"{what.name}.{part}"] = plain(said.get((*path, kind, number), ""))

    def message_of(self, topic: str) -> str:
        """The message whose comment says that it is the value of a record of the topic."""
        sentence = f"the value of a record of `{topic}`"
        [name] = [name for name, comment in self.comments.items() if "." not in name and sentence in comment]
        return name

    def within(self, names: Iterable[str]) -> list[str]:
        """The messages and enums that these messages have in their fields, at any depth, without themselves."""
        found: dict[str, None] = {}
        waiting = list(names)
        while waiting:
            what = self.declared[waiting.pop(0)]
            inner = [local(one.type_name) for one in what.field] if isinstance(what, DescriptorProto) else []
            waiting += (new := [name for name in dict.fromkeys(inner) if name in self.declared and name not in found])
            found |= dict.fromkeys(new)
        return sorted(set(found) - set(names))


def main(arguments: list[str]) -> int:
    """Write or compare the page; the exit code is 1 if it is stale, 2 for bad arguments."""
    match arguments:
        case ["page"]:
            PAGE.write_text(page())
            return 0
        case ["check"]:
            return report_stale(PAGE.read_text() if PAGE.exists() else "")
    print(USAGE, file=sys.stderr)
    return 2


def report_stale(committed: str) -> int:
    """1, with the command that writes the page, if the text is not the page's."""
    if committed == page():
        return 0
    print("stale: docs/topics.md\nRun `make topics-page` and commit what it writes.", file=sys.stderr)
    return 1


def page() -> str:
    """The text of the page."""
    protos = read_protos()
    values = {topic: protos.message_of(topic) for topic in TOPICS}
    rows = [f"| [`{topic}`](#{anchor(topic)}) | `{name}` | {reader(topic)} |" for topic, name in values.items()]
    head = HEAD.format(topics="\n".join(rows), settings="\n".join(settings()))
    topics = [topic_section(protos, topic, name) for topic, name in values.items()]
    inner = [declared_section(protos, name) for name in protos.within(values.values())]
    return "\n".join([head, *topics, "## Messages and enums within them\n", *inner])


def read_protos() -> Protos:
    with tempfile.NamedTemporaryFile() as image:
        compile_protos(["image", image.name])
        return Protos(FileDescriptorSet.FromString(Path(image.name).read_bytes()))


def reader(topic: str) -> str:
    return "your services" if TOPICS[topic].readers == ANYONE else "Holdfast's own processes only"


def settings() -> Iterator[str]:
    """The rows of the table of settings, of a cluster of one broker and of one with as many as are recommended."""
    shards = Settings.model_fields["shards"].default
    few, many = (topic_spec("", shards, recommended_replication(brokers)) for brokers in (1, RECOMMENDED_BROKERS))
    yield f"| partitions | `HOLDFAST_SHARDS` ({few.partitions}), one a shard | the same |"
    yield f"| replication factor | one on each | {many.replication} |"
    for name, value in {**few.settings, "max.message.bytes": str(LARGEST_RECORD)}.items():
        other = many.settings.get(name, value)
        days = f", {int(value) // DAY_MS} days" if name == "retention.ms" else ""
        yield f"| `{name}` | {value}{days} | {'the same' if other == value else other} |"


def topic_section(protos: Protos, topic: str, name: str) -> str:
    """One topic: what its message is, who writes and reads it, what it guarantees, and the fields."""
    about = TOPICS[topic]
    rows = {
        "key": about.key,
        "value": f"`{name}`, in [{Path(protos.home[name]).name}](../protos/{protos.home[name]})",
        "written by": about.writer,
        "read by": about.readers,
        "delivery": about.delivery,
        "order": about.order,
    }
    table = "\n".join(f"| {label} | {text} |" for label, text in rows.items())
    return f"## {topic}\n\n{protos.comments[name]}\n\n| | |\n|---|---|\n{table}\n\n{fields(protos, name)}"


def declared_section(protos: Protos, name: str) -> str:
    return f"### {name}\n\n{protos.comments[name]}\n\n{fields(protos, name)}"


def fields(protos: Protos, name: str) -> str:
    """The table of a message's fields or of an enum's values."""
    what = protos.declared[name]
    if isinstance(what, EnumDescriptorProto):
        rows = [f"| {one.number} | `{one.name}` | {cell(protos, name, one.name)} |" for one in what.value]
        return "\n".join(["| | value | meaning |", "|---|---|---|", *rows, ""])
    rows = [
        f"| {one.number} | `{one.name}` | {kind(protos, what, one)} | {cell(protos, name, one.name)} |"
        for one in what.field
    ]
    return "\n".join(["| | field | type | meaning |", "|---|---|---|---|", *rows, ""]) if rows else ""


def kind(protos: Protos, message: DescriptorProto, field: FieldDescriptorProto) -> str:
    """The type of a field, as a link if it is on this page."""
    name = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    if field.type in (MESSAGE, ENUM):
        name = local(field.type_name)
        name = f"[{name}](#{anchor(name)})" if name in protos.declared else name
    if field.label == REPEATED:
        return f"repeated {name}"
    if field.HasField("oneof_index") and not field.proto3_optional:
        return f"{name}, one of `{message.oneof_decl[field.oneof_index].name}`"
    return f"optional {name}" if field.proto3_optional else name


def cell(protos: Protos, name: str, part: str) -> str:
    return protos.comments[f"{name}.{part}"].replace("|", "\\|").replace("\n\n", " ")


def local(type_name: str) -> str:
    """`.holdfast.inventory.v1.Sale` without its package; a foreign type's last name alone."""
    return type_name.rpartition(".")[2]


def plain(comment: str) -> str:
    """A comment's paragraphs, each on one line."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in comment.strip().split("\n\n"))


def anchor(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
