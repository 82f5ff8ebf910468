//! Records that are on the disk before somebody goes on: what durability costs by plain means, whatever is recorded.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, mpsc},
};

use tokio::sync::oneshot;

/// About as long as an OPENED or an ENDED record of the gateway.
const RECORD_BYTES: usize = 400;
/// Written over again and again; made of zeros first, so that a sync has only what was written to wait for.
const FILE_BYTES: usize = 16 << 20;
/// Records of one sync at most.
const GROUP_MAX: usize = 4096;

/// A thread that writes all that waits and syncs once for all of them.
#[derive(Clone, Debug)]
pub struct Synced(Arc<mpsc::Sender<oneshot::Sender<()>>>);

impl Synced {
    /// Makes the file and starts the thread.
    ///
    /// # Errors
    /// The file's, or the thread's.
    pub fn start(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        file.write_all(&vec![0; FILE_BYTES])?;
        file.sync_all()?;
        let (sender, waiting) = mpsc::channel();
        std::thread::Builder::new().name("synced".to_owned()).spawn(move || write(&file, &waiting))?;
        Ok(Self(Arc::new(sender)))
    }

    /// Waits until a record is on the disk.
    ///
    /// # Errors
    /// When it cannot be.
    pub async fn record(&self) -> io::Result<()> {
        let gone = || io::Error::other("the writer is gone");
        let (told, durable) = oneshot::channel();
        self.0.send(told).map_err(|_| gone())?;
        durable.await.map_err(|_| gone())
    }
}

/// Until nobody asks any more or the disk fails: then those who wait hear that they wait for nothing.
fn write(file: &File, waiting: &mpsc::Receiver<oneshot::Sender<()>>) {
    let records = vec![1; RECORD_BYTES * GROUP_MAX];
    let mut offset = 0;
    while let Ok(first) = waiting.recv() {
        let group: Vec<_> = std::iter::once(first).chain(waiting.try_iter().take(GROUP_MAX - 1)).collect();
        let bytes = records.get(..RECORD_BYTES * group.len()).unwrap_or(&records);
        if offset + bytes.len() > FILE_BYTES {
            offset = 0;
        }
        let written = file.write_all_at(bytes, u64::try_from(offset).unwrap_or(0)).and_then(|()| file.sync_data());
        if written.is_err() {
            return;
        }
        offset += bytes.len();
        for told in group {
            // Who waited may have left.
            let _unheard = told.send(());
        }
    }
}
