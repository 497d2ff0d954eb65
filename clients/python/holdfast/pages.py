"""What a list returns: its elements and its pages, each of which is read when it is needed."""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Generic, Protocol, TypeVar


class HasToken(Protocol):
    """A page of any list."""

    @property
    def next_page_token(self) -> str:
        """Names the page that follows; empty on the last page."""


Element = TypeVar("Element")
Page = TypeVar("Page", bound=HasToken)


class Pages(AsyncIterator[Element], Generic[Element, Page]):
    """Iterates over the elements of a list, page by page; each page is a call, with the patience of one.

    After an error the iteration has ended: begin again with the `next_page_token` of the last page that came.
    """

    def __init__(
        self,
        read: Callable[[str], Coroutine[Any, Any, Page]],
        elements: Callable[[Page], Sequence[Element]],
        page_token: str,
    ) -> None:
        self.read = read
        self.elements = elements
        self.page_token = page_token  # of the first page
        self._iteration = self._elements()

    async def pages(self) -> AsyncIterator[Page]:
        """Iterates over the response messages, from the first page on, however far the elements are."""
        token: str | None = self.page_token
        while token is not None:
            page = await self.read(token)
            yield page
            token = page.next_page_token or None

    async def __anext__(self) -> Element:
        """The next element."""
        return await anext(self._iteration)

    async def _elements(self) -> AsyncIterator[Element]:
        async for page in self.pages():
            for element in self.elements(page):
                yield element
