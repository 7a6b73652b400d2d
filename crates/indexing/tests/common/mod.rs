//! What the tests of indexing share.

use std::sync::Arc;

use embedded_db_common::Options;
use embedded_db_indexing::schema::Names;
use embedded_db_storage::Store;

/// A store in memory with the names and the first namespace.
pub(crate) fn new_store() -> (Arc<Store>, Names) {
    let store = Store::open_in_memory(&Options::default()).unwrap();
    let names = store
        .write(|txn| {
            let names = Names::create(txn)?;
            txn.create_namespace("default")?;
            Ok(names)
        })
        .unwrap();
    (store, names)
}
