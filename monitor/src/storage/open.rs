//! Opens the database: who may, whether it is ours, whether it is whole, whether it is of a version
//! that we know. A database that is there is never replaced by an empty one.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::schema::{self, APPLICATION_ID, MIGRATIONS};
use super::{FILE_NAME, Mode, Result, StorageError, Store};
use crate::model::Timestamp;

/// How long a statement waits for another process, such as a person's `sqlite3`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A write-ahead log that has been copied back is cut to this many bytes.
const JOURNAL_SIZE_LIMIT: i64 = 16 << 20;

impl Store {
    /// Opens the database of a state directory. `ReadWrite` makes the directory (mode 0700) and the
    /// database (0600) where they are missing, and runs the migrations that it lacks.
    pub fn open(state_dir: &Path, mode: Mode) -> Result<Self> {
        let directory = match mode {
            Mode::ReadWrite => prepare_directory(state_dir)?,
            // SQLite refuses symlinks anywhere in the path, so resolve those of the directory.
            Mode::ReadOnly => state_dir.canonicalize().map_err(|source| {
                if source.kind() == io::ErrorKind::NotFound {
                    StorageError::Missing {
                        path: state_dir.join(FILE_NAME),
                    }
                } else {
                    io_error("open", state_dir, source)
                }
            })?,
        };
        let path = directory.join(FILE_NAME);
        match fs::symlink_metadata(&path) {
            Ok(file) if file.is_file() && file.len() == 0 => {
                return Err(StorageError::Damaged {
                    path,
                    detail: "it is empty".to_owned(),
                });
            }
            Ok(file) if file.is_file() => check_access(&path, mode, &file)?,
            Ok(_) => {
                return Err(StorageError::Damaged {
                    path,
                    detail: "it is not a regular file".to_owned(),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => match mode {
                Mode::ReadWrite => create(&directory, &path)?,
                Mode::ReadOnly => return Err(StorageError::Missing { path }),
            },
            Err(source) => return Err(io_error("open", &path, source)),
        }

        let access = match mode {
            Mode::ReadWrite => OpenFlags::SQLITE_OPEN_READ_WRITE,
            Mode::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(&path, flags)
            .map_err(|source| StorageError::sqlite("open", &path, source))?;
        let mut store = Self { connection, path };
        store.check_whole()?;
        store.check_version(mode)?;
        if mode == Mode::ReadWrite {
            store.make_ready()?;
        }
        Ok(store)
    }

    /// Where the database lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finds damage now and not in the middle of an incident.
    fn check_whole(&self) -> Result<()> {
        let failed = |source| StorageError::sqlite("check", &self.path, source);
        self.connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        let found: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(failed)?;
        if found == "ok" {
            Ok(())
        } else {
            Err(StorageError::Damaged {
                path: self.path.clone(),
                detail: found,
            })
        }
    }

    fn check_version(&self, mode: Mode) -> Result<()> {
        let failed = |source| StorageError::sqlite("read the version of", &self.path, source);
        let path = self.path.clone();
        let id: i32 = self
            .connection
            .pragma_query_value(None, "application_id", |row| row.get(0))
            .map_err(failed)?;
        let found = schema::version(&self.connection).map_err(failed)?;
        let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
        if id != APPLICATION_ID {
            Err(StorageError::Foreign { path })
        } else if found > known {
            Err(StorageError::Newer { path, found, known })
        } else if found < known && mode == Mode::ReadOnly {
            Err(StorageError::Older { path, found, known })
        } else {
            Ok(())
        }
    }

    fn make_ready(&mut self) -> Result<()> {
        let Self { connection, path } = self;
        let failed = |source| StorageError::sqlite("prepare", path, source);
        for (pragma, value) in [("journal_mode", "WAL"), ("synchronous", "NORMAL")] {
            connection
                .pragma_update(None, pragma, value)
                .map_err(failed)?;
        }
        connection
            .pragma_update(None, "foreign_keys", true)
            .map_err(failed)?;
        connection
            .pragma_update(None, "journal_size_limit", JOURNAL_SIZE_LIMIT)
            .map_err(failed)?;
        schema::migrate(connection, MIGRATIONS)
            .map_err(|source| StorageError::sqlite("bring up to date", path, source))?;
        set_meta(connection, "last_opened_by", env!("CARGO_PKG_VERSION")).map_err(failed)?;
        set_meta(connection, "last_opened", &Timestamp::now().to_string()).map_err(failed)
    }
}

fn set_meta(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT INTO meta (key, value) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )
        .map(drop)
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> StorageError {
    StorageError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Makes the directory where it is missing, and refuses one in which others could plant files.
/// Permissions of a directory that was there are left alone: somebody else may need them.
fn prepare_directory(state_dir: &Path) -> Result<PathBuf> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state_dir)
        .map_err(|source| io_error("create", state_dir, source))?;
    let directory = state_dir
        .canonicalize()
        .map_err(|source| io_error("open", state_dir, source))?;
    let status = fs::metadata(&directory).map_err(|source| io_error("open", &directory, source))?;
    let problem = if status.uid() != rustix::process::geteuid().as_raw() {
        "belongs to another user"
    } else if status.mode() & 0o022 != 0 {
        "can be written by others"
    } else {
        return Ok(directory);
    };
    Err(StorageError::UnsafeDirectory {
        path: directory,
        problem,
    })
}

/// Says who may open it in the system's words, which SQLite's "unable to open" does not, and takes
/// away permissions that somebody gave to others.
///
/// Asks without opening: closing a descriptor of the file would let go of the locks that another
/// connection of this process has on it (fcntl(2)), and the next program to close the database
/// would take itself for the last and remove the write-ahead log under the daemon.
fn check_access(path: &Path, mode: Mode, status: &fs::Metadata) -> Result<()> {
    let access = match mode {
        Mode::ReadWrite => Access::READ_OK | Access::WRITE_OK,
        Mode::ReadOnly => Access::READ_OK,
    };
    accessat(CWD, path, access, AtFlags::EACCESS)
        .map_err(|error| io_error("open", path, error.into()))?;
    if mode == Mode::ReadWrite && status.mode() & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format_args!("{:#o}", status.mode() & 0o7777),
            "the database could be opened by others; its mode is 0600 again"
        );
        fs::set_permissions(path, Permissions::from_mode(0o600))
            .map_err(|source| io_error("set the mode of", path, source))?;
    }
    Ok(())
}

/// Makes a database under another name and links it to its own once it is whole: whoever finds an
/// empty file knows that it is not one that was about to be made.
fn create(directory: &Path, path: &Path) -> Result<()> {
    let log = directory.join(format!("{FILE_NAME}-wal"));
    if log.exists() {
        return Err(StorageError::Damaged {
            path: path.to_owned(),
            detail: "its -wal file is there without it".to_owned(),
        });
    }
    let new = directory.join(format!(".{FILE_NAME}.{}", std::process::id()));
    let made = create_at(&new, path);
    // Also after a failure, and a leftover of the same name would be in the way of a later try.
    let removed = fs::remove_file(&new);
    made?;
    removed.map_err(|source| io_error("remove", &new, source))
}

fn create_at(new: &Path, path: &Path) -> Result<()> {
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("remove", new, error));
        }
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)
        .map_err(|source| io_error("create", new, source))?;
    let failed = |source| StorageError::sqlite("create", path, source);
    let mut connection = Connection::open_with_flags(
        new,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW,
    )
    .map_err(failed)?;
    schema::migrate(&mut connection, MIGRATIONS).map_err(failed)?;
    set_meta(&connection, "created", &Timestamp::now().to_string()).map_err(failed)?;
    set_meta(&connection, "created_by", env!("CARGO_PKG_VERSION")).map_err(failed)?;
    connection.close().map_err(|(_, source)| failed(source))?;
    match fs::hard_link(new, path) {
        // Another process made it in the same moment: that one is as good.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked.map_err(|source| io_error("create", path, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn directory_and_files_are_their_owners_alone() {
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("a/state");
        let mut store = Store::open(&state, Mode::ReadWrite).unwrap();
        store.write(&super::super::samples::some_of_each()).unwrap();
        assert_eq!(mode_of(&state), 0o700);
        let mut names: Vec<_> = fs::read_dir(&state)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        assert_eq!(names.len(), 3, "{names:?}");
        for name in &names {
            assert_eq!(mode_of(name), 0o600, "{name:?}");
        }
        drop(store);

        let path = state.join(FILE_NAME);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        Store::open(&state, Mode::ReadWrite).unwrap();
        assert_eq!(mode_of(&path), 0o600);

        fs::set_permissions(&state, Permissions::from_mode(0o777)).unwrap();
        let error = Store::open(&state, Mode::ReadWrite).unwrap_err();
        assert!(error.to_string().contains("chmod 0700"), "{error}");
    }

    #[test]
    fn a_reader_in_the_same_process_leaves_the_locks_alone() {
        let root = tempfile::tempdir().unwrap();
        let _store = Store::open(root.path(), Mode::ReadWrite).unwrap();
        let path = root.path().join(FILE_NAME);
        let inode = format!(":{} ", fs::metadata(&path).unwrap().ino());
        let pid = format!(" {} ", std::process::id());
        let is_listed = |_| {
            let locks = fs::read_to_string("/proc/locks").unwrap();
            let mut lines = locks.lines();
            lines.any(|line| line.contains(&pid) && line.contains(&inode))
        };
        // The list is read in pieces, and misses locks where others come and go meanwhile.
        let locked = || (0..100).any(is_listed);
        assert!(locked());
        drop(Store::open(root.path(), Mode::ReadOnly).unwrap());
        assert!(locked());
    }

    #[test]
    fn settings_are_in_force() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), Mode::ReadWrite).unwrap();
        let get = |pragma| {
            store
                .connection
                .pragma_query_value(None, pragma, |row| row.get::<_, rusqlite::types::Value>(0))
                .unwrap()
        };
        use rusqlite::types::Value::{Integer, Text};
        assert_eq!(get("journal_mode"), Text("wal".to_owned()));
        assert_eq!(get("synchronous"), Integer(1));
        assert_eq!(get("foreign_keys"), Integer(1));
        assert_eq!(get("busy_timeout"), Integer(5000));
    }

    #[test]
    fn reading_needs_a_database_and_makes_none() {
        let root = tempfile::tempdir().unwrap();
        for state in [root.path().to_owned(), root.path().join("none")] {
            let error = Store::open(&state, Mode::ReadOnly).unwrap_err();
            assert!(matches!(error, StorageError::Missing { .. }), "{error}");
            assert!(error.to_string().contains("--state-dir"), "{error}");
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn reading_beside_a_daemon_and_after_a_crash() {
        let root = tempfile::tempdir().unwrap();
        let mut writer = Store::open(root.path(), Mode::ReadWrite).unwrap();
        writer
            .write(&super::super::samples::some_of_each())
            .unwrap();
        let mut reader = Store::open(root.path(), Mode::ReadOnly).unwrap();
        assert_eq!(reader.load().unwrap(), writer.load().unwrap());
        assert!(
            reader
                .write(&super::super::samples::some_of_each())
                .is_err()
        );

        // A log that nobody copied back, as after a crash.
        let crashed = tempfile::tempdir().unwrap();
        for name in [FILE_NAME.to_owned(), format!("{FILE_NAME}-wal")] {
            fs::copy(root.path().join(&name), crashed.path().join(&name)).unwrap();
        }
        let reader = Store::open(crashed.path(), Mode::ReadOnly).unwrap();
        assert_eq!(reader.load().unwrap(), writer.load().unwrap());
    }

    #[test]
    fn other_versions_and_other_programs_are_refused() {
        let root = tempfile::tempdir().unwrap();
        drop(Store::open(root.path(), Mode::ReadWrite).unwrap());
        let path = root.path().join(FILE_NAME);
        let set = |pragma, value: i64| {
            Connection::open(&path)
                .unwrap()
                .pragma_update(None, pragma, value)
                .unwrap();
        };
        let known = i64::try_from(MIGRATIONS.len()).unwrap();
        set("user_version", known + 1);
        for mode in [Mode::ReadWrite, Mode::ReadOnly] {
            let error = Store::open(root.path(), mode).unwrap_err();
            assert!(matches!(error, StorageError::Newer { .. }), "{error}");
        }
        set("user_version", known - 1);
        let error = Store::open(root.path(), Mode::ReadOnly).unwrap_err();
        assert!(matches!(error, StorageError::Older { .. }), "{error}");
        set("user_version", known);
        set("application_id", 0);
        let error = Store::open(root.path(), Mode::ReadWrite).unwrap_err();
        assert!(matches!(error, StorageError::Foreign { .. }), "{error}");
    }

    #[test]
    fn a_damaged_database_is_refused_and_left_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(FILE_NAME);
        let mut store = Store::open(root.path(), Mode::ReadWrite).unwrap();
        store.write(&super::super::samples::some_of_each()).unwrap();
        drop(store);
        let whole = fs::read(&path).unwrap();

        let mut scratched = whole.clone();
        // Past the first page's header: the pages of tables and indexes.
        scratched[4096..12288].fill(0x5a);
        let cut = whole[..whole.len() / 2].to_vec();
        let text = b"this is no database at all, but somebody's notes".repeat(100);
        for bad in [scratched, cut, text, Vec::new()] {
            fs::write(&path, &bad).unwrap();
            for mode in [Mode::ReadWrite, Mode::ReadOnly] {
                let error = Store::open(root.path(), mode).unwrap_err();
                assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
                assert!(error.to_string().contains(".recover"), "{error}");
            }
            assert_eq!(fs::read(&path).unwrap(), bad);
        }

        fs::remove_file(&path).unwrap();
        fs::write(root.path().join(format!("{FILE_NAME}-wal")), b"left").unwrap();
        let error = Store::open(root.path(), Mode::ReadWrite).unwrap_err();
        assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
        assert!(!path.exists());
    }
}
