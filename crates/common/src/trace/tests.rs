use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::Error;

fn tracer(tracing: Tracing) -> Arc<Tracer> {
    Tracer::new(&Tracing { seed: Some(1), ..tracing })
}

/// Keeps everything.
fn keeping() -> Arc<Tracer> {
    tracer(Tracing { normal: 1.0, slow: 1.0, ..Tracing::default() })
}

fn taken(tracer: &Tracer) -> Vec<Kept> {
    tracer.queue().take(Duration::ZERO).0
}

fn shown(trace: &Kept) -> Vec<(&'static str, usize, Option<&'static str>)> {
    trace.spans.iter().map(|span| (span.name, span.parent, span.failed)).collect()
}

fn wrong() -> Error {
    Error::InvalidInput("x".into())
}

#[test]
fn what_begins_within_is_a_part() {
    let tracer = keeping();
    let done: crate::Result<u32> = tracer.call("write", || {
        let begun = Instant::now();
        step("check", begun, Instant::now(), Some(3));
        let inner: crate::Result<()> = tracer.call("query", || within("embed", || Err(wrong())));
        assert!(inner.is_err());
        within("commit", || Ok(7))
    });
    assert_eq!(done.unwrap(), 7);
    let [trace] = &taken(&tracer)[..] else { panic!("one trace") };
    let failed = Some("InvalidInput");
    assert_eq!(
        shown(trace),
        [
            ("write", 0, None),
            ("check", 0, None),
            ("query", 0, failed),
            ("embed", 2, failed),
            ("commit", 0, None)
        ]
    );
    assert_eq!(trace.spans[1].rows, Some(3));
    for span in &trace.spans {
        let parent = &trace.spans[span.parent];
        assert!(parent.begun <= span.begun && span.ended <= parent.ended, "{}", span.name);
    }
    assert!(!is_open());
}

#[test]
fn without_a_trace_there_are_no_parts() {
    step("check", Instant::now(), Instant::now(), None);
    assert_eq!(within("commit", || Ok(1)).unwrap(), 1);
    assert!(!is_open() && current().is_none());
}

/// A hundred that fail, a hundred that are slow, and ten thousand others, in one order or another.
#[test]
fn what_is_kept_is_what_was_asked_for() {
    let threshold = Duration::from_secs(1);
    for seed in 0..if cfg!(miri) { 1 } else { 20 } {
        let tracing = Tracing {
            slow_threshold: Some(threshold),
            seed: Some(seed),
            queue: 100_000,
            ..Tracing::default()
        };
        let tracer = Tracer::new(&tracing);
        let begun = Instant::now();
        for turn in 0_u32..12_000 {
            let span = tracer.begin("query", begun);
            match turn {
                _ if turn.is_multiple_of(120) => span.end(begun, Some("Timeout")),
                _ if turn % 6 == 1 => span.end(begun + 2 * threshold, None),
                _ => span.end(begun + threshold, None),
            }
        }
        let count = |decision| tracer.decisions().find(|(it, _)| *it == decision).unwrap().1;
        assert_eq!(count(Decision::Error), 100);
        let (slow, normal) = (count(Decision::Slow), count(Decision::Normal));
        // Three standard deviations of 2,000 at 50 % and of 9,900 at 1 %.
        assert!((933..=1067).contains(&slow), "{slow} of 2,000 with seed {seed}");
        assert!((69..=129).contains(&normal), "{normal} of 9,900 with seed {seed}");
        let kept = taken(&tracer);
        assert_eq!(kept.len() as u64, 100 + slow + normal);
        assert_eq!(kept.iter().filter(|trace| trace.spans[0].failed.is_some()).count(), 100);
    }
}

#[test]
fn a_caller_decides_for_what_it_calls() {
    let none = Tracing { normal: 0.0, slow: 0.0, errors: 1.0, ..Tracing::default() };
    let tracer = tracer(none);
    let caller = Context { trace: 5, span: 6, sampled: true };
    {
        let _called = Called::by(Some(caller));
        tracer.call("query", || Ok(())).unwrap();
    }
    let [trace] = &taken(&tracer)[..] else { panic!("one trace") };
    assert_eq!((trace.id, trace.caller), (5, Some(6)));
    {
        let _called = Called::by(Some(Context { sampled: false, ..caller }));
        tracer.call("query", || -> crate::Result<()> { Err(wrong()) }).unwrap_err();
        assert!(!is_open());
    }
    assert!(taken(&tracer).is_empty(), "its caller records nothing, so it would have no parent");
    tracer.call("query", || -> crate::Result<()> { Err(wrong()) }).unwrap_err();
    let [trace] = &taken(&tracer)[..] else { panic!("one trace") };
    assert!(trace.caller.is_none() && trace.id != 5, "the caller has gone");
}

