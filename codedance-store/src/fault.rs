//! What the database reports, in the words of the ports.

use codedance_core::{Error, ErrorKind};
use sqlx::error::DatabaseError;

/// SQLite's `SQLITE_CORRUPT` and `SQLITE_NOTADB`.
const DAMAGED: [i64; 2] = [11, 26];
/// SQLite's `SQLITE_BUSY`, `LOCKED`, `NOMEM`, `IOERR`, `FULL`, `CANTOPEN`: they may pass.
const PASSING: [i64; 6] = [5, 6, 7, 10, 13, 14];
/// SQLite's `SQLITE_PERM`, `READONLY`, `AUTH`.
const DENIED: [i64; 3] = [3, 8, 23];

pub(crate) fn fault(operation: impl Into<String>, error: sqlx::Error) -> Error {
    Error::new(kind(&error), operation.into()).with_source(error)
}

fn kind(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Database(error) => of_database(error.as_ref()),
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => {
            ErrorKind::Unavailable
        }
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => ErrorKind::Invalid,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => ErrorKind::Corrupt,
        _ => ErrorKind::Internal,
    }
}

fn of_database(error: &dyn DatabaseError) -> ErrorKind {
    let Some(code) = error.code() else {
        return ErrorKind::Internal;
    };
    // Postgres has five characters, of which the first two are the class; SQLite has a number without
    // zeros before it, whose lowest byte is the primary code. It has none of five digits.
    if code.len() == 5 {
        return match &code[..2] {
            // No connection, a serialisation failure, no resources, an operator's intervention, the
            // system's own fault.
            "08" | "40" | "53" | "55" | "57" | "58" => ErrorKind::Unavailable,
            "28" => ErrorKind::Denied,
            _ if code == "42501" => ErrorKind::Denied,
            "XX" => ErrorKind::Corrupt,
            _ => ErrorKind::Internal,
        };
    }
    match code.parse::<i64>().map(|code| code & 0xff) {
        Ok(code) if DAMAGED.contains(&code) => ErrorKind::Corrupt,
        Ok(code) if PASSING.contains(&code) => ErrorKind::Unavailable,
        Ok(code) if DENIED.contains(&code) => ErrorKind::Denied,
        _ => ErrorKind::Internal,
    }
}
