"""What the model functions return is checked at the border: a wrong shape is never a vector.

What the weaver stores is checked in the tests of enrichment; here it is the vector of a query.
"""

import numpy as np
import pytest

from embedded_db import EmbeddedDB, EnrichmentFailed
from embedded_db.testing import FakeModel


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (np.ones((16, 1), np.float32), "16 rows for 1 texts"),
        (np.ones((2, 16), np.float32), "2 rows for 1 texts"),
        (np.ones((0, 16), np.float32), "0 rows for 1 texts"),
        (np.ones(16, np.float32), "1 axes"),
        (np.ones((1, 8), np.float32), "8 numbers.* a vector of 16"),
        (np.full((1, 16), np.nan, np.float32), "NaN"),
    ],
)
def test_the_vector_of_a_query_is_one_row_of_its_space(vectors, words):
    class Wrong(FakeModel):
        def embed(self, texts):
            return vectors

    with (
        EmbeddedDB(":memory:", ml=Wrong(dim=16)) as db,
        pytest.raises(EnrichmentFailed, match=words),
    ):
        db.query(semantic_query={"text": "Paris"})
