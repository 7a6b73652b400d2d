//! The background worker that enriches what is stored.
