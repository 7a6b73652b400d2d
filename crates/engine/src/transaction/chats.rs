//! Chats and messages of a transaction. Messages are put behind what is in their chat at the commit, so
//! that transactions that add to one chat do not hinder each other; until then the own reads see them
//! behind what the snapshot holds.

use embedded_db_common::record::Cursor;
use embedded_db_common::{Draft, Error, Result, Slot, ValueRef, clock, names};
use embedded_db_indexing::graph::{NodeDraft, no_chat, stays_in_chat};
use embedded_db_indexing::schema::{CHAT, CHAT_ID, CONTAINS, MESSAGE, NEXT};
use embedded_db_query::{AsOf, Reach};
use embedded_db_storage::{Direction, Kind, ReadTxn};

use super::commit::Op;
use super::nodes::is_labelled;
use super::{Expected, Transaction};
use crate::chats::no_message;
use crate::ends::EndEdge;
use crate::objects::{DraftNode, Node};
use crate::reads::Reader;
use crate::writes::{AddTo, Seen, each};

/// Messages that are read at once.
const PAGE: usize = 512;

/// From where on a part of a chat is read.
enum Begin<T> {
    /// All of it.
    First,
    /// What comes behind a place in it.
    Behind(T),
    /// Nothing of it.
    Nowhere,
}

impl Transaction {
    /// Makes a chat. The labels of the draft do not count.
    pub fn create_chat(&mut self, draft: NodeDraft) -> Result<Node> {
        let id = self.create_node(NodeDraft { labels: vec![CHAT.into()], ..draft })?;
        self.require_node(&id)
    }

    /// Appends a message to a chat. The labels of its draft do not count, unless it is labelled as one.
    pub fn add_message(&mut self, chat_id: &str, message: NodeDraft, to: AddTo) -> Result<Node> {
        self.step(|tx| {
            tx.draft_chat(chat_id, to)?;
            let id = tx.append(chat_id, to, message)?;
            tx.require_node(&id)
        })
    }

    /// Appends messages to a chat, all or none.
    pub fn add_messages(
        &mut self,
        chat_id: &str,
        messages: Vec<NodeDraft>,
        to: AddTo,
    ) -> Result<Vec<Node>> {
        self.step(|tx| {
            tx.draft_chat(chat_id, to)?;
            if messages.is_empty() {
                // It has to exist then, too, or is made.
                tx.ops.push(Op::FindChat(chat_id.to_owned(), to));
            }
            each(messages, |message| {
                let id = tx.append(chat_id, to, message)?;
                tx.require_node(&id)
            })
        })
    }

    /// Puts a message behind those that the transaction sees in its chat; returns its id.
    pub(super) fn append(
        &mut self,
        chat_id: &str,
        to: AddTo,
        mut message: NodeDraft,
    ) -> Result<String> {
        let last = self.last_in(chat_id)?;
        let id = self.make_node(message.message_of(chat_id, clock::now())?)?;
        self.link(chat_id, &id, CONTAINS);
        if let Some(last) = last {
            self.link(&last, &id, NEXT);
        }
        // Its time, unless it was given, is that of the commit.
        let given = message.embedding.take();
        let message = NodeDraft { id: Some(id.clone()), ..message };
        self.ops.push(Op::AddMessage(chat_id.to_owned(), to, message));
        self.embed_new_node(&id, given)?;
        Ok(id)
    }

    /// Looks whether messages can be added to a chat, and makes it for the own reads if that is wanted.
    pub(super) fn draft_chat(&mut self, chat_id: &str, to: AddTo) -> Result<()> {
        if let Some(node) = self.peek_node(chat_id)? {
            if !is_labelled(&node, CHAT)? {
                return Err(no_chat(chat_id));
            }
            if self.own.node(chat_id).is_none() {
                let (version, object) = (node.version()?, Some(Seen::node(&node)?));
                self.saw(Kind::Node, chat_id, Expected { version, object, any_version: true });
            }
            return Ok(());
        }
        if to == AddTo::ChatThatExists {
            self.see(Kind::Node, chat_id, 0)?;
            return Err(Error::NotFound { kind: "chat", id: chat_id.to_owned() });
        }
        names::check("a node id", chat_id).map_err(|error| error.of_field("id"))?;
        let now = clock::now();
        let chat = DraftNode {
            id: chat_id.to_owned(),
            labels: vec![CHAT.into()],
            properties: Draft::new(),
            created_at: now,
            updated_at: now,
            expires_at: None,
            version: 1,
        };
        self.own.put_node(chat_id, Some(chat));
        self.implied.insert(chat_id.to_owned());
        Ok(())
    }

