//! A copy of the store, made while it is in use.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use codedance_core::{Error, ErrorKind, Result};

use crate::fault::fault;
use crate::store::{Kind, Store};

impl Store {
    /// Copies a store on SQLite, as of one moment, into a new file, while it is in use by this and other
    /// processes. When this returns the copy is whole and durable; a crash before leaves no file of that
    /// name. To restore it, stop every process that uses the store, put the copy in the place of its file
    /// and remove the files beside it that end in `-wal` and `-shm`.
    ///
    /// Postgres has tools of its own for this, such as `pg_dump`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] on Postgres, [`ErrorKind::Invalid`] when the file exists already or its
    /// name is not UTF-8, [`ErrorKind::Unavailable`] when it cannot be written.
    pub async fn back_up(&self, file: &Path) -> Result<()> {
        let operation = || format!("back the store up to {}", file.display());
        let refused = |kind, why: &str| Err(Error::new(kind, operation()).with_source(why));
        let failed =
            |error: io::Error| Error::new(ErrorKind::Unavailable, operation()).with_source(error);
        if self.kind() != Kind::Sqlite {
            return refused(
                ErrorKind::Unsupported,
                "only a store on SQLite can; use `pg_dump`",
            );
        }
        if fs::exists(file).map_err(failed)? {
            return refused(ErrorKind::Invalid, "the file exists already");
        }
        let part = file.with_added_extension("part");
        let Some(path) = part.to_str() else {
            return refused(ErrorKind::Invalid, "the file's name is not UTF-8");
        };
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        sqlx::query("VACUUM INTO $1")
            .bind(path)
            .execute(self.pool())
            .await
            .map_err(|error| fault(operation(), error))?;
        // SQLite leaves both to whoever asked for the copy.
        let put = || {
            File::open(&part)?.sync_all()?;
            fs::rename(&part, file)?;
            let directory = file
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()
        };
        put().map_err(failed)
    }
}
