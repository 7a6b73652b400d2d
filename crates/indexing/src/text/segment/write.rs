//! Writing a segment: the tail of an index, together with some of its segments.

use std::cmp::Ordering;

use embedded_db_common::record::put_varint;
use embedded_db_common::{Result, Slot};
use embedded_db_storage::SegmentWriter;
use fst::Streamer;

use super::lists::Packer;
use super::{Deaths, VERSION, section};
use crate::text::index::TextIndex;
use crate::text::part::Part;
use crate::text::postings::Ordinal;
use crate::text::tail::TextTail;
use crate::text::terms::TermId;

/// No number: the document has ended.
const GONE: Ordinal = Ordinal::MAX;
/// No number: the term has no document any more.
const UNUSED: TermId = TermId::MAX;

/// Writes what the tail of an index holds, and its segments from `from` on, as one segment; how many
/// documents that are. `going_on` is asked now and then, and ends the work with its error.
pub(crate) fn write(
    index: &TextIndex,
    from: usize,
    out: &mut SegmentWriter,
    going_on: &dyn Fn() -> Result<()>,
) -> Result<u32> {
    let mut sources: Vec<Source<'_>> = index.parts[from..].iter().map(Source::of).collect();
    sources.push(Source::tail(&index.tail));
    let documents = number_documents(&mut sources);
    going_on()?;
    let dictionary = write_postings(&mut sources, out, going_on)?;
    write_forward(&mut sources, &documents, out, going_on)?;
    let words: u64 = documents
        .iter()
        .map(|place| u64::from(sources[place.source].origin.length(place.document)))
        .sum();
    out.begin_section(section::SLOTS)?;
    for place in &documents {
        out.write(&place.slot.0.to_le_bytes())?;
    }
    out.begin_section(section::LENGTHS)?;
    for place in &documents {
        out.write(&sources[place.source].origin.length(place.document).to_le_bytes())?;
    }
    out.begin_section(section::DICTIONARY)?;
    out.write(&dictionary.map)?;
    out.begin_section(section::TERMS)?;
    out.write(&dictionary.rows)?;
    out.begin_section(section::DEATHS)?;
    let mut bytes = Vec::new();
    for (earlier, part) in index.parts[..from].iter().enumerate() {
        deaths_in(index, earlier, part, from).write(&mut bytes);
    }
    out.write(&bytes)?;
    out.begin_section(section::HEADER)?;
    let count = documents.len() as u32;
    for number in [VERSION, count, dictionary.terms, 0] {
        out.write(&number.to_le_bytes())?;
    }
    out.write(&words.to_le_bytes())?;
    Ok(count)
}

/// What has ended in a segment that stays, but for what other segments that stay say.
fn deaths_in(index: &TextIndex, earlier: usize, part: &Part, from: usize) -> Deaths {
    let mut deaths = part.since.clone();
    for (later, merged) in index.parts.iter().enumerate().skip(from) {
        if let Some(published) = merged.segment.deaths(later)
            && let Some(of_it) = published.get(earlier)
        {
            deaths.join(of_it);
        }
    }
    deaths
}

/// Where documents come from.
enum Origin<'a> {
    Part(&'a Part),
    Tail(&'a TextTail),
}

impl Origin<'_> {
    fn length(&self, document: Ordinal) -> u32 {
        match self {
            Self::Part(part) => part.segment.length(document),
            Self::Tail(tail) => tail.documents().length(document),
        }
    }
}

struct Source<'a> {
    origin: Origin<'a>,
    /// The new number of each document.
    documents: Vec<Ordinal>,
    /// The new number of each term.
    terms: Vec<TermId>,
}

impl<'a> Source<'a> {
    fn of(part: &'a Part) -> Self {
        let documents = vec![GONE; part.segment.documents() as usize];
        let terms = vec![UNUSED; part.segment.terms() as usize];
        Self { origin: Origin::Part(part), documents, terms }
    }

