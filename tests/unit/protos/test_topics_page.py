"""The page of topics has every topic, and one that the protos have gone on from is found."""

import pytest
from holdfast_embedded.broker import TOPICS as MADE

from protos import topics_page


def test_it_has_every_topic_that_is_made() -> None:
    """The stack makes the same topics as `holdfast topics`."""
    assert sorted(topics_page.TOPICS) == sorted(MADE)


def test_a_page_of_older_protos_is_stale(capsys: pytest.CaptureFixture[str]) -> None:
    """A field's comment was changed since it was written; the command that writes it anew is named."""
    committed = topics_page.PAGE.read_text()
    older = committed.replace("The shard, equal to the record's partition.", "The shard.")

    assert older != committed
    assert topics_page.report_stale(older) == 1

    assert "make topics-page" in capsys.readouterr().err
    assert topics_page.report_stale(committed) == 0
