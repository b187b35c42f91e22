//! The channel from those to whom things happen to those who tell of it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Event;

/// Bytes of output that may wait for the sinks before the runs that print have to wait.
const OUTPUT_BYTES: usize = 1 << 20;

/// Carries events, in order and without loss, to each sink that subscribed.
///
/// Publishing never blocks, so the scheduler may publish. What could grow without bound is output: a line
/// needs a [`Permit`] first, which its reader awaits; while sinks are slow, the pipes of the runs fill up and the
/// runs wait, as they would on a slow terminal.
#[derive(Debug, Clone)]
pub struct Bus {
    sinks: Arc<[mpsc::UnboundedSender<Arc<Event>>]>,
    room: Arc<Semaphore>,
}

/// Room for a line of output on the bus.
#[derive(Debug)]
pub struct Permit {
    _held: Option<OwnedSemaphorePermit>,
}

/// The sinks of a bus that is being built.
#[derive(Debug, Default)]
pub struct Builder {
    sinks: Vec<mpsc::UnboundedSender<Arc<Event>>>,
}

impl Builder {
    /// Adds a sink: it receives every event published from now on.
    pub fn subscribe(&mut self) -> mpsc::UnboundedReceiver<Arc<Event>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.sinks.push(sender);
        receiver
    }

    /// The bus to these sinks.
    #[must_use]
    pub fn build(self) -> Bus {
        Bus { sinks: self.sinks.into(), room: Arc::new(Semaphore::new(OUTPUT_BYTES)) }
    }
}

impl Bus {
    /// A bus without sinks, to be given some.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Tells every sink. Never blocks; a sink that has ended is passed over.
    pub fn publish(&self, event: Event) {
        let event = Arc::new(event);
        for sink in &*self.sinks {
            // A sink that has gone has nobody left to tell.
            let _ = sink.send(Arc::clone(&event));
        }
    }

    /// Waits until there is room for a line of `bytes` bytes.
    pub async fn room_for(&self, bytes: usize) -> Permit {
        let wanted = u32::try_from(bytes.clamp(64, OUTPUT_BYTES)).unwrap_or(u32::MAX);
        Permit { _held: Arc::clone(&self.room).acquire_many_owned(wanted).await.ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(name: &'static str) -> Event {
        Event::Signal { name, action: "none" }
    }

    #[test]
    fn every_sink_gets_every_event_in_order() {
        let mut builder = Bus::builder();
        let mut sinks = [builder.subscribe(), builder.subscribe()];
        let bus = builder.build();
        bus.publish(signal("first"));
        bus.publish(signal("second"));
        for sink in &mut sinks {
            for expected in ["first", "second"] {
                let event = sink.try_recv().unwrap();
                assert!(matches!(&*event, Event::Signal { name, .. } if *name == expected));
            }
        }
    }

    #[test]
    fn a_sink_that_has_gone_does_not_disturb_the_others() {
        let mut builder = Bus::builder();
        drop(builder.subscribe());
        let mut sink = builder.subscribe();
        let bus = builder.build();
        bus.publish(signal("x"));
        assert!(sink.try_recv().is_ok());
    }

    #[tokio::test]
    async fn output_waits_for_room_until_a_line_is_dropped() {
        let bus = Bus::builder().build();
        let all = bus.room_for(OUTPUT_BYTES).await;
        let mut waiting = Box::pin(bus.room_for(100));
        assert!(futures_poll(waiting.as_mut()).is_pending());
        drop(all);
        assert!(futures_poll(waiting.as_mut()).is_ready());
    }

    fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }
}
