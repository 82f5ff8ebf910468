//! A file system in memory that loses power when its seed says so.
//!
//! After a cut there is what was synced, and of the rest whatever a disk may keep: any version of each sector that was
//! written and not synced (some torn in the middle), any of the names that were made, changed or deleted in a folder that
//! was not synced, whatever else was kept. Before a cut it plays a bad disk: short writes, no room, errors that come once
//! or stay, and after a failed sync pages that count as clean though their data never reached the disk.

mod content;
mod names;
mod random;

use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Component, Path},
    sync::{Arc, Mutex, MutexGuard},
};

pub(super) use self::random::Random;
use self::{content::Content, names::Names};
use super::super::disk::{Disk, DiskFile, Listed, Lock, SharedDisk};

const ROOT: NodeId = 0;

type NodeId = usize;

/// How the disk misbehaves. Counts are of the operations that could fail so.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    /// One in so many writes is short; 0: none.
    pub(super) short_write_one_in: u64,
    /// The write that fails.
    pub(super) write: Option<Failing>,
    /// The sync of a file that fails.
    pub(super) sync: Option<Failing>,
    /// Bytes that fit.
    pub(super) capacity: Option<u64>,
}

/// When an operation fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failing {
    /// After so many that went well.
    pub(super) after: u64,
    /// And so many times.
    pub(super) times: u64,
}

/// The disk, shared by all who have it open.
#[derive(Clone)]
pub(super) struct Simulated(Arc<Mutex<State>>);

struct State {
    nodes: HashMap<NodeId, Node>,
    next_node: NodeId,
    locked: HashSet<NodeId>,
    random: Random,
    faults: Faults,
    /// Changing operations until the power goes; none: it stays.
    left: Option<u64>,
    has_power: bool,
}

#[derive(Clone)]
enum Node {
    File(Content),
    Folder(Names),
}

fn os_error(errno: rustix::io::Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw_os_error())
}

impl Simulated {
    /// An empty disk.
    pub(super) fn new(seed: u64) -> Self {
        Self::of(HashMap::from([(ROOT, Node::Folder(Names::default()))]), Random::new(seed))
    }

    fn of(nodes: HashMap<NodeId, Node>, random: Random) -> Self {
        let next_node = nodes.keys().max().map_or(0, |last| last + 1);
        let (locked, faults) = (HashSet::new(), Faults::default());
        Self(Arc::new(Mutex::new(State { nodes, next_node, locked, random, faults, left: None, has_power: true })))
    }

    /// As the journal takes it.
    pub(super) fn shared(&self) -> SharedDisk {
        Arc::new(self.clone())
    }

    /// From now on it misbehaves so.
    pub(super) fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// The power goes at the change after so many more.
    pub(super) fn cut_after(&self, changes: u64) {
        self.lock().left = Some(changes);
    }

    /// The power goes now.
    pub(super) fn cut(&self) {
        self.lock().has_power = false;
    }

    pub(super) fn has_power(&self) -> bool {
        self.lock().has_power
    }

    /// The disk as it is found when the power is back.
    pub(super) fn after_cut(&self) -> Self {
        let mut state = self.lock();
        state.has_power = false;
        let State { nodes, random, .. } = &mut *state;
        // Also the extremes: all or nothing of what was not synced.
        let keep_percent = [0, 20, 50, 80, 100][random.below(5) as usize];
        let mut ids: Vec<NodeId> = nodes.keys().copied().collect();
        ids.sort_unstable();
        let kept = ids.into_iter().map(|id| {
            let node = match &nodes[&id] {
                Node::File(content) => Node::File(content.after_cut(random, keep_percent)),
                Node::Folder(names) => Node::Folder(names.after_cut(random, keep_percent)),
            };
            (id, node)
        });
        let nodes = kept.collect();
        Self::of(nodes, random.fork())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Runs an operation that reads.
    fn look<T>(&self, look: impl FnOnce(&State) -> io::Result<T>) -> io::Result<T> {
        let state = self.lock();
        if state.has_power { look(&state) } else { Err(os_error(rustix::io::Errno::NODEV)) }
    }

    /// Runs an operation that changes something, or loses power at it, with or without having done it.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.lock();
        let no_power = || os_error(rustix::io::Errno::NODEV);
        if !state.has_power {
            return Err(no_power());
        }
        if state.left == Some(0) {
            if state.random.one_in(2) {
                let _done = change(&mut state);
            }
            state.has_power = false;
            return Err(no_power());
        }
        state.left = state.left.map(|left| left - 1);
        change(&mut state)
    }
}

