"""all-MiniLM-L6-v2, the model of the data wheel ``embedded-db-minilm``."""

from __future__ import annotations

from embedded_db.ml.transformer import BATCH, INSTALL_LOCAL, Transformer

__all__ = ["DATA_WHEEL", "DIMENSION", "INSTALL_LOCAL", "MODEL", "WINDOW", "MiniLM"]

MODEL = "all-MiniLM-L6-v2"
DIMENSION = 384
WINDOW = 256

DATA_WHEEL = "embedded_db_minilm"
"""The package that carries the model's files; its ``path()`` says where they lie."""


class MiniLM(Transformer):
    """The model, loaded once at first use; every method may be called from any thread.

    Args:
        precision: ``"fp32"`` or ``"int8"``.
        threads: how many threads run the batches of one call, None for at most two.
        onnx: False forces the NumPy forward pass.
        batch: the most windows of one pass.
        cut: whether what is longer than a window is left out.
        plain: whether Python may do what the package ``tokenizers`` does, where that is missing.
    """

    def __init__(
        self,
        precision: str,
        threads: int | None,
        *,
        onnx: bool = True,
        batch: int = BATCH,
        cut: bool = False,
        plain: bool = False,
    ) -> None:
        super().__init__(
            MODEL,
            DATA_WHEEL,
            precision,
            threads,
            onnx=onnx,
            window=WINDOW,
            batch=batch,
            cut=cut,
            plain=plain,
            family="minilm",
            optimised=True,
        )

    @property
    def dimension(self) -> int:
        """The dimension of its vectors."""
        return DIMENSION
