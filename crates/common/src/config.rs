//! What the database is told once, at opening.

use std::time::Duration;

use crate::quota::Quota;
use crate::trace::Tracing;
use crate::{Error, Result};

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After the disk has it.
    Durable,
    /// When the system has it: the end of the process loses nothing, a failure of the machine at most what
    /// was written within [`Options::relaxed_window`], and no more than 1,000 commits.
    Relaxed,
    /// At once; the files may be unusable after a machine failure. For `":memory:"` and tests.
    Memory,
}

impl Durability {
    /// From its name in the configuration.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "durable" => Ok(Self::Durable),
            "relaxed" => Ok(Self::Relaxed),
            "memory" => Ok(Self::Memory),
            other => Err(Error::InvalidInput(format!(
                "durability is {other:?}; it must be \"durable\", \"relaxed\" or \"memory\""
            ))),
        }
    }
}

/// How much of the machine enrichment may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivityLevel {
    /// The weaver goes by what the application does: HighActivity while calls come quickly, SleepMode after half an
    /// hour without any, else Normal.
    Auto,
    /// Only embedding and entities, at most eight texts in a call.
    HighActivity,
    /// Everything but topics.
    Normal,
    /// As `Normal`, until there is work that only an idle machine should do.
    LowActivity,
    /// Everything.
    SleepMode,
}

impl ActivityLevel {
    const ALL: [Self; 5] =
        [Self::Auto, Self::HighActivity, Self::Normal, Self::LowActivity, Self::SleepMode];

    /// From its public name.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name).ok_or_else(|| {
            Error::InvalidInput(format!(
                "activity level {name:?} is not known; use \"Auto\", \"HighActivity\", \
                 \"Normal\", \"LowActivity\" or \"SleepMode\""
            ))
        })
    }

    /// Its public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "Auto",
            Self::HighActivity => "HighActivity",
            Self::Normal => "Normal",
            Self::LowActivity => "LowActivity",
            Self::SleepMode => "SleepMode",
        }
    }
}

/// How the weaver works.
#[derive(Debug, Clone, PartialEq)]
pub struct WeaverOptions {
    /// Most texts in one call of a model function.
    pub batch_size: usize,
    /// Calls before a failing job is given up.
    pub max_attempts: u32,
    /// Wait after the first failure; doubled after each further one.
    pub first_delay: Duration,
    /// Longest wait between two attempts.
    pub max_delay: Duration,
    /// Level at opening.
    pub activity_level: ActivityLevel,
    /// Whether topics are made.
    pub topics: bool,
    /// Whether ties to similar nodes are proposed…
    pub curiosity: bool,
    /// …and how similar these have to be, at the least.
    pub curiosity_threshold: f32,
    /// How long the time is that a chat has a summary of, beside the one of all of it.
    pub summary_span: Option<SummarySpan>,
}

impl Default for WeaverOptions {
    fn default() -> Self {
        Self {
            batch_size: 64,
            max_attempts: 5,
            first_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(60),
            activity_level: ActivityLevel::Auto,
            topics: true,
            curiosity: true,
            curiosity_threshold: 0.6,
            summary_span: Some(SummarySpan::Week),
        }
    }
}

/// A time that a summary is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SummarySpan {
    /// A day of UTC.
    Day,
    /// From Monday to Sunday, in UTC.
    Week,
}

impl SummarySpan {
    /// From its public name.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "day" => Ok(Self::Day),
            "week" => Ok(Self::Week),
            _ => Err(Error::InvalidInput(format!(
                "a summary of each {name:?} is not known; use \"day\", \"week\" or None"
            ))),
        }
    }

    /// Its public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    /// When the span began that a time is in; microseconds since 1970 UTC, as the time.
    pub fn begin(self, time: i64) -> i64 {
        const DAY: i64 = 86_400 * 1_000_000;
        let day = time.div_euclid(DAY);
        let days_in = match self {
            Self::Day => 0,
            // The first day of 1970 was a Thursday.
            Self::Week => (day + 3).rem_euclid(7),
        };
        (day - days_in).saturating_mul(DAY)
    }
}

