//! The embedded store: a file, or memory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cronkeep::clock::ManualClock;
use cronkeep::store::open::{Access, Opening};
use cronkeep::store::{Address, Store, open};

use super::harness::{Place, at};

/// A database in a folder of its own.
pub(crate) struct Folder {
    root: tempfile::TempDir,
    pub(crate) clock: ManualClock,
    told: Arc<Mutex<Vec<String>>>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Folder { root: folder, clock: ManualClock::new(at(0)), told: Arc::default() }
    }

    /// The folder of the database.
    pub(crate) fn folder(&self) -> &Path {
        self.root.path()
    }

    /// The database.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder().join("cronkeep.db")
    }

    /// What is to be known to open it.
    pub(crate) fn opening(&self, address: Address, access: Access) -> Opening {
        let told = Arc::clone(&self.told);
        Opening {
            address,
            namespace: "default".to_owned(),
            access,
            clock: Arc::new(self.clock.clone()),
            tell: Arc::new(move |text| told.lock().unwrap().push(text)),
        }
    }

    /// The store at the usual place.
    pub(crate) fn store(&self, access: Access) -> Arc<dyn Store> {
        open(self.opening(Address::Sqlite(self.path()), access))
    }

    /// What was told since this was asked last.
    pub(crate) fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

impl Place for Folder {
    fn open(&self) -> Arc<dyn Store> {
        self.store(Access::Owned)
    }
}

pub(crate) fn in_a_file() -> Folder {
    Folder::new()
}

/// Memory, as long as this lives.
pub(crate) struct Memory(Arc<dyn Store>);

impl Place for Memory {
    fn open(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0)
    }
}

pub(crate) fn in_memory() -> Memory {
    Memory(open(Folder::new().opening(Address::Memory, Access::Owned)))
}

#[test]
fn an_embedded_store_says_where_bodies_come_from() {
    super::harness::run(Some(in_a_file()), async |place| {
        super::outbox::has_no_bodies_of_the_service(&*place.open()).await;
    });
}
