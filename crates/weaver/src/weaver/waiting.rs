//! What is due and is not to be done now: since it failed, since a process ended over it, or since there was no room.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use embedded_db_common::{ContentHash, NamespaceId, Result, Slot, WeaverOptions, clock};
use embedded_db_indexing::graph::Artefact;
use embedded_db_storage::{ReadTxn, ReadWork, Snapshot, WorkState};

use super::{Due, LONGEST_WAIT, Work};
use crate::running::{Node, Suspect, Suspects};

/// Between two looks at whether the store has forgotten failures, with the texts that they were of.
const LOOK: Duration = Duration::from_millis(500);
/// The first pause of a kind of work whose results found no room, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(32);
/// So many pauses pass until the same work is tried again: its models are paid for it once more.
const TRIED_AGAIN: u32 = 32;
/// A chat is summarised once nothing was added to it for so long…
const REST: Duration = Duration::from_secs(1);
/// …or after so long.
const UNREST: Duration = Duration::from_secs(10);

/// What waits. It is the worker's own, but for what the user asks for: no caller waits for its lock.
pub(super) struct Waiting {
    /// In which the slots mean something.
    pub(super) generation: u64,
    /// What a model was at when a process ended.
    pub(super) suspects: Suspects,
    /// Not by the clock, which may be set meanwhile.
    until: HashMap<Work, Until>,
    /// Nodes of calls that failed for several: each comes by itself.
    apart: HashSet<Node>,
    /// Kinds of work in a namespace whose results found no room within a quota.
    without_room: HashMap<(NamespaceId, Artefact), Pause>,
    /// Chats to which something was added.
    chats: HashMap<Node, Chat>,
    looked: Instant,
    /// Namespace of the last batch.
    served: NamespaceId,
}

#[derive(Debug, Clone, Copy)]
struct Until {
    at: Instant,
    /// Whether the store knows of it, too.
    is_stored: bool,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    length: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Chat {
    first: Instant,
    last: Instant,
}

impl Waiting {
    pub(super) fn new(
        snapshot: &Snapshot,
        options: &WeaverOptions,
        suspects: Suspects,
    ) -> Result<Self> {
        Ok(Self {
            generation: snapshot.generation().number(),
            suspects,
            until: stored(snapshot, options)?,
            apart: HashSet::new(),
            without_room: HashMap::new(),
            chats: HashMap::new(),
            looked: Instant::now(),
            served: NamespaceId::SYSTEM,
        })
    }

    /// In another generation slots mean something else: what the store knows is read anew.
    pub(super) fn read_again(
        &mut self,
        snapshot: &Snapshot,
        options: &WeaverOptions,
    ) -> Result<()> {
        let served = self.served;
        *self = Self::new(snapshot, options, Suspects::new())?;
        self.served = served;
        Ok(())
    }

    /// What failed, or found no room, is tried again at once.
    pub(super) fn wait_no_more(&mut self) {
        self.until.clear();
        self.without_room.clear();
    }

    /// Somebody waits for all of it: what found no room is tried again at once.
    pub(super) fn look_for_room(&mut self) {
        self.until.retain(|_, until| until.is_stored);
        self.without_room.clear();
    }

    /// Work has failed; `None` when it is not tried again.
    pub(super) fn failed(&mut self, work: Work, delay: Option<Duration>) {
        match delay {
            Some(delay) => {
                let at = Instant::now() + delay.min(LONGEST_WAIT);
                self.until.insert(work, Until { at, is_stored: true });
            }
            None => drop(self.until.remove(&work)),
        }
    }

    /// Work was done, or is none any more.
    pub(super) fn done(&mut self, work: Work) {
        self.until.remove(&work);
    }

    /// The results of some work found no room: its kind rests in its namespace, and the work itself for longer, so
    /// that others are not kept from room that is enough for them.
    pub(super) fn found_no_room(
        &mut self,
        namespace: NamespaceId,
        artefact: Artefact,
        slots: &[Slot],
    ) {
        let now = Instant::now();
        let before = self.without_room.get(&(namespace, artefact)).map(|pause| pause.length);
        let length = before.map_or(FIRST_PAUSE, |before| (before * 2).min(LONGEST_PAUSE));
        self.without_room.insert((namespace, artefact), Pause { until: now + length, length });
        for slot in slots {
            let at = now + length * TRIED_AGAIN;
            self.until.insert((namespace, *slot, artefact), Until { at, is_stored: false });
        }
    }

    /// Results of a kind found room again.
    pub(super) fn found_room(&mut self, namespace: NamespaceId, artefact: Artefact) {
        self.without_room.remove(&(namespace, artefact));
    }

    /// A call for several nodes has failed: each comes by itself.
    pub(super) fn part(&mut self, nodes: impl Iterator<Item = Node>) {
        self.apart.extend(nodes);
    }

    /// A node has had its turn.
    pub(super) fn has_come(&mut self, node: Node) {
        self.apart.remove(&node);
    }

    /// Something was added to a chat.
    pub(super) fn was_told(&mut self, chat: Node) {
        let now = Instant::now();
        self.chats.entry(chat).or_insert(Chat { first: now, last: now }).last = now;
        let (namespace, slot) = chat;
        let summary = (namespace, slot, Artefact::Summary);
        if self.until.get(&summary).is_some_and(|until| !until.is_stored) {
            self.until.remove(&summary);
        }
    }

