//! The calls that a process which does not hold the right to write has made by the one that does: each is the method
//! of [`Database`] of its name, with what that is given.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use embedded_db_common::{NamespaceId, Result};
use embedded_db_indexing::graph::{
    Artefact, Changes, EdgeChanges, EdgeDraft, EdgeSuccessor, EmbeddingDraft, Expiry, NodeDraft,
    RestoredEdge, RestoredEmbedding, RestoredNode,
};
use embedded_db_storage::{SpaceRecord, Symbols};

use super::wire::{Taken, sent, wire_enum, wire_struct};
use crate::database::Database;
use crate::queries::Matched;
use crate::transaction::Commit;
use crate::writes::{AddTo, Seen};

macro_rules! calls {
    (
        |$db:ident, $check:ident|
        $($name:ident { $($field:ident : $of:ty),* } => $answer:expr;)*
    ) => {
        /// A call with all that it needs.
        pub(crate) enum Call {
            $($name { $($field: $of),* },)*
        }

        wire_enum!(Call { ; $($name { $($field),* })* ; });

        impl Call {
            /// Makes the call here; what it gives, as bytes. It asks now and then whether to go on.
            pub(crate) fn answer(self, $db: &Database, $check: &dyn Fn() -> Result<()>) -> Vec<u8> {
                match self {
                    $(Self::$name { $($field),* } => sent(&$answer),)*
                }
            }
        }
    };
}

calls! { |db, check|
    CreateNamespace { name: String } => db.create_namespace(name);
    DropNamespace { name: String } => db.drop_namespace(&name);
    CreateNode { draft: NodeDraft } => db.create_node(draft);
    CreateNodes { drafts: Vec<NodeDraft> } => db.create_nodes(drafts);
    CreateBareNodes { drafts: Vec<NodeDraft> } => db.create_bare_nodes(drafts);
    UpdateNode { id: String, changes: Changes, expected: Option<Seen> }
        => db.update_seen_node(&id, changes, expected);
    SetExpiry { id: String, expiry: Expiry } => db.set_expiry(&id, expiry);
    DeleteNode { id: String, expected: Option<Seen> } => db.delete_seen_node(&id, expected);
    CreateEdge { draft: EdgeDraft } => db.create_edge(draft);
    CreateEdges { drafts: Vec<EdgeDraft> } => db.create_edges(drafts);
    UpdateEdge { id: String, changes: EdgeChanges, expected: Option<Seen> }
        => db.update_seen_edge(&id, changes, expected);
    SupersedeEdge { id: String, successor: EdgeSuccessor } => db.supersede_edge(&id, successor);
    RetractEdge { id: String } => db.retract_edge(&id);
    DeleteEdge { id: String } => db.delete_edge(&id);
    CreateEmbedding { draft: EmbeddingDraft } => db.create_embedding(draft);
    CreateEmbeddings { drafts: Vec<EmbeddingDraft> } => db.create_embeddings(drafts);
    UpdateEmbedding { id: String, vector: Vec<f32> } => db.update_embedding(&id, vector);
    DeleteEmbedding { id: String } => db.delete_embedding(&id);
    CreateChat { draft: NodeDraft } => db.create_chat(draft);
    AddMessage { chat: String, message: NodeDraft, to: AddTo } => db.add_message(&chat, message, to);
    AddMessages { chat: String, messages: Vec<NodeDraft>, to: AddTo }
        => db.add_messages(&chat, messages, to);
    UpdateMatching { matched: Matched, changes: Changes } => db.update_matched(matched, changes);
    DeleteMatching { matched: Matched } => db.delete_matched(matched);
    Commit { commit: Commit } => db.commit(commit);
    RestoreSpace { space: SpaceRecord, default: bool } => db.restore_space(space, default);
    RestoreNodes { nodes: Vec<RestoredNode>, skip: bool } => db.restore_nodes(nodes, skip);
    RestoreEdges { edges: Vec<RestoredEdge>, skip: bool } => db.restore_edges(edges, skip);
    RestoreEmbeddings { given: Vec<RestoredEmbedding>, skip: bool }
        => db.restore_embeddings(given, skip);
    RestoreExpiries { expiries: Vec<(String, i64)> } => db.restore_expiries(expiries);
    RestoreDue { due: Vec<(String, Vec<Artefact>)> } => db.restore_due(due);
    DropSpace { name: String } => db.drop_space(&name);
    CreateIndex { label: String, property: String, unique: bool }
        => db.create_index(&label, &property, unique, check);
    DropIndex { label: String, property: String } => db.drop_index(&label, &property);
    DeclareLabel { label: String, text: Vec<String>, embed: Vec<String> }
        => db.declare_label(&label, text, embed);
    MergeEntities { id: String, other: String } => db.merge_entities(&id, &other, check);
    SplitEntity { id: String, name: String } => db.split_entity(&id, &name, check);
    WithdrawProposals {} => db.withdraw_proposals(check);
    Strengthen { edges: BTreeSet<String>, required: bool } => db.strengthen_if(edges, required);
    ForgetStrengths {} => db.forget_strengths(check);
    WeaverStatus {} => db.weaver_status();
    SetActivityLevel { level: String } => db.set_activity_level(&level);
    WaitIdle { timeout: Option<Duration> } => db.wait_idle(timeout, check);
    WaitFor { id: String, artefact: String, timeout: Option<Duration> }
        => db.wait_for(&id, &artefact, timeout, check);
    Failures {} => db.failures();
    RetryFailed {} => db.retry_failed();
    PauseWeaver {} => db.pause_weaver();
    ResumeWeaver {} => db.resume_weaver();
}

wire_struct! {
    Matched { filters, graph, labels, timeout }
}

impl Call {
    /// Whether it writes; others are about the weaver.
    pub(crate) fn writes(&self) -> bool {
        !matches!(
            self,
            Self::WeaverStatus {}
                | Self::SetActivityLevel { .. }
                | Self::WaitIdle { .. }
                | Self::WaitFor { .. }
                | Self::Failures {}
                | Self::RetryFailed {}
                | Self::PauseWeaver {}
                | Self::ResumeWeaver {}
        )
    }
}

/// A call, and the namespace for which it is made.
pub(crate) struct Request {
    pub(crate) namespace: NamespaceId,
    pub(crate) name: String,
    pub(crate) call: Call,
}

wire_struct! {
    Request { namespace, name, call }
}

impl Request {
    pub(crate) fn read(bytes: &[u8], symbols: &Arc<Symbols>) -> Result<Self> {
        Taken::new(bytes, symbols).only()
    }
}
