//! The index against the obvious program: keep every version of every text, filter by snapshot, count
//! words, apply the formula.

use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::*;

const SLOTS: u32 = 300;
/// Chosen so that Snowball leaves them alone: the model does not stem.
const WORDS: [&str; 8] = ["a", "lake", "red", "dog", "wind", "fog", "tin", "zoo"];

#[derive(Debug, Clone)]
enum Step {
    Upsert {
        slot: u32,
        words: Vec<usize>,
    },
    /// Many short texts at once, to fill windows.
    Fill {
        first: u32,
        count: u32,
        words: Vec<usize>,
    },
    Remove {
        slot: u32,
    },
    Advance,
    /// Into a file, and on from there.
    Seal,
    /// Share of the time since the last one.
    Prune {
        share: f64,
    },
    Check(Check),
}

#[derive(Debug, Clone)]
struct Check {
    words: Vec<usize>,
    share: f64,
    /// Each slot whose number is a multiple is allowed.
    allowed: Option<u32>,
    k: usize,
    params: Bm25,
}

#[derive(Default)]
struct Model {
    versions: Vec<Version>,
    lsn: u64,
    pruned: u64,
}

struct Version {
    slot: u32,
    from: u64,
    to: u64,
    words: Vec<usize>,
}

impl Version {
    fn count(&self, word: usize) -> f64 {
        self.words.iter().filter(|&&own| own == word).count() as f64
    }
}

impl Model {
    fn set(&mut self, slot: u32, words: &[usize]) {
        let at = self.lsn;
        for version in self.versions.iter_mut().filter(|v| v.slot == slot && v.to == u64::MAX) {
            version.to = at;
        }
        if !words.is_empty() {
            self.versions.push(Version { slot, from: at, to: u64::MAX, words: words.to_vec() });
        }
    }

    fn visible(&self, at: u64) -> Vec<&Version> {
        self.versions.iter().filter(|v| v.from <= at && at < v.to).collect()
    }

    /// Scores of all visible documents that hold a word, best first, equals by slot.
    fn ranking(&self, check: &Check, at: u64) -> Vec<(u32, f64)> {
        let visible = self.visible(at);
        let documents = visible.len() as f64;
        let average = visible.iter().map(|v| v.words.len() as f64).sum::<f64>() / documents;
        let (k1, b) = (f64::from(check.params.k1), f64::from(check.params.b));
        let mut scores = Vec::new();
        for version in &visible {
            let norm = k1 * (1.0 - b + b * version.words.len() as f64 / average);
            let mut score = 0.0;
            for &word in &check.words {
                let count = version.count(word);
                let holders = visible.iter().filter(|v| v.count(word) > 0.0).count() as f64;
                let rarity = (1.0 + (documents - holders + 0.5) / (holders + 0.5)).ln();
                score += rarity * (k1 + 1.0) * count / (count + norm).max(f64::MIN_POSITIVE);
            }
            if score > 0.0 {
                scores.push((version.slot, score));
            }
        }
        scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        scores
    }
}

fn text_of(words: &[usize]) -> String {
    words.iter().map(|&word| WORDS[word]).collect::<Vec<_>>().join(" ")
}

fn word() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0), 3 => 1usize..3, 2 => 3usize..8]
}

fn words() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        20 => prop::collection::vec(word(), 0..12),
        1 => (word(), 250usize..400).prop_map(|(word, count)| vec![word; count]),
    ]
}

fn check() -> impl Strategy<Value = Check> {
    let params = prop_oneof![
        Just(Bm25::default()),
        (0.0f32..3.0, 0.0f32..=1.0).prop_map(|(k1, b)| Bm25 { k1, b }),
    ];
    let some_words = prop::collection::btree_set(0usize..8, 0..5);
    let allowed = prop::option::of(prop_oneof![1u32..6, 20u32..100]);
    let k = prop_oneof![0usize..4, Just(10), Just(1000)];
    (some_words, 0.0..=1.0, allowed, k, params).prop_map(|(words, share, allowed, k, params)| {
        Check { words: words.into_iter().collect(), share, allowed, k, params }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..SLOTS, words()).prop_map(|(slot, words)| Step::Upsert { slot, words }),
        2 => (0..SLOTS, 0u32..120, prop::collection::vec(word(), 1..5))
            .prop_map(|(first, count, words)| Step::Fill { first, count, words }),
        4 => (0..SLOTS).prop_map(|slot| Step::Remove { slot }),
        1 => Just(Step::Advance),
        2 => Just(Step::Seal),
        2 => (0.0..=1.0).prop_map(|share| Step::Prune { share }),
        8 => check().prop_map(Step::Check),
    ]
}

