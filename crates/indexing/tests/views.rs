//! A view that has followed the changes says what one says that is loaded anew, to every reader at the
//! state of its own snapshot.
//!
//! Random writes, in two namespaces, go to a store. Views that were loaded at the beginning, in the
//! middle or not at all are brought up to it step by step, while readers come and stay. Each reader is
//! compared with views that nobody has used before, at the same state: those of its own time were
//! written down when it came, from the records alone.
//!
//! Meanwhile texts are put into files, of which some are damaged or lost.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use embedded_db_common::{Draft, NamespaceId, Result, Slot, Value};
use embedded_db_indexing::graph::{Changes, EmbeddingDraft, GraphWriter, NodeDraft};
use embedded_db_indexing::schema::Names;
use embedded_db_indexing::sessions::SessionId;
use embedded_db_indexing::text::{Bm25, TextQuery};
use embedded_db_indexing::vector::VectorRequest;
use embedded_db_indexing::{Attached, Linked, Needs, Pin, StoreRows, Views};
use embedded_db_storage::{ReadEmbeddings, ReadTxn, Store};
use proptest::prelude::*;

const WORDS: [&str; 6] = ["red", "lake", "dog", "wind", "fog", "tin"];
const SENDERS: [&str; 3] = ["Ann", "Bob", ""];
const HOUR: i64 = 3_600_000_000;
const NAMESPACES: [&str; 2] = ["default", "other"];
/// Messages that a step may mean.
const IDS: usize = 12;

#[derive(Debug, Clone)]
enum Step {
    Say {
        namespace: usize,
        id: usize,
        words: Vec<usize>,
        sender: usize,
        hour: i64,
    },
    Delete {
        namespace: usize,
        id: usize,
    },
    Vector {
        namespace: usize,
        id: usize,
        x: i8,
        y: i8,
    },
    DropOther,
    /// Loads what is not loaded, and follows.
    Look {
        namespace: usize,
    },
    /// Follows only; the reader stays.
    Pin,
    /// A reader that stayed looks again, perhaps for the first time.
    Ask {
        of: prop::sample::Index,
    },
    LetGo {
        of: prop::sample::Index,
    },
    /// Another process puts texts into files.
    Publish {
        namespace: usize,
    },
    /// It makes graphs of vectors.
    Link {
        namespace: usize,
    },
    /// A file is damaged, or lost.
    Spoil {
        file: prop::sample::Index,
        byte: Option<prop::sample::Index>,
    },
    /// Slots get other numbers.
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    let words = prop::collection::vec(0..WORDS.len(), 0..5);
    prop_oneof![
        8 => (0..2usize, 0..IDS, words, 0..3usize, 0..6i64).prop_map(
            |(namespace, id, words, sender, hour)| Step::Say { namespace, id, words, sender, hour }
        ),
        3 => (0..2usize, 0..IDS).prop_map(|(namespace, id)| Step::Delete { namespace, id }),
        6 => (0..2usize, 0..IDS, -3i8..=3, -3i8..=3)
            .prop_map(|(namespace, id, x, y)| Step::Vector { namespace, id, x, y }),
        1 => Just(Step::DropOther),
        5 => (0..2usize).prop_map(|namespace| Step::Look { namespace }),
        2 => Just(Step::Pin),
        3 => any::<prop::sample::Index>().prop_map(|of| Step::Ask { of }),
        1 => any::<prop::sample::Index>().prop_map(|of| Step::LetGo { of }),
        4 => (0..2usize).prop_map(|namespace| Step::Publish { namespace }),
        3 => (0..2usize).prop_map(|namespace| Step::Link { namespace }),
        1 => (any::<prop::sample::Index>(), any::<Option<prop::sample::Index>>())
            .prop_map(|(file, byte)| Step::Spoil { file, byte }),
        1 => Just(Step::Compact),
    ]
}

struct Bench {
    store: Arc<Store>,
    names: Names,
}

/// Everything that the views tell a reader of a namespace: texts and vectors with their scores.
#[derive(Debug, PartialEq)]
struct Told {
    texts: Vec<Vec<(Slot, u32)>>,
    vectors: Vec<(Slot, u32)>,
    documents: u64,
    rows: u64,
    /// Slots with their words, by session.
    sessions: Vec<Vec<(u32, u32)>>,
    /// Messages of each sender that has any.
    senders: Vec<(String, u32)>,
}

impl Bench {
    fn new() -> Self {
        let (store, names) = common::new_store();
        Self { store, names }
    }

    fn views(&self) -> Arc<Views> {
        Views::new(self.names, "english").unwrap().linking_after(3)
    }

    fn write(
        &self,
        namespace: usize,
        mut job: impl FnMut(&mut GraphWriter<'_, '_>, NamespaceId) -> Result<()> + Send + 'static,
    ) {
        let names = self.names;
        let written = self.store.write(move |txn| {
            let namespace = txn.create_namespace(NAMESPACES[namespace])?;
            job(&mut GraphWriter::new(txn, &names, namespace), namespace)
        });
        written.unwrap();
    }

