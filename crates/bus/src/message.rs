//! Messages, and what consumers get of them.

use std::sync::Arc;

use embedded_db_common::clock::Micros;

/// A message as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its number; later ones have greater numbers.
    pub id: u64,
    /// Where it was published.
    pub channel: Arc<str>,
    /// Messages with the same key keep their order.
    pub key: Option<Arc<str>>,
    /// The channel on which an answer is awaited.
    pub reply_to: Option<Box<str>>,
    /// 0 to 9; 9 goes first.
    pub priority: u8,
    /// What kind of bytes the body is; the bus does not look.
    pub kind: u8,
    /// When it was published.
    pub published: Micros,
    /// From when on it is not delivered any more; `Micros::MAX` for never.
    pub expires: Micros,
    /// What it says.
    pub body: Box<[u8]>,
}

impl Message {
    /// Whether its time is over.
    pub fn is_expired(&self, now: Micros) -> bool {
        self.expires <= now
    }
}

/// A message that was given to a consumer, who acknowledges it, or gives it back.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message.
    pub message: Arc<Message>,
    /// How often it was delivered, this time included.
    pub attempts: u32,
    /// Which delivery of the subscription it is.
    pub(crate) number: u64,
}

/// A message that was delivered as often as it may be.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The message.
    pub message: Arc<Message>,
    /// How often it was delivered.
    pub attempts: u32,
    /// What the last consumer said, or that the time to acknowledge was over.
    pub reason: Arc<str>,
}
