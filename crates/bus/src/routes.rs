//! Which subscriptions get what is published on a channel.

use std::collections::HashMap;
use std::sync::Arc;

use crate::pattern::{covers, is_own, is_plain};
use crate::subscription::Subscription;

/// More channels than that are not remembered.
const REMEMBERED: usize = 10_000;

/// Where messages of one channel go.
pub(crate) struct Route {
    pub(crate) channel: Arc<str>,
    /// None for an answer that nobody waits for.
    pub(crate) to: Vec<Arc<Subscription>>,
    pub(crate) numbers: Vec<u64>,
}

/// A subscription, and how many were made before it.
type Made = (usize, Arc<Subscription>);

/// All subscriptions. A publisher reads it until its messages are where they belong; so whoever writes to it finds
/// none on their way.
pub(crate) struct Routes {
    /// What nobody subscribes to.
    unclaimed: Arc<Subscription>,
    subscriptions: HashMap<(Box<str>, Box<str>), Made>,
    made: usize,
    remembered: HashMap<Box<str>, Arc<Route>>,
}

impl Routes {
    pub(crate) fn new(unclaimed: Arc<Subscription>) -> Self {
        Self { unclaimed, subscriptions: HashMap::new(), made: 0, remembered: HashMap::new() }
    }

    pub(crate) fn remembered(&self, channel: &str) -> Option<&Arc<Route>> {
        self.remembered.get(channel)
    }

    /// Finds out where the messages of a channel go.
    pub(crate) fn learn(&mut self, channel: &str) {
        if self.remembered.len() >= REMEMBERED {
            self.remembered.clear();
        }
        // An answer is for the one who asked, whoever listens to everything.
        let covering = self.subscriptions.values().filter(|(_, one)| {
            covers(one.pattern(), channel) && (is_plain(one.pattern()) || !is_own(channel))
        });
        // The oldest first: it is asked for room before the others.
        let mut covering: Vec<_> = covering.collect();
        covering.sort_unstable_by_key(|(made, _)| *made);
        let mut to: Vec<_> = covering.into_iter().map(|(_, one)| Arc::clone(one)).collect();
        if to.is_empty() && !is_own(channel) {
            to.push(Arc::clone(&self.unclaimed));
        }
        let numbers = to.iter().map(|one| one.number).collect();
        let route = Route { channel: channel.into(), to, numbers };
        self.remembered.insert(channel.into(), Arc::new(route));
    }

    pub(crate) fn get(&self, pattern: &str, group: &str) -> Option<&Arc<Subscription>> {
        self.subscriptions.get(&(Box::from(pattern), Box::from(group))).map(|(_, one)| one)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Subscription>> {
        self.subscriptions.values().map(|(_, one)| one)
    }

    pub(crate) fn unclaimed(&self) -> &Arc<Subscription> {
        &self.unclaimed
    }

    pub(crate) fn add(&mut self, subscription: Arc<Subscription>) {
        self.forget(subscription.pattern());
        let name = (Box::from(subscription.pattern()), Box::from(subscription.group()));
        self.subscriptions.insert(name, (self.made, subscription));
        self.made += 1;
    }

    pub(crate) fn remove(&mut self, pattern: &str, group: &str) -> Option<Arc<Subscription>> {
        self.forget(pattern);
        self.subscriptions.remove(&(Box::from(pattern), Box::from(group))).map(|(_, one)| one)
    }

    fn forget(&mut self, pattern: &str) {
        if is_plain(pattern) {
            self.remembered.remove(pattern);
        } else {
            self.remembered.retain(|channel, _| !covers(pattern, channel));
        }
    }
}
