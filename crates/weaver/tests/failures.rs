//! A model that fails loses nothing: the work is tried again, later each time, and given up with its
//! reason; then it can be asked for again. Whoever stands beside a failing text is enriched as if it
//! were not there.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Bench, HOUR, NS, altered, drain, eager, until};
use embedded_db_common::{Error, WeaverOptions, clock};
use embedded_db_indexing::graph::Artefact;
use embedded_db_storage::{ReadTxn, ReadWork, WorkRecord, WorkState};
use embedded_db_testing::FakeModels;
use embedded_db_weaver::{ArtefactState, Models, TextToEnrich};

const MODELS: [Artefact; 2] = [Artefact::Embedding, Artefact::Entities];

#[test]
fn a_failing_model_is_called_so_often_and_then_given_up_with_its_reason() {
    let bench = Bench::new();
    let models = Arc::new(FakeModels::default());
    models.failing.store(true, Ordering::Relaxed);
    let message = bench.say("Alice met Bob");
    let weaver = bench.start(models.clone(), eager());
    drain(&weaver);
    bench.assert_bare(message);
    let snapshot = bench.store.read().unwrap();
    let failures = weaver.failures(&snapshot).unwrap();
    let kinds: Vec<Artefact> = failures.iter().map(|failure| failure.artefact).collect();
    assert_eq!(kinds, MODELS);
    for failure in &failures {
        let id = snapshot.node(NS, message).unwrap().unwrap().id.to_owned();
        assert_eq!((failure.namespace, failure.id.as_ref()), (NS, Some(&id)));
        assert_eq!(failure.attempts, 3);
        assert!(failure.error.contains("planted failure on \"Alice met Bob\""), "{failure:?}");
    }
    for artefact in MODELS {
        let ArtefactState::Failed(error) = bench.state(&weaver, message, artefact) else {
            panic!("{artefact:?} did not fail");
        };
        assert!(error.contains("planted failure"), "{error}");
    }
    let status = weaver.status(&snapshot).unwrap();
    assert_eq!(status.queue_size, 0, "what was given up waits no more");
    for (name, counts) in &status.per_job[..2] {
        assert_eq!((counts.dead, counts.failed, counts.done), (1, 3, 0), "{name}");
    }
    drop(snapshot);

    models.failing.store(false, Ordering::Relaxed);
    drain(&weaver);
    bench.assert_bare(message); // nobody has asked
    assert_eq!(weaver.retry_failed().unwrap(), 2);
    drain(&weaver);
    bench.assert_enriched(message, "Alice met Bob", &["Alice", "Bob"]);
    assert_eq!(bench.failed_work(), []);
    assert_eq!(weaver.failures(&bench.store.read().unwrap()).unwrap(), []);
    assert_eq!(weaver.retry_failed().unwrap(), 0);
    assert_eq!(bench.computed(), 1);
    weaver.stop();
}

#[test]
fn a_model_that_comes_to_itself_is_forgiven() {
    let bench = Bench::new();
    let left = AtomicU64::new(4);
    let models = altered(move |base, texts| {
        let failing = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        match failing {
            Ok(_) => Err(Error::EnrichmentFailed { message: "not yet".into() }),
            Err(_) => base.enrich(texts),
        }
    });
    let message = bench.say("Alice");
    let weaver = bench.start(models, eager());
    drain(&weaver);
    bench.assert_enriched(message, "Alice", &["Alice"]);
    assert_eq!(bench.failed_work(), [], "earlier failures are forgotten");
    weaver.stop();
}

/// With the calls made so far planted in the store, one more is made; when the next is due is an
/// hour times two to their number, and never more than the longest wait.
#[test]
fn each_wait_is_twice_as_long_up_to_the_longest() {
    let longest = HOUR * 20;
    for (before, expected) in [(0, HOUR), (1, HOUR * 2), (3, HOUR * 8), (5, longest), (40, longest)]
    {
        let bench = Bench::new();
        let models = Arc::new(FakeModels::default());
        models.failing.store(true, Ordering::Relaxed);
        let message = bench.say("Alice");
        if before > 0 {
            bench.write(move |writer| {
                let (state, due, error) = (WorkState::Retry, 0, String::new());
                let record = WorkRecord { state, attempts: before, due, error };
                writer.txn.put_work(NS, message, Artefact::Embedding as u8, &record)
            });
        }
        let options =
            WeaverOptions { max_attempts: 100, first_delay: HOUR, max_delay: longest, ..eager() };
        let begun = clock::now();
        let weaver = bench.start(models, options);
        let read = || {
            let snapshot = bench.store.read().unwrap();
            snapshot.work(NS, message, Artefact::Embedding as u8).unwrap()
        };
        until(&weaver, "a further call", || read().is_some_and(|work| work.attempts > before));
        let work = read().unwrap();
        assert_eq!((work.state, work.attempts), (WorkState::Retry, before + 1));
        let wait = Duration::from_micros((work.due - begun) as u64);
        // The calls themselves took far less than an hour.
        assert!(wait >= expected && wait < expected + HOUR, "{wait:?} after {before} failures");
        assert_eq!(bench.state(&weaver, message, Artefact::Embedding), ArtefactState::Pending);
        weaver.stop();
    }
}

