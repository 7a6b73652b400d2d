"""What the tests of declared models find ready."""

from datetime import date
from decimal import Decimal

import pytest

from .shared import Kind, Pet, Size, Size2


@pytest.fixture
def pets(db):
    db.add_all(
        [
            Pet(id="tom", name="Tom", born=date(2020, 2, 28), friends=[Kind.DOG]),
            Pet(id="rex", name="Rex", kind=Kind.DOG, size=Size2.LARGE, born=date(999, 12, 31)),
            Pet(id="kim", name="Kim", kind=Kind.DOG, basket=Size(width=3), price=Decimal("9")),
        ]
    )
    return Pet.where().on(db)