#[test]
fn a_panic_is_an_error_and_leaves_no_trace_open() {
    let tracer = tracer(Tracing::default());
    let panicking =
        || tracer.call("query", || within("embed", || -> crate::Result<()> { panic!("x") }));
    drop(catch_unwind(AssertUnwindSafe(panicking)).unwrap_err());
    let [trace] = &taken(&tracer)[..] else { panic!("one trace") };
    let failed = Some("InternalError");
    assert_eq!(shown(trace), [("query", 0, failed), ("embed", 0, failed)]);
    assert!(!is_open());
}

#[test]
fn a_trace_may_go_from_thread_to_thread() {
    let tracer = keeping();
    let caller = Context { trace: 9, span: 1, sampled: true };
    let mut moving = tracer.begin_moving("request", Some(caller), Instant::now());
    let own = moving.on_this_thread(current).unwrap();
    assert_eq!((own.trace, own.sampled), (9, true));
    for name in ["get", "query"] {
        let work = || moving.on_this_thread(|| tracer.call(name, || Ok(())));
        std::thread::scope(|scope| scope.spawn(work).join()).unwrap().unwrap();
    }
    assert!(taken(&tracer).is_empty(), "it goes on");
    // The thread goes on as before, whatever happens meanwhile.
    let panicking =
        || moving.on_this_thread(|| tracer.call("walk", || -> crate::Result<()> { panic!("x") }));
    drop(catch_unwind(AssertUnwindSafe(panicking)).unwrap_err());
    assert!(!is_open());
    moving.end(Some("500"));
    let [trace] = &taken(&tracer)[..] else { panic!("one trace") };
    assert_eq!(trace.side, Side::Server);
    assert_eq!(
        shown(trace),
        [
            ("request", 0, Some("500")),
            ("get", 0, None),
            ("query", 0, None),
            ("walk", 0, Some("InternalError"))
        ]
    );
    assert_eq!(trace.span_id(0), own.span);
    // One whose caller records nothing has no parts either.
    let mut moving =
        tracer.begin_moving("request", Some(Context { sampled: false, ..caller }), Instant::now());
    moving.on_this_thread(|| tracer.call("get", || Ok(()))).unwrap();
    moving.end(None);
    assert!(taken(&tracer).is_empty());
    drop(tracer.begin_moving("request", None, Instant::now()));
    let [trace] = &taken(&tracer)[..] else { panic!("one trace") };
    assert_eq!(shown(trace), [("request", 0, Some("Interrupted"))]);
}

#[test]
fn a_trace_and_the_queue_have_bounds() {
    let most = 2 * MOST_SPANS;
    let tracer = tracer(Tracing { normal: 1.0, slow: 1.0, queue: most, ..Tracing::default() });
    for _ in 0..3 {
        let span = tracer.begin("walk", Instant::now());
        for _ in 0..MOST_SPANS + 4 {
            step("step", Instant::now(), Instant::now(), None);
        }
        span.end(Instant::now(), None);
    }
    let kept = taken(&tracer);
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|trace| trace.spans.len() == MOST_SPANS && trace.lost == 5));
    assert_eq!(tracer.queue().lost(), Lost { full: MOST_SPANS as u64, refused: 0 });
    tracer.call("walk", || Ok(())).unwrap();
    assert_eq!(taken(&tracer).len(), 1, "there is room again");
}

proptest! {
    #[test]
    fn spans_of_a_trace_have_ids_of_their_own(first: u64) {
        let mut ids: Vec<u64> = (0..MOST_SPANS).map(|place| kept::span_id(first, place)).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), MOST_SPANS);
        prop_assert!(!ids.contains(&0));
    }
}

#[test]
fn two_parts_of_one_trace_have_ids_of_their_own() {
    let tracer = keeping();
    let _called = Called::by(Some(Context { trace: 5, span: 6, sampled: true }));
    for _ in 0..2 {
        tracer.call("query", || within("embed", || Ok(()))).unwrap();
    }
    let kept = taken(&tracer);
    let mut ids: Vec<u64> =
        kept.iter().flat_map(|trace| [trace.span_id(0), trace.span_id(1)]).collect();
    ids.dedup();
    assert_eq!((kept[0].id, kept[1].id, ids.len()), (5, 5, 4));
}