#[test]
fn what_must_wait_is_not_called_and_holds_nobody_up() {
    let bench = Bench::new();
    let waiting = bench.say("Alice");
    bench.write(move |writer| {
        for artefact in MODELS {
            let due = clock::now() + HOUR.as_micros() as i64;
            let (state, error) = (WorkState::Retry, String::new());
            let record = WorkRecord { state, attempts: 1, due, error };
            writer.txn.put_work(NS, waiting, artefact as u8, &record)?;
        }
        Ok(())
    });
    let called = Arc::new(AtomicBool::new(false));
    let models = altered({
        let called = Arc::clone(&called);
        move |base, texts| {
            if texts.iter().any(|text| text.text == "Alice") {
                called.store(true, Ordering::Relaxed);
            }
            base.enrich(texts)
        }
    });
    let others: Vec<_> = (0..5).map(|n| (bench.say(&format!("Bob {n}")), n)).collect();
    let weaver = bench.start(models, WeaverOptions { max_delay: HOUR * 2, ..eager() });
    until(&weaver, "the others", || others.iter().all(|(m, _)| !bench.vectors(*m).is_empty()));
    for (message, n) in others {
        bench.assert_enriched(message, &format!("Bob {n}"), &["Bob"]);
    }
    bench.assert_bare(waiting);
    assert!(!called.load(Ordering::Relaxed), "its time has not come");
    weaver.stop();
}

#[test]
fn a_new_text_does_not_wait_for_the_failures_of_the_old() {
    let bench = Bench::new();
    let models = Arc::new(FakeModels::default());
    models.poison.lock().unwrap().push("poison".into());
    let message = bench.say("poison");
    let weaver =
        bench.start(models, WeaverOptions { first_delay: HOUR, max_delay: HOUR, ..eager() });
    until(&weaver, "a failure", || bench.failed_work().len() == 2);
    bench.edit(message, "Alice");
    assert_eq!(bench.failed_work(), []);
    weaver.notify();
    drain(&weaver);
    bench.assert_enriched(message, "Alice", &["Alice"]);
    weaver.stop();
}

#[test]
fn one_poisoned_text_does_not_hold_up_the_others() {
    let bench = Bench::new();
    let models = Arc::new(FakeModels::default());
    models.poison.lock().unwrap().push("poison".into());
    let contents: Vec<String> = (0..30)
        .map(|n| if n % 10 == 4 { format!("Bob has poison {n}") } else { format!("Alice {n}") })
        .collect();
    let messages: Vec<_> = contents.iter().map(|content| bench.say(content)).collect();
    let weaver = bench.start(models.clone(), WeaverOptions { batch_size: 8, ..eager() });
    drain(&weaver);
    let mut given_up = Vec::new();
    for (message, content) in messages.iter().zip(&contents) {
        if content.contains("poison") {
            bench.assert_bare(*message);
            given_up.extend(MODELS.map(|artefact| (*message, artefact as u8, 3)));
        } else {
            bench.assert_enriched(*message, content, &["Alice"]);
        }
    }
    assert_eq!(bench.failed_work(), given_up);
    assert_eq!(bench.computed(), 27);
    let status = weaver.status(&bench.store.read().unwrap()).unwrap();
    assert_eq!(status.queue_size, 0);

    // A poisoned message that is edited heals, one that goes is forgotten.
    bench.edit(messages[4], "Bob");
    bench.delete(messages[14]);
    weaver.notify();
    drain(&weaver);
    bench.assert_enriched(messages[4], "Bob", &["Bob"]);
    assert_eq!(bench.failed_work(), MODELS.map(|artefact| (messages[24], artefact as u8, 3)));
    weaver.stop();
}

