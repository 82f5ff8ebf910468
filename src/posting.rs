//! Reads the journal forward, posts entries and rollups to the store, resolves orphans of dead boots.
