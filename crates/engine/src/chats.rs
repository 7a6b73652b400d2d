//! Reading chats: their messages in order, or the newest first.

use embedded_db_common::{Error, Result, Slot};
use embedded_db_storage::{Direction, Neighbor, ReadTxn};

use crate::objects::Node;
use crate::reads::Reader;

/// Part of the messages of a chat.
pub struct Messages {
    /// The messages, each with its place: a number that grows with the order of the chat. It means
    /// something in the state that was read.
    pub items: Vec<(Node, u32)>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// Where reading a chat begins.
#[derive(Debug, Clone, Copy)]
pub enum Begin<'a> {
    /// With its first message, or its last one.
    AtTheEnd,
    /// Behind a message.
    Behind(&'a str),
    /// Behind a place, in the same state.
    BehindPlace(u32),
}

/// What is asked for is no message of the chat.
pub(crate) fn no_message(id: &str) -> Error {
    Error::NotFound { kind: "message of this chat", id: id.to_owned() }
}

impl Reader<'_> {
    /// What a chat contains, in order or the newest first, behind a place; and whether there is more.
    /// The place of each is the slot of its edge.
    pub(crate) fn contained(
        &self,
        chat_id: &str,
        behind: Option<Slot>,
        newest_first: bool,
        limit: usize,
    ) -> Result<(Vec<Neighbor>, bool)> {
        let chat = self.snapshot.require_node(self.namespace, chat_id)?;
        let (mut found, mut more) = (Vec::new(), false);
        let visit = |neighbor| {
            more = found.len() == limit;
            if !more {
                found.push(neighbor);
            }
            !more
        };
        let (way, of) = (Direction::Out, self.engine.names.contains);
        let (txn, namespace) = (self.snapshot, self.namespace);
        if newest_first {
            txn.neighbors_before(namespace, chat, way, of, behind, visit)?;
        } else {
            txn.neighbors_after(namespace, chat, way, of, behind, visit)?;
        }
        Ok((found, more))
    }

    /// The place of a message in a chat, as far as its edge counts: the last, or with `first` the first
    /// one if a user has put it there several times.
    pub(crate) fn place_in(
        &self,
        chat_id: &str,
        message: &str,
        first: bool,
        counts: impl Fn(&str) -> bool,
    ) -> Result<Option<Slot>> {
        let (txn, namespace) = (self.snapshot, self.namespace);
        let chat = txn.require_node(namespace, chat_id)?;
        let Some(message) = txn.node_slot(namespace, message)? else { return Ok(None) };
        let (way, of) = (Direction::In, Some(self.engine.names.contains));
        let mut places = Vec::new();
        txn.neighbors(namespace, message, way, of, |_, end| {
            if end.node == chat {
                places.push(end.edge);
            }
            true
        })?;
        if !first {
            places.reverse();
        }
        for place in places {
            let edge = txn.edge(namespace, place)?.ok_or_else(|| self.missing_edge(place))?;
            if counts(edge.id) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    pub(crate) fn messages(
        &self,
        chat_id: &str,
        begin: Begin<'_>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Messages> {
        let behind = match begin {
            Begin::AtTheEnd => None,
            Begin::BehindPlace(place) => Some(Slot(place)),
            Begin::Behind(id) => {
                let place = self.place_in(chat_id, id, newest_first, |_| true)?;
                Some(place.ok_or_else(|| no_message(id))?)
            }
        };
        let (found, more) = self.contained(chat_id, behind, newest_first, limit)?;
        let items = found.iter().map(|end| Ok((self.node_at(end.node)?, end.edge.0)));
        Ok(Messages { items: items.collect::<Result<_>>()?, more })
    }
}
