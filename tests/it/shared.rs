//! The documents and golden cases that may lie beside the project.

use std::path::PathBuf;

/// The folder `../shared`, or none with a message when it is not there.
pub(crate) fn folder(what: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared").join(what);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there; the project's own cases still run", path.display());
    None
}
