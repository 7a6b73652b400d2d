//! Labels, edge types and properties that the database itself uses, in words.

pub(crate) const CHAT: &str = "Chat";
pub(crate) const MESSAGE: &str = "Message";
pub(crate) const SUMMARY: &str = "Summary";
pub(crate) const CONTAINS: &str = "CONTAINS";
pub(crate) const NEXT: &str = "NEXT";
pub(crate) const SUMMARIZES: &str = "SUMMARIZES";
pub(crate) const SUPERSEDES: &str = "SUPERSEDES";
pub(crate) const CHAT_ID: &str = "chat_id";
pub(crate) const SUPERSEDED_BY: &str = "superseded_by";
