//! Profiles, the parts of their scores, and weights of these.

use embedded_db_common::{Error, Result};

use crate::fuse::check_weight;

/// A way to rank; what each computes is in `score`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// [`Conversation`](Self::Conversation) where the candidates are messages of chats, else
    /// [`Plain`](Self::Plain).
    Auto,
    /// Turns, their neighbours and their sessions.
    Conversation,
    /// The same by windows of five turns: a little better, at a higher cost.
    Window,
    /// Words and meaning of each node by itself.
    Plain,
}

impl Profile {
    const NAMES: [(&'static str, Self); 4] = [
        ("auto", Self::Auto),
        ("conversation", Self::Conversation),
        ("window", Self::Window),
        ("plain", Self::Plain),
    ];

    /// From its public name.
    pub fn parse(name: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, profile)| *profile).ok_or_else(|| {
            let known = Self::NAMES.map(|(name, _)| format!("{name:?}"));
            Error::query(
                "profile",
                format!("{name:?} is no profile; there are {}", known.join(", ")),
            )
        })
    }

    /// Its public name.
    pub fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(_, profile)| *profile == self);
        found.map_or("", |(name, _)| name)
    }
}

/// A part of a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The words of the message.
    Text,
    /// Its meaning.
    Semantic,
    /// What the messages beside it lend it.
    Neighbors,
    /// Its session.
    Session,
    /// Its sender is the one the question names.
    Sender,
    /// Its session lies in the time the question names.
    Date,
    /// It asks, or answers a question.
    Question,
    /// The words of the window around it.
    Window,
    /// The meaning of the messages around it.
    WindowSemantic,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 9] = [
        Self::Text,
        Self::Semantic,
        Self::Neighbors,
        Self::Session,
        Self::Sender,
        Self::Date,
        Self::Question,
        Self::Window,
        Self::WindowSemantic,
    ];

    /// Its public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Semantic => "semantic",
            Self::Neighbors => "neighbors",
            Self::Session => "session",
            Self::Sender => "sender",
            Self::Date => "date",
            Self::Question => "question",
            Self::Window => "window",
            Self::WindowSemantic => "window_semantic",
        }
    }
}

/// Factors of the parts: 1 leaves a part as its profile has it, 0 switches it off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights([f32; Part::ALL.len()]);

impl Default for Weights {
    fn default() -> Self {
        Self([1.0; Part::ALL.len()])
    }
}

impl Weights {
    /// The factor of a part.
    pub fn of(&self, part: Part) -> f32 {
        self.0[part as usize]
    }

    /// Sets the factor of the part of this name.
    pub fn set(&mut self, name: &str, weight: f32) -> Result<()> {
        let Some(part) = Part::ALL.into_iter().find(|part| part.name() == name) else {
            let known = Part::ALL.map(|part| format!("{:?}", part.name()));
            return Err(Error::query(
                "weights",
                format!("{name:?} is no part of a score; there are {}", known.join(", ")),
            ));
        };
        check_weight(format!("weights.{name}"), weight)?;
        self.0[part as usize] = weight;
        Ok(())
    }
}
