//! Calls the stateless Python model functions for the weaver.
