use crate::counts::counts;

counts! {
    /// events published
    published,
    /// live copies that did not arrive
    dropped,
    /// live copies that arrived twice
    doubled,
    /// live copies that arrived in another order
    swapped,
    /// asks answered by the engine
    asks,
    /// asks that must not be answered by a stale replica
    sure_asks,
    /// answers of a stale replica
    stale,
    /// asks that failed
    failed,
    /// doubts
    doubts,
    /// losses of events, most of them without a word
    losses,
    /// events lost
    lost,
    /// times that all events were dropped by age
    aged,
    /// times that all events were dropped for room
    squeezed,
    /// records that a node forgot
    forgotten,
    /// events that clients received live
    received,
    /// events that clients received at a reconnect
    replayed,
    /// histories read for a reconnect
    histories,
    /// resyncs
    resyncs,
    /// resyncs because an ID was unknown
    unknown_ids,
    /// interrupts of a node
    interrupts,
    /// clients that know all at the end
    converged,
}
