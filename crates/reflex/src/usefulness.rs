//! Which reflex leaves first: that of the least usefulness, `level when last used + confidence × (1 + uses)`.
//!
//! The level is the usefulness of what left last. So what was used often stays long, and not for ever:
//! what is new or used again begins from the level of now, above what was only useful once. (GreedyDual
//! with frequencies: Cherkasova 1998.) It needs no clock.
//!
//! Readers raise the usefulness of what they use without telling. The queue therefore holds a lower
//! bound of each, and looks again at what comes out first. A reflex that becomes less useful, or is
//! replaced, gets a new ticket; its old place in the queue means nothing any more.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A place in the queue: the reflex with this ticket is at least this useful.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) at_least: f64,
    pub(crate) ticket: u64,
    pub(crate) hash: u64,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    /// The least useful is the greatest; among equals the oldest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at_least.total_cmp(&self.at_least).then(other.ticket.cmp(&self.ticket))
    }
}

/// Reflexes by what they are useful for at least.
#[derive(Default)]
pub(crate) struct Queue {
    places: BinaryHeap<Place>,
    tickets: u64,
}

impl Queue {
    /// A new place; the ticket that goes with it.
    pub(crate) fn enter(&mut self, at_least: f64, hash: u64) -> u64 {
        self.tickets += 1;
        self.places.push(Place { at_least, ticket: self.tickets, hash });
        self.tickets
    }

    /// Takes out the least useful. `look` gives how useful the reflex of a place is now, if it is there.
    pub(crate) fn leave(&mut self, look: impl Fn(&Place) -> Option<f64>) -> Option<Place> {
        // Readers may use everything again while we look; then whichever comes next leaves.
        let mut looks = self.places.len();
        loop {
            let place = self.places.pop()?;
            let Some(now) = look(&place) else { continue };
            let place = Place { at_least: now, ..place };
            let least = self.places.peek().is_none_or(|next| place > *next);
            if least || looks == 0 {
                return Some(place);
            }
            looks -= 1;
            self.places.push(place);
        }
    }

    /// Forgets places that mean nothing any more, when they are the most.
    pub(crate) fn tidy(&mut self, count: usize, is_there: impl Fn(&Place) -> bool) {
        if self.places.len() > 2 * count + 64 {
            self.places.retain(is_there);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_useful_leaves_though_readers_raised_it_meanwhile() {
        let mut queue = Queue::default();
        let mut now: Vec<f64> = vec![0.0];
        for number in 0..100_u32 {
            let at_least = f64::from((number * 37) % 101);
            queue.enter(at_least, 0);
            now.push(if number % 3 == 0 { at_least + 50.0 } else { at_least });
        }
        let mut gone = vec![false; now.len()];
        for _ in 0..100 {
            let place = queue
                .leave(|place| {
                    let at = place.ticket as usize;
                    (!gone[at]).then_some(now[at])
                })
                .unwrap();
            let at = place.ticket as usize;
            gone[at] = true;
            let least = (1..now.len()).filter(|&at| !gone[at]).map(|at| now[at]);
            assert!(least.fold(f64::INFINITY, f64::min) >= now[at]);
        }
        assert!(queue.leave(|_| None).is_none());
    }

    #[test]
    fn it_ends_though_everything_is_used_all_the_time() {
        let (mut queue, clock) = (Queue::default(), std::cell::Cell::new(1.0));
        for _ in 0..5 {
            queue.enter(0.0, 0);
        }
        let used = |_: &Place| {
            clock.set(clock.get() + 1.0);
            Some(clock.get())
        };
        assert!(queue.leave(used).is_some());
    }

    #[test]
    fn places_without_a_meaning_do_not_pile_up() {
        let mut queue = Queue::default();
        for _ in 0..1000 {
            let ticket = queue.enter(1.0, 0);
            queue.tidy(1, |place| place.ticket == ticket);
        }
        assert!(queue.places.len() <= 67);
    }
}
