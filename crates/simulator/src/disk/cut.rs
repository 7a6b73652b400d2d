//! What of all that was not synced survives a power cut.

use crate::random::Random;

/// The ways in which a disk may have been at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It has written nothing that nobody waited for.
    Nothing,
    /// Everything: only what is in no file yet is gone.
    Everything,
    /// Any sectors, so often as not.
    Sectors,
    /// Whole writes, so often as not.
    Writes,
    /// Nearly everything.
    AllButFew,
    /// Hardly anything.
    Few,
    /// What was told up to some time, and of the write at that time some sectors.
    InOrder { left: usize },
}

/// Decides, thing by thing.
pub(crate) struct Cut {
    random: Random,
    way: Way,
    keeps_write: bool,
}

impl Cut {
    /// Some way.
    pub(crate) fn any(mut random: Random) -> Self {
        let way = match random.weighted(&[3, 1, 3, 3, 2, 2, 2]) {
            0 => Way::Nothing,
            1 => Way::Everything,
            2 => Way::Sectors,
            3 => Way::Writes,
            4 => Way::AllButFew,
            5 => Way::Few,
            _ => Way::InOrder { left: random.below(24) },
        };
        Self { random, way, keeps_write: false }
    }

    /// Nothing is lost.
    pub(crate) fn nothing() -> Self {
        Self { random: Random::of(0, 0), way: Way::Everything, keeps_write: false }
    }

    pub(super) fn begin_write(&mut self) {
        self.keeps_write = self.keeps();
    }

    /// Whether a change of a name or a length is there, or a whole write.
    pub(super) fn keeps(&mut self) -> bool {
        match &mut self.way {
            Way::Nothing => false,
            Way::Everything => true,
            Way::Sectors | Way::Writes => self.random.once_in(2),
            Way::AllButFew => !self.random.once_in(8),
            Way::Few => self.random.once_in(8),
            Way::InOrder { left } => {
                let keeps = *left > 0;
                *left = left.saturating_sub(1);
                keeps
            }
        }
    }

    /// Whether a sector of the write is there.
    pub(super) fn keeps_sector(&mut self) -> bool {
        match self.way {
            Way::Sectors => self.random.once_in(2),
            Way::AllButFew if self.keeps_write => !self.random.once_in(64),
            Way::InOrder { left: 0 } if self.keeps_write => self.random.once_in(2),
            _ => self.keeps_write,
        }
    }
}
