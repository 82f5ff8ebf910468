//! The books as files, one a table, all as of one moment; and back into an empty store of either engine.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::{
    fs::File,
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter, Lines},
};
use tollgate_core::{
    id::{BootId, CustomerId, KeyId, RequestId},
    record::decode_entry,
};

use super::{
    Store, StoreError,
    copy_text::{Value, read_row},
    entries::{EntryColumns, StoredEntry},
    tables::{ENTRIES, TABLES, Table},
};

/// Bytes read or written at once.
const CHUNK_BYTES: usize = 1 << 18;

/// One table in a file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TableFile {
    /// Name of the table.
    pub table: String,
    /// Rows.
    pub rows: u64,
    /// Of the file's bytes, hexadecimal.
    pub sha256: String,
}

/// The entries of one day in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayFile {
    /// Entries.
    pub entries: u64,
    /// Of the file's bytes, hexadecimal.
    pub sha256: String,
    /// First hour of admission among them, microseconds since 1970 UTC.
    pub first_hour_us: i64,
    /// Last hour of admission among them.
    pub last_hour_us: i64,
}

/// An entry of a file, and where its journal had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiledEntry {
    /// Whose journal.
    pub replica: String,
    /// Which boot's.
    pub boot_id: BootId,
    /// The entry and the columns beside it.
    pub stored: StoredEntry,
}

/// The file of a table within a folder.
#[must_use]
pub fn file_of(dir: &Path, table: &str) -> PathBuf {
    dir.join(format!("{table}.copy"))
}

/// The tables of a dump, in its order.
#[must_use]
pub fn tables() -> Vec<&'static str> {
    TABLES.iter().map(|table| table.name).collect()
}

impl Store {
    /// Writes every table into a folder, as of one moment, whatever is posted meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dump(&self, dir: &Path) -> Result<Vec<TableFile>, StoreError> {
        on_engine!(self, dump(dir))
    }

    /// Fills the store from a folder, all or nothing. The store must be migrated and empty.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`], [`StoreError::Damaged`] for a file that is not what [`Self::dump`] writes.
    pub async fn load(&self, dir: &Path) -> Result<(), StoreError> {
        for table in TABLES {
            if on_engine!(self, has_rows(table))? {
                return Err(StoreError::NotEmpty(table.name));
            }
        }
        on_engine!(self, load(dir))
    }

    /// Writes the entries of one day, counted from 1970 UTC by their request ids, into a file.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dump_day(&self, day: i32, path: &Path) -> Result<DayFile, StoreError> {
        on_engine!(self, dump_day(day, path))
    }
}

/// Rows and digest of a file.
///
/// # Errors
/// [`StoreError::File`].
pub async fn digest(path: &Path) -> Result<(u64, String), StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), source };
    let mut file = File::open(path).await.map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut rows = 0;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = file.read(&mut chunk).await.map_err(failed)?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        rows += count_lines(bytes);
        hasher.update(bytes);
    }
    Ok((rows, hex::encode(hasher.finalize())))
}

fn count_lines(bytes: &[u8]) -> u64 {
    u64::try_from(memchr::memchr_iter(b'\n', bytes).count()).unwrap_or(u64::MAX)
}

/// A file that is being written: counted, hashed, and on the disk when it is finished.
pub(super) struct Sink {
    path: PathBuf,
    file: BufWriter<File>,
    hasher: Sha256,
    rows: u64,
}

impl Sink {
    pub(super) async fn create(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::File { path: path.to_owned(), source };
        let file = File::create(path).await.map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::with_capacity(CHUNK_BYTES, file),
            hasher: Sha256::new(),
            rows: 0,
        })
    }

    /// Appends whole or partial lines.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.rows += count_lines(bytes);
        self.hasher.update(bytes);
        self.file.write_all(bytes).await.map_err(|source| StoreError::File { path: self.path.clone(), source })
    }

    /// Rows and digest, when all of it is on the disk.
    pub(super) async fn finish(mut self) -> Result<(u64, String), StoreError> {
        let synced = async {
            self.file.flush().await?;
            self.file.get_ref().sync_all().await
        };
        synced.await.map_err(|source| StoreError::File { path: self.path.clone(), source })?;
        Ok((self.rows, hex::encode(self.hasher.finalize())))
    }
}

/// A table's file that is being read, line by line.
pub(super) struct RowFile {
    path: PathBuf,
    lines: Lines<BufReader<File>>,
    table: &'static Table,
}

impl RowFile {
    pub(super) async fn open(path: &Path, table: &'static Table) -> Result<Self, StoreError> {
        let file = File::open(path).await.map_err(|source| StoreError::File { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), lines: BufReader::with_capacity(CHUNK_BYTES, file).lines(), table })
    }

    pub(super) async fn next(&mut self) -> Result<Option<Vec<Value>>, StoreError> {
        let line = self.lines.next_line().await;
        let line = line.map_err(|source| StoreError::File { path: self.path.clone(), source })?;
        line.map(|line| read_row(&line, self.table.columns)).transpose()
    }
}

/// The entries of a file, as [`Store::dump_day`] writes them, page by page.
pub struct EntryFile(RowFile);

impl EntryFile {
    /// Opens a file.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self(RowFile::open(path, &ENTRIES).await?))
    }

    /// At most so many entries; none at the end.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] at a line that is no entry.
    pub async fn next_page(&mut self, rows_max: usize) -> Result<Vec<FiledEntry>, StoreError> {
        let mut page = Vec::new();
        while page.len() < rows_max {
            let Some(row) = self.0.next().await? else { break };
            page.push(filed(&row)?);
        }
        Ok(page)
    }
}

fn filed(row: &[Value]) -> Result<FiledEntry, StoreError> {
    let value = |name| {
        let position = ENTRIES.columns.iter().position(|(column, _)| *column == name);
        position.and_then(|position| row.get(position)).ok_or(StoreError::Damaged("entry"))
    };
    let id = |name| match value(name)? {
        Value::Id(id) => Ok(*id),
        _ => Err(StoreError::Damaged("entry")),
    };
    let integer = |name| match value(name)? {
        Value::Integer(integer) => Ok(*integer),
        _ => Err(StoreError::Damaged("entry")),
    };
    let text = |name| match value(name)? {
        Value::Text(text) => Ok(text.clone()),
        _ => Err(StoreError::Damaged("entry")),
    };
    let (Value::Flag(unpriced), Value::Bytes(body)) = (value("unpriced")?, value("body")?) else {
        return Err(StoreError::Damaged("entry"));
    };
    Ok(FiledEntry {
        replica: text("replica")?,
        boot_id: BootId::from_bytes(id("boot_id")?),
        stored: StoredEntry {
            entry: decode_entry(body).map_err(|_| StoreError::Damaged("entry"))?,
            columns: EntryColumns {
                request_id: RequestId::from_bytes(id("request_id")?),
                attempt: integer("attempt")?,
                customer_id: CustomerId::from_bytes(id("customer_id")?),
                key_id: KeyId::from_bytes(id("key_id")?),
                model: text("model")?,
                target: text("target")?,
                outcome: text("outcome")?,
                usage_source: text("usage_source")?,
                admitted_at_us: integer("admitted_at_us")?,
            },
            cost_nanousd: integer("cost_nanousd")?,
            charge_nanousd: integer("charge_nanousd")?,
            unpriced: *unpriced,
        },
    })
}
