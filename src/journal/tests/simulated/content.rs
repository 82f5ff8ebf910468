//! The bytes of one simulated file: what programs read, what is durable, and every version of each sector in between.

use std::collections::BTreeMap;

use super::random::Random;

const SECTOR: usize = 512;
/// One in so many sectors of a write that was cut is torn in its middle: worse than most disks.
const TORN_SECTOR_ONE_IN: u64 = 10;

#[derive(Clone, Default)]
pub(super) struct Content {
    /// As programs see it.
    cached: Vec<u8>,
    /// As it is after a cut, but for what is dirty.
    durable: Vec<u8>,
    /// Versions that a sector has had since it was synced, by its number.
    dirty: BTreeMap<usize, Vec<[u8; SECTOR]>>,
    /// Room that was set aside.
    pub(super) reserved: u64,
}

fn sector(bytes: &[u8], number: usize) -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    let start = bytes.len().min(number * SECTOR);
    let end = bytes.len().min(start + SECTOR);
    sector[..end - start].copy_from_slice(&bytes[start..end]);
    sector
}

fn set_sector(bytes: &mut Vec<u8>, number: usize, sector: &[u8; SECTOR], length_max: usize) {
    let end = ((number + 1) * SECTOR).min(length_max.max(bytes.len()));
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    let start = number * SECTOR;
    if start < end {
        bytes[start..end].copy_from_slice(&sector[..end - start]);
    }
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        self.cached.len() as u64
    }

    pub(super) fn read(&self, into: &mut [u8], offset: u64) -> usize {
        let start = self.cached.len().min(offset as usize);
        let count = into.len().min(self.cached.len() - start);
        into[..count].copy_from_slice(&self.cached[start..start + count]);
        count
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        if bytes.is_empty() {
            return;
        }
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if self.cached.len() < end {
            self.cached.resize(end, 0);
        }
        self.cached[start..end].copy_from_slice(bytes);
        for number in start / SECTOR..=(end - 1) / SECTOR {
            self.dirty.entry(number).or_default().push(sector(&self.cached, number));
        }
    }

    pub(super) fn sync(&mut self) {
        for number in std::mem::take(&mut self.dirty).into_keys() {
            let latest = sector(&self.cached, number);
            set_sector(&mut self.durable, number, &latest, self.cached.len());
        }
        // Zeros between the old end and the new one.
        if self.durable.len() < self.cached.len() {
            self.durable.resize(self.cached.len(), 0);
        }
    }

    /// Each dirty sector reaches the disk or not, and is clean either way; some are forgotten by the cache, too.
    pub(super) fn fail_to_sync(&mut self, random: &mut Random) {
        for (number, versions) in std::mem::take(&mut self.dirty) {
            if random.one_in(2) {
                let version = versions[random.below(versions.len() as u64) as usize];
                set_sector(&mut self.durable, number, &version, self.cached.len());
            }
            if random.one_in(2) {
                let kept = sector(&self.durable, number);
                let length = self.cached.len();
                set_sector(&mut self.cached, number, &kept, length);
            }
        }
    }

    /// What is left after a cut.
    pub(super) fn after_cut(&self, random: &mut Random, keep_percent: u64) -> Self {
        let mut left = self.durable.clone();
        for (number, versions) in &self.dirty {
            if !random.percent(keep_percent) {
                continue;
            }
            let mut kept = versions[random.below(versions.len() as u64) as usize];
            if random.one_in(TORN_SECTOR_ONE_IN) {
                let torn_at = random.below(SECTOR as u64) as usize;
                kept[torn_at..].copy_from_slice(&sector(&left, *number)[torn_at..]);
            }
            set_sector(&mut left, *number, &kept, self.cached.len());
        }
        if left.len() < self.cached.len() && random.percent(keep_percent) {
            left.resize(self.cached.len(), 0);
        }
        Self { cached: left.clone(), durable: left, dirty: BTreeMap::new(), reserved: self.reserved }
    }
}