#[test]
fn one_function_that_fails_does_not_hold_up_the_other() {
    let bench = Bench::new();
    let models = altered(|base, texts| {
        if texts.iter().any(|text| text.entities) {
            return Err(Error::EnrichmentFailed { message: "no names today".into() });
        }
        base.enrich(texts)
    });
    let message = bench.say("Alice");
    let weaver = bench.start(models, eager());
    drain(&weaver);
    assert_eq!(bench.vectors(message), [FakeModels::vector("Alice")]);
    assert_eq!(bench.state(&weaver, message, Artefact::Embedding), ArtefactState::Ready);
    for artefact in [Artefact::Entities, Artefact::Links] {
        let state = bench.state(&weaver, message, artefact);
        assert_eq!(state, ArtefactState::Failed("no names today".into()), "{artefact:?}");
    }
    assert_eq!(bench.failed_work(), [(message, Artefact::Entities as u8, 3)]);
    weaver.stop();
}

#[test]
fn a_text_at_which_a_call_is_left_behind_is_given_up_the_first_time() {
    let bench = Bench::new();
    let left = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&left);
    let models = altered(move |base, texts| {
        if texts.iter().any(|text| text.text == "Mallory" && text.vectors) {
            counted.fetch_add(1, Ordering::Relaxed);
            return Err(Error::LeftBehind { message: "it hangs".into() });
        }
        base.enrich(texts)
    });
    let messages: Vec<_> = ["Alice", "Mallory", "Bob"].map(|text| bench.say(text)).into();
    let weaver = bench.start(models, eager());
    drain(&weaver);
    bench.assert_enriched(messages[0], "Alice", &["Alice"]);
    bench.assert_enriched(messages[2], "Bob", &["Bob"]);
    assert_eq!(left.load(Ordering::Relaxed), 2, "with the others, and by itself");
    assert_eq!(bench.failed_work(), [(messages[1], Artefact::Embedding as u8, 1)]);
    let entities = bench.state(&weaver, messages[1], Artefact::Entities);
    assert_eq!(entities, ArtefactState::Ready, "they are of another function");
    weaver.stop();
}

#[test]
fn a_panicking_model_takes_only_its_text_with_it() {
    let bench = Bench::new();
    let models = altered(|base, texts| {
        assert!(texts.iter().all(|text| text.text != "Mallory"), "planted panic");
        base.enrich(texts)
    });
    let mallory = bench.say("Mallory");
    let alice = bench.say("Alice");
    let weaver = bench.start(models, eager());
    drain(&weaver);
    bench.assert_enriched(alice, "Alice", &["Alice"]);
    bench.assert_bare(mallory);
    let ArtefactState::Failed(error) = bench.state(&weaver, mallory, Artefact::Embedding) else {
        panic!("it did not fail");
    };
    assert!(error.contains("planted panic"), "{error}");
    weaver.stop();
}

/// A model that is not installed.
fn missing(installed: &Arc<AtomicBool>) -> Arc<dyn Models> {
    let installed = Arc::clone(installed);
    altered(move |base, texts| {
        if installed.load(Ordering::Relaxed) {
            return base.enrich(texts);
        }
        Err(Error::ModelUnavailable { message: "install it with: pip install model".into() })
    })
}

#[test]
fn a_missing_model_is_a_failed_status_and_back_fills_when_it_is_there() {
    let bench = Bench::new();
    let installed = Arc::new(AtomicBool::new(false));
    let messages: Vec<_> = (0..10).map(|n| bench.say(&format!("Alice {n}"))).collect();
    let weaver = bench.start(missing(&installed), eager());
    drain(&weaver);
    let snapshot = bench.store.read().unwrap();
    for message in &messages {
        bench.assert_bare(*message);
        for artefact in MODELS {
            let state = bench.state(&weaver, *message, artefact);
            let reason = "install it with: pip install model".to_owned();
            assert_eq!(state, ArtefactState::Failed(reason));
        }
    }
    let failures = weaver.failures(&snapshot).unwrap();
    assert!(!failures.is_empty());
    for failure in &failures {
        assert_eq!((failure.id.as_ref(), failure.attempts), (None, 0), "no message is at fault");
        assert!(failure.error.contains("pip install model"), "{failure:?}");
    }
    let status = weaver.status(&snapshot).unwrap();
    assert!(status.queue_size >= 20, "the work stays: {status:?}");
    assert_eq!(bench.failed_work(), [], "a missing model is no failed call");
    drop(snapshot);

    installed.store(true, Ordering::Relaxed);
    weaver.retry_failed().unwrap();
    drain(&weaver);
    for (n, message) in messages.iter().enumerate() {
        bench.assert_enriched(*message, &format!("Alice {n}"), &["Alice"]);
    }
    assert_eq!(weaver.failures(&bench.store.read().unwrap()).unwrap(), []);
    weaver.stop();
}