    /// Id of what a new message of a chat follows.
    fn last_in(&self, chat_id: &str) -> Result<Option<String>> {
        self.last_neighbor(chat_id, CONTAINS, Direction::Out, |_| true)
    }

    /// Ids of the messages before and after a message in its chat, if it has both.
    pub(super) fn beside(&self, id: &str) -> Result<Option<[String; 2]>> {
        let another = |found: &str| found != id;
        let before = self.last_neighbor(id, NEXT, Direction::In, another)?;
        let after = self.last_neighbor(id, NEXT, Direction::Out, another)?;
        Ok(before.zip(after).map(|(before, after)| [before, after]))
    }

    /// Id of the node at the other end of the newest edge of a type, among those that are wanted, own
    /// writes included; it does not count as read.
    fn last_neighbor(
        &self,
        id: &str,
        of: &str,
        way: Direction,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<String>> {
        let mut own = self.own.edges_at(id, way).rev().map(|(_, edge)| edge);
        if let Some(edge) = own.find(|edge| edge.edge_type == of && wanted(edge.other(way))) {
            return Ok(Some(edge.other(way).to_owned()));
        }
        if !self.reads.exists(id)? {
            return Ok(None);
        }
        self.reads.reader(|reader| {
            let Some(of) = reader.snapshot.symbol(of)? else { return Ok(None) };
            let node = reader.snapshot.require_node(reader.namespace, id)?;
            let (mut found, mut failed) = (None, None);
            let visit = |neighbor| match reader.end(way, of, neighbor) {
                Ok(end) => {
                    let gone = end.edge.is_some_and(|edge| !self.own.keeps_edge(&edge.id));
                    match end.node.id() {
                        Ok(id) if !gone && self.is_there(&id) && wanted(&id) => found = Some(id),
                        Ok(_) => {}
                        Err(error) => failed = Some(error),
                    }
                    found.is_none() && failed.is_none()
                }
                Err(error) => {
                    failed = Some(error);
                    false
                }
            };
            reader.snapshot.neighbors_before(reader.namespace, node, way, of, None, visit)?;
            failed.map_or(Ok(found), Err)
        })
    }

    /// Whether a node that is stored has not been deleted here.
    pub(super) fn is_there(&self, id: &str) -> bool {
        self.own.node(id).is_none_or(|own| own.is_some())
    }

    /// Refuses another `chat_id` for a message that is in a chat; see `GraphWriter::check_chat`, which
    /// does the same at the commit.
    pub(super) fn check_chat(&self, node: &Node, after: &Draft) -> Result<()> {
        let text = |value: ValueRef<'_>| Ok(value.as_str().map(str::to_owned));
        let before = node.property(CHAT_ID, text)?.flatten();
        let after = after.get(CHAT_ID).map(|bytes| text(ValueRef::read(&mut Cursor::new(bytes))?));
        let after = after.transpose()?.flatten();
        if before == after || !is_labelled(node, MESSAGE)? {
            return Ok(());
        }
        let id = node.id()?;
        match self.chat_of(&id)? {
            Some(chat) => Err(stays_in_chat(&id, &chat, after.as_deref())),
            None => Ok(()),
        }
    }

    /// Id of the chat that a message was added to.
    fn chat_of(&self, id: &str) -> Result<Option<String>> {
        if self.reads.exists(id)? {
            let of = [CONTAINS.to_owned()];
            let ends = |reader: &Reader<'_>| reader.ends(id, Some(&of), Reach::In, AsOf::default());
            for end in self.reads.reader(ends)? {
                let Some(edge) = end.edge else { continue };
                if edge.derived && self.own.keeps_edge(&edge.id) {
                    return end.node.id().map(Some);
                }
            }
        }
        let mut own = self.own.edges_at(id, Direction::In).map(|(_, edge)| edge);
        let chat = own.find(|edge| edge.derived && edge.edge_type == CONTAINS);
        Ok(chat.map(|edge| edge.source.clone()))
    }

    /// The messages of a chat in order, or the newest first, behind one of them; own writes included.
    pub fn messages(
        &mut self,
        chat_id: &str,
        after: Option<&str>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<Node>> {
        self.check_node(chat_id)?;
        let (stored, own) = self.begin(chat_id, after, newest_first)?;
        let mut out = Vec::new();
        if newest_first {
            self.own_messages(chat_id, &own, true, limit, &mut out)?;
            self.stored_messages(chat_id, stored, true, limit, &mut out)?;
        } else {
            self.stored_messages(chat_id, stored, false, limit, &mut out)?;
            self.own_messages(chat_id, &own, false, limit, &mut out)?;
        }
        Ok(out)
    }

    /// Where reading begins among what is stored in a chat, and among what was added here: by the slots
    /// of edges, and the numbers of those made here.
    fn begin(
        &self,
        chat_id: &str,
        after: Option<&str>,
        newest_first: bool,
    ) -> Result<(Begin<Slot>, Begin<usize>)> {
        let Some(after) = after else { return Ok((Begin::First, Begin::First)) };
        let own = self.own.edges_at(after, Direction::In);
        let own = own.filter(|(_, edge)| edge.edge_type == CONTAINS && edge.source == chat_id);
        let numbers = own.map(|(number, _)| number);
        let own = if newest_first { numbers.min() } else { numbers.max() };
        let is_stored = self.reads.exists(chat_id)? && self.is_there(after);
        let keeps = |edge: &str| self.own.keeps_edge(edge);
        let stored = if is_stored {
            self.reads.reader(|reader| reader.place_in(chat_id, after, newest_first, keeps))?
        } else {
            None
        };
        // What was added here comes behind what is stored.
        Ok(match (stored, own, newest_first) {
            (Some(place), _, true) => (Begin::Behind(place), Begin::Nowhere),
            (Some(place), None, false) => (Begin::Behind(place), Begin::First),
            (None, Some(number), true) => (Begin::First, Begin::Behind(number)),
            (_, Some(number), false) => (Begin::Nowhere, Begin::Behind(number)),
            (None, None, _) => return Err(no_message(after)),
        })
    }

    fn own_messages(
        &mut self,
        chat_id: &str,
        begin: &Begin<usize>,
        newest_first: bool,
        limit: usize,
        out: &mut Vec<Node>,
    ) -> Result<()> {
        let own = self.own.edges_at(chat_id, Direction::Out).filter(|(number, edge)| {
            let behind = match begin {
                Begin::First => true,
                Begin::Behind(place) if newest_first => number < place,
                Begin::Behind(place) => number > place,
                Begin::Nowhere => false,
            };
            behind && edge.edge_type == CONTAINS
        });
        let (own, left) = (own.map(|(_, edge)| edge.target.clone()), limit - out.len());
        let ids: Vec<String> =
            if newest_first { own.rev().take(left).collect() } else { own.take(left).collect() };
        for id in ids {
            out.extend(self.get_node(&id)?);
        }
        Ok(())
    }

    fn stored_messages(
        &mut self,
        chat_id: &str,
        begin: Begin<Slot>,
        newest_first: bool,
        limit: usize,
        out: &mut Vec<Node>,
    ) -> Result<()> {
        let mut behind = match begin {
            Begin::First => None,
            Begin::Behind(place) => Some(place),
            Begin::Nowhere => return Ok(()),
        };
        let mut more = self.reads.exists(chat_id)?;
        while more && out.len() < limit {
            let wanted = PAGE.min(limit - out.len());
            let (ends, further) = self.reads.reader(|reader| {
                let (found, further) = reader.contained(chat_id, behind, newest_first, wanted)?;
                behind = found.last().map(|end| end.edge);
                let of = reader.engine.names.contains;
                let ends = found.into_iter().map(|end| reader.end(Direction::Out, of, end));
                Ok((ends.collect::<Result<Vec<_>>>()?, further))
            })?;
            for end in ends {
                let keeps = |edge: &EndEdge| self.own.keeps_edge(&edge.id);
                if end.edge.as_ref().is_none_or(keeps) {
                    out.extend(self.see_end(end)?);
                }
            }
            more = further;
        }
        Ok(())
    }
}
