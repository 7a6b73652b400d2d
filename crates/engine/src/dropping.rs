//! Dropping a space: nobody finds it by name from then on, and its room is given back in the background.

use embedded_db_common::{Error, Result, SpaceId};
use embedded_db_storage::{Dropped, ReadEmbeddings, ReadSpaces, ReadTxn, WriteTxn};

use crate::database::Database;
use crate::sharing::Call;

/// Nodes of one write.
const NODES: usize = 256;

impl Database {
    /// Removes a space with all vectors in it, of all namespaces. Its room is freed in the background.
    pub fn drop_space(&self, name: &str) -> Result<()> {
        if let Some(holder) = self.elsewhere()? {
            let found = self.engine()?.store.read()?.live_spaces()?;
            let space = found.into_iter().find(|(_, space)| space.name == name);
            holder.ask::<()>(self, Call::DropSpace { name: name.into() })?;
            if let Some((space, _)) = space {
                self.engine()?.views.forget_space(space);
            }
            return Ok(());
        }
        let owned = name.to_owned();
        let space = self.write_raw(move |txn, _| {
            let space = droppable(txn, &owned)?;
            txn.drop_space(space)?;
            Ok(space)
        })?;
        let engine = self.engine()?;
        engine.views.forget_space(space);
        engine.seal_worker.tidy();
        engine.index_worker.resume()
    }
}

fn droppable(txn: &WriteTxn<'_>, name: &str) -> Result<SpaceId> {
    let found = txn.live_spaces()?.into_iter().find(|(_, space)| space.name == name);
    let Some((space, _)) = found else {
        return Err(Error::NotFound { kind: "space", id: name.to_owned() });
    };
    let used_for = if txn.next_space()? == Some(space) {
        "texts are being embedded into it; open the database with another model first"
    } else if txn.model_space()? == Some(space) {
        "texts are searched by meaning in it; open the database with another model, and wait until \
         that has a space of its own"
    } else if txn.default_space()? == Some(space) {
        "it is the one that is used when none is named; delete its vectors instead"
    } else {
        return Ok(space);
    };
    Err(Error::InvalidInput(format!("the space {name:?} cannot be dropped: {used_for}")))
}

/// A space of which something is left to remove.
pub(crate) fn dropping(txn: &impl ReadTxn) -> Result<Option<SpaceId>> {
    let dropped = txn.dropped_spaces()?;
    Ok(dropped.into_iter().find(|(_, state)| *state == Dropped::Clearing).map(|(space, _)| space))
}

/// Removes some of what is left of a space.
pub(crate) fn clear(txn: &mut WriteTxn<'_>, space: SpaceId) -> Result<()> {
    txn.clear_space(space, NODES).map(drop)
}
