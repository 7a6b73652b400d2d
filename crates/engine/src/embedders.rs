//! The space of the model that a database is opened with, and which model compares texts in which space.

use std::sync::Arc;

use embedded_db_common::{Error, MAX_DIMENSION, NamespaceId, Result, SpaceId, names};
use embedded_db_indexing::graph::{
    Artefact, abandon_reembedding, begin_embedding, begin_reembedding, pending, switch_space,
};
use embedded_db_indexing::schema::Names;
use embedded_db_storage::{ReadEmbeddings, ReadSpaces, ReadTxn, SpaceRecord, Store, WriteTxn};
use embedded_db_weaver::{ModelSpace, Previous};
use roaring::RoaringBitmap;

use crate::database::SharedModels;

/// The models that a database was opened with: the one in use or that is to be, then the one of before.
#[derive(Default)]
pub(crate) struct Embedders(Vec<(SharedModels, Option<ModelSpace>)>);

impl Embedders {
    pub(crate) fn new(
        models: Option<&SharedModels>,
        previous: Option<&SharedModels>,
    ) -> Result<Self> {
        let given = models.into_iter().chain(previous);
        let known = given.map(|models| Ok((Arc::clone(models), models.space()?)));
        known.collect::<Result<_>>().map(Self)
    }

    /// While a database is closed nobody waits for their functions.
    pub(crate) fn set_ending(&self, is_ending: bool) {
        self.0.iter().for_each(|(models, _)| models.set_ending(is_ending));
    }

    /// Whether there is no model at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The model that compares texts with the vectors of a space. Any will do for those of users.
    pub(crate) fn of(&self, space: Option<&SpaceRecord>) -> Result<&SharedModels> {
        let Some((models, made)) = self.0.first() else {
            return Err(Error::ModelUnavailable {
                message: "a semantic query with a text needs a model, but the database is open \
                          with ml=None; open it with a model, or give a vector"
                    .into(),
            });
        };
        let Some(space) = space.filter(|space| !space.model.is_empty()) else { return Ok(models) };
        let fits = |made: &Option<ModelSpace>| made.as_ref().is_some_and(|made| makes(made, space));
        let found = self.0.iter().find(|(_, made)| fits(made));
        found.map(|(models, _)| models).ok_or_else(|| {
            let with =
                made.as_ref().map_or_else(|| "none".into(), |made| format!("{:?}", made.model));
            Error::ModelUnavailable {
                message: format!(
                    "the vectors of the space {:?} were made by {:?} ({}, {} dimensions), and the \
                     database is open with {with}; give that model as previous_ml, ask with a \
                     vector, or wait with db.flush() if its texts are being embedded again",
                    space.name, space.model, space.precision, space.dimension
                ),
            }
        })
    }

    /// The model of before, if it makes the vectors of a space that is there.
    pub(crate) fn previous(&self, store: &Arc<Store>) -> Result<Option<Previous>> {
        let Some((models, Some(made))) = self.0.get(1) else { return Ok(None) };
        let spaces = store.read()?.live_spaces()?;
        let found = spaces.into_iter().find(|(_, space)| makes(made, space));
        Ok(found.map(|(id, space)| Previous {
            models: Arc::clone(models),
            space: (id, space.dimension as usize),
        }))
    }

