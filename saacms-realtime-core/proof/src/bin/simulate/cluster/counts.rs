use crate::counts::counts;

counts! {
    /// events submitted
    submitted,
    /// events stored
    stored,
    /// publishes that were told to be stored
    accepted,
    /// publishes refused: nothing was stored
    refused,
    /// publishes of which the publisher does not know whether they were stored
    unsure,
    /// answers of publishes that were lost
    mute,
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
    /// answers under an old number
    late,
    /// doubts
    doubts,
    /// losses of events that were told
    losses_told,
    /// losses of events that nobody was told of
    losses_untold,
    /// losses that a hub declared
    declared,
    /// records of which all events were dropped, by age or for room
    emptied,
    /// connections between engine and hub that were lost
    cuts,
    /// hubs killed
    killed,
    /// hubs drained
    drained,
    /// sources lost
    sources_lost,
    /// streams opened
    opened,
    /// streams refused
    refused_streams,
    /// streams that waited for the engine
    waited,
    /// streams that were greeted before the engine answered
    impatient,
    /// greetings with a place
    greetings,
    /// events delivered
    delivered,
    /// reconnects that replayed at least one event
    replays,
    /// resyncs: buffer-miss
    buffer_miss,
    /// resyncs: lagged
    lagged,
    /// resyncs: restarted
    restarted,
    /// resyncs: source-lost
    source_lost,
    /// clients whose place may mean two things, after a loss that nobody was told of
    ambiguous,
    /// positions taken by a host before it read its store
    taken,
    /// positions of another record
    foreign,
    /// records that the engine was told to watch
    watches,
    /// records that the engine was told to watch no longer
    unwatches,
    /// clients that know all at the end
    converged,
}
