"""Model functions: texts in, vectors, entities and summaries out.

Importing this package loads no model and no inference library. The database builds one
`Functions` from an `MLConfig` and calls it from its worker threads; `embedded_db.ml.ml_funcs` has
the same as plain functions.
"""

from embedded_db.ml.providers import Functions, load_functions
from embedded_db.ml_config import MLConfig

__all__ = ["Functions", "MLConfig", "load_functions"]
