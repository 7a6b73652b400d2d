//! The store: LMDB tables, grouped writers, snapshots, locks.
