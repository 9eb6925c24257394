use alloc::sync::Weak;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Poll, ready};

use super::Hub;
use crate::time::{Instant, Now};

/// Sweeps a hub whenever that is due, until the hub is gone.
///
/// An adapter brings its clock and its timer: `now` reads both clocks, and the future of
/// `sleep_until` is ready once that moment has come. While the hub has no topic and waits for no
/// reader, nothing sleeps: the first one wakes the task.
///
/// `hub` is weak because the task must not keep the hub alive.
pub async fn sweep<S: Future>(
    hub: Weak<Hub>,
    now: impl Fn() -> Now,
    sleep_until: impl Fn(Instant) -> S,
) {
    let mut sleep = pin!(None);
    let mut sleeps_until = None;
    poll_fn(|cx| {
        loop {
            let Some(hub) = hub.upgrade() else {
                return Poll::Ready(());
            };
            // Also polled when it is woken while it sleeps: what is due may be due earlier now.
            let due = hub.poll_sweep(cx, now());
            drop(hub);

            if due != sleeps_until {
                sleep.set(due.map(&sleep_until));
                sleeps_until = due;
            }
            match sleep.as_mut().as_pin_mut() {
                Some(sleep) => ready!(sleep.poll(cx)),
                None => return Poll::Pending,
            };
            // A future that was ready is not polled again.
            sleep.set(None);
            sleeps_until = None;
        }
    })
    .await;
}

#[cfg(all(test, not(loom)))]
mod tests {
    use alloc::sync::Arc;
    use core::cell::Cell;
    use core::pin::pin;
    use core::task::{Context, Waker};

    use super::*;
    use crate::config::HubConfig;
    use crate::event::Event;
    use crate::name::ResourceKey;

    #[test]
    fn a_sweep_sleeps_only_while_there_is_a_topic_and_ends_with_its_hub() {
        let hub = Arc::new(Hub::new(HubConfig::default(), 0).expect("valid"));
        let now = Now::from_millis(5, 5);
        let slept_until = Cell::new(None);
        let sleep_until = |due| {
            slept_until.set(Some(due));
            poll_fn(|_| Poll::<()>::Pending)
        };
        let mut task = pin!(sweep(Arc::downgrade(&hub), || now, sleep_until));
        let mut cx = Context::from_waker(Waker::noop());

        assert!(task.as_mut().poll(&mut cx).is_pending());
        assert_eq!(slept_until.get(), None, "there is nothing to sweep");

        let key = ResourceKey::new("posts", "1").expect("valid");
        hub.publish(Event::deleted(key), now).expect("room");
        assert!(task.as_mut().poll(&mut cx).is_pending());
        assert_eq!(slept_until.get(), Some(Instant::from_millis(10_005)));

        let mut task = pin!(sweep(
            Arc::downgrade(&hub),
            || now,
            |_| poll_fn(|_| Poll::Ready(()))
        ));
        drop(hub);
        assert!(task.as_mut().poll(&mut cx).is_ready());
    }
}
