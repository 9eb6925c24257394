use core::fmt;
use std::io;

use rusqlite::ffi::SQLITE_IOERR_SHORT_READ;
use rusqlite::{Error, ErrorCode};

/// Why a history could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder cannot be created, read or written.
    Folder(io::Error),
    /// Another process has the history open.
    InUse {
        /// Its number, if it could be read.
        pid: Option<u32>,
    },
    /// A newer version of this program wrote the file.
    Newer {
        /// The version of the file's layout.
        version: i64,
    },
    /// The file cannot be read or written.
    Store(StoreError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(error) => write!(f, "the folder cannot be used: {error}"),
            Self::InUse { pid: Some(pid) } => write!(f, "in use by pid {pid}"),
            Self::InUse { pid: None } => f.write_str("in use by another process"),
            Self::Newer { version } => write!(
                f,
                "a newer version of this program wrote the history: its layout is {version}, and \
                 this program knows those up to {}",
                super::file::VERSION
            ),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Folder(error) => Some(error),
            Self::Store(error) => Some(error),
            Self::InUse { .. } | Self::Newer { .. } => None,
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Folder(error)
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        Self::Store(error.into())
    }
}

/// Why a store could not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk is full, or the file has reached its limit and nothing in it may be forgotten. Nothing
    /// was stored.
    Full,
    /// The operating system cannot read or write the file. Nothing was stored.
    Failed(Box<str>),
    /// The operating system cannot say whether a transaction is on the disk: it may be.
    Unknown(Box<str>),
    /// The file is damaged. Nothing was stored, and nothing can be read.
    Damaged(Box<str>),
}

impl StoreError {
    /// Something in the file is not as it was written.
    pub(super) fn damaged(what: &str) -> Self {
        Self::Damaged(what.into())
    }

    /// What this error means for a transaction that was being committed: the log may have been written,
    /// although the disk did not say so.
    pub(super) fn at_commit(self) -> Self {
        match self {
            Self::Failed(text) => Self::Unknown(text),
            Self::Full | Self::Unknown(_) | Self::Damaged(_) => self,
        }
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let text = error.to_string().into_boxed_str();
        let extended = error.sqlite_error().map(|error| error.extended_code);
        // The log ends before a page that was written to it.
        if extended == Some(SQLITE_IOERR_SHORT_READ) {
            return Self::Damaged(text);
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            // `Unknown` is SQL that does not fit the tables, which this program wrote: they are others.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) => {
                Self::Damaged(text)
            }
            Some(_) => Self::Failed(text),
            // A value of another type than was written, or no row where there is always one.
            None => Self::Damaged(text),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("there is no room for more history"),
            Self::Failed(text) => write!(f, "the history cannot be read or written: {text}"),
            Self::Unknown(text) => write!(f, "the history may not have been written: {text}"),
            Self::Damaged(text) => write!(f, "the history is damaged: {text}"),
        }
    }
}

impl core::error::Error for StoreError {}