/// What a model function may be given, and what that may cost.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ModelLimit {
    /// Calls in any sixty seconds.
    pub calls_per_minute: Option<u64>,
    /// Texts in any sixty seconds.
    pub texts_per_minute: Option<u64>,
    /// Characters in any sixty seconds.
    pub characters_per_minute: Option<u64>,
    /// Price of a thousand characters, in a currency of the user's.
    pub cost_per_1k_characters: f64,
    /// What a day of UTC may cost, in the same currency.
    pub max_cost_per_day: Option<f64>,
}

/// The limits of each model function.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ModelLimits {
    /// Of the function that embeds.
    pub embedding: ModelLimit,
    /// Of the function that finds entities.
    pub entities: ModelLimit,
    /// Of the function that summarises.
    pub summary: ModelLimit,
}

/// Everything that is set at opening. Two handles on one path must agree on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// When a write is acknowledged.
    pub durability: Durability,
    /// With [`Durability::Relaxed`]: how long what was acknowledged may not be on the disk.
    pub relaxed_window: Duration,
    /// Refuse writes and share the database with a writer elsewhere.
    pub read_only: bool,
    /// Write though another process does: by way of whoever holds the right to, who has to share it as well.
    pub shared: bool,
    /// How long to wait for another writer process.
    pub lock_timeout: Duration,
    /// Address space that is taken at first, in bytes; it is doubled when it is full.
    pub map_size_first: usize,
    /// Largest size of the store, in bytes of address space.
    pub map_size_max: usize,
    /// How long a snapshot may be held.
    pub max_snapshot_age: Duration,
    /// By how many bytes the file may grow while a snapshot is held.
    pub max_snapshot_growth: u64,
    /// How long the feed of changes reaches back at least, unless it takes more than its bytes.
    pub changes_retention: Duration,
    /// Bytes that the feed of changes takes on the disk before its oldest rows go.
    pub changes_retention_bytes: usize,
    /// Texts that are worth a file of the text index; fewer are in memory only.
    pub seal_after: u64,
    /// Vectors that are worth a graph; fewer are scanned.
    pub link_after: u64,
    /// Bytes of memory that edges may take over which activation spreads.
    pub recall_memory: usize,
    /// After how long what recall has added to an edge is worth half as much; `None` for ever.
    pub recall_half_life: Option<Duration>,
    /// Load the models as soon as the database is open.
    pub warm_up: bool,
    /// Language of the full-text index: `english` or `none`.
    pub language: String,
    /// How the weaver works.
    pub weaver: WeaverOptions,
    /// What each model function may be given.
    pub limits: ModelLimits,
    /// What those of the space in use may be given, while the model is changed.
    pub previous_limits: ModelLimits,
    /// How much may be stored.
    pub quota: Quota,
    /// Whether calls are counted and timed.
    pub metrics: bool,
    /// Whether a writer keeps the last events in a file.
    pub black_box: bool,
    /// Whether traces are made, which are kept, and where they are sent.
    pub tracing: Option<Tracing>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Durable,
            relaxed_window: Duration::from_millis(10),
            read_only: false,
            shared: false,
            lock_timeout: Duration::from_secs(5),
            map_size_first: 1 << 36,
            map_size_max: 1 << 40,
            max_snapshot_age: Duration::from_secs(300),
            max_snapshot_growth: 4 << 30,
            changes_retention: Duration::from_secs(7 * 24 * 3600),
            changes_retention_bytes: 64 << 20,
            seal_after: 2048,
            link_after: 8192,
            recall_memory: 256 << 20,
            recall_half_life: Some(Duration::from_hours(30 * 24)),
            warm_up: true,
            language: "english".into(),
            weaver: WeaverOptions::default(),
            limits: ModelLimits::default(),
            previous_limits: ModelLimits::default(),
            quota: Quota::default(),
            metrics: true,
            black_box: true,
            tracing: None,
        }
    }
}
