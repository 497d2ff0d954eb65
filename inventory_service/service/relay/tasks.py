"""Runs work beside other work: a task until a block ends, and the next page's read while a page is used."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

Page = TypeVar("Page")


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run work until the block ends; an error of the work is raised then."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        await _stop(task)
        if not task.cancelled():
            task.result()


async def ahead(pages: AsyncGenerator[Page, None]) -> AsyncGenerator[Page, None]:
    """The same pages, each read while the one before it is used."""
    async with aclosing(pages):
        following = asyncio.ensure_future(anext(pages, None))
        try:
            while (page := await following) is not None:
                following = asyncio.ensure_future(anext(pages, None))
                yield page
        finally:
            await _stop(following)


async def _stop(task: "asyncio.Future[Any]") -> None:
    """Cancel it and wait for its end. A cancellation of the caller meanwhile is not taken for that of the task."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # asyncio logs an exception that is never retrieved
