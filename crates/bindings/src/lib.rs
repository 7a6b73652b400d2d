//! The private Python module.
