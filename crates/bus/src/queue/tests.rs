//! A queue does what a list does that is searched from its beginning each time.

use proptest::prelude::*;

use super::*;

const AGEING: Micros = 10;
const DEADLINE: Micros = 25;
const MAX_ATTEMPTS: u32 = 3;

#[derive(Debug, Clone)]
enum Step {
    Publish { key: Option<u8>, priority: u8, ttl: Option<Micros> },
    Take(usize),
    Ack(usize),
    Nack(usize, Micros),
    Release(usize),
    Wait(Micros),
    DropOldest,
    DropExpired,
    Revive,
    DiscardDead,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = proptest::option::of(0..3u8);
    let ttl = proptest::option::weighted(0.3, 1..60i64);
    let step = prop_oneof![
        6 => (key, 0..10u8, ttl).prop_map(|(key, priority, ttl)| Step::Publish { key, priority, ttl }),
        4 => (1..4usize).prop_map(Step::Take),
        3 => any::<usize>().prop_map(Step::Ack),
        3 => (any::<usize>(), prop_oneof![Just(0), 1..40i64]).prop_map(|(at, delay)| Step::Nack(at, delay)),
        1 => any::<usize>().prop_map(Step::Release),
        3 => (1..40i64).prop_map(Step::Wait),
        1 => Just(Step::DropOldest),
        1 => Just(Step::DropExpired),
        1 => Just(Step::Revive),
        1 => Just(Step::DiscardDead),
    ];
    proptest::collection::vec(step, 1..80)
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Waits,
    Delayed(Micros),
    /// Until when, and as which delivery.
    Flies(Micros, u64),
}

#[derive(Debug, Clone)]
struct Item {
    id: u64,
    order: u64,
    key: Option<u8>,
    priority: i64,
    came: Micros,
    expires: Micros,
    attempts: u32,
    state: State,
}

/// All messages in the order in which they came.
#[derive(Default)]
struct Model {
    items: Vec<Item>,
    dead: Vec<(u64, u32)>,
    order: u64,
    flown: u64,
    now: Micros,
}

impl Model {
    fn add(&mut self, item: Item) {
        self.order += 1;
        self.items.push(Item {
            order: self.order,
            came: self.now,
            attempts: 0,
            state: State::Waits,
            ..item
        });
    }

    /// Whether an earlier one of its key is there.
    fn is_behind(&self, item: &Item) -> bool {
        item.key.is_some()
            && self.items.iter().any(|one| one.key == item.key && one.order < item.order)
    }

    fn fail(&mut self, at: usize) {
        if self.items[at].attempts >= MAX_ATTEMPTS {
            let item = self.items.remove(at);
            self.dead.push((item.id, item.attempts));
        } else {
            self.items[at].state = State::Waits;
        }
    }

    fn take(&mut self, limit: usize) -> Vec<(u64, u32)> {
        let mut late: Vec<(u64, u64)> = Vec::new();
        for item in &self.items {
            if let State::Flies(deadline, number) = item.state
                && deadline <= self.now
            {
                late.push((number, item.order));
            }
        }
        late.sort_unstable();
        for (_, order) in late {
            let at = self.items.iter().position(|item| item.order == order).unwrap();
            self.fail(at);
        }
        for item in &mut self.items {
            if matches!(item.state, State::Delayed(due) if due <= self.now) {
                item.state = State::Waits;
            }
        }
        let mut taken = Vec::new();
        while taken.len() < limit {
            let waits = self
                .items
                .iter()
                .filter(|item| item.state == State::Waits && !self.is_behind(item));
            let Some(next) =
                waits.min_by_key(|item| (item.came - item.priority * AGEING, item.order))
            else {
                break;
            };
            let at = self.items.iter().position(|item| item.order == next.order).unwrap();
            if self.items[at].expires <= self.now {
                self.items.remove(at);
                continue;
            }
            self.flown += 1;
            self.items[at].attempts += 1;
            self.items[at].state = State::Flies(self.now + DEADLINE, self.flown);
            taken.push((self.items[at].id, self.items[at].attempts));
        }
        taken
    }

    fn flying(&self, delivery: &Delivery) -> Option<usize> {
        let is_it = |item: &Item| matches!(item.state, State::Flies(_, number) if number == delivery.number);
        self.items.iter().position(is_it)
    }
}

fn options() -> Options {
    Options {
        capacity: 1000,
        overflow: Overflow::DropOldest,
        ageing: AGEING,
        ack_deadline: DEADLINE,
        max_attempts: MAX_ATTEMPTS,
        ..Options::default()
    }
}

