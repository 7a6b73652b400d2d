//! What was taken in the last minute: no sixty seconds see more than a limit allows.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// What a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Amount {
    pub(super) calls: u64,
    pub(super) texts: u64,
    pub(super) characters: u64,
}

impl Amount {
    /// One call with these texts.
    pub(super) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        texts.into_iter().fold(Self::default(), Self::with)
    }

    /// The same call with one more text.
    pub(super) fn with(self, text: &str) -> Self {
        Self {
            calls: 1,
            texts: self.texts + 1,
            characters: self.characters.saturating_add(text.chars().count() as u64),
        }
    }
}

/// The calls of the last minute.
#[derive(Debug, Default)]
pub(super) struct Window {
    calls: VecDeque<(Instant, Amount)>,
    used: Amount,
}

impl Window {
    /// What the last minute has seen.
    pub(super) fn used(&mut self, now: Instant) -> Amount {
        while let Some((at, amount)) = self.calls.front().copied()
            && now.saturating_duration_since(at) >= MINUTE
        {
            self.calls.pop_front();
            self.used.calls -= amount.calls;
            self.used.texts -= amount.texts;
            self.used.characters -= amount.characters;
        }
        self.used
    }

    pub(super) fn take(&mut self, now: Instant, amount: Amount) {
        self.calls.push_back((now, amount));
        self.used.calls += amount.calls;
        self.used.texts += amount.texts;
        self.used.characters += amount.characters;
    }

    /// When a part of it, with what is wanted, will be what is allowed or less.
    pub(super) fn has_room_at(
        &self,
        now: Instant,
        part: impl Fn(&Amount) -> u64,
        wanted: u64,
        allowed: u64,
    ) -> Instant {
        let mut used = part(&self.used);
        for (at, amount) in &self.calls {
            used -= part(amount);
            if used + wanted <= allowed {
                return *at + MINUTE;
            }
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sixty_seconds_see_more_than_is_allowed() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::default();
        let texts = |amount: &Amount| amount.texts;
        for (second, text) in [(0, "one"), (10, "two"), (50, "three")] {
            window.take(at(second), Amount::of([text, text]));
        }
        assert_eq!(window.used(at(59)), Amount { calls: 3, texts: 6, characters: 22 });
        assert_eq!(window.has_room_at(at(59), texts, 1, 6), at(60));
        assert_eq!(window.has_room_at(at(59), texts, 3, 6), at(70));
        assert_eq!(window.has_room_at(at(59), texts, 6, 6), at(110));
        assert_eq!(window.used(at(60)).texts, 4);
        assert_eq!(window.used(at(109)), Amount { calls: 1, texts: 2, characters: 10 });
        assert_eq!(window.used(at(110)), Amount::default());
    }

    #[test]
    fn characters_are_no_bytes() {
        assert_eq!(Amount::of(["été", "🙂"]), Amount { calls: 1, texts: 2, characters: 4 });
    }
}
