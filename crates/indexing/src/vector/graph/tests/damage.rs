//! Bytes of a file may be anything: a search tells of it or finds nonsense, but stays inside.

use std::sync::OnceLock;

use super::super::{Effort, GraphDamage, GraphView, Section, merge};
use super::*;

/// Sections that can be damaged.
#[derive(Clone)]
struct Sections(Vec<(Section, Vec<u8>)>);

impl Sections {
    fn of(graph: &Graph) -> Self {
        let copy = |&section: &Section| (section, graph.section(section).to_vec());
        Self(Section::ALL.iter().map(copy).collect())
    }

    fn view(&self) -> Result<GraphView<'_>, GraphDamage> {
        GraphView::from_sections(|wanted| {
            self.0.iter().find(|(section, _)| *section == wanted).map_or(&[], |(_, bytes)| bytes)
        })
    }

    fn bytes(&mut self, wanted: Section) -> &mut Vec<u8> {
        let (_, bytes) =
            self.0.iter_mut().find(|(section, _)| *section == wanted).expect("every section");
        bytes
    }
}

fn small(metric: Metric) -> &'static Graph {
    static GRAPHS: [OnceLock<Graph>; 3] = [const { OnceLock::new() }; 3];
    GRAPHS[metric as usize].get_or_init(|| {
        let mut store = Store::new(metric, 8);
        let mut numbers = Numbers(5);
        for slot in 0..2_400 {
            store.rows.insert((Slot(slot / 2), (slot % 2) as u16), numbers.vector(8));
        }
        store.graph(1)
    })
}

/// All that reads a graph.
fn use_everything(view: &GraphView<'_>) {
    let query = vec![0.3; view.dim()];
    let (allowed, dead) = (every(3, 1_200), every(4, 2_400));
    let mut scratch = Scratch::default();
    for (allowed, dead) in [(None, None), (Some(&allowed), None), (Some(&allowed), Some(&dead))] {
        for effort in [Effort::Usual, Effort::Pool(400)] {
            let request = GraphRequest { k: 5, effort, allowed, dead, ..GraphRequest::default() };
            let found = view.search(&query, &request, &mut scratch, &mut || false);
            if let Ok(Some(found)) = found {
                let rows = view.len();
                assert!(found.candidates.iter().all(|found| (found.row as usize) < rows));
            }
            let mut store = Store::new(view.metric(), view.dim());
            let _ = view.search_exact(&query, &request, &mut store, &mut scratch, &mut || false);
        }
    }
    for slot in 0..40 {
        view.rows_of(Slot(slot)).for_each(drop);
    }
    let _ = view.scan(&query, 0..view.len() as u32, 3, &mut || false);
    if view.check().is_ok() {
        let mut more = view.no_rows();
        (0..20).for_each(|slot| assert!(more.push(Slot(slot), 9, &query)));
        let dead = RoaringBitmap::new();
        let merged = merge(view, &dead, &more, 1, &|| false).expect("a whole graph");
        assert_eq!(merged.expect("not interrupted").graph.view().check(), Ok(()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_word_leads_outside(
        section in prop::sample::select(&Section::ALL[..]),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>(), 0u32..33), 1..40),
        metric in metrics(),
    ) {
        let graph = small(metric);
        let mut sections = Sections::of(graph);
        let bytes = sections.bytes(section);
        if bytes.len() < 4 {
            return Ok(());
        }
        for (place, word, shift) in places {
            let place = place.index(bytes.len() / 4) * 4;
            // Small words as well as large ones.
            let word = word.checked_shr(shift).unwrap_or(0).to_le_bytes();
            bytes[place..place + 4].copy_from_slice(&word);
        }
        if let Ok(view) = sections.view() {
            use_everything(&view);
        }
    }
}

#[test]
fn every_length_is_checked() {
    let graph = small(Metric::Euclidean);
    let sections = Sections::of(graph);
    assert!(sections.view().is_ok());
    for section in Section::ALL {
        let mut shorter = sections.clone();
        shorter.bytes(section).pop();
        assert_eq!(shorter.view().expect_err("too short").section, section);
        let mut longer = sections.clone();
        longer.bytes(section).push(0);
        assert_eq!(longer.view().expect_err("too long").section, section);
    }
}

#[test]
fn a_link_outside_is_told() {
    let graph = small(Metric::Cosine);
    let outside = (2_400u32).to_le_bytes();
    let request = GraphRequest { k: 5, ..GraphRequest::default() };
    for section in [Section::Links, Section::UpperLinks] {
        let mut sections = Sections::of(graph);
        let bytes = sections.bytes(section);
        // The first link of every list.
        let stride = if section == Section::Links { 65 * 4 } else { 33 * 4 };
        for list in bytes.chunks_mut(stride).filter(|list| list[..4] != [0; 4]) {
            list[4..8].copy_from_slice(&outside);
        }
        let view = sections.view().expect("lengths are right");
        assert_eq!(view.check().expect_err("damaged").section, section);
        let found = view.search(&[0.5; 8], &request, &mut Scratch::default(), &mut || false);
        assert_eq!(found.expect_err("damaged").section, section);
        let merged = merge(&view, &RoaringBitmap::new(), &view.no_rows(), 1, &|| false);
        assert_eq!(merged.expect_err("damaged").section, section);
    }
}