    /// The space of the model's vectors, made when it is new. Where another one is in use, all texts are embedded
    /// into it from now on, and it then takes the place of that one.
    pub(crate) fn model_space(
        &self,
        store: &Arc<Store>,
        names: Names,
    ) -> Result<Option<(SpaceId, SpaceRecord)>> {
        let Some((models, Some(made))) = self.0.first() else { return Ok(None) };
        if !["cosine", "dot", "euclidean"].contains(&made.metric.as_str()) {
            return Err(Error::InvalidInput(format!(
                "the model {:?} says that its metric is {:?}; use \"cosine\", \"dot\" or \"euclidean\"",
                made.model, made.metric
            )));
        }
        names::check("the name of a model", &made.model)?;
        let known = store.read()?.live_spaces()?;
        let found = known.into_iter().find(|(_, space)| makes(made, space));
        if store.read_only() {
            return Ok(found);
        }
        let dimension = match (&found, made.dimension) {
            (Some((_, space)), _) => space.dimension as usize,
            (None, Some(dimension)) => dimension,
            (None, None) => models.embed(&["dimension".to_owned()])?.len(),
        };
        if !(1..=MAX_DIMENSION).contains(&dimension) {
            return Err(Error::InvalidInput(format!(
                "the model {:?} says that it makes vectors of {dimension} dimensions; 1 to \
                 {MAX_DIMENSION} are possible",
                made.model
            )));
        }
        let made = made.clone();
        let found = store.write(move |txn| {
            let found = find_or_make(txn, &made, dimension)?;
            use_space(txn, &names, found.0)?;
            Ok(found)
        })?;
        Ok(Some(found))
    }
}

/// Whether a model makes the vectors of a space.
fn makes(made: &ModelSpace, space: &SpaceRecord) -> bool {
    space.model == made.model
        && space.precision == made.precision
        && made.dimension.is_none_or(|dimension| space.dimension as usize == dimension)
}

fn find_or_make(
    txn: &mut WriteTxn<'_>,
    made: &ModelSpace,
    dimension: usize,
) -> Result<(SpaceId, SpaceRecord)> {
    let known = txn.live_spaces()?;
    if let Some(found) = known.iter().find(|(_, space)| makes(made, space)) {
        return Ok(found.clone());
    }
    let is_free = |name: &String| known.iter().all(|(_, space)| space.name != *name);
    let others = (2..).map(|number: u32| format!("{}-{number}", made.model));
    let mut names = std::iter::once(made.model.clone()).chain(others);
    let name = names.find(is_free).unwrap_or_else(|| made.model.clone());
    names::check("the name of a space", &name)?;
    let record = SpaceRecord {
        name,
        model: made.model.clone(),
        provider: made.provider.clone(),
        precision: made.precision.clone(),
        dimension: u32::try_from(dimension)
            .map_err(|_| Error::InvalidInput("the model's dimension is out of range".into()))?,
        metric: made.metric.clone(),
    };
    Ok((txn.create_space(&record)?, record))
}

/// The space is that of the model: in use, or from now on the next one.
fn use_space(txn: &mut WriteTxn<'_>, names: &Names, space: SpaceId) -> Result<()> {
    let (current, next) = (space_in_use(txn)?, txn.next_space()?);
    match current {
        None => {
            txn.set_model_space(space)?;
            match txn.default_space()? {
                None => txn.set_default_space(space),
                Some(_) => begin_embedding(txn, names),
            }
        }
        Some(current) if current == space => {
            if next.is_some() {
                abandon_reembedding(txn)
            } else {
                Ok(())
            }
        }
        Some(_) if next == Some(space) => Ok(()),
        Some(_) => {
            begin_reembedding(txn, names, space)?;
            // Where nothing was embedded there is nothing to wait for.
            switch_space(txn, names).map(drop)
        }
    }
}

/// The space of the model in use. Where a repair has not found which one that is, it is the default one, if a
/// model made that.
fn space_in_use(txn: &mut WriteTxn<'_>) -> Result<Option<SpaceId>> {
    if let Some(current) = txn.model_space()? {
        return Ok(Some(current));
    }
    let Some(default) = txn.default_space()? else { return Ok(None) };
    if txn.space(default)?.is_none_or(|space| space.model.is_empty()) {
        return Ok(None);
    }
    txn.set_model_space(default)?;
    Ok(Some(default))
}

/// The nodes that have no vector yet in the space that is searched.
pub(crate) fn not_embedded(
    txn: &impl ReadTxn,
    namespace: NamespaceId,
    space: Option<SpaceId>,
) -> Result<RoaringBitmap> {
    let is_next = space.is_some() && txn.next_space()? == space;
    pending(txn, namespace, if is_next { Artefact::Reembedding } else { Artefact::Embedding })
}