/// Models of which one function is missing while told so.
fn partly_missing(missing: &Arc<AtomicBool>, kind: Artefact) -> Arc<dyn Models> {
    let missing = Arc::clone(missing);
    altered(move |base, texts| {
        let wants = |text: &TextToEnrich| match kind {
            Artefact::Entities => text.entities,
            _ => text.vectors,
        };
        if missing.load(Ordering::Relaxed) && texts.iter().any(wants) {
            return Err(Error::ModelUnavailable { message: "it is not there".into() });
        }
        base.enrich(texts)
    })
}

#[test]
fn a_missing_function_holds_up_no_other() {
    for (kind, other) in
        [(Artefact::Entities, Artefact::Embedding), (Artefact::Embedding, Artefact::Entities)]
    {
        let bench = Bench::new();
        let missing = Arc::new(AtomicBool::new(true));
        let messages: Vec<_> = (0..150).map(|n| bench.say(&format!("Alice {n}"))).collect();
        let weaver = bench.start(partly_missing(&missing, kind), eager());
        drain(&weaver);
        for message in &messages {
            assert_eq!(bench.state(&weaver, *message, other), ArtefactState::Ready);
            let reason = ArtefactState::Failed("it is not there".to_owned());
            assert_eq!(bench.state(&weaver, *message, kind), reason);
            if kind == Artefact::Entities {
                assert_eq!(bench.state(&weaver, *message, Artefact::Links), reason);
            }
        }
        let failures = weaver.failures(&bench.store.read().unwrap()).unwrap();
        assert_eq!(failures.iter().map(|it| it.artefact).collect::<Vec<_>>(), [kind]);
        assert_eq!(bench.failed_work(), [], "no message is at fault");
        missing.store(false, Ordering::Relaxed);
        weaver.retry_failed().unwrap();
        drain(&weaver);
        for (n, message) in messages.iter().enumerate() {
            bench.assert_enriched(*message, &format!("Alice {n}"), &["Alice"]);
        }
        weaver.stop();
    }
}

#[test]
fn a_model_that_is_there_at_the_next_opening_back_fills() {
    let bench = Bench::new();
    let installed = Arc::new(AtomicBool::new(false));
    let message = bench.say("Alice met Bob");
    let weaver = bench.start(missing(&installed), eager());
    drain(&weaver);
    weaver.stop();
    bench.assert_bare(message);
    let weaver = bench.start(Arc::new(FakeModels::default()), eager());
    drain(&weaver);
    bench.assert_enriched(message, "Alice met Bob", &["Alice", "Bob"]);
    weaver.stop();
}

#[test]
fn what_was_given_up_stays_so_at_the_next_opening() {
    let bench = Bench::new();
    let models = Arc::new(FakeModels::default());
    models.failing.store(true, Ordering::Relaxed);
    let message = bench.say("Alice");
    let weaver = bench.start(models, eager());
    drain(&weaver);
    weaver.stop();
    let healed = Arc::new(FakeModels::default());
    let weaver = bench.start(healed.clone(), eager());
    drain(&weaver);
    bench.assert_bare(message);
    assert_eq!(healed.embedded.load(Ordering::Relaxed), 0);
    assert_eq!(weaver.failures(&bench.store.read().unwrap()).unwrap().len(), 2);
    weaver.retry_failed().unwrap();
    drain(&weaver);
    bench.assert_enriched(message, "Alice", &["Alice"]);
    weaver.stop();
}

#[test]
fn a_long_text_is_worked_on_by_itself() {
    let bench = Bench::new();
    let long = "Alice met Bob. ".repeat(20_000);
    for n in 0..20 {
        bench.say(&if n == 7 { long.clone() } else { format!("Alice {n}") });
    }
    let calls = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&calls);
    let models = altered(move |base, texts| {
        told.lock().unwrap().push(texts.iter().map(|it| it.text.len()).collect::<Vec<_>>());
        base.enrich(texts)
    });
    let weaver = bench.start(models, eager());
    drain(&weaver);
    weaver.stop();
    let calls = calls.lock().unwrap();
    let lengths: Vec<usize> = calls.iter().map(Vec::len).collect();
    assert_eq!(lengths, [7, 1, 12]);
    assert!(calls[1][0] >= long.len());
}
