//! Seeded generators, fake models and a manual clock for tests.
