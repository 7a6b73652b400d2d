//! Views over the store: property postings, vectors and full text.
//!
//! The store holds the truth. A view knows up to which LSN it is right; [`Views`] brings it up to the
//! snapshot of each query before the query sees it.

mod bitmaps;
mod changes;
pub mod columns;
pub mod edges;
mod expiry;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod graph;
mod hashing;
pub mod kernels;
mod merging;
pub mod properties;
mod published;
pub mod recipes;
pub mod schema;
pub mod sessions;
pub mod text;
pub mod vector;
mod views;

pub use bitmaps::{labelled, posting};
pub use expiry::hidden;
pub use published::{Linked, MOST_CHANGES, Sealed};
pub use vector::stored::StoreRows;
pub use views::{Attached, Needs, Pin, Views};