fn check(steps: &[Step], options: Options) -> Result<(), TestCaseError> {
    let mut queue = Queue::new(options, false);
    let mut model = Model::default();
    let mut delivered: Vec<Delivery> = Vec::new();
    let mut published = 0u64;
    let mut freed = 0isize;
    for step in steps {
        match step {
            Step::Publish { key, priority, ttl } => {
                published += 1;
                let now = model.now;
                let message = Message {
                    id: published,
                    channel: "c".into(),
                    key: key.map(|key| key.to_string().into()),
                    reply_to: None,
                    priority: *priority,
                    kind: 0,
                    published: now,
                    expires: ttl.map_or(Micros::MAX, |ttl| now + ttl),
                    body: Box::default(),
                };
                model.add(Item {
                    id: published,
                    order: 0,
                    key: *key,
                    priority: i64::from(*priority),
                    came: now,
                    expires: message.expires,
                    attempts: 0,
                    state: State::Waits,
                });
                queue.admit(Arc::new(message), 0, now);
            }
            Step::Take(limit) => {
                let mut taken = Vec::new();
                queue.take(model.now, *limit, &mut taken);
                let got: Vec<_> = taken.iter().map(|one| (one.message.id, one.attempts)).collect();
                prop_assert_eq!(got, model.take(*limit));
                delivered.extend(taken);
            }
            Step::Ack(at) if !delivered.is_empty() => {
                let one = &delivered[at % delivered.len()];
                let flying = model.flying(one);
                flying.map(|at| model.items.remove(at));
                prop_assert_eq!(queue.ack(one), flying.is_some());
            }
            Step::Nack(at, delay) if !delivered.is_empty() => {
                let one = &delivered[at % delivered.len()];
                let flying = model.flying(one);
                if let Some(at) = flying {
                    let order = model.items[at].order;
                    model.fail(at);
                    let due = model.now + delay;
                    if let Some(item) = model.items.iter_mut().find(|item| item.order == order) {
                        item.state = if *delay > 0 { State::Delayed(due) } else { State::Waits };
                    }
                }
                prop_assert_eq!(queue.nack(one, *delay, "no", model.now), flying.is_some());
            }
            Step::Release(at) if !delivered.is_empty() => {
                let one = delivered.remove(at % delivered.len());
                let flying = model.flying(&one);
                if let Some(at) = flying {
                    model.items[at].attempts -= 1;
                    model.items[at].state = State::Waits;
                }
                prop_assert_eq!(queue.release(&one), flying.is_some());
            }
            Step::Wait(time) => model.now += time,
            Step::DropOldest => {
                let at =
                    model.items.iter().position(|item| !matches!(item.state, State::Flies(..)));
                let at = at.filter(|_| options.overflow == Overflow::DropOldest);
                at.map(|at| model.items.remove(at));
                prop_assert_eq!(queue.drop_oldest(), at.is_some());
            }
            Step::DropExpired => {
                let now = model.now;
                model
                    .items
                    .retain(|item| matches!(item.state, State::Flies(..)) || item.expires > now);
                queue.drop_expired(now);
            }
            Step::Revive => {
                for (id, _) in std::mem::take(&mut model.dead) {
                    let letter = queue.dead().find(|letter| letter.message.id == id).unwrap();
                    let (message, key) = (letter.message.clone(), letter.message.key.clone());
                    model.add(Item {
                        id,
                        order: 0,
                        key: key.map(|key| key.parse().unwrap()),
                        priority: i64::from(message.priority),
                        came: 0,
                        expires: message.expires,
                        attempts: 0,
                        state: State::Waits,
                    });
                }
                queue.revive(model.now);
            }
            Step::DiscardDead => {
                prop_assert_eq!(queue.discard_dead(), std::mem::take(&mut model.dead).len());
            }
            _ => {}
        }
        queue.events.clear();
        freed += std::mem::take(&mut queue.freed);
        let flies = |item: &&Item| matches!(item.state, State::Flies(..));
        let counts = queue.counts();
        prop_assert_eq!(counts.in_flight, model.items.iter().filter(flies).count());
        prop_assert_eq!(counts.waiting + counts.in_flight, model.items.len());
        prop_assert_eq!(published as isize - freed, model.items.len() as isize);
        let dead: Vec<_> =
            queue.dead().map(|letter| (letter.message.id, letter.attempts)).collect();
        prop_assert_eq!(&dead, &model.dead);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_does_what_the_list_does(steps in steps()) {
        check(&steps, options())?;
        check(&steps, Options { overflow: Overflow::Block, ..options() })?;
    }
}