    fn apply(&self, step: &Step) {
        match step.clone() {
            Step::Say { namespace, id, words, sender, hour } => {
                self.write(namespace, move |writer, namespace| {
                    let words: Vec<&str> = words.iter().map(|word| WORDS[*word]).collect();
                    let content = Value::Str(words.join(" "));
                    let id = id.to_string();
                    if let Some(slot) = writer.txn.node_slot(namespace, &id)? {
                        let mut changes = Changes::default();
                        changes.set.set("content", &content)?;
                        changes.set.set("sender", &Value::Str(SENDERS[sender].into()))?;
                        changes.set.set("timestamp", &Value::Time(hour * HOUR))?;
                        return writer.update_node(slot, &changes);
                    }
                    let of = format!("chat {}", hour % 2);
                    let chat = writer.ensure_chat(&of)?;
                    let mut properties = Draft::new();
                    properties.set("content", &content)?;
                    properties.set("sender", &Value::Str(SENDERS[sender].into()))?;
                    properties.set("timestamp", &Value::Time(hour * HOUR))?;
                    let draft = NodeDraft::unlabelled(Some(id), properties);
                    writer.add_message(chat, &of, &draft).map(drop)
                })
            }
            Step::Delete { namespace, id } => self.write(namespace, move |writer, namespace| {
                match writer.txn.node_slot(namespace, &id.to_string())? {
                    Some(slot) => writer.delete_node(slot),
                    None => Ok(()),
                }
            }),
            Step::Vector { namespace, id, x, y } => {
                self.write(namespace, move |writer, namespace| {
                    let node_id = id.to_string();
                    if writer.txn.node_slot(namespace, &node_id)?.is_none() {
                        return Ok(());
                    }
                    let vector = vec![f32::from(x), f32::from(y)];
                    let draft = EmbeddingDraft { id: None, node_id, space: None, vector };
                    writer.create_embedding(&draft).map(drop)
                });
            }
            Step::DropOther => {
                self.store.write(|txn| txn.drop_namespace(NAMESPACES[1]).map(drop)).unwrap();
            }
            Step::Publish { namespace } => self.publish(namespace),
            Step::Link { namespace } => self.link(namespace),
            Step::Spoil { file, byte } => self.spoil(&file, byte.as_ref()),
            Step::Compact => {
                self.store.compact(&mut |_, _| Ok(())).unwrap();
            }
            Step::Look { .. } | Step::Pin | Step::Ask { .. } | Step::LetGo { .. } => {}
        }
    }

    /// The directory of published files, of the generation in use.
    fn segments(&self) -> PathBuf {
        let generation = self.store.read().unwrap().generation().number();
        self.store.path().join(format!("gen-{generation:010}/segments"))
    }

    fn publish(&self, namespace: usize) {
        let Some(needs) = self.needs(namespace) else { return };
        let views = self.views();
        let publish = || -> Result<()> {
            views.publish(&self.store, needs.namespace, 1, &|| Ok(()))?;
            if let Some((space, record)) = &needs.space {
                let of = (*space, record);
                views.publish_vectors(&self.store, needs.namespace, of, 1, &|| Ok(()))?;
            }
            Ok(())
        };
        // A damage that is met only then is an error once.
        if publish().is_err() {
            publish().unwrap();
        }
    }

    fn link(&self, namespace: usize) {
        let Some(needs) = self.needs(namespace) else { return };
        let Some((space, record)) = &needs.space else { return };
        let views = self.views();
        let right = || Ok(self.store.begin_sealing().unwrap());
        let of = (*space, record);
        let link = || views.link_vectors(&self.store, needs.namespace, of, &right, &|| Ok(()));
        // A damage is an error once; then there is nothing that can be linked.
        if link().is_err() {
            assert_eq!(link().unwrap(), Linked::Enough);
        }
    }

    fn spoil(&self, file: &prop::sample::Index, byte: Option<&prop::sample::Index>) {
        let Ok(files) = fs::read_dir(self.segments()) else { return };
        let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        if files.is_empty() {
            return;
        }
        let path = &files[file.index(files.len())];
        let mut bytes = fs::read(path).unwrap();
        // Who has it open keeps it as it was.
        fs::remove_file(path).unwrap();
        if let Some(byte) = byte {
            let at = byte.index(bytes.len());
            bytes[at] ^= 4;
            fs::write(path, bytes).unwrap();
        }
    }

    /// Without published files, from the records alone.
    fn with_records_alone<T>(&self, read: impl FnOnce() -> T) -> T {
        let (place, aside) = (self.segments(), self.store.path().join("aside"));
        let moved = fs::rename(&place, &aside).is_ok();
        let read = read();
        if moved {
            fs::rename(&aside, &place).unwrap();
        }
        read
    }

