use crate::position::Position;
use crate::subscriber::Resume;

/// How a stream opens: where its reader begins, and the ID that it is greeted with.
///
/// Only [`Topic::resume`](super::Topic::resume) makes one, so that both belong together: a reader
/// that named an ID is never greeted with a later place than the one where it resumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Opening {
    /// Where the reader begins.
    pub resume: Resume,
    /// The place where a client begins that named no last event ID; `None` for every other one.
    ///
    /// Written as an ID after the first keep-alive, and only there, it lets a client that is cut off
    /// before its first event resume from here. To leave it out costs only that.
    pub greeting: Option<Position>,
}
