use core::ops::AddAssign;

/// How often each thing happened, to show that rare paths were reached.
pub(crate) trait Counted: Copy + Default + AddAssign + Send {
    /// What each number counts, and the number.
    fn table(&self) -> Vec<(&'static str, u64)>;
}

macro_rules! counts {
    ($($(#[doc = $text:literal])+ $name:ident,)+) => {
        /// How often each thing happened.
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct Counts {
            $($(#[doc = $text])+ pub(crate) $name: u64,)+
        }

        impl core::ops::AddAssign for Counts {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)+
            }
        }

        impl crate::counts::Counted for Counts {
            fn table(&self) -> Vec<(&'static str, u64)> {
                vec![$((concat!($($text),+), self.$name),)+]
            }
        }
    };
}

pub(crate) use counts;

counts! {
    /// operations
    operations,
    /// events published
    published,
    /// events that were accepted and not kept (no room for a record)
    published_unkept,
    /// publishes refused (drain)
    publishes_refused,
    /// events published while the hub was down
    published_while_down,
    /// streams opened
    opened,
    /// streams refused (limits, drain)
    refused,
    /// polls
    polls,
    /// frames delivered
    delivered,
    /// reconnects that replayed at least one event
    replays,
    /// reconnects that missed nothing
    nothing_missed,
    /// resyncs: buffer-miss
    buffer_miss,
    /// resyncs: lagged
    lagged,
    /// resyncs: restarted
    restarted,
    /// resyncs: source-lost
    source_lost,
    /// resyncs named by the current time
    markers,
    /// heartbeats after silence
    heartbeats,
    /// greetings with a position
    greetings,
    /// positions taken by a host before it read its store
    taken,
    /// events evicted by count, age or bytes
    evicted,
    /// publishes that may have freed history for lack of memory
    memory_freed,
    /// idle records forgotten to make room
    forgotten,
    /// idle records that expired
    expired,
    /// streams ended by a drain
    drained,
    /// restarts of the hub
    restarts,
    /// connections cut
    cuts,
    /// bytes lost in flight
    bytes_lost,
    /// half-open connections
    half_open,
    /// clients that lost patience
    impatient,
    /// clients that were blocked by a full window
    blocked,
    /// changes of the wall clock
    clock_set,
    /// clients that know their record as it is at the end
    converged,
    /// clients that a repeated ETag left behind after a refetch (contract, section 3, Q21)
    repeated_etag,
}
