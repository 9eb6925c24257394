//! One hub with its port, and what is polled of it.

use std::sync::Arc;

use saacms_realtime_core::engine::{EngineSpec, Request};
use saacms_realtime_core::{EnginePort, Hub, HubConfig, Now, Reporter};

use super::adapter::Adapter;
use crate::connection::Flag;
use crate::sut::Sut;

pub(crate) struct Host<S> {
    pub(crate) hub: Hub,
    pub(crate) sut: S,
    pub(crate) port: EnginePort,
    pub(crate) reporter: Reporter,
    pub(crate) adapter: Adapter,
    /// The life of the engine that it was told of last.
    pub(crate) life: Option<u64>,
    /// The wakers of its port and of its sweep.
    port_woken: Arc<Flag>,
    port_due: Option<u64>,
    sweep_woken: Arc<Flag>,
    sweep_due: Option<u64>,
    pub(crate) is_draining: bool,
}

/// A flag that is set, so that what waits for it is polled once.
pub(crate) fn set_flag() -> Arc<Flag> {
    let flag = Arc::<Flag>::default();
    std::task::Waker::from(Arc::clone(&flag)).wake();
    flag
}

impl<S: Sut> Host<S> {
    pub(crate) fn new(config: HubConfig, spec: EngineSpec, seed: u64) -> Self {
        let (hub, port) =
            Hub::with_engine(config, seed, spec).expect("the scenario draws valid settings");
        Self {
            sut: S::over(hub.clone()),
            hub,
            reporter: port.reporter(),
            port,
            adapter: Adapter::default(),
            life: None,
            port_woken: set_flag(),
            port_due: None,
            sweep_woken: set_flag(),
            sweep_due: None,
            is_draining: false,
        }
    }

    /// When its port or its sweep is due.
    pub(crate) fn due(&self) -> Option<u64> {
        [self.port_due, self.sweep_due].into_iter().flatten().min()
    }

    /// Polls the port if it was woken or is due. Returns what the hub wants.
    pub(crate) fn poll_port(&mut self, now: Now) -> Option<Vec<Request>> {
        let is_due = self
            .port_due
            .is_some_and(|due| due <= now.instant.as_millis());
        if !self.port_woken.take() && !is_due {
            return None;
        }

        let waker = std::task::Waker::from(Arc::clone(&self.port_woken));
        let mut requests = Vec::new();
        let cx = core::task::Context::from_waker(&waker);
        let due = self.port.poll_requests(&cx, now, &mut requests);
        self.port_due = due.map(|due| due.as_millis());
        Some(requests)
    }

    /// Sweeps if that is due. Returns whether it was.
    pub(crate) fn poll_sweep(&mut self, now: Now) -> bool {
        let is_due = self
            .sweep_due
            .is_some_and(|due| due <= now.instant.as_millis());
        if !self.sweep_woken.take() && !is_due {
            return false;
        }

        let waker = std::task::Waker::from(Arc::clone(&self.sweep_woken));
        let due = self
            .sut
            .poll_sweep(&core::task::Context::from_waker(&waker), now);
        self.sweep_due = due.map(|due| due.as_millis());
        true
    }

    /// Whether the hub wants nothing of its engine, and nothing is due.
    pub(crate) fn wants_nothing(&self) -> bool {
        self.port_due.is_none() && !self.port_woken.is_set() && self.adapter.is_idle()
    }
}