    fn tail(tail: &'a TextTail) -> Self {
        let documents = vec![GONE; tail.documents().len()];
        let terms = vec![UNUSED; tail.term_table().len()];
        Self { origin: Origin::Tail(tail), documents, terms }
    }

    /// The documents that have not ended, with their slots.
    fn live(&self) -> Vec<(Slot, Ordinal)> {
        match &self.origin {
            Origin::Part(part) => (0..part.segment.documents())
                .filter(|document| {
                    !part.published.documents.contains(*document)
                        && !part.since.documents.contains(*document)
                })
                .map(|document| (part.segment.slot(document), document))
                .collect(),
            Origin::Tail(tail) => {
                let documents = tail.documents();
                let live = (0..documents.len() as Ordinal).filter(|at| documents.is_live(*at));
                live.map(|document| (documents.slot(document), document)).collect()
            }
        }
    }

    /// Whether there is such a term; a file that numbers one it has not is damaged.
    fn has(&self, term: TermId) -> bool {
        let has = (term as usize) < self.terms.len();
        if let Origin::Part(part) = &self.origin
            && !has
        {
            part.segment.file().damage();
        }
        has
    }

    /// Adds the postings of a term under the new numbers.
    fn collect(&self, term: TermId, out: &mut Vec<(Ordinal, u32)>) {
        let mut add = |document: Ordinal, count| {
            let number = self.documents.get(document as usize).copied().unwrap_or(GONE);
            if number != GONE {
                out.push((number, count));
            }
        };
        match &self.origin {
            Origin::Part(part) => {
                let cursor = part.segment.list(term).0.cursor();
                cursor.for_each(|(document, count)| add(document, count));
            }
            Origin::Tail(tail) => {
                for posting in tail.list(term) {
                    let document = posting.document;
                    add(document, tail.documents().full_count(document, term, posting.count));
                }
            }
        }
    }

    /// The terms of a document under the new numbers, ascending.
    fn terms_of(&self, document: Ordinal, out: &mut Vec<(TermId, u32)>) {
        out.clear();
        let new = |term: TermId| self.terms.get(term as usize).copied().unwrap_or(UNUSED);
        match &self.origin {
            Origin::Part(part) => {
                let terms = part.segment.terms_of(document);
                out.extend(terms.map(|(term, count)| (new(term), count)));
            }
            Origin::Tail(tail) => {
                let documents = tail.documents();
                let terms = documents.terms(document).iter();
                out.extend(terms.map(|&term| (new(term), documents.count(document, term))));
                out.sort_unstable();
            }
        }
    }
}

/// A document that is written.
struct Place {
    slot: Slot,
    source: usize,
    document: Ordinal,
}

