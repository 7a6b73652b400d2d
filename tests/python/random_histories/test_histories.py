"""Whatever is done in whatever order, the database holds what a few Python dicts would hold.

A driver makes 4,000 random steps, 20,000 where tests are thorough: single writes, batches, sets,
objects of models, chats with all that goes with them, transactions that commit, roll back or
conflict, snapshots and cursors that are kept across writes, namespaces that are dropped, databases
that are closed and opened again. Beside the database it keeps `State`, too simple to be wrong, and
compares after every step what the step touched, now and then everything.

A failure names its seed; ``EMBEDDED_DB_SEED=… pytest -k random_histories`` repeats it.
"""

import os
import random

import pytest

from embedded_db.testing import FakeModel

from .history import History

STEPS, SHORT = 20_000, 4_000
WHOLE = 700
"""Steps between two comparisons of everything."""

SEED = int(os.environ.get("EMBEDDED_DB_SEED") or random.SystemRandom().randrange(2**32))


@pytest.mark.parametrize("seed", [20, SEED], ids=["fixed", "random"])
def test_a_random_history(path, seed, thorough, capsys):
    history = History(path, seed, FakeModel())
    done, steps = 0, STEPS if thorough else SHORT
    try:
        while done < steps:
            history.step()
            done += 1
            if done % WHOLE == 0:
                history.check()
            if done % (3 * WHOLE) == 0:
                history.check_derived()
        history.check()
        for needed in (
            "mentions",
            "reopen",
            "drop",
            "transactions: in its way",
            "transactions: beside",
        ):
            assert not thorough or history.counts[needed], f"{needed} is not in the history"
    finally:
        with capsys.disabled():
            print(f"\n{done} steps of the seed {seed}: {dict(history.counts)}")
        history.db.close()
