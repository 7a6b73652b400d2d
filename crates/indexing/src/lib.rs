//! Property postings, vector and text views over the store.