fn number_documents(sources: &mut [Source<'_>]) -> Vec<Place> {
    let mut places = Vec::new();
    for (source, from) in sources.iter().enumerate() {
        let live = from.live().into_iter();
        places.extend(live.map(|(slot, document)| Place { slot, source, document }));
    }
    places.sort_unstable_by_key(|place| place.slot);
    for (number, place) in places.iter().enumerate() {
        sources[place.source].documents[place.document as usize] = number as Ordinal;
    }
    places
}

/// The terms of one source in their order.
enum Terms<'a> {
    Part(fst::map::Stream<'a>),
    Tail(std::vec::IntoIter<(&'a str, TermId)>),
}

impl Terms<'_> {
    /// The next one, put into `term`; its number.
    fn next(&mut self, term: &mut Vec<u8>) -> Option<TermId> {
        term.clear();
        match self {
            Self::Part(stream) => {
                let (bytes, number) = stream.next()?;
                term.extend_from_slice(bytes);
                u32::try_from(number).ok()
            }
            Self::Tail(terms) => {
                let (text, number) = terms.next()?;
                term.extend_from_slice(text.as_bytes());
                Some(number)
            }
        }
    }
}

struct Dictionary {
    map: Vec<u8>,
    /// Of each term: where its list begins, how many documents it has, the largest count.
    rows: Vec<u8>,
    terms: u32,
}

/// Writes the lists of all terms, and gives the terms their new numbers.
fn write_postings(
    sources: &mut [Source<'_>],
    out: &mut SegmentWriter,
    going_on: &dyn Fn() -> Result<()>,
) -> Result<Dictionary> {
    let mut streams = Vec::new();
    for source in sources.iter() {
        let mut terms = match &source.origin {
            Origin::Part(part) => Terms::Part(part.segment.dictionary()),
            Origin::Tail(tail) => {
                let table = tail.term_table();
                let mut terms: Vec<(&str, TermId)> =
                    (0..table.len() as TermId).map(|id| (table.term(id), id)).collect();
                terms.sort_unstable();
                Terms::Tail(terms.into_iter())
            }
        };
        let mut first = Vec::new();
        let number = terms.next(&mut first);
        streams.push((terms, first, number));
    }
    out.begin_section(section::POSTINGS)?;
    let mut map = fst::MapBuilder::memory();
    let (mut rows, mut terms, mut packer) = (Vec::new(), 0, Packer::new());
    let (mut term, mut list, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    let mut renumbered = Vec::new();
    loop {
        let next = streams.iter().filter(|(.., number)| number.is_some());
        let Some((_, least, _)) = next.min_by(|a, b| a.1.cmp(&b.1)) else { break };
        term.clone_from(least);
        list.clear();
        renumbered.clear();
        for (at, (stream, own, number)) in streams.iter_mut().enumerate() {
            if let Some(found) = *number
                && own.as_slice().cmp(&term) == Ordering::Equal
            {
                sources[at].collect(found, &mut list);
                if sources[at].has(found) {
                    renumbered.push((at, found));
                }
                *number = stream.next(own);
            }
        }
        if list.is_empty() {
            continue;
        }
        if !list.is_sorted() {
            list.sort_unstable();
        }
        for (at, old) in renumbered.drain(..) {
            sources[at].terms[old as usize] = terms;
        }
        let most = list.iter().map(|(_, count)| *count).max().unwrap_or(0);
        rows.extend_from_slice(&out.position().to_le_bytes());
        rows.extend_from_slice(&(list.len() as u32).to_le_bytes());
        rows.extend_from_slice(&most.to_le_bytes());
        bytes.clear();
        packer.pack(&list, &mut bytes);
        out.write(&bytes)?;
        map.insert(&term, u64::from(terms)).expect("terms ascend");
        terms += 1;
        if terms % 1024 == 0 {
            going_on()?;
        }
    }
    Ok(Dictionary { map: map.into_inner().expect("it is in memory"), rows, terms })
}

/// Writes which terms each document holds.
fn write_forward(
    sources: &mut [Source<'_>],
    documents: &[Place],
    out: &mut SegmentWriter,
    going_on: &dyn Fn() -> Result<()>,
) -> Result<()> {
    out.begin_section(section::FORWARD)?;
    let (mut ends, mut terms, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    for (number, place) in documents.iter().enumerate() {
        sources[place.source].terms_of(place.document, &mut terms);
        bytes.clear();
        let mut before = 0;
        // A damaged list leaves terms without a number; then nothing is made of what is written.
        for &(term, count) in terms.iter().filter(|(term, _)| *term != UNUSED) {
            put_varint(
                &mut bytes,
                u64::from(term.saturating_sub(before)) << 1 | u64::from(count > 1),
            );
            if count > 1 {
                put_varint(&mut bytes, u64::from(count - 2));
            }
            before = term;
        }
        out.write(&bytes)?;
        ends.extend_from_slice(&out.position().to_le_bytes());
        if number % 4096 == 0 {
            going_on()?;
        }
    }
    out.begin_section(section::ENDS)?;
    out.write(&ends)
}