fn run(steps: Vec<(u64, Step)>) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    let mut tail = TextIndex::new(Analyzer::new(Language::English));
    let mut files = Files::new();
    for (pause, step) in steps {
        model.lsn += pause;
        let at = Lsn(model.lsn);
        match step {
            Step::Upsert { slot, words } => {
                model.set(slot, &words);
                tail.upsert(Slot(slot), at, &text_of(&words));
            }
            Step::Fill { first, count, mut words } => {
                for slot in first..(first + count).min(SLOTS) {
                    words.rotate_left(1);
                    let kept = &words[..1 + slot as usize % words.len()];
                    model.set(slot, kept);
                    tail.upsert(Slot(slot), at, &text_of(kept));
                }
            }
            Step::Remove { slot } => {
                model.set(slot, &[]);
                tail.remove(Slot(slot), at);
            }
            Step::Advance => tail.advance(at),
            Step::Seal => {
                tail.advance(at);
                tail = files.seal(&tail);
                model.pruned = model.lsn;
            }
            Step::Prune { share } => {
                model.pruned += ((model.lsn - model.pruned) as f64 * share) as u64;
                tail.prune(Lsn(model.pruned));
            }
            Step::Check(check) => {
                tail.advance(at);
                let at = model.pruned + ((model.lsn - model.pruned) as f64 * check.share) as u64;
                compare(&model, &tail, &check, at)?;
            }
        }
        prop_assert!(tail.lsn() <= at);
    }
    Ok(())
}

fn compare(model: &Model, tail: &TextIndex, check: &Check, at: u64) -> Result<(), TestCaseError> {
    prop_assert_eq!(tail.document_count(Lsn(at)), model.visible(at).len() as u64);

    let query = TextQuery::parse(tail.analyzer(), &text_of(&check.words), false);
    let allowed: Option<RoaringBitmap> =
        check.allowed.map(|step| (0..SLOTS).step_by(step as usize).collect());
    let hits = tail
        .search(&query, check.params, Lsn(at), allowed.as_ref(), check.k, &mut || false)
        .expect("not interrupted");

    let all = model.ranking(check, at);
    let is_allowed = |slot: u32| allowed.as_ref().is_none_or(|allowed| allowed.contains(slot));
    let expected: Vec<_> = all.iter().filter(|(slot, _)| is_allowed(*slot)).take(check.k).collect();
    prop_assert_eq!(hits.len(), expected.len());
    for (hit, (_, score)) in hits.iter().zip(expected) {
        let own = all.iter().find(|(slot, _)| *slot == hit.slot.0);
        let own = own.ok_or_else(|| TestCaseError::fail(format!("{hit:?} is no match")))?.1;
        prop_assert!(
            is_close(hit.score, *score) && is_close(hit.score, own) && is_allowed(hit.slot.0)
        );
    }
    let is_ordered = |a: &TextHit, b: &TextHit| (-a.score, a.slot) < (-b.score, b.slot);
    prop_assert!(hits.is_sorted_by(is_ordered));

    // Limit, filter and pruning change neither scores nor the order of equals.
    let unpruned = tail.search(&query, check.params, Lsn(at), None, usize::MAX, &mut || false);
    let mut unpruned = unpruned.expect("not interrupted");
    unpruned.retain(|hit| is_allowed(hit.slot.0));
    prop_assert_eq!(&hits[..], &unpruned[..check.k.min(unpruned.len())]);

    let scorer = tail.scorer(&query, check.params, Lsn(at));
    for hit in &hits {
        prop_assert_eq!(scorer.score(hit.slot).map(f32::to_bits), Some(hit.score.to_bits()));
    }
    for slot in 0..SLOTS {
        let expected = all.iter().find(|(own, _)| *own == slot).map(|(_, score)| *score);
        match (scorer.score(Slot(slot)), expected) {
            (Some(score), Some(expected)) => prop_assert!(is_close(score, expected)),
            (score, expected) => prop_assert_eq!(score.is_some(), expected.is_some()),
        }
    }
    Ok(())
}

fn is_close(score: f32, expected: f64) -> bool {
    (f64::from(score) - expected).abs() <= 1e-4 * expected.max(1.0)
}

proptest! {
    #[test]
    fn the_index_agrees_with_the_model(steps in prop::collection::vec((0u64..3, step()), 1..150)) {
        run(steps)?;
    }
}
