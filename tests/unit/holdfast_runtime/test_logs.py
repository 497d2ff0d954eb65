"""The logs have no repeated sentences."""

import logging

import pytest

from holdfast_runtime.logs import RepeatFilter


def test_a_repeated_sentence_is_logged_once_per_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries put values into their sentences, so sentences must not be kept for ever."""
    now = [100.0]
    monkeypatch.setattr("holdfast_runtime.logs.time.monotonic", lambda: now[0])
    repeats = RepeatFilter(pause_s=5)

    def is_logged(sentence: str) -> bool:
        return repeats.filter(logging.makeLogRecord({"name": "aiokafka", "msg": sentence}))

    first = [is_logged("away"), is_logged("away"), is_logged("node 1 is away")]
    now[0] += 5
    later = [is_logged("away"), is_logged("away")]

    assert first == [True, False, True]
    assert later == [True, False]
    assert len(repeats._logged) == 1