impl State {
    fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut node = ROOT;
        for part in path.components() {
            if let Component::Normal(name) = part {
                let names = self.folder(node)?;
                node = names.get(name.to_str().unwrap()).ok_or(io::ErrorKind::NotFound)?;
            }
        }
        Ok(node)
    }

    fn folder(&self, node: NodeId) -> io::Result<&Names> {
        match &self.nodes[&node] {
            Node::Folder(names) => Ok(names),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// The folder of a path, and its name there.
    fn parent(&mut self, path: &Path) -> io::Result<(&mut Names, String)> {
        let name = path.file_name().ok_or(io::ErrorKind::AlreadyExists)?.to_str().unwrap().to_owned();
        let id = self.find(path.parent().unwrap())?;
        match self.nodes.get_mut(&id) {
            Some(Node::Folder(names)) => Ok((names, name)),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn add(&mut self, node: Node) -> NodeId {
        let id = self.next_node;
        self.next_node += 1;
        self.nodes.insert(id, node);
        id
    }

    fn content(&mut self, node: NodeId) -> (&mut Content, &mut Random) {
        match self.nodes.get_mut(&node) {
            Some(Node::File(content)) => (content, &mut self.random),
            _ => panic!("an open file is a file"),
        }
    }

    /// Bytes of all files that have a name, as the disk counts them.
    fn used(&self) -> u64 {
        let mut used = 0;
        let mut folders = vec![ROOT];
        while let Some(folder) = folders.pop() {
            for (_, id) in self.folder(folder).unwrap().list() {
                match &self.nodes[&id] {
                    Node::Folder(_) => folders.push(id),
                    Node::File(content) => used += content.length().max(content.reserved),
                }
            }
        }
        used
    }

    fn is_full(&self, more: u64) -> bool {
        self.faults.capacity.is_some_and(|capacity| self.used() + more > capacity)
    }
}

/// Whether this one fails.
fn fails(failing: &mut Option<Failing>) -> bool {
    match failing {
        Some(Failing { after: 0, times: 0 }) | None => false,
        Some(Failing { after: 0, times }) => {
            *times -= 1;
            true
        }
        Some(Failing { after, .. }) => {
            *after -= 1;
            false
        }
    }
}

impl Disk for Simulated {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.change(|state| {
            let (names, name) = state.parent(path)?;
            if names.get(&name).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let id = state.add(Node::Folder(Names::default()));
            let (names, name) = state.parent(path)?;
            names.change(vec![(name, Some(id))]);
            Ok(())
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        self.look(|state| {
            let listed = state.folder(state.find(dir)?)?.list();
            let about = |(name, id): (String, NodeId)| match &state.nodes[&id] {
                Node::File(content) => Listed { name, is_dir: false, bytes: content.length() },
                Node::Folder(_) => Listed { name, is_dir: true, bytes: 0 },
            };
            Ok(listed.into_iter().map(about).collect())
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let node = self.change(|state| {
            if state.is_full(1) {
                return Err(os_error(rustix::io::Errno::NOSPC));
            }
            // A new file instead of an emptied one: as bad, since the old one may be there again after a cut.
            let id = state.add(Node::File(Content::default()));
            let (names, name) = state.parent(path)?;
            names.change(vec![(name, Some(id))]);
            Ok(id)
        })?;
        Ok(Box::new(OpenFile { disk: self.clone(), node }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let node = self.look(|state| state.find(path))?;
        Ok(Box::new(OpenFile { disk: self.clone(), node }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|state| {
            assert_eq!(from.parent(), to.parent(), "the journal renames within a folder");
            let id = state.find(from)?;
            let (names, old) = state.parent(from)?;
            let new = to.file_name().unwrap().to_str().unwrap().to_owned();
            names.change(vec![(old, None), (new, Some(id))]);
            Ok(())
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change(|state| {
            state.find(path)?;
            let (names, name) = state.parent(path)?;
            names.change(vec![(name, None)]);
            Ok(())
        })
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.change(|state| {
            if !state.folder(state.find(path)?)?.list().is_empty() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            let (names, name) = state.parent(path)?;
            names.change(vec![(name, None)]);
            Ok(())
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.change(|state| {
            let id = state.find(path)?;
            match state.nodes.get_mut(&id) {
                Some(Node::Folder(names)) => names.sync(),
                _ => return Err(io::ErrorKind::NotADirectory.into()),
            }
            Ok(())
        })
    }

    fn lock(&self, dir: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let mut state = self.lock();
        let node = match state.find(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        let lock = Held { disk: self.clone(), node };
        Ok(if state.locked.insert(node) {
            Some(Box::new(lock))
        } else {
            // Not ours to release.
            std::mem::forget(lock);
            None
        })
    }
}

struct Held {
    disk: Simulated,
    node: NodeId,
}

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.disk.lock().locked.remove(&self.node);
    }
}

struct OpenFile {
    disk: Simulated,
    node: NodeId,
}

impl DiskFile for OpenFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.look(|state| match &state.nodes[&self.node] {
            Node::File(content) => Ok(content.read(into, offset)),
            Node::Folder(_) => Err(io::ErrorKind::IsADirectory.into()),
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.disk.change(|state| {
            let grows = {
                let (content, _) = state.content(self.node);
                (offset + bytes.len() as u64).saturating_sub(content.length().max(content.reserved))
            };
            if grows > 0 && state.is_full(grows) {
                return Err(os_error(rustix::io::Errno::NOSPC));
            }
            let is_failing = fails(&mut state.faults.write);
            let short = state.faults.short_write_one_in;
            let is_short = is_failing || (short > 0 && state.random.one_in(short));
            let (content, random) = state.content(self.node);
            let count = if is_short { random.below(bytes.len() as u64 + 1) as usize } else { bytes.len() };
            content.write(&bytes[..count], offset);
            match count {
                _ if is_failing => Err(os_error(rustix::io::Errno::IO)),
                0 => Err(os_error(rustix::io::Errno::INTR)),
                _ => Ok(count),
            }
        })
    }

    fn length(&self) -> io::Result<u64> {
        self.disk.look(|state| match &state.nodes[&self.node] {
            Node::File(content) => Ok(content.length()),
            Node::Folder(_) => Err(io::ErrorKind::IsADirectory.into()),
        })
    }

    fn reserve(&self, bytes: u64) -> io::Result<bool> {
        self.disk.change(|state| {
            if state.is_full(bytes) {
                return Err(os_error(rustix::io::Errno::NOSPC));
            }
            state.content(self.node).0.reserved = bytes;
            Ok(true)
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.change(|state| {
            let is_failing = fails(&mut state.faults.sync);
            let (content, random) = state.content(self.node);
            if is_failing {
                content.fail_to_sync(random);
                return Err(os_error(rustix::io::Errno::IO));
            }
            content.sync();
            Ok(())
        })
    }
}
