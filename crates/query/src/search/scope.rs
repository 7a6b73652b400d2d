//! Where a search looks.

use std::sync::Arc;

use embedded_db_common::Result;
use embedded_db_indexing::sessions::{Layout, Sessions};
use embedded_db_storage::ReadTxn;
use roaring::RoaringBitmap;

use super::profile::Profile;
use crate::run::Context;

/// Where is looked.
pub(super) enum Scope {
    /// Among messages of chats and texts that stand alone, all of them or those `allowed`.
    Turns { layout: Arc<Layout>, allowed: Option<RoaringBitmap> },
    /// Among any nodes, all of them but some, or those `allowed`.
    Nodes { allowed: Option<RoaringBitmap>, but: RoaringBitmap },
}

impl Scope {
    /// Which profile answers, and where it looks: among these nodes or all, but not among some. A
    /// conversation is what has messages of chats; without labels, what is neither a message nor a
    /// declared text is left out then.
    pub(super) fn new(
        sessions: &Sessions,
        slots: Option<RoaringBitmap>,
        but: &RoaringBitmap,
        profile: Profile,
        any_label: bool,
    ) -> (Profile, Self) {
        let (all, in_chats) = (sessions.slots(), sessions.in_chats());
        let is_conversation = match (profile, &slots) {
            (Profile::Plain, _) => false,
            (Profile::Conversation | Profile::Window, _) => true,
            (Profile::Auto, None) => !in_chats.is_subset(but),
            (Profile::Auto, Some(slots)) => {
                !slots.is_disjoint(in_chats) && (any_label || slots.is_subset(all))
            }
        };
        if !is_conversation {
            return (Profile::Plain, Self::Nodes { allowed: slots, but: but.clone() });
        }
        let profile = if profile == Profile::Auto { Profile::Conversation } else { profile };
        if but.is_empty() {
            let allowed = slots.filter(|slots| !all.is_subset(slots)).map(|slots| slots & all);
            return (profile, Self::Turns { layout: sessions.layout(allowed.as_ref()), allowed });
        }
        let current = sessions.current();
        let allowed =
            slots.filter(|slots| !current.slots.is_subset(slots)).map(|slots| slots & all);
        let layout = match &allowed {
            Some(allowed) => sessions.layout(Some(allowed)),
            None => Arc::clone(&current.layout),
        };
        let allowed = allowed.unwrap_or_else(|| current.slots.clone());
        (profile, Self::Turns { layout, allowed: Some(allowed) })
    }

    /// Those that are looked at; `None` for all, or all but some.
    pub(super) fn allowed(&self) -> Option<&RoaringBitmap> {
        match self {
            Self::Turns { allowed, .. } | Self::Nodes { allowed, .. } => allowed.as_ref(),
        }
    }

    pub(super) fn len(&self, context: &Context<'_>) -> Result<u64> {
        Ok(match self {
            Self::Turns { layout, .. } => layout.len().into(),
            Self::Nodes { allowed: Some(slots), .. } => slots.len(),
            Self::Nodes { allowed: None, but } => {
                let all = context.snapshot.namespace_counters(context.namespace)?.nodes;
                all.saturating_sub(but.len())
            }
        })
    }

    /// How many of those that are looked at are in a set.
    pub(super) fn count(&self, set: &RoaringBitmap, sessions: &Sessions) -> u64 {
        match self {
            Self::Turns { allowed: None, .. } => set.intersection_len(sessions.slots()),
            Self::Turns { allowed: Some(slots), .. } | Self::Nodes { allowed: Some(slots), .. } => {
                set.intersection_len(slots)
            }
            Self::Nodes { allowed: None, but } => set.difference_len(but),
        }
    }
}

/// Nodes as a set, when they are all but some; `None` for all that there are.
pub(super) fn all_but(
    context: &Context<'_>,
    allowed: Option<RoaringBitmap>,
    but: &RoaringBitmap,
) -> Result<Option<RoaringBitmap>> {
    if allowed.is_some() || but.is_empty() {
        return Ok(allowed);
    }
    let mut all = RoaringBitmap::new();
    all.insert_range(0..context.snapshot.namespace_counters(context.namespace)?.node_slots);
    Ok(Some(all - but))
}
