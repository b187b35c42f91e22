//! Which orders workers have taken, where they share a server: each is taken by one of them, once.
//!
//! A key for each order, `order:ID`, whose value is `taken` or `ended`; it goes some time after the order has expired.

use jiff::{SignedDuration, Timestamp};
use redis::Value;

use super::Redis;
use crate::store::StoreError;
use crate::store::sqlite::{Known, REMEMBERED};

const TAKEN: &str = "taken";
const ENDED: &str = "ended";

impl Redis {
    /// Takes an order that holds until `expires`, unless one of those who share the server and the namespace has taken it.
    ///
    /// # Errors
    /// The server does not answer, or refuses: it may have been taken.
    pub async fn take_order(
        &self,
        id: &str,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<Known, StoreError> {
        let key = self.key(&format!("order:{id}"));
        let span = expires.duration_since(now).max(SignedDuration::ZERO);
        let span = span.saturating_add(REMEMBERED).as_millis().clamp(1, 1 << 52);
        let mut asked = redis::pipe();
        asked.atomic();
        asked.cmd("SET").arg(&key).arg(TAKEN).arg("NX").arg("PX").arg(span.to_string());
        asked.get(&key);
        let (set, value): (Value, Option<String>) = self.read_once(&asked).await?;
        Ok(match (set, value.as_deref()) {
            (Value::Okay, _) => Known::New,
            (_, Some(ENDED)) => Known::Ended,
            _ => Known::Taken,
        })
    }

    /// An order was carried out, and its end reported.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub async fn end_order(&self, id: &str) -> Result<(), StoreError> {
        let key = self.key(&format!("order:{id}"));
        let mut asked = redis::pipe();
        asked.cmd("SET").arg(&key).arg(ENDED).arg("XX").arg("KEEPTTL").ignore();
        self.read_once(&asked).await
    }
}
