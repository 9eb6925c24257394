use alloc::sync::Weak;
use core::future::poll_fn;
use core::task::Poll;

use super::Hub;
use crate::time::{Instant, Now};

/// Sweeps a hub whenever that is due, until the hub is gone.
///
/// An adapter brings its clock and its timer: `now` reads both clocks, and the future of
/// `sleep_until` is ready once that moment has come. While the hub has no topic, nothing sleeps:
/// the first topic wakes the task.
///
/// `hub` is weak because the task must not keep the hub alive.
pub async fn sweep<S: Future>(
    hub: Weak<Hub>,
    now: impl Fn() -> Now,
    sleep_until: impl Fn(Instant) -> S,
) {
    loop {
        let next = poll_fn(|cx| {
            let Some(hub) = hub.upgrade() else {
                return Poll::Ready(None);
            };
            match hub.poll_sweep(cx, now()) {
                Some(due) => Poll::Ready(Some(due)),
                None => Poll::Pending,
            }
        });
        let Some(due) = next.await else { return };

        sleep_until(due).await;
    }
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
