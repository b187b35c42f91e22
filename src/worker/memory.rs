//! Which orders were taken: kept in a file of this host, or in a server that workers share.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::store::StoreError;
use crate::store::redis::Redis;
use crate::store::sqlite::{Known, Orders};

/// Remembers which orders were taken. Clones are one and the same.
#[derive(Debug, Clone)]
pub enum Memory {
    /// For the workers that share a state directory.
    File(Arc<Mutex<Orders>>),
    /// For those that share a server and a namespace.
    Shared(Arc<Redis>),
}

impl Memory {
    /// Takes an order that holds until `expires`, unless it was taken before.
    pub(super) async fn take(
        &self,
        id: String,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<Known, StoreError> {
        match self {
            Memory::File(orders) => {
                on_thread(orders, move |orders| orders.take(&id, expires, now)).await
            }
            Memory::Shared(redis) => redis.take_order(&id, expires, now).await,
        }
    }

    /// An order was carried out, and its end reported.
    pub(super) async fn end(&self, id: String) -> Result<(), StoreError> {
        match self {
            Memory::File(orders) => on_thread(orders, move |orders| orders.end(&id)).await,
            Memory::Shared(redis) => redis.end_order(&id).await,
        }
    }
}

/// Has a question answered by the file, on a thread that may wait for its disk.
async fn on_thread<T: Send + 'static>(
    orders: &Arc<Mutex<Orders>>,
    ask: impl FnOnce(&mut Orders) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let orders = Arc::clone(orders);
    let asked = tokio::task::spawn_blocking(move || {
        // Every change is one statement or one transaction: nothing is left half done.
        ask(&mut orders.lock().unwrap_or_else(PoisonError::into_inner))
    });
    asked.await.unwrap_or_else(|error| Err(StoreError::Down(error.to_string())))
}