    /// A chat was summarised, or is none.
    pub(super) fn was_summarised(&mut self, chat: Node) {
        self.chats.remove(&chat);
        self.until.remove(&(chat.0, chat.1, Artefact::Summary));
    }

    /// A chat cannot be summarised before its messages have their vectors.
    pub(super) fn lacks_vectors(&mut self, chat: Node) {
        let at = Instant::now() + LONGEST_PAUSE;
        self.until.insert((chat.0, chat.1, Artefact::Summary), Until { at, is_stored: false });
    }

    /// What is known of a node with a text, as far as it is of that text.
    pub(super) fn suspect(&self, node: Node, content: Option<ContentHash>) -> Suspect {
        let known = self.suspects.get(&node).filter(|known| known.content == content);
        known.copied().unwrap_or(Suspect { ends: 0, content })
    }

    /// When something is to be looked at again.
    pub(super) fn look_again(&mut self) -> Option<Instant> {
        let now = Instant::now();
        // What is due was looked at; if it is still here its node is gone or its level does not run.
        self.until.retain(|_, until| until.at > now);
        let pauses = self.without_room.values().map(|pause| pause.until);
        self.until.values().map(|until| until.at).chain(pauses.filter(|until| *until > now)).min()
    }

    /// The first nodes of one namespace whose work may be done now, and whether others must wait. One over which a
    /// process has ended comes by itself, and after all others: who kills a program kills it while it works on
    /// them, and not thrice over the same one.
    pub(super) fn due(
        &mut self,
        snapshot: &Snapshot,
        artefact: Artefact,
        most: usize,
        is_hurried: bool,
    ) -> Result<(Option<Due>, bool)> {
        let now = Instant::now();
        let looks = now.duration_since(self.looked) >= LOOK;
        if looks {
            self.looked = now;
        }
        let mut waiting = false;
        // Namespaces take turns, so that a busy one does not starve the others.
        let served = self.served;
        let (mut next, mut first) = (None::<Due>, None::<Due>);
        let mut suspect = None::<(u32, Node)>;
        let mut alone = None::<Node>;
        snapshot.pending(artefact as u8, |namespace, container| {
            let pause = self.without_room.get(&(namespace, artefact));
            if pause.is_some_and(|pause| pause.until > now) {
                waiting = true;
                return true;
            }
            let due = if namespace > served { &mut next } else { &mut first };
            for slot in container.slots() {
                let slot = Slot(slot);
                let work = (namespace, slot, artefact);
                if let Some(until) = self.until.get(&work).filter(|until| until.at > now) {
                    // A new text has no failures: what the store has forgotten need not wait. What it cannot read
                    // waits on.
                    let is_forgotten = || {
                        let work = snapshot.work(namespace, slot, artefact as u8);
                        until.is_stored && looks && work.is_ok_and(|work| work.is_none())
                    };
                    if !is_forgotten() {
                        // A chat without vectors waits for nothing that is not told of.
                        waiting |= until.is_stored || artefact != Artefact::Summary;
                        continue;
                    }
                    self.until.remove(&work);
                }
                let node = (namespace, slot);
                if artefact == Artefact::Summary && !is_hurried {
                    let chat = self.chats.entry(node).or_insert(Chat { first: now, last: now });
                    if now - chat.last < REST && now - chat.first < UNREST {
                        waiting = true;
                        continue;
                    }
                }
                if let Some(known) = self.suspects.get(&node) {
                    if suspect.is_none_or(|(fewest, _)| known.ends < fewest) {
                        suspect = Some((known.ends, node));
                    }
                    continue;
                }
                if artefact.needs_model() && self.apart.contains(&node) {
                    alone = alone.or(Some(node));
                    continue;
                }
                let (of, slots) = due.get_or_insert_with(|| (namespace, Vec::new()));
                if *of != namespace || slots.len() == most {
                    break;
                }
                slots.push(slot);
            }
            // Those after the one served last come first: with a full batch of them it is enough.
            next.as_ref().is_none_or(|(of, slots)| *of == namespace && slots.len() < most)
        })?;
        let single = |(namespace, slot): Node| (namespace, vec![slot]);
        // What failed beside others comes before them: its call may be the only one that a limit allows.
        let found = alone.map(single).or(next).or(first);
        let found = found.or(suspect.map(|(_, node)| single(node)));
        if let Some((namespace, _)) = &found {
            self.served = *namespace;
        }
        Ok((found, waiting))
    }
}

/// When work that has failed may be tried again.
fn stored(snapshot: &Snapshot, options: &WeaverOptions) -> Result<HashMap<Work, Until>> {
    let (now, clock) = (Instant::now(), clock::now());
    let mut out = HashMap::new();
    snapshot.scan_work(|namespace, slot, artefact, work| {
        if let (WorkState::Retry, Some(artefact)) = (work.state, Artefact::of(artefact)) {
            // The clock may have been set since then: nothing waits longer than it ever would.
            let wait = u64::try_from(work.due.saturating_sub(clock)).unwrap_or(0);
            let wait = Duration::from_micros(wait).min(options.max_delay).min(LONGEST_WAIT);
            out.insert((namespace, slot, artefact), Until { at: now + wait, is_stored: true });
        }
        Ok(())
    })?;
    Ok(out)
}
