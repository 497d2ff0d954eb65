"""The text form of requests, by which repeats are recognised."""

import pytest

from inventory_service.domain.fingerprints import sale_fingerprint, terms_of
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve, fingerprint_of
from inventory_service.domain.sale import CreateSale, NewItem

SALE = SaleKey("default", "lamp-sale")
RESERVE = Reserve(SALE, "r-1", "b-1", (Line("lamp", 2), Line("shade", 1)), None)
LAMPS = CreateSale(SALE, "Lamps", None, None, 1000, 1000, 0, (NewItem("lamp", 1),))


def test_a_fingerprint_has_buyer_ttl_and_lines() -> None:
    """The scripts parse it and stored records have it, so its form is fixed."""
    assert fingerprint_of(RESERVE) == "b-1 - lamp=2 shade=1"
    assert fingerprint_of(RESERVE._replace(hold_ttl_ms=5000)) == "b-1 5000 lamp=2 shade=1"
    assert fingerprint_of(RESERVE._replace(reference="cart-7")) == "b-1 - lamp=2 shade=1 #cart-7"


@pytest.mark.parametrize("hold_ttl_ms", [None, 5000])
@pytest.mark.parametrize("reference", ["", "cart-7"])
def test_a_fingerprint_has_all_terms_of_its_reserve(hold_ttl_ms: int | None, reference: str) -> None:
    """They are read from it, so nothing else has to be stored of a Reserve."""
    request = RESERVE._replace(hold_ttl_ms=hold_ttl_ms, reference=reference)

    assert terms_of(fingerprint_of(request)) == (request.buyer_id, hold_ttl_ms, request.lines, reference)


def test_a_spent_id_has_no_terms() -> None:
    """No Reserve made it."""
    assert terms_of("") == ("", None, (), "")


def test_sale_fingerprints_differ_by_every_setting_that_was_asked_for() -> None:
    """An unset start or end differs from a set one; equal requests have the same fingerprint in every version."""
    fingerprints = {
        sale_fingerprint(LAMPS),
        sale_fingerprint(LAMPS._replace(start_time_ms=0)),
        sale_fingerprint(LAMPS._replace(end_time_ms=0)),
        sale_fingerprint(LAMPS._replace(title='Lamps", null')),
        sale_fingerprint(LAMPS._replace(items=(NewItem("lamp", 1), NewItem("shade", 0)))),
        sale_fingerprint(LAMPS._replace(attempts_per_minute=1)),
        sale_fingerprint(LAMPS._replace(return_window_ms=1)),
    }

    assert len(fingerprints) == 7
    assert sale_fingerprint(LAMPS) == "f3b700db124f06c8a4f62fb302cf9df33d895dfcea647d40def99eb50b386281"
    assert sale_fingerprint(LAMPS._replace(generation="1-0")) == sale_fingerprint(LAMPS)
    assert sale_fingerprint(LAMPS) == sale_fingerprint(CreateSale(*LAMPS))
