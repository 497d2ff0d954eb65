"""How far some work is: a line each second is enough for a person."""

from inventory_service.service.paced_lines import PacedLines


def test_a_line_is_written_at_most_each_interval() -> None:
    """The first at once; what comes too soon is left out and makes the next one no later."""
    now_s, written = [100.0], list[str]()
    lines = PacedLines(written.append, lambda: now_s[0], interval_s=1.0)

    for tenths in range(25):
        now_s[0] = 100 + tenths / 10
        lines(f"{tenths}")

    assert written == ["0", "10", "20"]
