//! What a bus is made with.

use embedded_db_common::clock::Micros;

/// Priorities are 0 to 9; 9 goes first.
pub const PRIORITIES: usize = 10;
/// Most bytes of the body of a message.
pub const MAX_MESSAGE: usize = 16 << 20;
/// Most bytes of the name of a channel or a group, and of a key.
pub const MAX_NAME: usize = 1024;

/// What happens to a message for which a subscription has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// Its publisher waits.
    Block,
    /// The oldest message that waits makes room.
    DropOldest,
    /// Its publisher gets an error.
    Error,
}

/// When a message counts as published, if the bus has a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When the disk has it.
    Durable,
    /// When the operating system has it.
    Relaxed,
}

/// What a bus is made with.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Most messages of a subscription that are not acknowledged.
    pub capacity: usize,
    /// What happens when there are so many.
    pub overflow: Overflow,
    /// After waiting for so long a message counts as one priority higher.
    pub ageing: Micros,
    /// What is not acknowledged within this time is delivered again.
    pub ack_deadline: Micros,
    /// After so many deliveries it is a dead letter.
    pub max_attempts: u32,
    /// What the log promises.
    pub durability: Durability,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            capacity: 100_000,
            overflow: Overflow::Block,
            ageing: 1_000_000,
            ack_deadline: 30_000_000,
            max_attempts: 5,
            durability: Durability::Durable,
        }
    }
}