    /// What there is to look into; nothing before a namespace has been made.
    fn needs(&self, namespace: usize) -> Option<Needs> {
        let snapshot = self.store.read().unwrap();
        let namespace = snapshot.namespace(NAMESPACES[namespace]).unwrap()?;
        let space = snapshot.spaces().unwrap().into_iter().next();
        Some(Needs { namespace, text: true, sessions: true, space })
    }

    fn told(&self, pin: &Pin, attached: &Attached, needs: &Needs) -> Told {
        let tail = attached.text.as_ref().unwrap().read().unwrap();
        let search = |word: &&str| {
            let query = TextQuery::parse(tail.analyzer(), word, false);
            let never = &mut || false;
            let hits = tail.search(&query, Bm25::default(), pin.lsn(), None, IDS, never).unwrap();
            hits.into_iter().map(|hit| (hit.slot, hit.score.to_bits())).collect()
        };
        let texts = WORDS.iter().map(search).collect();
        let documents = tail.document_count(pin.lsn());
        let (mut vectors, mut rows) = (Vec::new(), 0);
        if let (Some(tail), Some((space, _))) = (&attached.vectors, &needs.space) {
            let tail = tail.read().unwrap();
            let mut stored =
                StoreRows { snapshot: pin.snapshot(), namespace: needs.namespace, space: *space };
            let never = &mut || false;
            let request = VectorRequest { k: IDS, ..VectorRequest::default() };
            let hits = tail.search(&[1.0, 0.5], pin.lsn(), &request, &mut stored, never);
            let hits = hits.unwrap().unwrap().hits;
            vectors = hits.into_iter().map(|hit| (hit.slot, hit.score.to_bits())).collect();
            rows = tail.row_count(pin.lsn());
        }
        let view = attached.sessions.as_ref().unwrap();
        let layout = view.layout(None);
        let words = |place| (layout.slot(place).0, layout.words(place));
        let session = |id| layout.places_of(SessionId(id)).map(words).collect();
        let mut sessions: Vec<Vec<(u32, u32)>> = (0..layout.sessions()).map(session).collect();
        sessions.sort();
        let said = SENDERS.into_iter().filter_map(|sender| {
            let count = view.messages_of(view.senders().number(sender)?);
            (count > 0).then(|| (sender.to_owned(), count))
        });
        Told { texts, vectors, documents, rows, sessions, senders: said.collect() }
    }

    /// What views say that are loaded for this alone, at the newest state.
    fn told_anew(&self, needs: &Needs) -> Told {
        self.with_records_alone(|| {
            let (pin, attached) = self.views().begin(&self.store, needs).unwrap();
            self.told(&pin, &attached, needs)
        })
    }

    /// What views say, asked as the engine asks: once more when a file turns out to be damaged.
    fn ask(&self, views: &Views, pin: &Pin, mut attached: Attached, needs: &Needs) -> Told {
        loop {
            let told = self.told(pin, &attached, needs);
            if !attached.is_damaged() {
                return told;
            }
            views.distrust(needs.namespace, &attached);
            attached = views.attach(pin, needs).unwrap();
        }
    }
}

/// A reader that stays, with what it was told when it came.
struct Reader {
    pin: Pin,
    told: Vec<(Needs, Told)>,
}

impl Reader {
    fn check(&self, bench: &Bench, views: &Views) -> std::result::Result<(), TestCaseError> {
        for (needs, told) in &self.told {
            let attached = views.attach(&self.pin, needs).unwrap();
            prop_assert_eq!(&bench.ask(views, &self.pin, attached, needs), told);
        }
        Ok(())
    }
}

fn run(steps: &[Step]) -> std::result::Result<(), TestCaseError> {
    let bench = Bench::new();
    let views = bench.views();
    let mut readers: Vec<Reader> = Vec::new();
    for step in steps {
        bench.apply(step);
        match step {
            Step::Look { namespace } => {
                if let Some(needs) = bench.needs(*namespace) {
                    let (pin, attached) = views.begin(&bench.store, &needs).unwrap();
                    let told = bench.ask(&views, &pin, attached, &needs);
                    prop_assert_eq!(told, bench.told_anew(&needs));
                }
            }
            Step::Pin => {
                let pin = views.pin(&bench.store, NamespaceId::DEFAULT).unwrap();
                let needs = (0..2).filter_map(|namespace| bench.needs(namespace));
                let told = needs.map(|needs| (needs.clone(), bench.told_anew(&needs))).collect();
                readers.push(Reader { pin, told });
            }
            Step::Ask { of } if !readers.is_empty() => {
                readers[of.index(readers.len())].check(&bench, &views)?;
            }
            Step::LetGo { of } if !readers.is_empty() => {
                drop(readers.remove(of.index(readers.len())));
            }
            _ => {}
        }
    }
    readers.iter().try_for_each(|reader| reader.check(&bench, &views))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn views_that_followed_say_what_new_ones_say(steps in prop::collection::vec(step(), 1..60)) {
        run(&steps)?;
    }
}
