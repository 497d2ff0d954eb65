"""Iterators for callers without an event loop: each waits for what an iterator of the asyncio client gives."""

from collections.abc import Coroutine, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from holdfast.errors import Closed
from holdfast.pages import Element, Page, Pages
from holdfast.streams import Stream

Answer = TypeVar("Answer")
Result = TypeVar("Result")
Request = TypeVar("Request")


class Wait(Protocol):
    """Runs a coroutine on the client's loop, and waits for its result."""

    def __call__(self, answer: Coroutine[Any, Any, Result], /) -> Result: ...


class BlockingPages(Iterator[Element], Generic[Element, Page]):
    """Iterates over the elements of a list, as `Pages` does."""

    def __init__(self, pages: Pages[Element, Page], wait: Wait) -> None:
        self._pages = pages
        self._wait = wait
        self._iteration = (element for page in self.pages() for element in pages.elements(page))

    def pages(self) -> Iterator[Page]:
        """Iterates over the response messages, from the first page on, however far the elements are."""
        token: str | None = self._pages.page_token
        while token is not None:
            page = self._wait(self._pages.read(token))
            yield page
            token = page.next_page_token or None

    def __next__(self) -> Element:
        """The next element."""
        return next(self._iteration)


class BlockingStream(Iterator[Answer]):
    """Iterates over the answers of one call, as `Stream` does; any thread may close it."""

    def __init__(self, stream: Stream[Answer], wait: Wait) -> None:
        self._stream = stream
        self._wait = wait

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __next__(self) -> Answer:
        """The next answer."""
        try:
            return self._wait(self._stream.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None
        except BaseException:  # Ctrl-C too, perhaps just when the answer had come
            self._stream.cancel_soon()
            raise

    def close(self) -> None:
        """End the call; a thread that waits for the next answer finds that there is none."""
        with suppress(Closed):  # the client is closed, and the call has ended with it
            self._wait(self._stream.aclose())
