//! A repair saves what reads of a damaged database, and nothing else.
//!
//! A database with something of everything is damaged in every way that a disk knows. Whatever is saved of
//! it was in it, to the bit; what was lost is told; what was saved agrees; and what was damaged is left as
//! it is.

#![allow(clippy::unwrap_used)] // helpers of tests

#[path = "../common/mod.rs"]
mod common;

mod content;
mod damage;
mod files;
mod random;
mod raw;
