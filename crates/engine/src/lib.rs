//! The database: assembles storage, indexes, queries and the weaver.
