//! The names in one simulated folder: what programs see, what is durable, and every change in between.

use std::collections::BTreeMap;

use super::{NodeId, random::Random};

/// Names that change together: one of them for a creation or a deletion, two for a renaming.
type Change = Vec<(String, Option<NodeId>)>;

#[derive(Clone, Default)]
pub(super) struct Names {
    cached: BTreeMap<String, NodeId>,
    durable: BTreeMap<String, NodeId>,
    changes: Vec<Change>,
}

fn apply(names: &mut BTreeMap<String, NodeId>, change: &Change) {
    for (name, node) in change {
        match node {
            Some(node) => drop(names.insert(name.clone(), *node)),
            None => drop(names.remove(name)),
        }
    }
}

impl Names {
    pub(super) fn get(&self, name: &str) -> Option<NodeId> {
        self.cached.get(name).copied()
    }

    pub(super) fn list(&self) -> Vec<(String, NodeId)> {
        self.cached.iter().map(|(name, node)| (name.clone(), *node)).collect()
    }

    pub(super) fn change(&mut self, change: Change) {
        apply(&mut self.cached, &change);
        self.changes.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.cached);
        self.changes.clear();
    }

    /// What is left after a cut: any of the changes, in their order.
    pub(super) fn after_cut(&self, random: &mut Random, keep_percent: u64) -> Self {
        let mut left = self.durable.clone();
        for change in &self.changes {
            if random.percent(keep_percent) {
                apply(&mut left, change);
            }
        }
        Self { cached: left.clone(), durable: left, changes: Vec::new() }
    }
}
